// Who is told when access ends, and what to do about a secret that got out.
import type { SignalName } from '../domain/signal.ts';
import type { ListOptions } from './lists.ts';
import { path } from './path.ts';
import type { Leak, LeakLine, Receiver, SignalDelivery } from './signal-types.ts';
import type { CallOptions, Transport } from './transport.ts';
import type { Page } from './types.ts';

/** A receiver to add. */
export interface ReceiverOrder {
  kind: Receiver['kind'];
  url: string;
  /** All of them if it is not said. */
  signals?: SignalName[] | undefined;
  /** `aud` of what it gets; the origin of its address if it is not said. */
  audience?: string | undefined;
  /** Sent to an `ssf` receiver as its bearer token; sealed by the server. */
  token?: string | undefined;
  wise?: boolean | undefined;
  /** Whether it may read the reasons that people wrote. */
  reasons?: boolean | undefined;
}

/** A secret that was found somewhere. */
export interface LeakReport {
  /** What was found, with whatever is around it. It is never kept. */
  secret?: string | undefined;
  /** What names it, where the secret is not at hand. */
  hint?: string | undefined;
  /** Who found it. */
  source: string;
  where?: string | undefined;
  seenAt?: string | undefined;
  /** `suspend` stops the agent as well. */
  policy?: 'revoke' | 'suspend' | undefined;
}

export const receiverCalls = (transport: Transport) => ({
  add: ({ kind, url, ...order }: ReceiverOrder, options?: CallOptions) =>
    transport.post<Receiver>('/v1/receivers', { ...options, body: { kind, url, ...order } }),

  get: (id: string, options?: CallOptions) =>
    transport.get<Receiver>(path`/v1/receivers/${id}`, options),

  list: ({ limit, cursor }: ListOptions = {}) =>
    transport.get<Page<Receiver>>('/v1/receivers', { query: { limit, cursor } }),

  /** What a paused receiver misses waits for it; what a disabled one misses does not. */
  change: (id: string, state: Receiver['state'], options?: CallOptions) =>
    transport.patch<Receiver>(path`/v1/receivers/${id}`, { ...options, body: { state } }),

  remove: async (id: string, options?: CallOptions): Promise<void> => {
    await transport.delete(path`/v1/receivers/${id}`, options);
  },

  /** Sends a message that changes nothing; `deliveries` then says whether it was heard. */
  verify: (id: string, state?: string, options?: CallOptions) =>
    transport.post<SignalDelivery>(path`/v1/receivers/${id}/verify`, {
      ...options,
      body: { state },
    }),

  /** Newest first. */
  deliveries: (id: string, { limit, cursor }: ListOptions = {}) =>
    transport.get<Page<SignalDelivery>>(path`/v1/receivers/${id}/deliveries`, {
      query: { limit, cursor },
    }),
});

export const leakCalls = (transport: Transport) => ({
  /** If what was found is ours it ends at once; the answer waits until it is seen dead. */
  report: (report: LeakReport, options?: CallOptions & { waitSeconds?: number | undefined }) =>
    transport.post<Leak>('/v1/leaks', {
      ...options,
      body: {
        secret: report.secret,
        hint: report.hint,
        source: report.source,
        where: report.where,
        seen_at: report.seenAt,
        policy: report.policy,
      },
    }),

  get: (id: string, options?: CallOptions) => transport.get<Leak>(path`/v1/leaks/${id}`, options),

  /** Newest first. */
  list: ({ limit, cursor }: ListOptions = {}) =>
    transport.get<Page<LeakLine>>('/v1/leaks', { query: { limit, cursor } }),
});
