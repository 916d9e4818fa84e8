// Who answers for an agent. One whose owner left is an orphan, and is given nothing new once its time of grace is over.
import { and, eq, inArray, isNotNull } from 'drizzle-orm';
import type { AgentRow, PersonRow, RequestRow } from '../../db/rows.ts';
import { agent } from '../../db/schema/index.ts';
import { actionDigest, type Action } from '../../domain/action.ts';
import { Refusal } from '../../domain/refusal.ts';
import { findLiveDuplicate, openRequest, recordEvaluation } from '../approvals/requests.ts';
import type { Deps } from '../deps.ts';
import { voidGrantsOf } from '../exceptions/grant-ends.ts';
import { changePerson, type PersonChange } from '../people/people.ts';
import { activeBundle } from '../policy/policies.ts';
import { evaluateAction } from '../policy/questions.ts';
import { partyOf } from '../principal.ts';
import type { Unit } from '../unit.ts';
import { knownOwner, lockAgent } from './agents.ts';
import { graceEndsAt } from './orphans.ts';

const KEPT = ['requested', 'active', 'suspended'] as const;

/** Changes a person, and what that means for the agents they own. */
export async function changeOwningPerson(
  unit: Unit,
  deps: Deps,
  id: string,
  change: PersonChange,
): Promise<PersonRow> {
  const row = await changePerson(unit, id, change);
  await followOwner(unit, deps, row);
  return row;
}

/** Says at once that nobody answers for these agents any more, or that their owner is back. */
async function followOwner(unit: Unit, deps: Deps, owner: PersonRow): Promise<void> {
  const left = owner.state !== 'active';
  const owned = await unit.sql
    .select()
    .from(agent)
    .where(
      and(
        eq(agent.owner, owner.id),
        inArray(agent.state, [...KEPT]),
        left ? undefined : isNotNull(agent.orphanedAt),
      ),
    )
    .orderBy(agent.id)
    .for('no key update');
  const bundle = await activeBundle(unit, deps.policies);
  for (const row of owned) {
    if (left === (row.orphanedAt !== null)) continue;
    const orphanedAt = left ? unit.at : null;
    await unit.sql.update(agent).set({ orphanedAt }).where(eq(agent.id, row.id));
    if (left)
      unit.emit('agent.orphaned', {
        subject: row.id,
        agent: row.id,
        detail: { owner: owner.id, grace_ends_at: graceEndsAt({ orphanedAt }, bundle) },
        private: {},
      });
    else emitOwner(unit, row, owner.id, 'returned');
    unit.changed(row.id);
  }
}

function emitOwner(
  unit: Unit,
  row: AgentRow,
  owner: string,
  because: 'returned' | 'agreed',
  request: RequestRow | null = null,
): void {
  unit.emit('agent.owner_changed', {
    subject: row.id,
    agent: row.id,
    request: request?.id ?? null,
    control: request?.controls[0] ?? null,
    detail: { owner, replaces: row.owner, because },
    private: {},
  });
}

export type OwnerAnswer = { agent: AgentRow } | { request: RequestRow };

/** Asks that somebody else answers for an agent: a sensitive act, for its owner is told and asked about it. */
export async function askForOwner(
  unit: Unit,
  deps: Deps,
  id: string,
  { owner, reason }: { owner: string; reason: string | null },
): Promise<OwnerAnswer | Refusal> {
  const row = await lockOwned(unit, id);
  const next = await knownOwner(unit, owner);
  if (next === row.owner && row.orphanedAt === null)
    throw new Refusal(
      'wrong_state',
      'This person owns the agent already: there is nothing to change.',
      { state: row.state },
    );
  const asker = partyOf(unit.call.principal);
  const action: Action = {
    subject: asker,
    actor_chain: [asker],
    action: 'agent:change_owner',
    resource: { type: 'agent', id: row.id },
    parameters: { name: row.name, owner: next, replaces: row.owner },
    data_class: null,
    destination: null,
    context: { purpose: row.purpose, reason },
  };
  const bundle = await activeBundle(unit, deps.policies, 'share');
  const evaluation = await evaluateAction(unit.sql, bundle, action);
  if (evaluation.decision === 'hold') {
    const live = await findLiveDuplicate(unit, null, actionDigest(action));
    if (live) return { request: live };
  }
  const judged = recordEvaluation(unit, action, evaluation);
  if (evaluation.decision === 'deny')
    return new Refusal('denied', 'Policy allows this agent no other owner: reasons says why.', {
      evaluation: {
        id: judged.id,
        policy_version: evaluation.policyVersion,
        reasons: evaluation.says,
      },
    });
  if (evaluation.decision === 'permit') return { agent: await setOwner(unit, row, next, null) };
  const asked = { action, agent: row, task: null, reason, sealTo: null, callbackUrl: null };
  return { request: await openRequest(unit, asked, judged) };
}

async function lockOwned(unit: Unit, id: string): Promise<AgentRow> {
  const row = await lockAgent(unit, id);
  if (row.state === 'active' || row.state === 'suspended') return row;
  throw new Refusal(
    'wrong_state',
    `This agent is ${row.state}: its owner is changed while it is active or suspended.`,
    { state: row.state },
  );
}

/** Gives an agent the owner that an approved request names; refuses if that can no longer be. */
export async function changeOwner(unit: Unit, request: RequestRow): Promise<Refusal | null> {
  try {
    const row = await lockOwned(unit, request.action.resource.id);
    const { owner, replaces } = request.action.parameters;
    if (row.owner !== replaces)
      return new Refusal('wrong_state', 'The agent got another owner meanwhile: ask again.');
    await setOwner(
      unit,
      row,
      await knownOwner(unit, typeof owner === 'string' ? owner : ''),
      request,
    );
    return null;
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

async function setOwner(
  unit: Unit,
  row: AgentRow,
  owner: AgentRow['owner'],
  request: RequestRow | null,
): Promise<AgentRow> {
  const change = { owner, orphanedAt: null };
  await unit.sql.update(agent).set(change).where(eq(agent.id, row.id));
  if (owner !== row.owner) await voidGrantsOf(unit, row.id, 'owner_changed');
  emitOwner(unit, row, owner, 'agreed', request);
  unit.wake('agent', row.id, row.id);
  unit.changed(row.id);
  return { ...row, ...change };
}
