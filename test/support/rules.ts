// A rule of a route, as pages show it.
import type { RouteRule } from '../../domain/approval.ts';

/** The rule of a route with this title. */
export const ruleTitled = (title: string): RouteRule => ({
  title,
  groups: ['data-owners'],
  quorum: 2,
  expiry_seconds: 3600,
  valid_seconds: 900,
  strength: 'session',
  channels: ['web'],
  independence: { owner: 'barred', triggerer: 'barred' },
  remind_at: [],
  escalation: [],
});
