// Tasks: one piece of work by one agent. Everything the agent is given hangs off one, and dies with it.
import { and, count, eq, inArray, ne, sql, type SQL } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { AgentRow, TaskRow, CredentialRow } from '../../db/rows.ts';
import { agent, credential, person, task, type RevokeCause } from '../../db/schema/index.ts';
import type { Party } from '../../domain/action.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import { ALIVE, type TaskState } from '../../domain/lifecycle.ts';
import { Refusal } from '../../domain/refusal.ts';
import { closeRequestsOf } from '../approvals/request-ends.ts';
import type { Deps } from '../deps.ts';
import { asPersonId } from '../people/people.ts';
import { activeBundle } from '../policy/policies.ts';
import { refuseUnknownPurpose } from '../policy/purposes.ts';
import { partyOf, type Delegation, type OnBehalf } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';
import { refuseOrphan } from './orphans.ts';
import { refuseWhileStopped } from './stop.ts';
import { readTrigger, useWord } from './triggers.ts';

export interface TaskStart {
  purpose: string;
  ttl_seconds: number;
  triggered_by?: string | undefined;
  trigger_proof?: string | undefined;
  /** What was handed on to the agent, where this is part of the work of another. */
  delegation?: Delegation | undefined;
  /** Whose word set it off, where the token of the agent says so. */
  onBehalf?: OnBehalf | undefined;
}

export async function startTask(
  unit: Unit,
  deps: Deps,
  agentId: Id<'agent'>,
  start: TaskStart,
): Promise<TaskRow> {
  // Not shared: its row is changed below, and two who share it would each wait for the other to let go.
  const holder = await lockActiveAgent(unit, agentId, 'no key update');
  const parent = start.delegation ? await lockParent(unit, start.delegation) : null;
  const bundle = await activeBundle(unit, deps.policies);
  refuseOrphan(holder, bundle, unit.at);
  refuseUnknownPurpose(bundle, start.purpose);
  const trigger = parent ? inherited(parent, start) : await triggerOf(unit, deps, agentId, start);
  const wanted = addSeconds(unit.at, start.ttl_seconds);
  const row: TaskRow = {
    id: newId('task'),
    agent: agentId,
    parent: parent?.id ?? null,
    chain: start.delegation?.chain ?? [agentId],
    roles: start.delegation?.roles ?? start.onBehalf?.roles ?? null,
    purpose: start.purpose,
    ...trigger,
    state: 'running',
    outcome: null,
    reason: null,
    policyVersion: bundle.version,
    // What was delegated never outlives what it was delegated from.
    deadlineAt: parent && parent.deadlineAt < wanted ? parent.deadlineAt : wanted,
    createdAt: unit.at,
    ownedAt: null,
    endedAt: null,
  };
  await unit.sql.insert(task).values(row);
  await unit.sql.update(agent).set({ lastUsedAt: unit.at }).where(eq(agent.id, agentId));
  unit.emit('task.started', {
    ...aboutTask(row),
    actor_chain: partiesOf(row.chain),
    human: row.triggeredBy,
    policy_version: row.policyVersion,
    detail: {
      triggered_by: row.triggeredBy,
      triggered_by_proof: row.triggeredByProof,
      trigger_source: row.trigger?.source ?? null,
      deadline_at: row.deadlineAt,
      parent: row.parent,
      roles: row.roles,
    },
    private: { purpose: row.purpose, trigger_event: row.trigger && { ...row.trigger } },
  });
  unit.wake('task', row.id, agentId);
  return row;
}

type Trigger = Pick<TaskRow, 'triggeredBy' | 'triggeredByProof' | 'trigger'>;

async function triggerOf(
  unit: Unit,
  deps: Deps,
  agentId: Id<'agent'>,
  start: TaskStart,
): Promise<Trigger> {
  if (start.onBehalf) return shownByToken(unit, start.onBehalf, start);
  const triggeredBy = await knownPerson(unit, start.triggered_by);
  const { proven, trigger } = await readTrigger(unit, deps, agentId, start);
  // Whoever the agent merely names is barred from voting, and never counted as independent.
  const triggeredByProof = proven ? 'verified' : triggeredBy === null ? 'none' : 'claimed';
  return { triggeredBy, triggeredByProof, trigger };
}

/** Whom the token speaks for set it off: the agent cannot name somebody else beside them (I4). */
async function shownByToken(
  unit: Unit,
  onBehalf: OnBehalf,
  { triggered_by: named, trigger_proof: proof }: TaskStart,
): Promise<Trigger> {
  const { person: triggeredBy } = onBehalf;
  if (proof !== undefined || (named !== undefined && named !== triggeredBy))
    throw new Refusal(
      'invalid_request',
      'The token says who set this off: leave out triggered_by and trigger_proof.',
    );
  await useWord(unit, onBehalf);
  return { triggeredBy, triggeredByProof: 'verified', trigger: null };
}

/** Whoever set off a task set off all that comes of it: a sub-agent cannot name somebody else (I4). */
function inherited(
  parent: TaskRow,
  { triggered_by: named, trigger_proof: proof }: TaskStart,
): Trigger {
  const { triggeredBy, triggeredByProof, trigger } = parent;
  if (proof !== undefined || (named !== undefined && named !== triggeredBy))
    throw new Refusal(
      'invalid_request',
      'A delegated task is set off by whoever set off its parent: leave out triggered_by and trigger_proof.',
    );
  return { triggeredBy, triggeredByProof, trigger };
}

/**
 * The task that a delegated one hangs off, and every agent on whose behalf it will act, held in their states until
 * the transaction ends: the end of any of them waits, and then sees the new task.
 */
async function lockParent(unit: Unit, { task: id, chain }: Delegation): Promise<TaskRow> {
  await lockActiveChain(unit, chain.slice(1));
  return lockRunningParent(unit, id);
}

/** The task that something is done for on behalf of another agent, held running until the transaction ends. */
export async function lockRunningParent(unit: Unit, id: Id<'task'>): Promise<TaskRow> {
  const [row] = await unit.sql.select().from(task).where(eq(task.id, id)).for('share');
  const now = await unit.readClock();
  if (row?.state !== 'running' || !(now < row.deadlineAt))
    throw new Refusal(
      'task_not_running',
      'The task that this was delegated from is over, and nothing more is done for it: have the work handed on again.',
    );
  return row;
}

/** Agents, held active until the transaction ends; in one order, so that no two wait for each other. */
export async function lockActiveChain(unit: Unit, chain: readonly Id<'agent'>[]): Promise<void> {
  for (const id of chain.toSorted()) await lockActiveAgent(unit, id);
}

/** A chain of agents as events and actions name it. */
export const partiesOf = (chain: readonly Id<'agent'>[]): Party[] =>
  chain.map((id) => ({ type: 'agent', id }));

/** The agent, held in its state until the transaction ends: suspending it waits, and then sees our work. */
export async function lockActiveAgent(
  unit: Unit,
  id: Id<'agent'>,
  strength: 'share' | 'no key update' = 'share',
): Promise<AgentRow> {
  const [row] = await unit.sql.select().from(agent).where(eq(agent.id, id)).for(strength);
  if (!row) throw new Refusal('not_found', 'There is no such agent.');
  if (row.state !== 'active' || row.retiring)
    throw new Refusal(
      'agent_not_active',
      `This agent is ${row.retiring ? 'retiring' : row.state}.`,
    );
  await refuseWhileStopped(unit.sql);
  return row;
}

async function knownPerson(unit: Unit, id: string | undefined): Promise<Id<'person'> | null> {
  if (id === undefined) return null;
  const [row] = await unit.sql
    .select({ id: person.id })
    .from(person)
    .where(eq(person.id, asPersonId(id)));
  if (!row)
    throw new Refusal(
      'person_unknown',
      'triggered_by names nobody known here: name a person by their id, or leave it out.',
    );
  return row.id;
}

/** The facts that every event about a task carries. */
export const aboutTask = (row: TaskRow) => ({ subject: row.id, task: row.id, agent: row.agent });

export async function findTask(query: Query | Transaction, id: string): Promise<TaskRow | null> {
  const [row] = await query
    .select()
    .from(task)
    .where(eq(task.id, asTaskId(id)));
  return row ?? null;
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
export const asTaskId = (id: string): Id<'task'> => id as Id<'task'>;

/** How many credentials of a task, and of the tasks delegated from it, have not been seen gone. */
export async function aliveUnder(query: Query | Transaction, id: Id<'task'>): Promise<number> {
  const [row] = await query
    .select({ alive: count() })
    .from(credential)
    .where(
      and(
        sql`${credential.task} in (
          with recursive branch (id) as (
            values (${id}::text collate "C")
            union all
            select child.id from task child join branch on child.parent = branch.id
          ) select id from branch)`,
        inArray(credential.state, [...ALIVE]),
      ),
    );
  return row?.alive ?? 0;
}

export type TaskOutcome = 'completed' | 'failed' | 'expired' | 'killed';

const CAUSE: Record<TaskOutcome, RevokeCause> = {
  completed: 'task_ended',
  failed: 'task_ended',
  expired: 'task_ended',
  killed: 'kill',
};

/**
 * Begins the end of a task: from this commit on nothing more is issued under it, and everything that was
 * is on its way out. Repeating it changes nothing.
 */
export async function endTask(
  unit: Unit,
  id: string,
  outcome: TaskOutcome,
  reason: string | null,
): Promise<TaskRow> {
  const [row] = await unit.sql
    .select()
    .from(task)
    .where(eq(task.id, asTaskId(id)))
    .for('update');
  if (!row) throw new Refusal('not_found', 'There is no such task.');
  if (row.state !== 'running') return row;
  await unit.readClock();
  await unit.sql.update(task).set({ state: 'ending', outcome, reason }).where(eq(task.id, row.id));
  // Requests before credentials, as whoever collects locks them.
  await closeRequestsOf(unit, row.id);
  const revoking = await revokeWhere(unit, eq(credential.task, row.id), CAUSE[outcome], null);
  unit.emit('task.ending', {
    ...aboutTask(row),
    detail: { outcome, credentials: revoking.length },
    private: { reason },
  });
  unit.wake('task', row.id, row.agent);
  unit.changed(row.id);
  await endTasksWhere(
    unit,
    eq(task.parent, row.id),
    outcome === 'expired' ? 'expired' : 'killed',
    'The task that this was delegated from ended.',
  );
  return { ...row, state: 'ending', outcome, reason };
}

/** Ends running tasks, and with each what was delegated from it. */
export async function endTasksWhere(
  unit: Unit,
  which: SQL,
  outcome: TaskOutcome,
  reason: string | null,
): Promise<void> {
  const running = await unit.sql
    .select({ id: task.id })
    .from(task)
    .where(and(which, eq(task.state, 'running')))
    .orderBy(task.id);
  for (const each of running) await endTask(unit, each.id, outcome, reason);
}

/** Ends what others do on behalf of an agent: every task delegated from one of its own. */
export const endDelegatedBy = (unit: Unit, id: Id<'agent'>, reason: string | null): Promise<void> =>
  endTasksWhere(unit, sql`${ne(task.agent, id)} and ${id} = any(${task.chain})`, 'killed', reason);

/** Ends a task whose deadline has passed. */
export async function expireTask(unit: Unit, id: Id<'task'>): Promise<void> {
  const row = await findTask(unit.sql, id);
  if (row?.state === 'running' && !(unit.at < row.deadlineAt))
    await endTask(unit, id, 'expired', null);
}

/** Closes an ending task once nothing under it is alive. Says what state the task is in. */
export async function closeTask(unit: Unit, id: Id<'task'>): Promise<TaskState> {
  const [row] = await unit.sql.select().from(task).where(eq(task.id, id)).for('update');
  if (!row) throw new Refusal('not_found', 'There is no such task.');
  if (row.state !== 'ending' || row.outcome === null) return row.state;
  if ((await aliveUnder(unit.sql, id)) > 0 || (await hasOpenChild(unit, id))) return row.state;
  await unit.readClock();
  await unit.sql.update(task).set({ state: row.outcome, endedAt: unit.at }).where(eq(task.id, id));
  emitClosed(unit, row, row.outcome, await credentialsUnder(unit, id));
  unit.changed(id);
  unit.wake('agent', row.agent, row.agent);
  // Its parent ends when the last of its children has.
  if (row.parent !== null) unit.wake('task', row.parent);
  return row.outcome;
}

async function hasOpenChild(unit: Unit, id: Id<'task'>): Promise<boolean> {
  const [child] = await unit.sql
    .select({ id: task.id })
    .from(task)
    .where(and(eq(task.parent, id), inArray(task.state, ['running', 'ending'])))
    .limit(1);
  return child !== undefined;
}

function emitClosed(unit: Unit, row: TaskRow, outcome: TaskOutcome, credentials: number): void {
  const about = aboutTask(row);
  const detail = { credentials };
  if (outcome === 'completed') unit.emit('task.completed', { ...about, detail, private: {} });
  if (outcome === 'expired') unit.emit('task.expired', { ...about, detail, private: {} });
  if (outcome === 'failed')
    unit.emit('task.failed', { ...about, detail, private: { reason: row.reason } });
  if (outcome === 'killed')
    unit.emit('task.killed', { ...about, detail, private: { reason: row.reason } });
}

async function credentialsUnder(unit: Unit, id: Id<'task'>): Promise<number> {
  const [row] = await unit.sql
    .select({ made: count() })
    .from(credential)
    .where(eq(credential.task, id));
  return row?.made ?? 0;
}

/** Notes that the task's workflow is running, which is what issuing waits for. */
export async function ownTask(unit: Unit, id: Id<'task'>): Promise<TaskRow | null> {
  const [row] = await unit.sql.select().from(task).where(eq(task.id, id)).for('update');
  if (!row) return null;
  if (row.ownedAt !== null) return row;
  const ownedAt = await unit.readClock();
  await unit.sql.update(task).set({ ownedAt }).where(eq(task.id, id));
  unit.changed(id);
  return { ...row, ownedAt };
}

/** Sets leases on their way out: pending ones too, since a login may already stand behind them. */
export async function revokeWhere(
  unit: Unit,
  which: ReturnType<typeof eq> | undefined,
  because: RevokeCause,
  reason: string | null,
): Promise<CredentialRow[]> {
  const rows = await unit.sql
    .update(credential)
    .set({ state: 'revoking', because, nextTryAt: unit.at })
    .where(and(which, inArray(credential.state, ['pending', 'active'])))
    .returning();
  const { type, id } = partyOf(unit.call.principal);
  for (const row of rows) {
    unit.emit('credential.revoke_intended', {
      ...aboutCredential(row),
      cause: because,
      detail: { credential: row.id, because, by: { type, id } },
      private: { reason },
    });
    unit.wake('target', targetWorkflow(row.target));
  }
  return rows;
}

/** The facts that every event about a lease carries. */
export const aboutCredential = (row: CredentialRow) => ({
  subject: row.id,
  task: row.task,
  agent: row.agent,
  request: row.request,
  control: row.control,
});

/** The workflow that reaps a target is called after it. */
export const targetWorkflow = (target: string): string => `target:${target}`;
