// What administrators set up.
import type { Simulation } from '../domain/simulation.ts';
import type { ListOptions } from './lists.ts';
import { path } from './path.ts';
import type { PolicyActivation } from './policy-types.ts';
import type { CallOptions, Transport } from './transport.ts';
import type {
  ActivePolicy,
  KeyUse,
  Page,
  ProposedPolicy,
  RotatedKeys,
  SecretCustody,
  SigningKey,
  StaticSecret,
} from './types.ts';

/** How the server is to turn to another key. */
export interface KeyRotation {
  use: KeyUse;
  /** Sign with it at once, though verifiers may not have fetched it. */
  now?: boolean | undefined;
  /** With `now`, for a key that leaked: what the old ones signed dies. */
  revoke?: boolean | undefined;
  /** Why, for the record; needed with `revoke`. */
  reason?: string | undefined;
}

/** A Slack channel and the app that posts to it. */
export interface SlackSettings {
  /** A channel's id. */
  channel: string;
  signingSecret: string;
  botToken: string;
  /** Slack's own address if it is not said. */
  apiUrl?: string | undefined;
  /** For Socket Mode: then Slack need not reach the server. */
  appToken?: string | undefined;
  /** Whether a Slack user whom nobody linked is the person with the same e-mail address. The weaker way. */
  matchEmail?: boolean | undefined;
}

export const policyCalls = (transport: Transport) => ({
  active: (options?: CallOptions) => transport.get<ActivePolicy>('/v1/policies/active', options),

  /** Proposes a bundle, by file name; people then decide whether it becomes the active one. */
  propose: (files: Record<string, string>, options?: CallOptions) =>
    transport.post<ProposedPolicy>('/v1/policies', { ...options, body: { files } }),

  /** Every activation, newest first. */
  history: ({ limit, cursor }: ListOptions = {}) =>
    transport.get<Page<PolicyActivation>>('/v1/policies', { query: { limit, cursor } }),

  /** A policy that was proposed or active at some time. */
  get: (version: string, options?: CallOptions) =>
    transport.get<ActivePolicy>(path`/v1/policies/${version}`, options),

  /** What a bundle would have said to the last real actions; nothing changes. */
  simulate: (files: Record<string, string>, last?: number, options?: CallOptions) =>
    transport.post<Simulation>('/v1/policies/simulate', { ...options, body: { files, last } }),
});

export const slackCalls = (transport: Transport) => ({
  /** The secrets are sealed by the server and never given out again. */
  connect: (settings: SlackSettings, options?: CallOptions) =>
    transport.put<{ configured: true }>('/v1/integrations/slack', {
      ...options,
      body: {
        channel: settings.channel,
        signing_secret: settings.signingSecret,
        bot_token: settings.botToken,
        api_url: settings.apiUrl,
        app_token: settings.appToken,
        match_email: settings.matchEmail,
      },
    }),

  /** Forgets the connection and its secrets. */
  disconnect: async (options?: CallOptions): Promise<void> => {
    await transport.delete('/v1/integrations/slack', options);
  },
});

/** A schedule of another service, whose people on call routes can ask. */
export interface OnCallSource {
  kind: 'pagerduty' | 'opsgenie';
  token: string;
  /** The schedule's id there. */
  schedule: string;
  /** The service's own address if it is not said. */
  apiUrl?: string | undefined;
  /** People here by their id there; the others are known by their e-mail address. */
  people?: Record<string, string> | undefined;
}

/** What a source last said. */
export interface OnCallNow {
  source: string;
  people: string[];
  /** How many it named who are nobody here. */
  unmatched: number;
  looked_at: string;
  /** Why it gave no answer, and nobody is on call by it. */
  code: string | null;
}

export const onCallCalls = (transport: Transport) => ({
  /** The token is sealed by the server and never given out again. */
  connect: (
    name: string,
    { kind, token, schedule, apiUrl, people }: OnCallSource,
    options?: CallOptions,
  ) =>
    transport.put<{ configured: true }>(path`/v1/integrations/on-call/${name}`, {
      ...options,
      body: { kind, token, schedule, api_url: apiUrl, people },
    }),

  /** Forgets a source and its token. */
  disconnect: async (name: string, options?: CallOptions): Promise<void> => {
    await transport.delete(path`/v1/integrations/on-call/${name}`, options);
  },

  /** Who is on call by each source. */
  now: (options?: CallOptions) => transport.get<{ data: OnCallNow[] }>('/v1/on-call', options),
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

export const signingKeyCalls = (transport: Transport) => ({
  /** Every key that signs, signed, or is to sign; newest first. */
  list: (options?: CallOptions) => transport.get<Page<SigningKey>>('/v1/keys', options),

  /** Turns to another key; without more, published ahead, so that nothing breaks. */
  rotate: (rotation: KeyRotation, options?: CallOptions) =>
    transport.post<RotatedKeys>('/v1/keys/rotate', { ...options, body: { ...rotation } }),
});
