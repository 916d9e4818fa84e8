// Emergencies, as automation may see them. Declaring, confirming and reviewing one takes people, on its page.
import type { ListOptions } from './lists.ts';
import { path } from './path.ts';
import type { CallOptions, Transport } from './transport.ts';
import type { Page } from './types.ts';

/** One use of emergency access, and its review. */
export interface Emergency {
  id: string;
  request: string;
  agent: string;
  task: string;
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
});
