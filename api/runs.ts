// The statement door: one exact statement, judged, approved where policy says so, run by us, and receipted.
import { and, asc, eq, gt } from 'drizzle-orm';
import { z } from 'zod';
import { waitUntil } from '../commands/changes.ts';
import type { Principal } from '../commands/principal.ts';
import { asRequestId } from '../commands/requests.ts';
import { requestRun } from '../commands/run-door.ts';
import { statementDoor } from '../commands/run-statement.ts';
import { asRunId, findRun } from '../commands/runs.ts';
import { asTaskId } from '../commands/tasks.ts';
import type { RunRow } from '../db/rows.ts';
import { run } from '../db/schema/index.ts';
import { Refusal } from '../domain/refusal.ts';
import { readPublicKey } from '../keys/public-key.ts';
import { pageOf, readCursor } from './cursor.ts';
import { asJsonObject } from './json-body.ts';
import { presentHeld, presentRan, presentRun } from './present.ts';
import { created, defineRoute, ok, type ApiDeps } from './route.ts';
import { ranRun, run as runShape, runBody } from './run-schemas.ts';
import * as shape from './schemas.ts';
import { asAgent, checkNewCallback, visibleTask, waitForOwner } from './tasks.ts';

const ask = defineRoute({
  method: 'post',
  path: '/v1/run',
  tag: 'Runs',
  summary: 'Have one SQL statement run: at once, or once people have agreed to exactly that text',
  description:
    'The statement runs in one transaction under a login made for it with the rights of the role, which nobody is given. Where people decide, they are shown the text, its parameters and limits, and what the target plans to do; a statement that its text shows to be a read can be nothing else. A statement that the target refuses is a run that `failed`, with what it said sealed to you. The same statement asked for again under the same task is the same request while that is pending or approved. Values come as PostgreSQL writes them.',
  allow: ['agent'],
  body: runBody,
  answers: {
    201: { description: 'It ran, or the target refused it', schema: ranRun },
    202: {
      description: 'Held: the request waits for people',
      schema: shape.heldAction,
      headers: { Location: 'The path of the request' },
    },
  },
  refusals: [
    'not_found',
    'denied',
    'role_unknown',
    'reason_required',
    'statement_refused',
    'statement_failed',
    'seal_key_invalid',
    'callback_refused',
    'no_approver',
    'policy_changed',
    'task_not_running',
    'agent_not_active',
    'target_unavailable',
    'owner_not_ready',
    'log_unavailable',
  ],
  events: [
    'evaluation.decided',
    'credential.intended',
    'credential.issued',
    'credential.revoke_intended',
    'run.intended',
    'run.finished',
    'request.opened',
  ],
  handle: async ({ principal, call, once, body }, deps) => {
    const sealTo = await readPublicKey(asJsonObject(body.seal_to), 'seal_key_invalid');
    await checkNewCallback(deps, once, body.callback);
    const owner = await visibleTask(deps, principal, body.task);
    await waitForOwner(deps, owner);
    const order = {
      task: owner.id,
      agent: asAgent(principal).id,
      role: body.role,
      statement: body.statement,
      parameters: body.parameters,
      sealTo,
      maxRows: body.max_rows,
      maxAffectedRows: body.max_affected_rows ?? null,
      timeoutSeconds: body.timeout_seconds,
      reason: body.reason ?? null,
      callbackUrl: body.callback?.url ?? null,
    };
    return requestRun(deps, call, once, statementDoor(deps, call, order), {
      ran: (row) => created(presentRan(row)),
      held: (tx, row) => presentHeld(tx, row, deps.publicUrl),
    });
  },
});

/** A run of another agent is, for an agent, none at all. */
const isVisible = (principal: Principal | null, row: RunRow): boolean =>
  principal?.kind !== 'agent' || principal.id === row.agent;

const show = defineRoute({
  method: 'get',
  path: '/v1/runs/{id}',
  tag: 'Runs',
  summary: 'One run; its agent gets the sealed result, for a day',
  description: 'With `Prefer: wait` it answers once the run is over.',
  allow: ['agent', 'person', 'service'],
  answers: { 200: { description: 'The run', schema: z.union([ranRun, runShape]) } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ principal, params, waitSeconds }, deps) => {
    const id = params['id'] ?? '';
    const read = () => findRun(deps.db.query, id);
    const seen = await waitUntil(
      deps.changes,
      id,
      waitSeconds,
      read,
      (row) => row?.state !== 'running',
    );
    if (!seen || !isVisible(principal, seen))
      throw new Refusal('not_found', 'There is no such run.');
    return ok(principal?.kind === 'agent' ? presentRan(seen) : presentRun(seen));
  },
});

const list = defineRoute({
  method: 'get',
  path: '/v1/runs',
  tag: 'Runs',
  summary: 'List runs; an agent sees its own',
  allow: ['agent', 'person', 'service'],
  query: z.strictObject({
    ...shape.listQuery,
    task: z.string().optional(),
    request: z.string().optional(),
  }),
  answers: { 200: { description: 'A page of runs', schema: shape.listOf(runShape) } },
  refusals: [],
  events: [],
  handle: async ({ principal, query }, deps) => {
    const page = await pageOfRuns(deps, principal, query);
    return ok({ data: page.rows.map(presentRun), next_cursor: page.next });
  },
});

async function pageOfRuns(
  deps: ApiDeps,
  principal: Principal | null,
  query: {
    limit: number;
    cursor?: string | undefined;
    task?: string | undefined;
    request?: string | undefined;
  },
) {
  const after = readCursor(deps.keys.cursors, 'runs', query.cursor);
  const rows = await deps.db.query
    .select()
    .from(run)
    .where(
      and(
        after === null ? undefined : gt(run.id, asRunId(after)),
        principal?.kind === 'agent' ? eq(run.agent, principal.id) : undefined,
        query.task === undefined ? undefined : eq(run.task, asTaskId(query.task)),
        query.request === undefined ? undefined : eq(run.request, asRequestId(query.request)),
      ),
    )
    .orderBy(asc(run.id))
    .limit(query.limit + 1);
  return pageOf(rows, query.limit, (row) => row.id, deps.keys.cursors, 'runs');
}

export const runRoutes = [ask, show, list];
