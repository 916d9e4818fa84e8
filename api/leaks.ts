// Leaked secrets: whose they are, and their end.
import { z } from 'zod';
import { waitUntil } from '../commands/changes.ts';
import { observedUse } from '../commands/leaks/leak-use.ts';
import { findLeak, readLeaks, reportLeak, type LeakRead } from '../commands/leaks/leaks.ts';
import {
  answerOnce,
  fingerprintOf,
  settleWaited,
  type Answer,
  type OnceKey,
} from '../commands/once.ts';
import type { Reader } from '../commands/record/events.ts';
import type { Call } from '../commands/unit.ts';
import { LEAK_POLICIES } from '../db/schema/leaks.ts';
import type { JsonObject } from '../domain/json.ts';
import { statesOf } from '../domain/lifecycle.ts';
import { Refusal } from '../domain/refusal.ts';
import { pageOf, readCursor } from './cursor.ts';
import { asJsonObject } from './json-body.ts';
import { created, defineRoute, ok, type ApiDeps } from './route.ts';
import * as shape from './schemas.ts';

const SECRET_LENGTH_MAX = 65_536;

/** What a report says, whoever sends it. */
export const leakReport = {
  secret: z
    .string()
    .min(1)
    .max(SECRET_LENGTH_MAX)
    .optional()
    .meta({ description: 'What was found, with whatever is around it; never kept' }),
  hint: z
    .string()
    .min(1)
    .max(2000)
    .optional()
    .meta({ description: 'What names it: a credential’s id, its login, its certificate' }),
  where: z.string().trim().min(1).max(2000).optional(),
  seen_at: z.iso.datetime({ offset: true }).optional(),
};

export const leakBody = z
  .strictObject({
    ...leakReport,
    source: z.string().trim().min(1).max(200),
    policy: z.enum(LEAK_POLICIES).default('revoke'),
  })
  .refine(({ secret, hint }) => secret !== undefined || hint !== undefined, {
    message: 'it needs a secret or a hint',
  });
type LeakBody = z.infer<typeof leakBody>;

const seen = z.object({
  at: z.string().nullable(),
  kind: z.string().nullable(),
  effect: z.string().nullable(),
  outcome: z.string().nullable(),
  session: z.string().nullable(),
});

const match = z.object({
  proof: z.enum(['secret', 'name']),
  outcome: z.enum(['revoked', 'dead_before', 'named_only']),
  agent_suspended: z.boolean(),
  agent: z.object({ id: z.string(), name: z.string(), owner: z.string(), state: z.string() }),
  credential: z
    .object({
      id: z.string(),
      task: z.string(),
      role: z.string(),
      issuer: z.string(),
      state: z.enum(statesOf('credential')),
      issued_at: z.string().nullable(),
      expires_at: z.string(),
      last_used_at: z.string().nullable(),
      ended_at: z.string().nullable(),
    })
    .nullable()
    .meta({ description: 'Null where it was an access token of the agent itself' }),
});

const leakMembers = {
  id: z.string(),
  state: z.enum(['not_ours', 'named', 'dead_before', 'dying', 'dead']),
  source: z.string(),
  scanner: z.string().nullable(),
  where: z.string().nullable(),
  seen_at: z.string().nullable(),
  reported_at: z.string(),
  closed_at: z.string().nullable(),
  seconds_to_dead: z.number().nullable(),
  looked_for: z.record(z.string(), z.int()),
};

/** @public Compared with the SDK’s own type. */
export const leak = z
  .object({ ...leakMembers, matches: z.array(match.extend({ seen: z.array(seen) })) })
  .meta({ id: 'Leak' });

/** @public Compared with the SDK’s own type. */
export const leakLine = z
  .object({ ...leakMembers, matches: z.array(match) })
  .meta({ id: 'LeakLine' });

/** In one word, how a report stands. */
export function leakState({ leak: row, matches }: LeakRead): z.infer<typeof leakMembers.state> {
  const outcomes = matches.map((each) => each.match.outcome);
  if (outcomes.includes('revoked')) return row.closedAt === null ? 'dying' : 'dead';
  if (outcomes.includes('named_only')) return 'named';
  return outcomes.length > 0 ? 'dead_before' : 'not_ours';
}

const presentLine = (read: LeakRead) => ({
  id: read.leak.id,
  state: leakState(read),
  source: read.leak.source,
  scanner: read.leak.scanner,
  where: read.leak.place,
  seen_at: read.leak.seenAt,
  reported_at: read.leak.reportedAt,
  closed_at: read.leak.closedAt,
  seconds_to_dead: read.leak.seconds,
  looked_for: read.leak.lookedFor,
  matches: read.matches.map(presentMatch),
});

const presentMatch = ({
  match: { proof, outcome, agentSuspended },
  agent,
  credential,
}: LeakRead['matches'][number]) => ({
  proof,
  outcome,
  agent_suspended: agentSuspended,
  agent: { id: agent.id, name: agent.name, owner: agent.owner, state: agent.state },
  credential: credential && {
    id: credential.id,
    task: credential.task,
    role: credential.role,
    issuer: credential.issuer,
    state: credential.state,
    issued_at: credential.issuedAt,
    expires_at: credential.expiresAt,
    last_used_at: credential.lastUsedAt,
    ended_at: credential.endedAt,
  },
});

/** A report with what was seen done with each credential it led to. */
async function presentLeak(query: Reader, read: LeakRead): Promise<JsonObject> {
  const matches = await Promise.all(
    read.matches.map(async (each) => ({
      ...presentMatch(each),
      seen: each.credential ? await observedUse(query, each.credential) : [],
    })),
  );
  return { ...presentLine(read), matches };
}

/** Takes a report from a person, the admin token or a form. What a key stands for is known without the secret. */
export async function takeReport(
  deps: ApiDeps,
  call: Call,
  once: OnceKey | null,
  body: LeakBody,
): Promise<Answer | Refusal> {
  const { secret, hint, ...plain } = body;
  const mark = deps.vault.mark(JSON.stringify([secret, hint]), 'leak/once');
  const key = once && { ...once, fingerprint: fingerprintOf(asJsonObject({ ...plain, mark })) };
  return answerOnce(deps, call, key, async (unit) => {
    const row = await reportLeak(unit, deps, {
      secret: secret ?? null,
      hint: hint ?? null,
      source: body.source,
      place: body.where ?? null,
      seenAt: body.seen_at === undefined ? null : new Date(body.seen_at).toISOString(),
      policy: body.policy,
      scanner: null,
    });
    const read = await findLeak(unit.sql, row.id);
    if (!read) throw new Error('a stored leak was not found');
    return created(await presentLeak(unit.sql, read));
  });
}

const report = defineRoute({
  method: 'post',
  path: '/v1/leaks',
  tag: 'Leaks',
  summary: 'Report a secret that was found where it does not belong; if it is ours, it ends now',
  description:
    'Send what was found as `secret`, with whatever is around it, or what names it as `hint`. Neither is kept, logged or given back. The answer says whose it is; with `Prefer: wait=N` it comes when what was found is seen dead. With `policy: suspend` the agent is suspended too.',
  allow: ['admin'],
  body: leakBody,
  answers: { 201: { description: 'What it led to', schema: leak } },
  refusals: [],
  events: [
    'leak.reported',
    'leak.matched',
    'leak.closed',
    'credential.revoke_intended',
    'agent.suspended',
  ],
  handle: async ({ call, once, body, waitSeconds }, deps) => {
    const answer = await takeReport(deps, call, once, body);
    if (answer instanceof Refusal || waitSeconds === 0) return answer;
    const { id } = asMade(answer.body);
    const read = (): Promise<LeakRead | null> => findLeak(deps.db.query, id);
    const isOver = (found: LeakRead | null): boolean => found?.leak.closedAt !== null;
    const found = await waitUntil(deps.changes, id, waitSeconds, read, isOver);
    if (!found) return answer;
    const now = { ...answer, body: await presentLeak(deps.db.query, found) };
    return settleWaited(deps, call, once, answer, now);
  },
});

/** The body is the one that `takeReport` wrote, replayed or not. */
const asMade = (body: unknown): { id: string } => body as { id: string };

const list = defineRoute({
  method: 'get',
  path: '/v1/leaks',
  tag: 'Leaks',
  summary: 'Reports of leaked secrets, newest first',
  allow: ['auditor'],
  query: z.strictObject(shape.listQuery),
  answers: { 200: { description: 'A page of reports', schema: shape.listOf(leakLine) } },
  refusals: [],
  events: [],
  handle: async ({ query }, deps) => {
    const after = readCursor(deps.keys.cursors, 'leaks', query.cursor);
    const rows = await readLeaks(deps.db.query, after, query.limit + 1);
    const page = pageOf(rows, query.limit, (row) => row.leak.id, deps.keys.cursors, 'leaks');
    return ok({ data: page.rows.map(presentLine), next_cursor: page.next });
  },
});

const show = defineRoute({
  method: 'get',
  path: '/v1/leaks/{id}',
  tag: 'Leaks',
  summary: 'One report: whose it was, since when, how it was used, and whether it is dead',
  allow: ['auditor'],
  answers: { 200: { description: 'The report', schema: leak } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ params }, deps) => {
    const read = await findLeak(deps.db.query, params['id'] ?? '');
    if (!read) throw new Refusal('not_found', 'There is no such report.');
    return ok(await presentLeak(deps.db.query, read));
  },
});

export const leakRoutes = [report, list, show];
