import type { ListOptions } from './lists.ts';
import { path } from './path.ts';
// What administrators set up.
import type { CallOptions, Transport } from './transport.ts';
import type { ActivePolicy, Page, ProposedPolicy, SecretCustody, StaticSecret } from './types.ts';

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

export const secretCalls = (transport: Transport) => ({
  /** Puts a secret in, or a new version in its place. It can be lent under leases and never be read back. */
  put: (name: string, value: string, options?: CallOptions) =>
    transport.put<StaticSecret>(path`/v1/static-secrets/${name}`, { ...options, body: { value } }),

  list: ({ limit, cursor }: ListOptions = {}) =>
    transport.get<Page<StaticSecret>>('/v1/static-secrets', { query: { limit, cursor } }),

  /** Who was given which version when, the latest first. */
  custody: (name: string, { limit, cursor }: ListOptions = {}) =>
    transport.get<Page<SecretCustody>>(path`/v1/static-secrets/${name}/custody`, {
      query: { limit, cursor },
    }),

  /** Forgets a secret; who had it stays on record. */
  remove: async (name: string, options?: CallOptions): Promise<void> => {
    await transport.delete(path`/v1/static-secrets/${name}`, options);
  },
});
