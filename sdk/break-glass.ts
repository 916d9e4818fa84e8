// Emergencies, as automation may see them. Declaring, confirming and reviewing one takes people, on its page.
import type { ListOptions } from './lists.ts';
import { path } from './path.ts';
import type { CallOptions, Transport } from './transport.ts';
import type { Page } from './types.ts';

/** One use of emergency access, and its review. */
export interface Emergency {
  id: string;
  request: string;
  /** Null where it is no agent's: a login that lay ready for when we are down. */
  agent: string | null;
  task: string | null;
  kit: string | null;
  role: string;
  /** The routes that it goes past. */
  gates: string[];
  /** The groups that may review it. */
  reviewers: string[];
  /** Whoever declared it, and whoever confirmed it. */
  people: string[];
  incident: string | null;
  /** How many uses of the same incident came before it. */
  continues: number;
  state: 'declared' | 'review_open' | 'reviewed';
  declared_at: string;
  opened_at: string | null;
  review_due_at: string | null;
  reviewed_at: string | null;
  reviewed_by: string | null;
  disposition: 'justified' | 'needs_work' | 'misused' | null;
  findings: string | null;
  effects_seen: number | null;
}

/** A login that lies ready for when the service is down, its password split between two people. */
export interface BreakGlassKit {
  id: string;
  request: string;
  role: string;
  target: string;
  /** The routes that it goes past. */
  gates: string[];
  state: 'waiting' | 'making' | 'ready' | 'ending' | 'ended';
  holders: { person: string; has_key: boolean; collected_at: string | null }[];
  created_at: string;
  expires_at: string;
  made_at: string | null;
  checked_at: string | null;
  /** How it was last found: `good`, `missing`, `altered` or `unreachable`. */
  checked: string | null;
  first_seen_at: string | null;
  last_seen_at: string | null;
  effects_seen: number;
  /** Why it ends, or ended. */
  because: string | null;
  failure: string | null;
  ended_at: string | null;
}

export interface KitFilter extends ListOptions {
  /** Only those that are not over. */
  live?: boolean | undefined;
}

export interface EmergencyFilter extends ListOptions {
  /** Only those whose review is open. */
  unreviewed?: boolean | undefined;
}

export const breakGlassCalls = (transport: Transport) => ({
  get: (id: string, options?: CallOptions) =>
    transport.get<Emergency>(path`/v1/break-glass/${id}`, options),

  list: ({ unreviewed, limit, cursor }: EmergencyFilter = {}) =>
    transport.get<Page<Emergency>>('/v1/break-glass', {
      query: { unreviewed: unreviewed ? 'true' : undefined, limit, cursor },
    }),

  kit: (id: string, options?: CallOptions) =>
    transport.get<BreakGlassKit>(path`/v1/break-glass/kits/${id}`, options),

  kits: ({ live, limit, cursor }: KitFilter = {}) =>
    transport.get<Page<BreakGlassKit>>('/v1/break-glass/kits', {
      query: { live: live ? 'true' : undefined, limit, cursor },
    }),

  /** Looks whether the login of a kit is still there as it was made. */
  checkKit: (id: string) =>
    transport.post<BreakGlassKit>(path`/v1/break-glass/kits/${id}/check`, { body: {} }),
});
