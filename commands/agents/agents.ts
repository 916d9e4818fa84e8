// Agents: registered by somebody, admitted by people, then known by their keys until they are retired.
import { and, eq, inArray, isNull, sql } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { AgentRow, RequestRow } from '../../db/rows.ts';
import {
  agent,
  agentKey,
  credential,
  joinToken,
  person,
  task,
  type AGENT_KINDS,
} from '../../db/schema/index.ts';
import type { Action } from '../../domain/action.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import { ALIVE, canMove, type AgentState } from '../../domain/lifecycle.ts';
import { Refusal } from '../../domain/refusal.ts';
import { agentSpiffeId, parseTrustDomain } from '../../domain/spiffe-id.ts';
import type { PublicKey } from '../../keys/public-key.ts';
import { cancelRequest, failRequest } from '../approvals/request-ends.ts';
import { lockRequest, openRequest, recordEvaluation, type Asked } from '../approvals/requests.ts';
import { revokeCertificatesOf } from '../credentials/certificates.ts';
import type { Deps } from '../deps.ts';
import { voidGrantsOf } from '../exceptions/grant-ends.ts';
import { asPersonId } from '../people/people.ts';
import { activeBundle } from '../policy/policies.ts';
import { evaluateAction } from '../policy/questions.ts';
import { waysInOf } from '../policy/ways-in.ts';
import { partyOf } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';
import { refuseTakenKeys, rotationDueAfter, storeKeys } from './agent-keys.ts';
import { holdOffStop, refuseWhileStopped } from './stop.ts';
import { endDelegatedBy, endTasksWhere, revokeWhere } from './tasks.ts';

export interface Registration {
  name: string;
  kind: (typeof AGENT_KINDS)[number];
  /** Left out for a sub-agent that belongs to whoever owns its parent. */
  owner?: string | undefined;
  /** The agent that it is a sub-agent of. */
  parent?: string | undefined;
  team: string;
  purpose: string;
  keys: PublicKey[];
  /** Until when whoever has its join token may bring a key; null without such a token. */
  joinUntil: string | null;
}

/** How long an admission is good before somebody should look again. */
const REVIEW_DAYS = 180;

const daysAfter = (at: string, days: number): string => addSeconds(at, days * 86_400);

/** Registers an agent. Being let in is a sensitive action like any other, and goes the same way. */
export async function registerAgent(
  unit: Unit,
  deps: Deps,
  registration: Registration,
): Promise<AgentRow | Refusal> {
  await refuseWhileStopped(unit.sql);
  await refuseTakenName(unit, registration.name);
  await refuseTakenKeys(unit, registration.keys);
  const registrar = partyOf(unit.call.principal);
  const parent = await knownParent(unit, registration.parent);
  const row: AgentRow = {
    id: newId('agent'),
    name: registration.name,
    kind: registration.kind,
    owner: await knownOwner(unit, registration.owner ?? parent?.owner ?? ''),
    parent: parent?.id ?? null,
    team: registration.team,
    purpose: registration.purpose,
    state: 'requested',
    retiring: false,
    spiffeId: null,
    request: null,
    registeredBy: registrar,
    createdAt: unit.at,
    admittedAt: null,
    lastUsedAt: null,
    rotationDueAt: null,
    reviewDueAt: null,
    rotationNotedAt: null,
    orphanedAt: null,
  };
  await unit.sql.insert(agent).values(row);
  await storeKeys(unit, row.id, registration.keys, row.registeredBy);
  unit.emit('agent.requested', {
    subject: row.id,
    agent: row.id,
    detail: {
      kind: row.kind,
      owner: row.owner,
      parent: row.parent,
      registered_by: { type: registrar.type, id: registrar.id },
      key_thumbprints: registration.keys.map((key) => key.thumbprint),
    },
    private: { name: row.name, team: row.team, purpose: row.purpose },
  });
  return askAdmission(unit, deps, row, registration);
}

async function askAdmission(
  unit: Unit,
  deps: Deps,
  row: AgentRow,
  registration: Registration,
): Promise<AgentRow | Refusal> {
  const registrar = partyOf(unit.call.principal);
  const bundle = await activeBundle(unit, deps.policies, 'share');
  const waysIn = waysInOf(bundle, row.name);
  const action: Action = {
    subject: registrar,
    actor_chain: [registrar],
    action: 'agent:admit',
    resource: { type: 'agent', id: row.id },
    // What is approved is this name with these keys, and nothing that could be changed afterwards.
    parameters: {
      name: row.name,
      kind: row.kind,
      owner: row.owner,
      ...(row.parent !== null && { parent: row.parent }),
      team: row.team,
      keys: registration.keys.map((key) => key.thumbprint),
      ...(registration.joinUntil !== null && { join_token_until: registration.joinUntil }),
      ...(waysIn.length > 0 && { ways_in: waysIn }),
    },
    data_class: null,
    destination: null,
    context: { purpose: row.purpose },
  };
  const evaluation = await evaluateAction(unit.sql, bundle, action);
  const judged = recordEvaluation(unit, action, evaluation);
  const asked: Asked = {
    action,
    agent: row,
    task: null,
    reason: null,
    sealTo: null,
    callbackUrl: null,
  };
  if (evaluation.decision === 'deny') {
    await moveAgent(unit, row, 'rejected');
    unit.emit('agent.rejected', about(row, { because: 'denied' }));
    return new Refusal(
      'denied',
      'Policy allows nobody to bring in this agent: reasons says why, and a change of the policy could let it.',
      {
        evaluation: {
          id: judged.id,
          policy_version: evaluation.policyVersion,
          reasons: evaluation.says,
        },
      },
    );
  }
  unit.wake('agent', row.id, row.id);
  if (evaluation.decision === 'permit') return admit(unit, row, null);
  const { id } = await openRequest(unit, asked, judged);
  await unit.sql.update(agent).set({ request: id }).where(eq(agent.id, row.id));
  return { ...row, request: id };
}

const about = <D>(row: AgentRow, detail: D) => ({
  subject: row.id,
  agent: row.id,
  detail,
  private: {},
});

async function refuseTakenName(unit: Unit, name: string): Promise<void> {
  // Two who register at once take turns, and the second one is told.
  await unit.sql.execute(sql`select pg_advisory_xact_lock(hashtextextended('agent/names', 0))`);
  const [named] = await unit.sql.select({ id: agent.id }).from(agent).where(eq(agent.name, name));
  if (named)
    throw new Refusal(
      'name_taken',
      `An agent is or was called "${name}", and a name is never given twice: choose another.`,
    );
}

/** Somebody who can answer for an agent. */
export async function knownOwner(unit: Unit, id: string): Promise<Id<'person'>> {
  const [row] = await unit.sql
    .select({ id: person.id })
    .from(person)
    .where(and(eq(person.id, asPersonId(id)), eq(person.state, 'active')));
  if (!row)
    throw new Refusal('person_unknown', 'The owner names nobody active here: invite them first.');
  return row.id;
}

/** A sub-agent belongs to an agent that is there: one that was let in and not retired. */
async function knownParent(unit: Unit, id: string | undefined): Promise<AgentRow | null> {
  if (id === undefined) return null;
  const row = await findAgent(unit.sql, id);
  if (row?.state !== 'active' || row.retiring)
    throw new Refusal(
      'parent_unknown',
      'The parent is no active agent here: admit that one first.',
    );
  return row;
}

/** Lets in the agent that an approved request is about. */
export async function admitAgent(unit: Unit, request: RequestRow): Promise<void> {
  const row = await lockAgent(unit, request.agent ?? '');
  if (row.state === 'requested') await admit(unit, row, request);
}

async function admit(unit: Unit, row: AgentRow, request: RequestRow | null): Promise<AgentRow> {
  const change = {
    spiffeId: agentSpiffeId(parseTrustDomain(unit.installation.trustDomain), row.name),
    admittedAt: unit.at,
    rotationDueAt: rotationDueAfter(unit.at),
    reviewDueAt: daysAfter(unit.at, REVIEW_DAYS),
  };
  await moveAgent(unit, row, 'active', change);
  unit.emit('agent.admitted', {
    subject: row.id,
    agent: row.id,
    request: request?.id ?? null,
    control: request?.controls[0] ?? null,
    detail: { permit: request?.id ?? null },
    private: { spiffe_id: change.spiffeId },
  });
  return { ...row, ...change, state: 'active' };
}

/** Closes the registration of an agent that people or the clock did not let in. */
export async function rejectAgent(unit: Unit, request: RequestRow, because: string): Promise<void> {
  const row = await lockAgent(unit, request.agent ?? '');
  if (row.state !== 'requested') return;
  await moveAgent(unit, row, 'rejected');
  unit.emit('agent.rejected', {
    ...about(row, { because }),
    request: request.id,
    control: request.controls[0] ?? null,
  });
}

export async function lockAgent(unit: Unit, id: string): Promise<AgentRow> {
  const [row] = await unit.sql
    .select()
    .from(agent)
    .where(eq(agent.id, asAgentId(id)))
    .for('update');
  if (!row) throw new Refusal('not_found', 'There is no such agent.');
  return row;
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
export const asAgentId = (id: string): Id<'agent'> => id as Id<'agent'>;

/** Moves a locked agent on. The table of moves has the last word. */
async function moveAgent(
  unit: Unit,
  row: AgentRow,
  to: AgentState,
  change: Partial<AgentRow> = {},
): Promise<void> {
  if (!canMove('agent', row.state, to))
    throw new Refusal('wrong_state', `This agent is ${row.state}.`, { state: row.state });
  if (to === 'active') await holdOffStop(unit);
  await unit.sql
    .update(agent)
    .set({ ...change, state: to })
    .where(eq(agent.id, row.id));
  unit.changed(row.id);
  unit.wake('agent', row.id, row.id);
}

/** Nothing new from this commit on, and everything the agent holds is on its way out. */
export async function suspendAgent(
  unit: Unit,
  id: string,
  reason: string | null,
): Promise<AgentRow> {
  const row = await lockAgent(unit, id);
  if (row.state === 'suspended') return row;
  await moveAgent(unit, row, 'suspended');
  const revoking = await revokeWhere(unit, eq(credential.agent, row.id), 'agent_suspended', reason);
  await revokeCertificatesOf(unit, row.id, 'agent_suspended');
  await endDelegatedBy(unit, row.id, reason);
  await voidGrantsOf(unit, row.id, 'agent_suspended');
  // What was not used by now is not used any more: resuming brings back nothing.
  await unit.sql
    .update(joinToken)
    .set({ withdrawnAt: unit.at })
    .where(and(eq(joinToken.agent, row.id), isNull(joinToken.usedAt)));
  unit.emit('agent.suspended', {
    subject: row.id,
    agent: row.id,
    detail: { by: byWhom(unit), credentials: revoking.length },
    private: { reason },
  });
  return { ...row, state: 'suspended' };
}

/** The agent may ask again. What was revoked stays revoked. */
export async function resumeAgent(
  unit: Unit,
  id: string,
  reason: string | null,
): Promise<AgentRow> {
  const row = await lockAgent(unit, id);
  if (row.state === 'active') return row;
  if (row.state !== 'suspended' || row.retiring)
    throw new Refusal('wrong_state', `This agent is ${row.retiring ? 'retiring' : row.state}.`, {
      state: row.state,
    });
  // Resuming admits anew: tokens from before the suspension stay dead. They say in whole seconds when they were
  // made, so the admission is of the next one.
  const admittedAt = nextSecond(await unit.readClock());
  await moveAgent(unit, row, 'active', { admittedAt });
  unit.emit('agent.resumed', {
    subject: row.id,
    agent: row.id,
    detail: { by: byWhom(unit) },
    private: { reason },
  });
  return { ...row, state: 'active', admittedAt };
}

const nextSecond = (at: string): string =>
  new Date((Math.floor(Date.parse(at) / 1000) + 1) * 1000).toISOString();

/** Suspends an agent and ends every task it has; one that still waits for its admission is rejected. */
export async function killAgent(unit: Unit, id: string, reason: string | null): Promise<AgentRow> {
  const waiting = await findAgent(unit.sql, id);
  // The request before the agent, as whoever admits it locks them.
  if (waiting?.state === 'requested' && waiting.request !== null) {
    const request = await lockRequest(unit, waiting.request);
    if (request.state === 'pending') await cancelRequest(unit, request.id);
    if (request.state === 'approved') await failRequest(unit, request, 'agent_not_active');
    await rejectAgent(unit, request, 'killed');
  }
  const row = await lockAgent(unit, id);
  const suspended = row.state === 'active' ? await suspendAgent(unit, id, reason) : row;
  await endTasksOf(unit, row.id, reason);
  return suspended;
}

async function endTasksOf(unit: Unit, id: Id<'agent'>, reason: string | null): Promise<void> {
  await endTasksWhere(unit, eq(task.agent, id), 'killed', reason);
}

/** Begins retirement: the agent is retired once nothing of it is alive any more. */
export async function beginRetirement(
  unit: Unit,
  id: string,
  reason: string | null,
): Promise<AgentRow> {
  const row = await lockAgent(unit, id);
  if (row.state === 'retired' || row.retiring) return row;
  const stopped = row.state === 'active' ? await suspendAgent(unit, id, reason) : row;
  if (!canMove('agent', stopped.state, 'retired'))
    throw new Refusal('wrong_state', `This agent is ${row.state}.`, { state: row.state });
  await unit.sql.update(agent).set({ retiring: true }).where(eq(agent.id, row.id));
  await endTasksOf(unit, row.id, reason);
  unit.wake('agent', row.id, row.id);
  return { ...stopped, retiring: true };
}

/** Retires an agent whose last credential was seen gone and whose last task has ended. */
export async function finishRetirement(unit: Unit, id: string): Promise<AgentState> {
  const row = await lockAgent(unit, id);
  if (!row.retiring || row.state !== 'suspended') return row.state;
  const [alive] = await unit.sql
    .select({ id: credential.id })
    .from(credential)
    .where(and(eq(credential.agent, row.id), inArray(credential.state, [...ALIVE])))
    .limit(1);
  const [open] = await unit.sql
    .select({ id: task.id })
    .from(task)
    .where(and(eq(task.agent, row.id), inArray(task.state, ['running', 'ending'])))
    .limit(1);
  if (alive || open) return row.state;
  await moveAgent(unit, row, 'retired');
  await unit.sql.update(agentKey).set({ state: 'revoked' }).where(eq(agentKey.agent, row.id));
  unit.emit('agent.retired', {
    subject: row.id,
    agent: row.id,
    detail: { by: byWhom(unit) },
    private: { reason: null },
  });
  return 'retired';
}

const byWhom = (unit: Unit) => {
  const { type, id } = partyOf(unit.call.principal);
  return { type, id };
};

export async function findAgent(query: Query | Transaction, id: string): Promise<AgentRow | null> {
  const [row] = await query
    .select()
    .from(agent)
    .where(eq(agent.id, asAgentId(id)));
  return row ?? null;
}

/** The agent of this name: one has it for ever. */
export async function findAgentNamed(query: Query, name: string): Promise<AgentRow | null> {
  const [row] = await query.select().from(agent).where(eq(agent.name, name));
  return row ?? null;
}
