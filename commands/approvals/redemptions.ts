// Permits that leave the process: what people approved is carried out by an enforcement point of somebody else, which
// redeems the permit before each use. Everything is asked again at that moment, and nothing of it is taken on trust.
import { and, eq, gt, inArray } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { PermitRow, RequestRow } from '../../db/rows.ts';
import { agent, permit, redemption, request } from '../../db/schema/index.ts';
import { digestOf } from '../../domain/digest.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import { startOf } from '../../domain/narrowing.ts';
import { receiptSeconds } from '../../domain/permit-rule.ts';
import { Refusal } from '../../domain/refusal.ts';
import { refuseWhileStopped } from '../agents/stop.ts';
import { lockActiveAgent, lockActiveChain } from '../agents/tasks.ts';
import { lockRunningTask } from '../credentials/credentials.ts';
import type { Deps } from '../deps.ts';
import { activeBundle } from '../policy/policies.ts';
import type { Principal } from '../principal.ts';
import { refuseWithoutLog } from '../record/log-health.ts';
import { newId, type Unit } from '../unit.ts';
import { effectiveAction, effectiveRef } from './narrow.ts';
import { lockPermit, refusePermit, voidUnlessApproved } from './permits.ts';
import { failRequest } from './request-ends.ts';
import { aboutRequest, lockRequest, moveRequest } from './requests.ts';

export interface ForeignPermit {
  permit: PermitRow;
  request: RequestRow;
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asPermitId = (id: string): Id<'permit'> => id as Id<'permit'>;

/** A permit with what it is for; only those that leave the process are found. */
export async function findForeignPermit(
  query: Query | Transaction,
  id: string,
): Promise<ForeignPermit | null> {
  const [row] = await query
    .select({ permit, request })
    .from(permit)
    .innerJoin(request, eq(request.id, permit.request))
    .where(eq(permit.id, asPermitId(id)));
  return row && row.request.audience !== null ? row : null;
}

/** The permit of a request, if people have approved it. */
export async function permitOf(
  query: Query | Transaction,
  row: RequestRow,
): Promise<ForeignPermit | null> {
  const [held] = await query.select().from(permit).where(eq(permit.request, row.id));
  return held ? { permit: held, request: row } : null;
}

/** Whether this is the enforcement point that a permit is for, and no other. */
export const isAudience = (principal: Principal, { audience }: RequestRow): boolean =>
  audience !== null &&
  (principal.kind === 'agent' || principal.kind === 'service') &&
  principal.id === audience;

export const noPermit = (): Refusal =>
  new Refusal(
    'not_found',
    'There is no such permit of yours: only the enforcement point that it names redeems one.',
  );

export interface Use {
  permit: string;
  /** What is about to run, as the enforcement point has it. */
  action: JsonObject;
}

export interface Used {
  redemption: Id<'redemption'>;
  usesLeft: number;
  receiptDueAt: string;
}

/** Redeems a permit for one use. A refusal is an outcome, with its event: nothing may run on it. */
export async function redeemForeign(unit: Unit, deps: Deps, use: Use): Promise<Used | Refusal> {
  const found = await findForeignPermit(unit.sql, use.permit);
  if (!found) throw noPermit();
  if (!isAudience(unit.call.principal, found.request)) {
    // Told the same as if there were none; the log has it that somebody tried.
    const { code, message } = noPermit();
    return refusePermit(unit, found.request, found.permit, code, message, 'other_audience');
  }
  await refuseWithoutLog(unit.sql);
  const dead = (await whyNobodyMay(unit, found)) ?? (await whyNoGate(unit, deps, found.request));
  if (dead) return refusePermit(unit, found.request, found.permit, dead.code, dead.message);
  const row = await lockRequest(unit, found.request.id);
  const held = await lockPermit(unit, row.id);
  const refusal = await whyNotUsable(unit, deps, { row, held, action: use.action });
  return refusal ?? countUse(unit, row, held);
}

/** The agent, its task and everybody it acts for, held in their states until the transaction ends. */
async function whyNobodyMay(
  unit: Unit,
  { permit: held, request: { agent: holder, task, audience } }: ForeignPermit,
): Promise<Refusal | null> {
  try {
    await refuseWhileStopped(unit.sql);
    if (audience?.startsWith('agt_')) await lockActiveAgent(unit, asAgent(audience));
    if (holder === null) return null;
    await lockActiveAgent(unit, holder);
    if (task === null) return await whyStoppedSince(unit, held, [holder]);
    const owner = await lockRunningTask(unit, task, holder);
    await lockActiveChain(unit, owner.chain.slice(1));
    return await whyStoppedSince(unit, held, owner.chain);
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

/** Whoever guards others is one that today's policy still names; about itself an agent needs no name there. */
async function whyNoGate(unit: Unit, deps: Deps, row: RequestRow): Promise<Refusal | null> {
  const { audience, agent: holder } = row;
  if (audience === holder || !audience?.startsWith('agt_')) return null;
  const { enforcementPoints } = await activeBundle(unit, deps.policies, 'share');
  const [gate] = await unit.sql
    .select({ name: agent.name })
    .from(agent)
    .where(eq(agent.id, asAgent(audience)));
  return gate && enforcementPoints.has(gate.name)
    ? null
    : new Refusal(
        'forbidden',
        'Policy does not name you under enforcement_points in roles.yaml: nothing may run.',
      );
}

/** Who was stopped and let go on has to ask again: nobody approved of what they do after it. */
async function whyStoppedSince(
  unit: Unit,
  { createdAt }: PermitRow,
  agents: Id<'agent'>[],
): Promise<Refusal | null> {
  const [stopped] = await unit.sql
    .select({ id: agent.id })
    .from(agent)
    .where(and(inArray(agent.id, agents), gt(agent.admittedAt, createdAt)))
    .limit(1);
  return stopped
    ? new Refusal(
        'agent_not_active',
        'An agent that this is for was stopped since it was approved: ask again.',
      )
    : null;
}

/** Only ids of agents begin so. */
const asAgent = (audience: string): Id<'agent'> => audience as Id<'agent'>;

async function whyNotUsable(
  unit: Unit,
  deps: Deps,
  { row, held, action }: { row: RequestRow; held: PermitRow; action: JsonObject },
): Promise<Refusal | null> {
  const refused = (...why: [Refusal['code'], string]) => refusePermit(unit, row, held, ...why);
  if (row.state === 'consumed' || held.used >= held.uses)
    return refused('permit_used', 'This permit was used as often as it is good for: ask again.');
  const now = await unit.readClock();
  const hasLapsed = row.state === 'approved' ? !(now < held.expiresAt) : row.state === 'expired';
  if (hasLapsed) return refused('approval_lapsed', 'The approval was not used in time: ask again.');
  if (row.failure === 'policy_changed')
    return refused('policy_changed', 'The policy changed since this was approved: ask again.');
  if (row.state !== 'approved' || held.state !== 'live')
    return refused('not_approved', `This request is ${row.state}, and its permit ${held.state}.`);
  const start = startOf(effectiveAction(row));
  if (start !== null && now < start)
    return refused('not_started', `This is approved from ${start} on.`);
  if (digestOf('countersign/action/v1', action) !== held.digest)
    return refused('digest_mismatch', 'This is not the action that was approved: run nothing.');
  const changed = await voidUnlessApproved(unit, deps, row);
  // Nothing is wrong with the approval while nobody independent sees: it is good again once somebody does.
  if (changed && changed.code !== 'sensor_silent') await failRequest(unit, row, changed.code);
  return changed;
}

async function countUse(unit: Unit, row: RequestRow, held: PermitRow): Promise<Used> {
  const number = held.used + 1;
  const usesLeft = held.uses - number;
  const id = newId('redemption');
  const receiptDueAt = addSeconds(unit.at, receiptSeconds(row.routes));
  await unit.sql
    .update(permit)
    .set({ used: number, ...(usesLeft === 0 && { state: 'redeemed', redeemedAt: unit.at }) })
    .where(eq(permit.id, held.id));
  await unit.sql
    .insert(redemption)
    .values({ id, permit: held.id, number, redeemedAt: unit.at, receiptDueAt });
  unit.emit('permit.redeemed', {
    ...aboutRequest(row),
    detail: {
      permit: held.id,
      digest_matches: true,
      rules_unchanged: true,
      effective_ref: effectiveRef(row),
      redemption: id,
      uses_left: usesLeft,
      receipt_due_at: receiptDueAt,
      grant: null,
    },
    private: {},
  });
  if (usesLeft === 0) {
    await moveRequest(unit, row, 'consumed');
    unit.emit('request.consumed', {
      ...aboutRequest(row),
      detail: { credential: null },
      private: {},
    });
  }
  return { redemption: id, usesLeft, receiptDueAt };
}
