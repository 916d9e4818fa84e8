// Lifecycle reports and the reviews made from them.
import { z } from 'zod';
import {
  decideLine,
  findReview,
  lifecycleLines,
  listReviews,
  openReview,
  type LifecycleLine,
  type ProvenLine,
} from '../commands/agents/reviews.ts';
import { answerOnce } from '../commands/once.ts';
import { partyOf, type Principal } from '../commands/principal.ts';
import { databaseTime, transact } from '../commands/unit.ts';
import type { ReviewRow } from '../db/rows.ts';
import type { JsonObject } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import { toCsv } from './csv.ts';
import { created, defineRoute, ok, type ApiDeps } from './route.ts';
import * as shape from './schemas.ts';

const nullable = z.string().nullable();

const lifecycleLine = z.object({
  agent: z.string(),
  agent_name: z.string(),
  agent_state: z.string(),
  kind: z.string(),
  team: z.string(),
  owner: z.string(),
  owner_name: z.string(),
  owner_active: z.boolean(),
  orphaned: z.boolean(),
  key_age_days: z.int().nullable(),
  rotation_overdue: z.boolean(),
  agent_last_used_at: nullable,
  credential: nullable,
  role: nullable,
  credential_state: nullable,
  issued_at: nullable,
  expires_at: nullable,
  credential_last_used_at: nullable,
  age_seconds: z.int().nullable(),
  task: nullable,
  task_purpose: nullable,
});

const report = defineRoute({
  method: 'get',
  path: '/v1/reports/lifecycle',
  tag: 'Reviews',
  summary:
    'Agents, owners, what they hold, when it was last used. As JSON, or CSV with ?format=csv',
  allow: ['auditor'],
  query: z.strictObject({ format: z.enum(['json', 'csv']).default('json') }),
  answers: {
    200: {
      description: 'One line for each thing held',
      schema: z.object({ generated_at: z.string(), data: z.array(lifecycleLine) }),
      otherType: 'text/csv',
    },
  },
  refusals: [],
  events: [],
  handle: async ({ principal, call, query }, deps) => {
    const now = await databaseTime(deps.db.query);
    const lines = await lifecycleLines(deps.db.query, now);
    await recordReading(deps, call, principal, 'lifecycle');
    if (query.format === 'json')
      return ok({ generated_at: now, data: lines.map((line) => ({ ...line })) });
    return new Response(toCsv(COLUMNS, lines), {
      headers: {
        'content-type': 'text/csv; charset=utf-8',
        'content-disposition': `attachment; filename="lifecycle-${now.slice(0, 10)}.csv"`,
      },
    });
  },
});

/** What an auditor reads is an event too. */
export async function recordReading(
  deps: ApiDeps,
  call: Parameters<typeof transact>[1],
  principal: Principal | null,
  name: string,
): Promise<void> {
  if (principal === null) return;
  const { type, id } = partyOf(principal);
  await transact(deps, call, (unit) => {
    unit.emit('report.read', {
      subject: name,
      detail: { report: name, by: { type, id } },
      private: {},
    });
    return Promise.resolve();
  });
}

const COLUMNS = Object.keys(lifecycleLine.shape) as (keyof LifecycleLine)[];

const reviewShape = z
  .object({
    id: z.string(),
    title: z.string(),
    state: z.enum(['open', 'closed']),
    scope_digest: z.string(),
    created_at: z.string(),
    due_at: z.string(),
    closed_at: nullable,
  })
  .meta({ id: 'Review' });

const lineShape = z.object({
  id: z.string(),
  agent: z.string(),
  credential: nullable,
  snapshot: z.record(z.string(), z.unknown()),
  recommendation: z.enum(['keep', 'revoke']),
  basis: z.string(),
  decision: z.enum(['keep', 'revoke']).nullable(),
  decided_by: nullable,
  decided_at: nullable,
  reason: nullable,
  proof: z.object({ state: z.string(), seen_gone_at: nullable }).nullable(),
});

const presentReview = (row: ReviewRow): JsonObject => ({
  id: row.id,
  title: row.title,
  state: row.state,
  scope_digest: row.scopeDigest,
  created_at: row.createdAt,
  due_at: row.dueAt,
  closed_at: row.closedAt,
});

const presentLine = (row: ProvenLine): JsonObject => ({
  id: row.id,
  agent: row.agent,
  credential: row.credential,
  snapshot: row.snapshot,
  recommendation: row.recommendation,
  basis: row.basis,
  decision: row.decision,
  decided_by: row.decidedBy,
  decided_at: row.decidedAt,
  reason: row.reason,
  proof: row.proof && { state: row.proof.state, seen_gone_at: row.proof.seen_gone_at },
});

const open = defineRoute({
  method: 'post',
  path: '/v1/reviews',
  tag: 'Reviews',
  summary: 'Open a review over everything there is now; its scope is frozen',
  allow: ['admin'],
  body: shape.reviewBody,
  answers: { 201: { description: 'The open review', schema: reviewShape } },
  refusals: [],
  events: ['review.opened', 'review.closed'],
  handle: ({ call, once, body }, deps) =>
    answerOnce(deps, call, once, async (unit) =>
      created(presentReview(await openReview(unit, body))),
    ),
});

const list = defineRoute({
  method: 'get',
  path: '/v1/reviews',
  tag: 'Reviews',
  summary: 'Reviews, newest first',
  allow: ['person', 'service'],
  answers: { 200: { description: 'Reviews', schema: shape.listOf(reviewShape) } },
  refusals: [],
  events: [],
  handle: async (_incoming, deps) =>
    ok({ data: (await listReviews(deps.db.query)).map(presentReview), next_cursor: null }),
});

const show = defineRoute({
  method: 'get',
  path: '/v1/reviews/{id}',
  tag: 'Reviews',
  summary: 'One review with its lines, what was decided, and proof of what was done',
  allow: ['person', 'service'],
  answers: {
    200: {
      description: 'The review',
      schema: reviewShape.extend({ lines: z.array(lineShape) }).meta({ id: 'ReviewWithLines' }),
    },
  },
  refusals: ['not_found'],
  events: [],
  handle: async ({ params }, deps) => {
    const found = await findReview(deps.db.query, params['id'] ?? '');
    if (!found) throw new Refusal('not_found', 'There is no such review.');
    return ok({ ...presentReview(found.review), lines: found.lines.map(presentLine) });
  },
});

const decideOn = defineRoute({
  method: 'post',
  path: '/v1/reviews/{id}/lines/{line}',
  tag: 'Reviews',
  summary:
    'Keep or revoke one line; a revocation is carried out at once and shown as proven when seen gone',
  allow: ['member'],
  body: shape.lineBody,
  answers: { 200: { description: 'The line', schema: lineShape } },
  refusals: ['not_found', 'already_decided', 'self_approval', 'human_required'],
  events: ['review.decided', 'credential.revoke_intended', 'agent.suspended', 'task.ending'],
  handle: ({ call, once, params, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const decision = { decision: body.decision, reason: body.reason ?? null };
      const line = await decideLine(unit, params['id'] ?? '', params['line'] ?? '', decision);
      return ok(presentLine({ ...line, proof: null }));
    }),
});

export const reviewRoutes = [report, open, list, show, decideOn];
