// A rule of a route, as pages show it.
import type { RouteRule } from '../../domain/approval.ts';
import type { RouteView } from '../../web/request-data.ts';

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

/** Two stages, one behind us; the open one has this title and a seat for each of two groups. */
const stagesTitled = (title: string): RouteView['stages'] => [
  {
    title: null,
    state: 'complete',
    seats: [{ groups: ['data-owners'], quorum: 1, approvals: 1 }],
  },
  {
    title,
    state: 'open',
    seats: [
      { groups: ['security'], quorum: 1, approvals: 1 },
      { groups: ['data-owners'], quorum: 1, approvals: 0 },
    ],
  },
];

/** A route as the page of a request shows it, with stages of this title. */
export const routeViewTitled = (title: string): RouteView => ({
  name: 'orders-write',
  title: 'Write to orders',
  groups: ['data-owners'],
  quorum: 2,
  approvals: 1,
  stages: stagesTitled(title),
  strength: 'session',
  barred: ['whoever asked'],
});
