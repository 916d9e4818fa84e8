// What exists in the targets, and who answers for it.
import type { PublicJwk } from './keys.ts';
import type { ListOptions } from './lists.ts';
import { path } from './path.ts';
import type { CallOptions, Transport } from './transport.ts';
import type { AgentKind, NewAgent, Page } from './types.ts';

/** An identity that a target has. */
export interface FoundIdentity {
  id: string;
  target: string;
  kind: 'login';
  name: string;
  state: 'unmanaged' | 'adopted' | 'ignored' | 'gone';
  risks: ('superuser' | 'makes_roles' | 'no_expiry' | 'unseen_90_days' | 'around_control')[];
  /** Controls over tables that it may write without asking. */
  around: string[];
  groups: string[];
  serves: 'issuer' | 'observer' | 'application' | null;
  expires_at: string | null;
  /** As the target has it, less what looks like a secret. */
  comment: string | null;
  first_seen_at: string;
  last_seen_at: string;
  used_at: string | null;
  guessed_owner: {
    person: string;
    name: string | null;
    because: 'email_in_comment' | 'name_in_comment' | 'login_name' | 'owns_users';
  } | null;
  agent: { id: string; name: string | null; state: string | null } | null;
  decided_by: { type: string; id: string } | null;
  decided_at: string | null;
  reason: string | null;
}

/** What looking at one target came to. */
export interface TargetDiscovery {
  target: string;
  /** Why the target said nothing; null where it did. */
  code: string | null;
  identities: number;
  /** Of these, new or in need of another decision. */
  found: number;
  gone: number;
  unmanaged: number;
}

/** An agent, an identity that was found in a target, or a secret that was put in to be lent. */
export interface PopulationMember {
  source: 'registered' | 'discovered' | 'stored';
  id: string;
  name: string;
  kind: string;
  state: string;
  target: string | null;
  owner: string | null;
  owner_name: string | null;
  owner_by: 'registration' | 'guess' | null;
  agent: string | null;
  /** With a space between them. */
  risks: string;
  around: string;
  keys: number;
  credentials: number;
  expires_at: string | null;
  last_used_at: string | null;
  since: string;
}

/** The agent that takes over. */
export interface Adoption {
  /** Follows from the login if it is not said. */
  name?: string | undefined;
  kind?: AgentKind | undefined;
  /** The person who answers for it: `psn_…`. */
  owner: string;
  team: string;
  purpose: string;
  /** Public keys only; may be empty with `join`. */
  keys?: PublicJwk[] | undefined;
  join?: boolean | undefined;
}

export const discoveryCalls = (transport: Transport) => ({
  /** Asks one target, or all of them, and notes what is new and what is gone. */
  look: (target?: string, options?: CallOptions) =>
    transport.post<{ data: TargetDiscovery[] }>('/v1/discovery', { ...options, body: { target } }),

  list: ({
    target,
    state,
    limit,
    cursor,
  }: ListOptions & {
    target?: string | undefined;
    state?: FoundIdentity['state'] | undefined;
  } = {}) =>
    transport.get<Page<FoundIdentity>>('/v1/discovery', {
      query: { target, state, limit, cursor },
    }),

  get: (id: string, options?: CallOptions) =>
    transport.get<FoundIdentity>(path`/v1/discovery/${id}`, options),

  /** Registers the agent that takes over; people then decide whether to admit it. The login stays as it is. */
  adopt: (id: string, { keys, ...order }: Adoption, options?: CallOptions) => {
    const { name, kind, owner, team, purpose, join } = order;
    return transport.post<NewAgent>(path`/v1/discovery/${id}/adopt`, {
      ...options,
      body: {
        ...{ name, kind, owner, team, purpose, join },
        keys: keys?.map(({ kty, crv, x, y }) => ({ kty, crv, x, y })),
      },
    });
  },

  /** Leaves it as it is; more risk than now asks again. */
  ignore: (id: string, reason: string, options?: CallOptions) =>
    transport.post<FoundIdentity>(path`/v1/discovery/${id}/ignore`, {
      ...options,
      body: { reason },
    }),
});
