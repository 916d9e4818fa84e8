// The door for one exact statement or one exact call: judged, approved where policy says so, done by us, and receipted.
import { and, asc, eq, gt } from 'drizzle-orm';
import { z } from 'zod';
import { asTaskId } from '../commands/agents/tasks.ts';
import { asRequestId } from '../commands/approvals/requests.ts';
import { waitUntil } from '../commands/changes.ts';
import type { Principal } from '../commands/principal.ts';
import type { CallWish } from '../commands/runs/http-call.ts';
import { callDoor } from '../commands/runs/run-call.ts';
import { requestRun, type Ask, type RunAnswers } from '../commands/runs/run-door.ts';
import { statementDoor, type StatementAsk } from '../commands/runs/run-statement.ts';
import { asRunId, findRun } from '../commands/runs/runs.ts';
import type { RunRow } from '../db/rows.ts';
import { run } from '../db/schema/index.ts';
import type { JsonValue } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import { readPublicKey } from '../keys/public-key.ts';
import { invalid } from './body.ts';
import { pageOf, readCursor } from './cursor.ts';
import { asJsonObject } from './json-body.ts';
import { presentHeld, presentRan, presentRun } from './present.ts';
import { created, defineRoute, ok, type ApiDeps } from './route.ts';
import {
  CALL_MEMBERS,
  ranRun,
  run as runShape,
  runBody,
  STATEMENT_MEMBERS,
} from './run-schemas.ts';
import * as shape from './schemas.ts';
import { asAgent, checkNewCallback, visibleTask, waitForOwner } from './tasks.ts';

const ask = defineRoute({
  method: 'post',
  path: '/v1/run',
  tag: 'Runs',
  summary:
    'Have one SQL statement run or one HTTP call made: at once, or once people have agreed to exactly that',
  description:
    'With `role` and `statement`: the statement runs in one transaction under a login made for it with the rights of the role, which nobody is given. Where people decide, they are shown the text, its parameters and limits, and what the target plans to do; a statement that its text shows to be a read can be nothing else. A statement that the target refuses is a run that `failed`, with what it said sealed to you. The same statement asked for again under the same task is the same request while that is pending or approved. Values come as PostgreSQL writes them. With `upstream` and `call`: one of the calls that the policy lists for an API, signed in with a secret that nobody is given. People are shown its method, address, headers and body as they go out, and what a reading call answered just before, where the policy names one. It goes out once; more often only where the policy says that this is safe, or that the API takes an idempotency key. A call of which no answer came and which may have changed something ends `unknown`.',
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
    'delegation_refused',
    'role_unknown',
    'reason_required',
    'statement_refused',
    'statement_failed',
    'upstream_unknown',
    'call_refused',
    'seal_key_invalid',
    'callback_refused',
    'no_approver',
    'policy_changed',
    'task_not_running',
    'agent_not_active',
    'stopped',
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
    'run.sent',
    'run.finished',
    'request.opened',
  ],
  handle: async ({ principal, call, once, body }, deps) => {
    const sealTo = await readPublicKey(asJsonObject(body.seal_to), 'seal_key_invalid');
    await checkNewCallback(deps, once, body.callback);
    const owner = await visibleTask(deps, principal, body.task);
    await waitForOwner(deps, owner);
    const ask = {
      task: owner.id,
      agent: asAgent(principal).id,
      sealTo,
      reason: body.reason ?? null,
      callbackUrl: body.callback?.url ?? null,
    };
    const answers: RunAnswers = {
      ran: (row) => created(presentRan(row)),
      held: (tx, row) => presentHeld(tx, row, deps.publicUrl),
    };
    const asked = askedIn(body);
    return asked.kind === 'statement'
      ? requestRun(deps, call, once, statementDoor(deps, call, { ...ask, ...asked.of }), answers)
      : requestRun(deps, call, once, callDoor(deps, call, { ...ask, wish: asked.of }), answers);
  },
});

type RunBody = z.infer<typeof runBody>;
type Asked =
  | { kind: 'statement'; of: Omit<StatementAsk, keyof Ask> }
  | { kind: 'call'; of: CallWish };

/** Which of the two it is, by the members that are there. */
function askedIn(body: RunBody): Asked {
  const there = (members: readonly string[]): string[] =>
    members.filter((member) => Object.hasOwn(body, member));
  const [ofStatement] = there(STATEMENT_MEMBERS);
  const [ofCall] = there(CALL_MEMBERS);
  if (ofStatement !== undefined && ofCall !== undefined)
    throw misplaced(ofCall, `does not go with ${ofStatement}: ask for a statement, or for a call`);
  return ofCall === undefined ? statementIn(body) : callIn(body);
}

function statementIn({ role, statement, ...body }: RunBody): Asked {
  if (role === undefined || statement === undefined)
    throw misplaced(
      role === undefined ? 'role' : 'statement',
      'is missing: send role and statement, or upstream and call',
    );
  return {
    kind: 'statement',
    of: {
      role,
      statement,
      parameters: body.parameters ?? [],
      maxRows: body.max_rows ?? MAX_ROWS,
      maxAffectedRows: body.max_affected_rows ?? null,
      timeoutSeconds: body.timeout_seconds ?? TIMEOUT_SECONDS,
    },
  };
}

function callIn({ upstream, call, params, query, headers, body }: RunBody): Asked {
  if (upstream === undefined || call === undefined)
    throw misplaced(
      upstream === undefined ? 'upstream' : 'call',
      'is missing: send upstream and call, or role and statement',
    );
  const filled = { params: params ?? {}, query: query ?? {}, headers: headers ?? {} };
  return { kind: 'call', of: { upstream, call, ...filled, body: asJson(body) } };
}

/** What stands in a body was read from JSON; what is left out stays so. */
const asJson = (body: unknown): JsonValue | undefined => body as JsonValue | undefined;

const misplaced = (member: string, detail: string): Refusal =>
  invalid(`The body is not what this takes: ${member} ${detail}.`, [
    { pointer: `/${member}`, detail },
  ]);

/** For statements that do not say it. */
const MAX_ROWS = 1_000;
const TIMEOUT_SECONDS = 10;

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
