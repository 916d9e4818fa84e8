// The ways besides Slack on which approvers are told: webhooks and e-mail.
import { path } from './path.ts';
import type { CallOptions, Transport } from './transport.ts';

/** A webhook of approvers, as it is after it was set up. */
export interface ApproverWebhook {
  name: string;
  url: string;
  state: 'enabled' | 'disabled';
  /** Only where it is new: it is never given out again. */
  secret: string | null;
}

/** A mail server, and whom its mails come from. */
export interface EmailSettings {
  host: string;
  /** 587 if it is not said. */
  port?: number | undefined;
  /** `none` only for a server on the same machine. */
  tls?: 'starttls' | 'implicit' | 'none' | undefined;
  user?: string | undefined;
  password?: string | undefined;
  from: string;
  /** Certificates of authorities beside the ordinary ones, in PEM. */
  authorities?: string | undefined;
}

/** Whether a way takes what it is told, and since when not. */
export interface ChannelStanding {
  name: string;
  kind: 'webhook' | 'email';
  state: 'enabled' | 'disabled';
  because: 'gone' | 'failing' | null;
  failing_since: string | null;
  /** What came of the last attempt. */
  last_code: string | null;
  /** How many notices wait to be sent. */
  waiting: number;
  set_at: string;
}

export const channelCalls = (transport: Transport) => ({
  /** Every way, and how it stands. */
  list: (options?: CallOptions) =>
    transport.get<{ data: ChannelStanding[] }>('/v1/integrations/channels', options),

  /** Sets a webhook up, enables it again, or gives it a new secret; a new one is answered this once. */
  webhook: (name: string, url: string, rotate = false, options?: CallOptions) =>
    transport.put<ApproverWebhook>(path`/v1/integrations/webhooks/${name}`, {
      ...options,
      body: { url, rotate },
    }),

  removeWebhook: async (name: string, options?: CallOptions): Promise<void> => {
    await transport.delete(path`/v1/integrations/webhooks/${name}`, options);
  },

  /** The password is sealed by the server and never given out again. */
  email: (settings: EmailSettings, options?: CallOptions) =>
    transport.put<{ configured: true }>('/v1/integrations/email', {
      ...options,
      body: { ...settings },
    }),

  removeEmail: async (options?: CallOptions): Promise<void> => {
    await transport.delete('/v1/integrations/email', options);
  },
});
