// The registry of agents.
import type { PublicJwk } from './keys.ts';
import type { ListOptions } from './lists.ts';
import { path } from './path.ts';
import type { CallOptions, Transport } from './transport.ts';
import type {
  Agent,
  AgentKind,
  HeldAction,
  MadeJoinToken,
  NewAgent,
  Page,
  RegisteredKey,
} from './types.ts';

/** An agent to register. */
export interface AgentOrder {
  /** Lower-case letters, digits and dashes; given once and for ever. */
  name: string;
  kind: AgentKind;
  /** The person who answers for it: `psn_…`; of a sub-agent, whoever owns its parent if it is not said. */
  owner?: string | undefined;
  /** The agent that it is a sub-agent of: `agt_…`. */
  parent?: string | undefined;
  team: string;
  purpose: string;
  /** Public keys only; see `publicKeyOf`. */
  keys: PublicJwk[];
  /** Have a join token made, with which the agent brings its key later; then `keys` may be empty. */
  join?: boolean | undefined;
}

const asBody = ({ kty, crv, x, y }: PublicJwk) => ({ kty, crv, x, y });

export const agentCalls = (transport: Transport) => ({
  /** Registers an agent; people then decide whether to admit it, in the request the answer names. */
  register: ({ keys, join, ...order }: AgentOrder, options?: CallOptions) => {
    const { name, kind, owner, parent, team, purpose } = order;
    return transport.post<NewAgent>('/v1/agents', {
      ...options,
      body: { name, kind, owner, parent, team, purpose, keys: keys.map(asBody), join },
    });
  },

  get: (id: string, options?: CallOptions) => transport.get<Agent>(path`/v1/agents/${id}`, options),

  list: ({ state, limit, cursor }: ListOptions & { state?: Agent['state'] | undefined } = {}) =>
    transport.get<Page<Agent>>('/v1/agents', { query: { state, limit, cursor } }),

  /** Nothing new, and what it holds is revoked; `resume` lets it ask again. */
  suspend: (id: string, reason?: string, options?: CallOptions) =>
    transport.post<Agent>(path`/v1/agents/${id}/suspend`, { ...options, body: { reason } }),

  resume: (id: string, reason?: string, options?: CallOptions) =>
    transport.post<Agent>(path`/v1/agents/${id}/resume`, { ...options, body: { reason } }),

  /** Stops the agent and ends all its tasks. */
  kill: (id: string, reason?: string, options?: CallOptions) =>
    transport.post<Agent>(path`/v1/agents/${id}/kill`, { ...options, body: { reason } }),

  /** Retires the agent for good, once nothing of it is alive. */
  retire: (id: string, reason?: string, options?: CallOptions) =>
    transport.post<Agent>(path`/v1/agents/${id}/retire`, { ...options, body: { reason } }),

  /**
   * Asks for another public key beside the others, as the first step of changing keys. People agreed to the keys the
   * agent came with, so they are asked again: wait for the request of the answer. Where policy plainly permits it, the
   * answer is the key.
   */
  addKey: (id: string, key: PublicJwk, options?: CallOptions) =>
    transport.post<RegisteredKey | HeldAction>(path`/v1/agents/${id}/keys`, {
      ...options,
      body: { key: asBody(key) },
    }),

  /** Lets a key go after an overlap in which the agent moves to another; the last one stays. */
  retireKey: (id: string, key: string, afterSeconds: number, options?: CallOptions) =>
    transport.post<RegisteredKey>(path`/v1/agents/${id}/keys/${key}/retire`, {
      ...options,
      body: { after_seconds: afterSeconds },
    }),

  /** Asks that somebody else answers for the agent; people agree to that, so wait for the request of the answer. */
  changeOwner: (id: string, owner: string, reason?: string, options?: CallOptions) =>
    transport.post<Agent | HeldAction>(path`/v1/agents/${id}/owner`, {
      ...options,
      body: { owner, reason },
    }),
  /**
   * Makes a token with which a workload brings a key of its own, once; see `joinAgent`. People are asked as they are
   * about a key: until they agree, the token is good for nothing. Its text is told in this answer alone.
   */
  makeJoinToken: (id: string, ttlSeconds?: number, options?: CallOptions) =>
    transport.post<MadeJoinToken | (MadeJoinToken & HeldAction)>(
      path`/v1/agents/${id}/join-tokens`,
      { ...options, body: { ttl_seconds: ttlSeconds } },
    ),

  /** Takes a key away; the last one stays. */
  revokeKey: (id: string, key: string, options?: CallOptions) =>
    transport.delete<RegisteredKey>(path`/v1/agents/${id}/keys/${key}`, options),
});
