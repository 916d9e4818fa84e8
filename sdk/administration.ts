// What administrators set up.
import type { CallOptions, Transport } from './transport.ts';
import type { ActivePolicy, ProposedPolicy } from './types.ts';

/** A Slack channel and the app that posts to it. */
export interface SlackSettings {
  /** A channel's id. */
  channel: string;
  signingSecret: string;
  botToken: string;
  /** Slack's own address if it is not said. */
  apiUrl?: string | undefined;
}

export const policyCalls = (transport: Transport) => ({
  active: (options?: CallOptions) => transport.get<ActivePolicy>('/v1/policies/active', options),

  /** Proposes a bundle, by file name; people then decide whether it becomes the active one. */
  propose: (files: Record<string, string>, options?: CallOptions) =>
    transport.post<ProposedPolicy>('/v1/policies', { ...options, body: { files } }),
});

export const slackCalls = (transport: Transport) => ({
  /** The secrets are sealed by the server and never given out again. */
  connect: ({ channel, signingSecret, botToken, apiUrl }: SlackSettings, options?: CallOptions) =>
    transport.put<{ configured: true }>('/v1/integrations/slack', {
      ...options,
      body: { channel, signing_secret: signingSecret, bot_token: botToken, api_url: apiUrl },
    }),

  /** Forgets the connection and its secrets. */
  disconnect: async (options?: CallOptions): Promise<void> => {
    await transport.delete('/v1/integrations/slack', options);
  },
});
