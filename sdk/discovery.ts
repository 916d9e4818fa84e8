// What exists in the targets, and who answers for it.
import type { Change, FoundKind, Gap, OwnerClue, Risk, Unknown } from '../domain/found-identity.ts';
import type { PublicJwk } from './keys.ts';
import type { ListOptions } from './lists.ts';
import { path } from './path.ts';
import type { CallOptions, Transport } from './transport.ts';
import type { AgentKind, NewAgent, Page } from './types.ts';

/** An identity that a target has. */
export interface FoundIdentity {
  id: string;
  target: string;
  kind: FoundKind;
  name: string;
  state: 'unmanaged' | 'adopted' | 'ignored' | 'gone';
  risks: Risk[];
  /** Controls over what it may do without asking. */
  around: string[];
  groups: string[];
  /** What else it may do, in the target's own words. */
  permissions: string[];
  /** From where or by whom it may be used, in the target's own words. */
  usable_by: string[];
  enabled: boolean;
  serves: 'issuer' | 'observer' | 'application' | null;
  expires_at: string | null;
  /** As the target has it, less what looks like a secret. */
  comment: string | null;
  created_at: string | null;
  secret_changed_at: string | null;
  /** What the target did not tell: it is not held to be harmless. */
  unknown: Unknown[];
  first_seen_at: string;
  last_seen_at: string;
  used_at: string | null;
  /** What was last different about it, and at which look. */
  difference: { kind: 'new' | 'changed' | 'gone'; at: string; changes: Change[] };
  guessed_owner: {
    person: string;
    name: string | null;
    because: OwnerClue;
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
  changed: number;
  gone: number;
  unmanaged: number;
  /** Identities beyond what one look takes in. */
  left_out: number;
  /** What the target refused to list. */
  gaps: Gap[];
}

/** A target, when it was asked and when it last answered. */
export interface TargetLook {
  target: string;
  /** Whether its kind can be asked at all. */
  supported: boolean;
  asked_at: string | null;
  /** Why it said nothing when it was last asked; null where it did, or never was. */
  code: string | null;
  answered_at: string | null;
  /** When it is asked again by itself. */
  next_at: string | null;
  identities: number;
  found: number;
  changed: number;
  gone: number;
  left_out: number;
  gaps: Gap[];
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

  /** When each target was asked, and what that came to. */
  targets: (options?: CallOptions) =>
    transport.get<{ data: TargetLook[] }>('/v1/discovery/targets', options),

  /** With `different`, those that were new, changed or gone when their target was last asked. */
  list: ({
    target,
    state,
    different,
    limit,
    cursor,
  }: ListOptions & {
    target?: string | undefined;
    state?: FoundIdentity['state'] | undefined;
    different?: boolean | undefined;
  } = {}) =>
    transport.get<Page<FoundIdentity>>('/v1/discovery', {
      query: { target, state, different: different === true ? 'true' : undefined, limit, cursor },
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
