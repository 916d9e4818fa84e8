// Stopping much at once: orders to revoke by whatever credentials have in common, and the kill switch.
import { desc, lt } from 'drizzle-orm';
import { z } from 'zod';
import { askToLift, throwKillSwitch } from '../commands/agents/kill.ts';
import { liveStop, type StopRow } from '../commands/agents/stop.ts';
import { waitUntil } from '../commands/changes.ts';
import {
  findRevocation,
  orderRevocation,
  previewRevocation,
  progressOf,
} from '../commands/credentials/revocations.ts';
import { answerOnce, settleWaited, type Answer } from '../commands/once.ts';
import type { Query, Transaction } from '../db/client.ts';
import type { RevocationRow } from '../db/rows.ts';
import { revocation } from '../db/schema/index.ts';
import type { Id } from '../domain/id.ts';
import type { JsonObject } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import { pageOf, readCursor } from './cursor.ts';
import { asMembers } from './json-body.ts';
import { presentHeld } from './present.ts';
import { accepted, defineRoute, ok, type ApiDeps, type Incoming } from './route.ts';
import * as shape from './schemas.ts';
import * as stopping from './stopping-schemas.ts';

async function presentRevocation(
  query: Query | Transaction,
  row: RevocationRow,
): Promise<JsonObject> {
  const progress = await progressOf(query, row.id);
  return {
    id: row.id,
    by: row.by,
    of: row.of,
    because: row.because,
    reason: row.reason,
    ordered_by: { type: row.orderedBy.type, id: row.orderedBy.id },
    created_at: row.createdAt,
    credentials: row.credentials,
    alive: progress.alive,
    failing: progress.failing,
    oldest_at: progress.oldestAt,
    not_seen_gone: progress.notSeenGone,
    done_at: row.doneAt,
  };
}

/** With Prefer: wait, answers once the last credential is over, or as far as it has come when that time is. */
async function whenDone(
  { call, once, waitSeconds }: Incoming<unknown, unknown>,
  deps: ApiDeps,
  answer: Answer | Refusal,
  more: (shown: JsonObject, answered: JsonObject) => JsonObject,
): Promise<Answer | Refusal> {
  if (answer instanceof Refusal || waitSeconds === 0) return answer;
  const id = idOf(answer);
  if (id === null) return answer;
  const read = () => findRevocation(deps.db.query, id);
  const row = await waitUntil(deps.changes, id, waitSeconds, read, (seen) => seen?.doneAt !== null);
  if (!row) return answer;
  const body = more(await presentRevocation(deps.db.query, row), asMembers(answer.body));
  const now = { ...answer, status: row.doneAt === null ? 202 : 200, body };
  return settleWaited(deps, call, once, answer, now);
}

/** The order that an answer is about, or carries. */
function idOf({ body }: Answer): string | null {
  const { id, revocation: carried = null } = asMembers(body);
  const found = id ?? asMembers(carried)['id'];
  return typeof found === 'string' ? found : null;
}

const order = defineRoute({
  method: 'post',
  path: '/v1/revocations',
  tag: 'Revocations',
  summary: 'Revoke everything by credential, task, agent, chain, team, role, issuer or target',
  description:
    'All of it is on its way out when this answers; the order says how many are still alive. With `dry_run` nothing is changed, and the answer says what would end. With `Prefer: wait` the answer comes when the last is seen gone.',
  allow: ['admin'],
  body: stopping.revocationBody,
  answers: {
    200: {
      description: 'What would end, or that all of it is over',
      schema: z.union([stopping.revocationPreview, stopping.revocation]),
    },
    202: { description: 'On its way out', schema: stopping.revocation },
  },
  refusals: ['not_found'],
  events: ['revocation.ordered', 'credential.revoke_intended', 'revocation.done'],
  handle: async (incoming, deps) => {
    const { call, once, body } = incoming;
    if (body.dry_run) {
      const found = await previewRevocation(deps.db.query, { by: body.by, of: body.id });
      return ok({ dry_run: true, credentials: found.credentials, first: found.first });
    }
    const answer = await answerOnce(deps, call, once, async (unit) => {
      const row = await orderRevocation(unit, {
        by: body.by,
        of: body.id,
        because: 'revoked',
        reason: body.reason,
      });
      return accepted(await presentRevocation(unit.sql, row));
    });
    return whenDone(incoming, deps, answer, (shown) => shown);
  },
});

const list = defineRoute({
  method: 'get',
  path: '/v1/revocations',
  tag: 'Revocations',
  summary: 'List orders to revoke, newest first',
  allow: ['auditor'],
  query: z.strictObject(shape.listQuery),
  answers: { 200: { description: 'A page', schema: shape.listOf(stopping.revocation) } },
  refusals: [],
  events: [],
  handle: async ({ query }, deps) => {
    const before = readCursor(deps.keys.cursors, 'revocations', query.cursor);
    const rows = await deps.db.query
      .select()
      .from(revocation)
      .where(before === null ? undefined : lt(revocation.id, asRevocationId(before)))
      .orderBy(desc(revocation.id))
      .limit(query.limit + 1);
    const page = pageOf(rows, query.limit, (row) => row.id, deps.keys.cursors, 'revocations');
    const data = await Promise.all(page.rows.map((row) => presentRevocation(deps.db.query, row)));
    return ok({ data, next_cursor: page.next });
  },
});

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asRevocationId = (id: string): Id<'revocation'> => id as Id<'revocation'>;

const show = defineRoute({
  method: 'get',
  path: '/v1/revocations/{id}',
  tag: 'Revocations',
  summary: 'How far an order has come: alive, failing, done',
  allow: ['auditor'],
  answers: { 200: { description: 'The order', schema: stopping.revocation } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ params }, deps) => {
    const row = await findRevocation(deps.db.query, params['id'] ?? '');
    if (!row) throw new Refusal('not_found', 'There is no such revocation.');
    return ok(await presentRevocation(deps.db.query, row));
  },
});

/** What has to be typed to stop everything. */
const CONFIRMATION = 'everything';

const kill = defineRoute({
  method: 'post',
  path: '/v1/kill',
  tag: 'Revocations',
  summary: 'Stop an agent, a chain, a team or everything: suspended, its tasks ended, all revoked',
  description:
    'Nothing new starts in this scope from the commit on. Stopping everything takes `confirm: "everything"`, and holds until people lift it. With `Prefer: wait` the answer comes when the last credential is over.',
  allow: ['admin'],
  body: stopping.killBody,
  answers: {
    200: { description: 'Stopped, and nothing is alive', schema: stopping.killed },
    202: { description: 'Stopped; what it held is on its way out', schema: stopping.killed },
  },
  refusals: ['not_found', 'confirmation_required'],
  events: [
    'kill.ordered',
    'agent.suspended',
    'agent.rejected',
    'request.cancelled',
    'request.failed',
    'task.ending',
    'revocation.ordered',
    'revocation.done',
    'credential.revoke_intended',
  ],
  handle: async (incoming, deps) => {
    const { call, once, body } = incoming;
    const { scope, reason } = body;
    refuseUnconfirmed(scope, body.confirm);
    const of = scope === 'everything' ? null : body.id;
    const answer = await answerOnce(deps, call, once, async (unit) => {
      const killed = await throwKillSwitch(unit, { scope, of, reason });
      return accepted({
        stop: killed.stop,
        agents: killed.agents,
        tasks: killed.tasks,
        revocation: await presentRevocation(unit.sql, killed.revocation),
      });
    });
    return whenDone(incoming, deps, answer, (shown, was) => ({ ...was, revocation: shown }));
  },
});

/** Refuses to stop everything for somebody who did not say that this is what they want. */
export function refuseUnconfirmed(scope: string, confirm: string | undefined): void {
  if (scope === 'everything' && confirm !== CONFIRMATION)
    throw new Refusal(
      'confirmation_required',
      `This stops every agent: repeat it with confirm "${CONFIRMATION}" if that is what you want.`,
    );
}

const presentStop = (row: StopRow): JsonObject => ({
  id: row.id,
  revocation: row.revocation,
  reason: row.reason,
  ordered_by: { type: row.orderedBy.type, id: row.orderedBy.id },
  created_at: row.createdAt,
  lifted_at: row.liftedAt,
});

const status = defineRoute({
  method: 'get',
  path: '/v1/kill',
  tag: 'Revocations',
  summary: 'Whether everything is stopped now',
  allow: ['person', 'service'],
  answers: {
    200: {
      description: 'The stop in force, or null',
      schema: z.object({ stop: stopping.stop.nullable() }),
    },
  },
  refusals: [],
  events: [],
  handle: async (_incoming, deps) => {
    const live = await liveStop(deps.db.query);
    return ok({ stop: live && presentStop(live) });
  },
});

const lift = defineRoute({
  method: 'post',
  path: '/v1/kill/lift',
  tag: 'Revocations',
  summary: 'Ask to have the stop of everything lifted; people agree to that. It restores nothing',
  allow: ['admin'],
  body: shape.failBody,
  answers: {
    200: { description: 'Lifted, where policy plainly permits it', schema: stopping.stop },
    202: {
      description: 'Held: the request waits for people',
      schema: shape.heldAction,
      headers: { Location: 'The path of the request' },
    },
  },
  refusals: ['wrong_state', 'denied', 'no_approver'],
  events: ['evaluation.decided', 'request.opened', 'kill.lifted'],
  handle: ({ call, once, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const asked = await askToLift(unit, deps, body.reason);
      if (asked instanceof Refusal) return asked;
      if ('stop' in asked) return ok(presentStop(asked.stop));
      return presentHeld(unit.sql, asked.request, deps.publicUrl);
    }),
});

export const revocationRoutes = [order, list, show, kill, status, lift];
