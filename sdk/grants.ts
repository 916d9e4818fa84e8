// Standing grants: more than one use of one approval, within a bound that people agreed to.
import type { JsonObject } from '../domain/json.ts';
import type { GrantState } from '../domain/lifecycle.ts';
import type { ListOptions } from './lists.ts';
import { path } from './path.ts';
import type { CallOptions, Transport } from './transport.ts';
import type { HeldAction, Page } from './types.ts';

/** A standing grant. */
export interface Grant {
  id: string;
  agent: string;
  role: string;
  /** What people agreed to it in. */
  request: string;
  state: GrantState;
  uses: number;
  used: number;
  /** The purpose that a task has to declare; null is any. */
  purpose: string | null;
  /** The longest that one credential may be asked for. */
  ttl_seconds: number;
  /** Digest that every action it covers has in common. */
  pattern: string;
  created_at: string;
  expires_at: string;
  warned_at: string | null;
  because: string | null;
  ended_at: string | null;
}

/** What is to stand, for how long and how often. */
export interface GrantOrder {
  /** Left out by an agent, which asks for itself. */
  agent?: string | undefined;
  role: string;
  uses: number;
  forSeconds: number;
  ttlSeconds?: number | undefined;
  purpose?: string | undefined;
  options?: JsonObject | undefined;
  reason?: string | undefined;
}

export interface GrantFilter extends ListOptions {
  state?: GrantState | undefined;
  agent?: string | undefined;
}

export const grantCalls = (transport: Transport) => ({
  /** Always waits for people: look at the request it answers. */
  ask: ({ forSeconds, ttlSeconds, ...order }: GrantOrder, options?: CallOptions) =>
    transport.post<HeldAction>('/v1/grants', {
      ...options,
      body: { ...order, for_seconds: forSeconds, ttl_seconds: ttlSeconds },
    }),

  get: (id: string, options?: CallOptions) => transport.get<Grant>(path`/v1/grants/${id}`, options),

  /** An agent sees its own grants. */
  list: ({ state, agent, limit, cursor }: GrantFilter = {}) =>
    transport.get<Page<Grant>>('/v1/grants', { query: { state, agent, limit, cursor } }),

  /** Takes a grant back, and with it every credential that came from it. */
  revoke: (id: string, reason?: string, options?: CallOptions) =>
    transport.post<Grant>(path`/v1/grants/${id}/revoke`, { ...options, body: { reason } }),
});
