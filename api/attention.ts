// What was asked of people, for those who watch that too much is not.
import { z } from 'zod';
import { readAttention } from '../commands/approvals/attention.ts';
import { readActiveBundle } from '../commands/policy/policies.ts';
import type { Principal } from '../commands/principal.ts';
import { databaseTime } from '../commands/unit.ts';
import type { AttentionReport } from '../domain/attention.ts';
import { addSeconds } from '../domain/instant.ts';
import { Refusal } from '../domain/refusal.ts';
import { canonical } from './controls.ts';
import { asJsonObject } from './json-body.ts';
import { recordReading } from './reviews.ts';
import { defineRoute, ok, type ApiDeps } from './route.ts';
import * as shape from './schemas.ts';

const share = z.object({
  k: z.int(),
  n: z.int(),
  lower: z.number(),
  upper: z.number(),
  enough: z.boolean(),
});

/** @public Compared with the SDK’s own type. */
export const attentionReport = z
  .object({
    from: shape.instant,
    to: shape.instant,
    requests: z.int(),
    cut: z.boolean(),
    approvers: z.array(
      z.object({
        alias: z.string(),
        person: z.string().nullable().meta({ description: 'For auditors only' }),
        name: z.string().nullable(),
        votes: z.int(),
        most_votes_per_hour: z.int(),
        most_open_at_once: z.int(),
        reminders: z.int(),
        over_budget: z.array(
          z.object({ route: z.string(), most_per_day: z.int(), budget: z.int() }),
        ),
      }),
    ),
    rules: z.array(
      z.object({
        rule: z.string(),
        routes: z.array(z.string()),
        requests: z.int(),
        open: z.int(),
        median_seconds_to_decide: z.number().nullable(),
        denied: share,
        narrowed: share,
        expired: share,
        proposals: z.array(
          z.object({
            kind: z.enum(['lower_ttl', 'remind', 'forbid']),
            says: z.string(),
            evidence: z.object({
              k: z.int(),
              n: z.int(),
              lower: z.number(),
              requests: z.array(z.string()),
            }),
            diff: z.string(),
          }),
        ),
        note: z.string().nullable(),
      }),
    ),
  })
  .meta({ id: 'AttentionReport' });

/** A month, where nothing is said. */
const PERIOD_SECONDS = 30 * 86_400;

/** The report as this reader may see it: people by name for auditors, whose reading is on record. */
export async function attentionFor(
  deps: Pick<ApiDeps, 'db' | 'policies'>,
  principal: Principal | null,
  period: { from: string | null; to: string | null },
): Promise<AttentionReport> {
  const now = await databaseTime(deps.db.query);
  const to = period.to ?? now;
  const from = period.from ?? addSeconds(to, -PERIOD_SECONDS);
  if (!(from < to))
    throw new Refusal('invalid_request', 'The period is empty: from must be before to.');
  const bundle = await readActiveBundle(deps.db.query, deps.policies);
  const isNamed = principal?.kind === 'person' && principal.roles.includes('auditor');
  return readAttention(deps.db.query, bundle, { from, to, now, isNamed });
}

const report = defineRoute({
  method: 'get',
  path: '/v1/reports/attention',
  tag: 'Evidence',
  summary:
    'What was asked of people: how much each decided, which rules asked, and what that would justify',
  description:
    'Over the last 30 days, unless `from` and `to` say otherwise. Auditors see approvers by name, others under an alias. Shares come with `n` and bounds at .95. A proposal is a diff that somebody may push; nothing is ever changed by it, and unanimous approval is no reason for one.',
  allow: ['auditor'],
  query: shape.periodQuery,
  answers: { 200: { description: 'The report', schema: attentionReport } },
  refusals: [],
  events: [],
  handle: async ({ principal, call, query }, deps) => {
    const period = { from: canonical(query.from), to: canonical(query.to) };
    const found = await attentionFor(deps, principal, period);
    await recordReading(deps, call, principal, 'attention');
    return ok(asJsonObject({ ...found }));
  },
});

export const attentionRoutes = [report];
