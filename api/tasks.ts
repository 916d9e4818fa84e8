// Tasks and the credentials under them.
import { randomUUID } from 'node:crypto';
import { and, asc, eq, gt } from 'drizzle-orm';
import { z } from 'zod';
import { changePurpose } from '../commands/agents/change-purpose.ts';
import { delegateTask } from '../commands/agents/delegate.ts';
import { asTaskId, endTask, findTask, startTask } from '../commands/agents/tasks.ts';
import { waitUntil } from '../commands/changes.ts';
import { findCredential, revokeCredential } from '../commands/credentials/credentials.ts';
import { asCredentialId } from '../commands/credentials/leases.ts';
import {
  answerOnce,
  isAnswered,
  settleWaited,
  type Answer,
  type OnceKey,
} from '../commands/once.ts';
import { isAdmin, type AgentPrincipal, type Principal } from '../commands/principal.ts';
import type { TaskRow, CredentialRow } from '../db/rows.ts';
import { agent, credential, task } from '../db/schema/index.ts';
import { isFinal, statesOf } from '../domain/lifecycle.ts';
import { Refusal } from '../domain/refusal.ts';
import { pageOf, readCursor } from './cursor.ts';
import { ACCESS_TOKEN_TYPE } from './oauth/exchange.ts';
import { signChainToken } from './oauth/own-claims.ts';
import { presentCredential, presentTask } from './present.ts';
import { accepted, created, defineRoute, ok, type ApiDeps, type Incoming } from './route.ts';
import * as shape from './schemas.ts';

/** The route table has let only agents through. */
export function asAgent(principal: Principal | null): AgentPrincipal {
  if (principal?.kind !== 'agent')
    throw new Refusal('forbidden', 'This is for agents: call it with an access token of one.');
  return principal;
}

const start = defineRoute({
  method: 'post',
  path: '/v1/tasks',
  tag: 'Tasks',
  summary: 'Start a task: everything you are given hangs off one, and ends with it',
  description:
    'With a token that was exchanged for what another agent handed on, the task is part of that agent’s task: it ends with it and never outlives it. With one that was exchanged for a person’s, that person set it off, and it is the only task of that token.',
  allow: ['agent'],
  body: shape.taskBody,
  answers: { 201: { description: 'The running task', schema: shape.task } },
  refusals: [
    'agent_not_active',
    'agent_orphaned',
    'stopped',
    'purpose_unknown',
    'person_unknown',
    'trigger_unproven',
    'task_not_running',
    'not_found',
  ],
  events: ['task.started'],
  delegated: true,
  handle: ({ principal, call, once, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const { id, delegation, onBehalf } = asAgent(principal);
      const row = await startTask(unit, deps, id, { ...body, delegation, onBehalf });
      return created(await presentTask(unit.sql, row));
    }),
});

const purpose = defineRoute({
  method: 'post',
  path: '/v1/tasks/{id}/purpose',
  tag: 'Tasks',
  summary: 'Give a running task another purpose: what it may not have for that is revoked',
  description:
    'A changed goal is a new evaluation. Requests that wait or were approved are closed, and policy is asked again about every credential alive under the task: what it does not plainly permit for the new purpose is revoked, and may be asked for again.',
  allow: ['agent', 'admin'],
  body: shape.purposeBody,
  answers: { 200: { description: 'The task', schema: shape.task } },
  refusals: [
    'not_found',
    'task_not_running',
    'agent_not_active',
    'stopped',
    'purpose_unknown',
    'wrong_state',
  ],
  events: [
    'task.purpose_changed',
    'evaluation.decided',
    'request.superseded',
    'request.failed',
    'request.expired',
    'credential.revoke_intended',
  ],
  handle: async ({ principal, call, once, params, body }, deps) => {
    const seen = await visibleTask(deps, principal, params['id']);
    return answerOnce(deps, call, once, async (unit) =>
      ok(await presentTask(unit.sql, await changePurpose(unit, deps, seen, body))),
    );
  },
});

/** A task of another agent is, for an agent, no task at all. */
export async function visibleTask(
  deps: ApiDeps,
  principal: Principal | null,
  id: string | undefined,
): Promise<TaskRow> {
  const row = await findTask(deps.db.query, id ?? '');
  if (!row || (principal?.kind === 'agent' && principal.id !== row.agent))
    throw new Refusal('not_found', 'There is no such task.');
  return row;
}

const list = defineRoute({
  method: 'get',
  path: '/v1/tasks',
  tag: 'Tasks',
  summary: 'List tasks; an agent sees its own',
  allow: ['agent', 'person', 'service'],
  query: z.strictObject({
    ...shape.listQuery,
    agent: z.string().optional(),
    state: z.enum(statesOf('task')).optional(),
  }),
  answers: { 200: { description: 'A page of tasks', schema: shape.listOf(shape.task) } },
  refusals: [],
  events: [],
  handle: async ({ principal, query }, deps) => {
    const after = readCursor(deps.keys.cursors, 'tasks', query.cursor);
    const of = principal?.kind === 'agent' ? principal.id : query.agent;
    const rows = await deps.db.query
      .select({ task })
      .from(task)
      .innerJoin(agent, eq(task.agent, agent.id))
      .where(
        and(
          after === null ? undefined : gt(task.id, asTaskId(after)),
          of === undefined ? undefined : eq(agent.id, of as typeof agent.$inferSelect.id),
          query.state ? eq(task.state, query.state) : undefined,
        ),
      )
      .orderBy(asc(task.id))
      .limit(query.limit + 1);
    const page = pageOf(rows, query.limit, (row) => row.task.id, deps.keys.cursors, 'tasks');
    const data = await Promise.all(page.rows.map((row) => presentTask(deps.db.query, row.task)));
    return ok({ data, next_cursor: page.next });
  },
});

const show = defineRoute({
  method: 'get',
  path: '/v1/tasks/{id}',
  tag: 'Tasks',
  summary: 'One task',
  allow: ['agent', 'person', 'service'],
  answers: { 200: { description: 'The task', schema: shape.task } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ principal, params }, deps) =>
    ok(await presentTask(deps.db.query, await visibleTask(deps, principal, params['id']))),
});

/** What an Idempotency-Key means where the answer also depends on the time of asking. */
const WAITING =
  'Ending has one effect per Idempotency-Key, and a repeat has the same answer. With Prefer: wait the answer says how far the end has come by now; where that is not what the first call was told, it carries no Idempotent-Replayed.';

const complete = defineRoute({
  method: 'post',
  path: '/v1/tasks/{id}/complete',
  tag: 'Tasks',
  summary:
    'End a task: everything under it is revoked. With Prefer: wait, answered when it is seen gone',
  description: WAITING,
  allow: ['agent', 'admin'],
  body: shape.emptyBody,
  answers: {
    200: { description: 'Ended, and nothing of it is alive', schema: shape.task },
    202: { description: 'Ending', schema: shape.task },
  },
  refusals: ['not_found', 'wrong_state'],
  events: ['task.ending', 'task.completed', 'credential.revoke_intended', 'credential.revoked'],
  handle: (incoming, deps) => finish(incoming, deps, 'completed', null),
});

const fail = defineRoute({
  method: 'post',
  path: '/v1/tasks/{id}/fail',
  tag: 'Tasks',
  summary: 'End a task that failed: everything under it is revoked',
  description: WAITING,
  allow: ['agent', 'admin'],
  body: shape.failBody,
  answers: {
    200: { description: 'Ended, and nothing of it is alive', schema: shape.task },
    202: { description: 'Ending', schema: shape.task },
  },
  refusals: ['not_found', 'wrong_state'],
  events: ['task.ending', 'task.failed', 'credential.revoke_intended', 'credential.revoked'],
  handle: (incoming, deps) => finish(incoming, deps, 'failed', incoming.body.reason),
});

async function finish(
  incoming: Incoming<unknown, unknown>,
  deps: ApiDeps,
  outcome: 'completed' | 'failed',
  reason: string | null,
): Promise<Answer | Refusal> {
  const { principal, call, once, params, waitSeconds } = incoming;
  const { id } = await visibleTask(deps, principal, params['id']);
  const answer = await answerOnce(deps, call, once, async (unit) => {
    const row = await endTask(unit, id, outcome, reason);
    return wasEndedOtherwise(row, outcome) ?? accepted(await presentTask(unit.sql, row));
  });
  if (answer instanceof Refusal || waitSeconds === 0) return answer;
  const read = async (): Promise<TaskRow | null> => findTask(deps.db.query, id);
  const isOver = (row: TaskRow | null): boolean => row !== null && isFinal('task', row.state);
  const row = await waitUntil(deps.changes, id, waitSeconds, read, isOver);
  if (!row) throw new Refusal('not_found', 'There is no such task.');
  // Waiting asks what came of it since, so the answer is of now even when the effect was of an earlier call.
  const status = isOver(row) ? 200 : 202;
  const settled: Answer = { ...answer, status, body: await presentTask(deps.db.query, row) };
  return settleWaited(deps, call, once, answer, settled);
}

/** Saying the same again changes nothing; saying the opposite of what an agent said before is refused. */
function wasEndedOtherwise(row: TaskRow, outcome: 'completed' | 'failed'): Refusal | null {
  const said = row.outcome === 'completed' || row.outcome === 'failed' ? row.outcome : outcome;
  if (said === outcome) return null;
  const message = `This task already ${said}: it cannot be said to have ${outcome} as well.`;
  return new Refusal('wrong_state', message, { state: row.state });
}

const delegate = defineRoute({
  method: 'post',
  path: '/v1/tasks/{id}/delegations',
  tag: 'Tasks',
  summary: 'Hand part of a task on to another agent, with some of its roles or all',
  description:
    'That agent exchanges the `subject_token` at the token endpoint, once, and starts a task under this one with what it gets (RFC 8693). Whether policy allows it is asked then.',
  allow: ['agent'],
  body: shape.delegationBody,
  answers: { 201: { description: 'For the other agent alone', schema: shape.delegation } },
  refusals: ['not_found', 'task_not_running', 'agent_not_active', 'delegation_refused'],
  events: ['task.delegated'],
  handle: ({ principal, call, once, params, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const { id: agent, token: held } = asAgent(principal);
      if (!held)
        throw new Refusal(
          'forbidden',
          'This is for agents with a token of their own: sign in at /oauth2/token as the agent.',
        );
      const tokenId = randomUUID();
      const made = await delegateTask(unit, {
        task: params['id'] ?? '',
        agent,
        standing: held.standing,
        signedInAt: held.signedInAt,
        to: body.agent,
        roles: body.roles ?? null,
        ttlSeconds: body.ttl_seconds,
        tokenId,
      });
      const { confirmation } = held;
      const token = await signChainToken(deps, made, { tokenId, confirmation, mayAct: body.agent });
      return created({
        task: made.task,
        agent: body.agent,
        roles: made.roles,
        subject_token: token,
        subject_token_type: ACCESS_TOKEN_TYPE,
        expires_at: made.expiresAt,
      });
    }),
});

const credentials = defineRoute({
  method: 'get',
  path: '/v1/tasks/{id}/credentials',
  tag: 'Credentials',
  summary: 'What was given under a task, without any secret',
  allow: ['agent', 'person', 'service'],
  query: z.strictObject(shape.listQuery),
  answers: {
    200: { description: 'A page of credentials', schema: shape.listOf(shape.credential) },
  },
  refusals: ['not_found'],
  events: [],
  handle: async ({ principal, params, query }, deps) => {
    const owner = await visibleTask(deps, principal, params['id']);
    const name = `credentials/${owner.id}`;
    const after = readCursor(deps.keys.cursors, name, query.cursor);
    const rows = await deps.db.query
      .select()
      .from(credential)
      .where(
        and(
          eq(credential.task, owner.id),
          after === null ? undefined : gt(credential.id, asCredentialId(after)),
        ),
      )
      .orderBy(asc(credential.id))
      .limit(query.limit + 1);
    const page = pageOf(rows, query.limit, (row) => row.id, deps.keys.cursors, name);
    return ok({ data: page.rows.map(presentCredential), next_cursor: page.next });
  },
});

/** How long asking for a credential waits for the task's workflow to be known to run. */
const OWNER_WAIT_SECONDS = 3;

/** Refuses to call where we must not; of a call that was answered already, nothing is asked again. */
export async function checkNewCallback(
  deps: ApiDeps,
  once: OnceKey | null,
  callback: { url: string } | undefined,
): Promise<void> {
  if (callback && !(await isAnswered(deps.db.query, once))) await deps.checkCallback(callback.url);
}

/** The workflow of a task starts within moments of it; the first credential waits for that. */
export async function waitForOwner(deps: ApiDeps, owner: TaskRow): Promise<void> {
  if (owner.ownedAt !== null || owner.state !== 'running') return;
  await waitUntil(
    deps.changes,
    owner.id,
    OWNER_WAIT_SECONDS,
    () => findTask(deps.db.query, owner.id),
    (row) => row === null || row.ownedAt !== null || row.state !== 'running',
  );
}

/** A credential of another agent is, for an agent, none at all. */
export async function visibleCredential(
  deps: ApiDeps,
  principal: Principal | null,
  id: string | undefined,
): Promise<CredentialRow> {
  const row = await findCredential(deps.db.query, id ?? '');
  if (!row || (principal?.kind === 'agent' && principal.id !== row.agent))
    throw new Refusal('not_found', 'There is no such credential.');
  return row;
}

const showCredential = defineRoute({
  method: 'get',
  path: '/v1/credentials/{id}',
  tag: 'Credentials',
  summary: 'One credential, without its secret',
  allow: ['agent', 'person', 'service'],
  answers: { 200: { description: 'The credential', schema: shape.credential } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ principal, params }, deps) =>
    ok(presentCredential(await visibleCredential(deps, principal, params['id']))),
});

const revoke = defineRoute({
  method: 'post',
  path: '/v1/credentials/{id}/revoke',
  tag: 'Credentials',
  summary: 'Revoke a credential and end its sessions',
  allow: ['agent', 'member', 'service'],
  body: shape.reasonBody,
  answers: { 202: { description: 'On its way out', schema: shape.credential } },
  refusals: ['not_found', 'forbidden'],
  events: ['credential.revoke_intended', 'credential.revoked'],
  handle: async ({ principal, call, once, params, body }, deps) => {
    const { id, agent: holder } = await visibleCredential(deps, principal, params['id']);
    await refuseStrangers(deps, principal, holder);
    return answerOnce(deps, call, once, async (unit) =>
      accepted(presentCredential(await revokeCredential(unit, id, 'revoked', body.reason ?? null))),
    );
  },
});

/** An agent gives back its own; a person revokes what belongs to their agent, or anything as an administrator. */
export async function refuseStrangers(
  deps: ApiDeps,
  principal: Principal | null,
  holder: TaskRow['agent'],
): Promise<void> {
  if (principal === null || principal.kind === 'agent' || isAdmin(principal)) return;
  const [row] = await deps.db.query.select().from(agent).where(eq(agent.id, holder));
  if (row?.owner !== principal.id)
    throw new Refusal(
      'forbidden',
      'Only the owner of the agent or an administrator can do this: ask one of them.',
    );
}

export const taskRoutes = [
  start,
  list,
  show,
  purpose,
  delegate,
  complete,
  fail,
  credentials,
  showCredential,
  revoke,
];
