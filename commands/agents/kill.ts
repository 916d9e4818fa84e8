// The kill switch: stops agents, ends their tasks and revokes what they hold, in one commit; and what lifts it.
import { and, asc, eq, inArray, isNull, type SQL } from 'drizzle-orm';
import type { RequestRow, RevocationRow } from '../../db/rows.ts';
import { agent, stop, task } from '../../db/schema/index.ts';
import { actionDigest, type Action } from '../../domain/action.ts';
import type { Id } from '../../domain/id.ts';
import { Refusal } from '../../domain/refusal.ts';
import { findLiveDuplicate, openRequest, recordEvaluation } from '../approvals/requests.ts';
import { orderRevocation } from '../credentials/revocations.ts';
import type { Deps } from '../deps.ts';
import { activeBundle } from '../policy/policies.ts';
import { evaluateAction } from '../policy/questions.ts';
import { partyOf } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';
import { killAgent, suspendAgent } from './agents.ts';
import { agentsOfChain } from './chains.ts';
import { liveStop, takeStop, type StopRow } from './stop.ts';
import { endTask } from './tasks.ts';

export interface KillOrder {
  scope: 'agent' | 'chain' | 'team' | 'everything';
  /** The agent, the head of the chain, or the name of the team; null for everything. */
  of: string | null;
  reason: string;
}

export interface Killed {
  revocation: RevocationRow;
  stop: Id<'stop'> | null;
  agents: number;
  tasks: number;
}

/** Nothing new in this scope from this commit on, and everything that it holds is on its way out. */
export async function throwKillSwitch(unit: Unit, order: KillOrder): Promise<Killed> {
  const { scope, of, reason } = order;
  if (scope === 'everything') await takeStop(unit);
  else await rejectWaiting(unit, order);
  const agents = await suspendAll(unit, order);
  const tasks = await endTasksOf(unit, order);
  const revocation = await orderRevocation(unit, { by: scope, of, because: 'kill', reason });
  const stopId = scope === 'everything' ? await setStop(unit, revocation) : null;
  unit.emit('kill.ordered', {
    subject: revocation.id,
    detail: {
      scope,
      stop: stopId,
      revocation: revocation.id,
      agents,
      tasks,
      credentials: revocation.credentials,
      by: byWhom(unit),
    },
    private: { of, reason },
  });
  return { revocation, stop: stopId, agents, tasks };
}

const byWhom = (unit: Unit) => {
  const { type, id } = partyOf(unit.call.principal);
  return { type, id };
};

function isUnder({ scope, of }: KillOrder): SQL | undefined {
  const name = of ?? '';
  switch (scope) {
    case 'agent':
      return eq(agent.id, name as Id<'agent'>);
    case 'chain':
      return agentsOfChain(name as Id<'agent'>);
    case 'team':
      return eq(agent.team, name);
    case 'everything':
      return undefined;
  }
}

/** Who waits to be let in is turned away. Everything else that is stopped keeps them waiting. */
async function rejectWaiting(unit: Unit, order: KillOrder): Promise<void> {
  const waiting = await unit.sql
    .select({ id: agent.id })
    .from(agent)
    .where(and(isUnder(order), eq(agent.state, 'requested')))
    .orderBy(asc(agent.id));
  for (const { id } of waiting) await killAgent(unit, id, order.reason);
}

/** Suspends whoever is active. Their rows are held: what they were just being given is waited for, and then seen. */
async function suspendAll(unit: Unit, order: KillOrder): Promise<number> {
  const rows = await unit.sql
    .select()
    .from(agent)
    .where(and(isUnder(order), inArray(agent.state, ['active', 'suspended'])))
    .orderBy(asc(agent.id))
    .for('update');
  await unit.readClock();
  const active = rows.filter(({ state }) => state === 'active');
  for (const { id } of active) await suspendAgent(unit, id, order.reason);
  return active.length;
}

async function endTasksOf(unit: Unit, order: KillOrder): Promise<number> {
  const running = await unit.sql
    .select({ id: task.id })
    .from(task)
    .innerJoin(agent, eq(task.agent, agent.id))
    .where(and(isUnder(order), eq(task.state, 'running')))
    .orderBy(asc(task.id));
  for (const { id } of running) await endTask(unit, id, 'killed', order.reason);
  return running.length;
}

/** Thrown again while it is in force, it is still the one stop that people then lift. */
async function setStop(unit: Unit, revocation: RevocationRow): Promise<Id<'stop'>> {
  const live = await liveStop(unit.sql);
  if (live) return live.id;
  const row: StopRow = {
    id: newId('stop'),
    revocation: revocation.id,
    reason: revocation.reason,
    orderedBy: revocation.orderedBy,
    createdAt: unit.at,
    liftedAt: null,
    liftedBy: null,
  };
  await unit.sql.insert(stop).values(row);
  return row.id;
}

export type LiftAnswer = { stop: StopRow } | { request: RequestRow };

/** Asks to have the stop lifted: people agree to that as policy says. What was revoked stays revoked. */
export async function askToLift(
  unit: Unit,
  deps: Deps,
  reason: string,
): Promise<LiftAnswer | Refusal> {
  await takeStop(unit);
  const live = await liveStop(unit.sql);
  if (!live) throw nothingStopped();
  const asker = partyOf(unit.call.principal);
  const action: Action = {
    subject: asker,
    actor_chain: [asker],
    action: 'kill:lift',
    resource: { type: 'stop', id: live.id },
    parameters: {},
    data_class: null,
    destination: null,
    context: { reason },
  };
  const bundle = await activeBundle(unit, deps.policies, 'share');
  const evaluation = await evaluateAction(unit.sql, bundle, action);
  if (evaluation.decision === 'hold') {
    const duplicate = await findLiveDuplicate(unit, null, actionDigest(action));
    if (duplicate) return { request: duplicate };
  }
  const judged = recordEvaluation(unit, action, evaluation);
  if (evaluation.decision === 'deny')
    return new Refusal(
      'denied',
      'Policy has no rule by which the stop could be lifted (kill:lift): agree on one that has.',
      {
        evaluation: {
          id: judged.id,
          policy_version: evaluation.policyVersion,
          reasons: evaluation.says,
        },
      },
    );
  if (evaluation.decision === 'permit') {
    await liftStop(unit, live.id, null);
    return { stop: { ...live, liftedAt: unit.at } };
  }
  const asked = { action, agent: null, task: null, reason, sealTo: null, callbackUrl: null };
  return { request: await openRequest(unit, asked, judged) };
}

const nothingStopped = (): Refusal =>
  new Refusal('wrong_state', 'Nothing is stopped, so there is nothing to lift.');

/** Lets things start again. Agents stay suspended, each until somebody resumes it. */
export async function liftStop(
  unit: Unit,
  id: string,
  request: RequestRow | null,
): Promise<Refusal | null> {
  await unit.readClock();
  const [row] = await unit.sql
    .update(stop)
    .set({ liftedAt: unit.at, liftedBy: request?.id ?? null })
    .where(and(eq(stop.id, id as Id<'stop'>), isNull(stop.liftedAt)))
    .returning();
  if (!row) return nothingStopped();
  const { reason } = request?.action.context ?? {};
  unit.emit('kill.lifted', {
    subject: row.id,
    request: request?.id ?? null,
    control: request?.controls[0] ?? null,
    detail: { stop: row.id, by: byWhom(unit) },
    private: { reason: reason ?? null },
  });
  unit.changed(row.id);
  return null;
}
