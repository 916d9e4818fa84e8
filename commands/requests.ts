// Requests that wait for people: opened once per live action, closed by a decision, a clock or their requester.
import { randomBytes } from 'node:crypto';
import { and, eq, inArray, isNull, sql } from 'drizzle-orm';
import type { Query, Transaction } from '../db/client.ts';
import type { AgentRow, RequestRow, VoteRow } from '../db/rows.ts';
import { agent, person, request, vote } from '../db/schema/index.ts';
import { actionDigest, actionRef, asJson, type Action, type Party } from '../domain/action.ts';
import { barredBy } from '../domain/approval.ts';
import { cardFor, type Card, type CardNames } from '../domain/card.ts';
import type { Digest } from '../domain/digest.ts';
import type { Id } from '../domain/id.ts';
import type { JsonObject } from '../domain/json.ts';
import { canMove, type RequestState } from '../domain/lifecycle.ts';
import { Refusal } from '../domain/refusal.ts';
import type { Evaluation } from './evaluate.ts';
import { refuseWithoutApprovers, whoIsInvolved } from './involved.ts';
import { partyOf } from './principal.ts';
import { recordedQuestions } from './recorded-questions.ts';
import { newId, type Unit } from './unit.ts';

/** What a request is about, before anybody is asked. */
export interface Asked {
  action: Action;
  /** Null when the action is not about an agent. */
  agent: AgentRow | null;
  task: {
    id: Id<'task'>;
    triggeredBy: Id<'person'> | null;
    proof: string;
    deadlineAt: string;
  } | null;
  reason: string | null;
  sealTo: JsonObject | null;
  callbackUrl: string | null;
}

export interface Judged {
  id: Id<'evaluation'>;
  evaluation: Evaluation;
  digest: Digest;
  salt: Uint8Array;
}

/** Records what the policy said about an action. */
export function recordEvaluation(unit: Unit, action: Action, evaluation: Evaluation): Judged {
  const judged: Judged = {
    id: newId('evaluation'),
    evaluation,
    digest: actionDigest(action),
    salt: new Uint8Array(randomBytes(16)),
  };
  const task = taskOf(action);
  unit.emit('evaluation.decided', {
    subject: judged.id,
    actor_chain: action.actor_chain,
    task,
    policy_version: evaluation.policyVersion,
    control: evaluation.controls[0] ?? null,
    action_ref: actionRef(judged.salt, judged.digest),
    decision: evaluation.decision,
    detail: {
      evaluation: judged.id,
      action: action.action,
      resource: { type: action.resource.type, id: action.resource.id },
      reasons: evaluation.reasons,
      controls: evaluation.controls,
      routes: evaluation.routes.map((route) => route.name),
      observed: evaluation.observed.map(({ rule, mode, would }) => ({ rule, mode, would })),
    },
    // As the engine was asked, so that another policy can be asked the same once everything has changed.
    private: { action_digest: judged.digest, questions: recordedQuestions(evaluation.asked) },
  });
  return judged;
}

function taskOf(action: Action): Id<'task'> | null {
  const { task } = action.context;
  return typeof task === 'string' ? (task as Id<'task'>) : null;
}

/** The live request for the same action under the same task, or under none, if there is one. */
export async function findLiveDuplicate(
  unit: Unit,
  task: Id<'task'> | null,
  digest: Digest,
): Promise<RequestRow | null> {
  // Asked twice at the same moment: the second waits here until the first has opened its request, and finds it.
  await unit.sql.execute(
    sql`select pg_advisory_xact_lock(hashtextextended(${`request/${task}/${digest}`}, 0))`,
  );
  const [row] = await unit.sql
    .select()
    .from(request)
    .where(
      and(
        task === null ? isNull(request.task) : eq(request.task, task),
        eq(request.digest, digest),
        inArray(request.state, ['pending', 'approved']),
      ),
    );
  return row ?? null;
}

/**
 * Until people decide, what will be issued is sealed to the key that was sent last: an agent that lost its key
 * with its process asks again and can open what it is given. Likewise the callback goes where the last call that
 * named one wants it.
 */
export async function resealRequest(
  unit: Unit,
  row: RequestRow,
  { sealTo, callbackUrl }: Pick<Asked, 'sealTo' | 'callbackUrl'>,
): Promise<RequestRow> {
  const [resealed] = await unit.sql
    .update(request)
    .set({ sealTo, ...(callbackUrl !== null && { callbackUrl }) })
    .where(and(eq(request.id, row.id), eq(request.state, 'pending')))
    .returning();
  return resealed ?? row;
}

export async function openRequest(unit: Unit, asked: Asked, judged: Judged): Promise<RequestRow> {
  const { routes, controls } = judged.evaluation;
  const involved = await whoIsInvolved(unit, asked);
  for (const route of routes) await refuseWithoutApprovers(unit, route, involved);
  const expiry = Math.min(...routes.map(({ rule }) => rule.expiry_seconds)) * 1000;
  const expiresMs = Math.min(
    Date.parse(unit.at) + expiry,
    asked.task ? Date.parse(asked.task.deadlineAt) : Infinity,
  );
  const row: RequestRow = {
    id: newId('request'),
    agent: asked.agent?.id ?? null,
    task: asked.task?.id ?? null,
    requester: partyOf(unit.call.principal),
    involved,
    state: 'pending',
    action: asked.action,
    digest: judged.digest,
    salt: judged.salt,
    evaluation: judged.id,
    policyVersion: judged.evaluation.policyVersion,
    controls,
    whyHeld: judged.evaluation.says,
    routes,
    names: await namesOf(unit.sql, asked, partyOf(unit.call.principal)),
    sealTo: asked.sealTo,
    callbackUrl: asked.callbackUrl,
    createdAt: unit.at,
    expiresAt: new Date(expiresMs).toISOString(),
    decidedAt: null,
    decidedBy: null,
    approvedUntil: null,
    denial: null,
    failure: null,
    credential: null,
  };
  await unit.sql.insert(request).values(row);
  emitOpened(unit, row, asked);
  unit.wake('request', row.id, row.agent);
  return row;
}

function emitOpened(unit: Unit, row: RequestRow, asked: Asked): void {
  const { action, involved } = row;
  unit.emit('request.opened', {
    ...aboutRequest(row),
    actor_chain: action.actor_chain,
    policy_version: row.policyVersion,
    detail: {
      action: action.action,
      resource: { type: action.resource.type, id: action.resource.id },
      controls: row.controls,
      routes: row.routes.map(({ name, rule, rule_digest }) => ({
        name,
        groups: rule.groups,
        quorum: rule.quorum,
        rule_digest,
        barred: barredBy(rule, involved),
        escalation: rule.escalation.map((step) => ({ ...step })),
      })),
      requester: { type: row.requester.type, id: row.requester.id },
      owners: [...involved.owners],
      triggered_by: involved.triggeredBy,
      triggered_by_proof: asked.task?.proof ?? 'none',
      expires_at: row.expiresAt,
      simulated: asked.agent?.kind === 'demo',
    },
    private: { action_body: asJson(action), reason: asked.reason, case_kind: 'human' },
  });
}

/** The facts that every event about a request carries. */
export const aboutRequest = (row: RequestRow) => ({
  subject: row.id,
  request: row.id,
  task: row.task,
  agent: row.agent,
  control: row.controls[0] ?? null,
  action_ref: actionRef(row.salt, row.digest),
  policy_version: row.policyVersion,
});

async function namesOf(tx: Transaction, asked: Asked, requester: Party): Promise<CardNames> {
  const ids = [asked.agent?.owner, asked.task?.triggeredBy, requester.id].filter(
    (id): id is Id<'person'> => typeof id === 'string' && id.startsWith('psn_'),
  );
  const rows = await tx
    .select({ id: person.id, name: person.name })
    .from(person)
    .where(inArray(person.id, ids));
  const name = (id: string | null | undefined): string | null =>
    rows.find((row) => row.id === id)?.name ?? null;
  return {
    agent: asked.agent?.name ?? null,
    owner: name(asked.agent?.owner),
    team: asked.agent?.team ?? null,
    requester:
      requester.type === 'agent'
        ? await nameOfAgent(tx, asked, requester.id)
        : (name(requester.id) ?? requester.id),
    triggeredBy: asked.task?.triggeredBy
      ? `${name(asked.task.triggeredBy) ?? asked.task.triggeredBy} (${asked.task.proof})`
      : null,
    actingFor: await namesBehind(tx, asked.action),
  };
}

/** Whoever asks need not be whom it is about: an enforcement point asks about others. */
async function nameOfAgent(tx: Transaction, asked: Asked, id: string): Promise<string> {
  if (asked.agent?.id === id) return asked.agent.name;
  const [row] = await tx
    .select({ name: agent.name })
    .from(agent)
    .where(eq(agent.id, id as Id<'agent'>));
  return row?.name ?? id;
}

/** Everybody in the chain behind whoever asks, with who owns them. */
async function namesBehind(
  tx: Transaction,
  { actor_chain: chain }: Action,
): Promise<string | null> {
  const behind = chain.slice(1).map(({ id }) => id);
  if (behind.length === 0) return null;
  const rows = await tx
    .select({ id: agent.id, name: agent.name, owner: person.name })
    .from(agent)
    .innerJoin(person, eq(agent.owner, person.id))
    .where(inArray(agent.id, behind as Id<'agent'>[]));
  return behind
    .map((id) => {
      const row = rows.find((each) => each.id === id);
      return row ? `${row.name} (owned by ${row.owner})` : id;
    })
    .join(', for ');
}

export const cardOf = (row: RequestRow): Card =>
  cardFor({
    request: row.id,
    action: row.action,
    digest: row.digest,
    routes: row.routes,
    names: row.names,
    whyHeld: row.whyHeld,
    expiresAt: row.expiresAt,
  });

/** The request, locked until the transaction ends. */
export async function lockRequest(unit: Unit, id: string): Promise<RequestRow> {
  const [row] = await unit.sql
    .select()
    .from(request)
    .where(eq(request.id, asRequestId(id)))
    .for('update');
  if (!row) throw new Refusal('not_found', 'There is no such request.');
  return row;
}

export async function findRequest(
  query: Query | Transaction,
  id: string,
): Promise<RequestRow | null> {
  const [row] = await query
    .select()
    .from(request)
    .where(eq(request.id, asRequestId(id)));
  return row ?? null;
}

export const votesOn = (query: Query | Transaction, id: Id<'request'>): Promise<VoteRow[]> =>
  query.select().from(vote).where(eq(vote.request, id)).orderBy(vote.id);

/** Ids that reach a query are only ever compared: another text finds nothing. */
export const asRequestId = (id: string): Id<'request'> => id as Id<'request'>;

/** Moves a locked request on. The table of moves has the last word. */
export async function moveRequest(
  unit: Unit,
  row: RequestRow,
  to: RequestState,
  change: Partial<RequestRow> = {},
): Promise<RequestRow> {
  if (!canMove('request', row.state, to))
    throw new Error(`a request cannot go from ${row.state} to ${to}`);
  const moved = { ...row, ...change, state: to };
  await unit.sql
    .update(request)
    .set({ ...change, state: to })
    .where(eq(request.id, row.id));
  unit.changed(row.id);
  unit.wake('request', row.id, row.agent);
  return moved;
}

/** Withdraws a request. A returned refusal is an outcome: the expiry it found is kept. */
export async function cancelRequest(unit: Unit, id: string): Promise<RequestRow | Refusal> {
  const row = await lockRequest(unit, id);
  const now = await unit.readClock();
  // Nobody withdraws what ran out of time: that stays an expiry.
  if (row.state === 'pending' && isDue(row, now))
    return alreadyDecided(await expireLocked(unit, row));
  if (row.state !== 'pending') throw alreadyDecided(row);
  const moved = await moveRequest(unit, row, 'cancelled', { decidedAt: now });
  const { type, id: by } = partyOf(unit.call.principal);
  unit.emit('request.cancelled', {
    ...aboutRequest(row),
    detail: { by: { type, id: by } },
    private: {},
  });
  return moved;
}

/** Closes a request whose time has passed: pending ones as undecided, approved ones as unused. */
export async function expireRequest(unit: Unit, id: string): Promise<RequestRow> {
  const row = await lockRequest(unit, id);
  const now = await unit.readClock();
  return isDue(row, now) ? expireLocked(unit, row) : row;
}

/** Whether the time of a request that is still open has passed. */
function isDue(row: RequestRow, now: string): boolean {
  if (row.state === 'pending') return !(now < row.expiresAt);
  return row.state === 'approved' && row.approvedUntil !== null && !(now < row.approvedUntil);
}

/** An expiry is recorded as an expiry, never as anybody's decision (I6). */
export async function expireLocked(unit: Unit, row: RequestRow): Promise<RequestRow> {
  const hadApproval = row.state === 'approved';
  const moved = await moveRequest(unit, row, 'expired', hadApproval ? {} : { decidedAt: unit.at });
  unit.emit('request.expired', {
    ...aboutRequest(row),
    decision: 'expired',
    detail: { expires_at: row.approvedUntil ?? row.expiresAt, had_approval: hadApproval },
    private: {},
  });
  return moved;
}

/** Ends the requests of a task that is ending. What ran out with its task expired, and nobody cancelled it (I6). */
export async function closeRequestsOf(unit: Unit, task: Id<'task'>): Promise<void> {
  const rows = await unit.sql
    .select()
    .from(request)
    .where(and(eq(request.task, task), inArray(request.state, ['pending', 'approved'])))
    .orderBy(request.id)
    .for('update');
  const now = await unit.readClock();
  for (const row of rows) {
    if (isDue(row, now)) {
      await expireLocked(unit, row);
    } else if (row.state === 'pending') {
      await moveRequest(unit, row, 'cancelled', { decidedAt: unit.at });
      unit.emit('request.cancelled', {
        ...aboutRequest(row),
        cause: 'task_ended',
        detail: { by: { type: 'workflow', id: task } },
        private: {},
      });
    } else {
      await failRequest(unit, row, 'task_not_running');
    }
  }
}

/** An approved request that could not be carried out. */
export async function failRequest(unit: Unit, row: RequestRow, code: string): Promise<RequestRow> {
  const moved = await moveRequest(unit, row, 'failed', { failure: code });
  unit.emit('request.failed', { ...aboutRequest(row), detail: { code }, private: {} });
  return moved;
}

/** The 409 for a decision that comes too late, which says what was decided and by whom. */
export function alreadyDecided(row: RequestRow): Refusal {
  const why = row.state === 'superseded' ? ': the policy changed since it was opened' : '';
  return new Refusal('already_decided', `This request is already ${row.state}${why}.`, {
    state: row.state,
    decided_by: row.decidedBy,
  });
}
