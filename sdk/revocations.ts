// Stopping much at once.
import type { ListOptions } from './lists.ts';
import { path } from './path.ts';
import type { Killed, Revocation, RevocationScope, Stop } from './stopping-types.ts';
import type { CallOptions, Transport } from './transport.ts';
import type { Credential, HeldAction, Page } from './types.ts';

/** Everything that has this in common. */
export interface RevocationOrder {
  by: Exclude<RevocationScope, 'everything'>;
  id: string;
  reason: string;
}

/** Whom to stop: `id` is an agent, the head of a chain, or the name of a team. */
export type KillOrder =
  | { scope: 'agent' | 'chain' | 'team'; id: string; reason: string }
  | { scope: 'everything'; reason: string };

/** With `waitSeconds`, the answer comes when everything is over, or when that time is. */
export interface StopOptions extends CallOptions {
  waitSeconds?: number | undefined;
}

export const revocationCalls = (transport: Transport) => ({
  /** All of it is on its way out when this answers. */
  order: (order: RevocationOrder, options?: StopOptions) =>
    transport.post<Revocation>('/v1/revocations', { ...options, body: { ...order } }),

  /** What an order would end; nothing is changed. */
  preview: (order: RevocationOrder, options?: CallOptions) =>
    transport.post<{ dry_run: true; credentials: number; first: string[] }>('/v1/revocations', {
      ...options,
      body: { ...order, dry_run: true },
    }),

  get: (id: string, options?: CallOptions) =>
    transport.get<Revocation>(path`/v1/revocations/${id}`, options),

  list: ({ limit, cursor }: ListOptions = {}) =>
    transport.get<Page<Revocation>>('/v1/revocations', { query: { limit, cursor } }),

  /** What cannot be revoked just now: why, how often it was tried, and when next. */
  failing: ({ limit, cursor }: ListOptions = {}) =>
    transport.get<Page<Credential>>('/v1/credentials', {
      query: { state: 'revoke_failed', limit, cursor },
    }),

  /** The kill switch. Calling it for everything is the confirmation that the API asks for. */
  kill: (order: KillOrder, options?: StopOptions) =>
    transport.post<Killed>('/v1/kill', {
      ...options,
      body: { ...order, confirm: order.scope === 'everything' ? 'everything' : undefined },
    }),

  /** Whether everything is stopped now. */
  stopped: (options?: CallOptions) => transport.get<{ stop: Stop | null }>('/v1/kill', options),

  /** Asks to have the stop of everything lifted; people agree to that. */
  lift: (reason: string, options?: CallOptions) =>
    transport.post<Stop | HeldAction>('/v1/kill/lift', { ...options, body: { reason } }),
});
