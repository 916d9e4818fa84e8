// Carrying out what was approved. Called by the request's workflow, as often as it takes.
import { and, eq } from 'drizzle-orm';
import type { CredentialRow, PermitRow, RequestRow } from '../../db/rows.ts';
import { request } from '../../db/schema/index.ts';
import { ACCESS_ACTION } from '../../domain/access-tuple.ts';
import { BREAK_GLASS } from '../../domain/break-glass.ts';
import { readConfirmation } from '../../domain/delegation.ts';
import type { Digest } from '../../domain/digest.ts';
import { PREPARE_KIT } from '../../domain/glass-kit.ts';
import { OPEN_GRANT } from '../../domain/grant.ts';
import { addSeconds, earliest } from '../../domain/instant.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { startOf } from '../../domain/narrowing.ts';
import { Refusal } from '../../domain/refusal.ts';
import { readPublicKey } from '../../keys/public-key.ts';
import { targetOf } from '../access/kinds.ts';
import { admitAgent, asAgentId, rejectAgent } from '../agents/agents.ts';
import { addApprovedKey } from '../agents/change-keys.ts';
import { liftStop } from '../agents/kill.ts';
import { changeOwner } from '../agents/owners.ts';
import { liveStop } from '../agents/stop.ts';
import { lockActiveAgent, lockActiveChain } from '../agents/tasks.ts';
import { linkCredential, lockRunningTask } from '../credentials/credentials.ts';
import { issueLease } from '../credentials/issue.ts';
import { intendLease, lockLease, retakeLease } from '../credentials/leases.ts';
import type { Deps } from '../deps.ts';
import { lockEmergency, openEmergency } from '../exceptions/break-glass.ts';
import { openKit } from '../exceptions/glass-kits.ts';
import { openGrant } from '../exceptions/grants.ts';
import { changePolicy } from '../policy/change-policy.ts';
import { activeBundle } from '../policy/policies.ts';
import { isLogTaking } from '../record/log-health.ts';
import { fulfilRun } from '../runs/fulfil-run.ts';
import { databaseTime, transact, type Call, type Unit } from '../unit.ts';
import { effectiveAction } from './narrow.ts';
import { redeemPermit } from './permits.ts';
import { failRequest } from './request-ends.ts';
import { aboutRequest, findRequest, lockRequest, moveRequest } from './requests.ts';

export type Fulfilment =
  /** Done, by this call or an earlier one. */
  | { outcome: 'done' }
  /** It can never be done: the request says why. */
  | { outcome: 'failed'; code: string }
  /** It cannot be done now. */
  | { outcome: 'later'; code: string };

/** Does what an approved request asked for, exactly once however often this runs. */
export async function fulfilRequest(deps: Deps, call: Call, id: string): Promise<Fulfilment> {
  const row = await findRequest(deps.db.query, id);
  if (row?.state !== 'approved') return { outcome: 'done' };
  // An approval is no way around the log: it is carried out once events are numbered again (I6).
  if (!(await isLogTaking(deps.db.query))) return { outcome: 'later', code: 'log_unavailable' };
  // Whoever asked carries it out, and redeems the permit before.
  if (row.audience !== null) return { outcome: 'done' };
  const { action } = row.action;
  // Nor is it one around the kill switch, but for what lifts it, and for a policy that says who may.
  if (action !== 'kill:lift' && action !== 'policy:activate' && (await liveStop(deps.db.query)))
    return { outcome: 'later', code: 'stopped' };
  const start = startOf(effectiveAction(row));
  if (start !== null && (await databaseTime(deps.db.query)) < start)
    return { outcome: 'later', code: 'not_started' };
  switch (action) {
    case 'credential:request':
    case BREAK_GLASS:
      return fulfilCredential(deps, call, row);
    case 'statement:run':
    case 'http:call':
      return fulfilRun(deps, call, row);
    case 'agent:admit':
      return fulfilAtOnce(deps, call, id, (unit, locked) => admitAgent(unit, locked));
    case OPEN_GRANT:
      return fulfilAtOnce(deps, call, id, (unit, locked, permit) =>
        openGrant(unit, locked, permit),
      );
    case PREPARE_KIT:
      return fulfilAtOnce(deps, call, id, (unit, locked, permit) => openKit(unit, locked, permit));
    case 'agent:add_key':
      return fulfilAtOnce(deps, call, id, (unit, locked) => addApprovedKey(unit, locked));
    case 'policy:activate':
      return fulfilAtOnce(deps, call, id, (unit, locked) =>
        changePolicy(unit, deps, locked.action.resource.id as Digest, aboutRequest(locked)),
      );
    case 'agent:change_owner':
      return fulfilAtOnce(deps, call, id, (unit, locked) => changeOwner(unit, locked));
    case 'kill:lift':
      return fulfilAtOnce(deps, call, id, (unit, locked) =>
        liftStop(unit, locked.action.resource.id, locked),
      );
    case ACCESS_ACTION:
      // Done by whoever asked, who comes for the answer; until then it is theirs to use.
      return { outcome: 'done' };
    default:
      return fail(deps, call, id, 'unknown_action');
  }
}

/** An effect on our own rows: the permit, the effect and the end of the request are one transaction. */
async function fulfilAtOnce(
  deps: Deps,
  call: Call,
  id: string,
  effect: (unit: Unit, row: RequestRow, permit: PermitRow['id']) => Promise<Refusal | null | void>,
): Promise<Fulfilment> {
  return transact(deps, call, async (unit): Promise<Fulfilment> => {
    const row = await lockRequest(unit, id);
    if (row.state !== 'approved') return { outcome: 'done' };
    const redeemed = await redeemPermit(unit, deps, row);
    if (redeemed instanceof Refusal) {
      if (redeemed.code === 'sensor_silent') return { outcome: 'later', code: redeemed.code };
      await failRequest(unit, row, redeemed.code);
      if (row.action.action === 'agent:admit') await rejectAgent(unit, row, redeemed.code);
      return { outcome: 'failed', code: redeemed.code };
    }
    const refused = await effect(unit, row, redeemed.id);
    if (refused) {
      await failRequest(unit, row, refused.code);
      return { outcome: 'failed', code: refused.code };
    }
    await moveRequest(unit, row, 'consumed');
    unit.emit('receipt.recorded', {
      subject: row.id,
      request: row.id,
      agent: row.agent,
      control: row.controls[0] ?? null,
      detail: {
        permit: redeemed.id,
        digest_matches: true,
        outcome: 'done',
        effect: row.action.resource.id,
      },
      private: { result_digest: null },
    });
    return { outcome: 'done' };
  });
}

/** What the last try came to, for whoever collects meanwhile; a lasting failure overwrites it. */
async function noteFailure(
  deps: Deps,
  call: Call,
  row: RequestRow,
  { code, members }: Refusal,
): Promise<void> {
  const { target_code: said } = members;
  const failure = typeof said === 'string' ? said : code;
  await transact(deps, call, (unit) =>
    unit.sql
      .update(request)
      .set({ failure })
      .where(and(eq(request.id, row.id), eq(request.state, 'approved'))),
  );
}

type LeasePlan = { lease: CredentialRow; sealTo: RequestRow['sealTo'] } | Fulfilment;

async function fulfilCredential(deps: Deps, call: Call, row: RequestRow): Promise<Fulfilment> {
  const plan = await transact(deps, call, (unit) => planLease(unit, deps, row));
  if ('outcome' in plan) return plan;
  deps.crashPoint('fulfil:redeemed');
  const key = await readPublicKey(plan.sealTo ?? {}, 'seal_key_invalid');
  const answer = await issueLease(deps, call, {
    lease: plan.lease,
    sealTo: key.jwk,
    once: null,
    answer: (lease) => ({ status: 201, body: lease.id }),
  });
  if (!(answer instanceof Refusal)) return { outcome: 'done' };
  if (answer.code === 'policy_changed') return fail(deps, call, row.id, answer.code);
  await noteFailure(deps, call, row, answer);
  return { outcome: 'later', code: answer.code };
}

async function planLease(unit: Unit, deps: Deps, seen: RequestRow): Promise<LeasePlan> {
  let agent;
  let owner;
  try {
    agent = await lockActiveAgent(unit, asAgentId(seen.agent ?? ''));
    owner = await lockRunningTask(unit, seen.task ?? '', agent.id);
    await lockActiveChain(unit, owner.chain.slice(1));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const row = await lockRequest(unit, seen.id);
    if (row.state === 'approved') await failRequest(unit, row, 'task_not_running');
    return { outcome: 'failed', code: 'task_not_running' };
  }
  const row = await lockRequest(unit, seen.id);
  if (row.state !== 'approved') return { outcome: 'done' };
  const earlier = await resumable(unit, row);
  if (earlier) return earlier;
  const emergency = await lockEmergency(unit, row);
  if (emergency instanceof Refusal) {
    await failRequest(unit, row, emergency.code);
    return { outcome: 'failed', code: emergency.code };
  }
  const redeemed = await redeemPermit(unit, deps, row);
  if (redeemed instanceof Refusal) {
    // An approval that lapsed is closed by the clock; anything else can never be carried out.
    if (redeemed.code === 'approval_lapsed') return { outcome: 'failed', code: redeemed.code };
    if (redeemed.code === 'sensor_silent') return { outcome: 'later', code: redeemed.code };
    await failRequest(unit, row, redeemed.code);
    return { outcome: 'failed', code: redeemed.code };
  }
  const bundle = await activeBundle(unit, deps.policies);
  const action = effectiveAction(row);
  const definition = bundle.roles.get(action.resource.id);
  if (!definition) throw new Error('a redeemed permit names a role that policy no longer has');
  const { ttl_seconds: ttl, options = {} } = action.parameters;
  const wanted = addSeconds(unit.at, Number(ttl));
  const key = await readPublicKey(row.sealTo ?? {}, 'seal_key_invalid');
  const lease = await intendLease(unit, {
    task: owner.id,
    agent: agent.id,
    chain: owner.chain,
    // The key that was approved, and no other.
    confirmation: readConfirmation(action.parameters['confirmation']),
    role: action.resource.id,
    definition,
    targetDefinition: bundle.targets.get(targetOf(definition)) ?? null,
    holder: 'agent',
    options: asOptions(options),
    control: row.controls[0] ?? null,
    request: row.id,
    permit: redeemed.id,
    // Nothing that was approved outlives its approval (I3).
    expiresAt: earliest(wanted, owner.deadlineAt, redeemed.expiresAt),
    sealThumbprint: key.thumbprint,
  });
  await linkCredential(unit, row.id, lease.id);
  if (emergency) await openEmergency(unit, emergency, row, lease.expiresAt);
  return { lease, sealTo: row.sealTo };
}

/** Written by `credentialAction`, from what the kind of access read. */
const asOptions = (options: JsonValue): JsonObject => options as JsonObject;

/** The lease that an earlier run of this began: finished, or to be taken over. */
async function resumable(unit: Unit, row: RequestRow): Promise<LeasePlan | null> {
  if (row.credential === null) return null;
  const lease = await lockLease(unit, row.credential);
  if (lease.state === 'active') return { outcome: 'done' };
  // A lease that never came to be frees its permit; one that was revoked stays revoked.
  if (lease.state !== 'pending')
    return lease.because === 'issue_abandoned' ? null : { outcome: 'done' };
  const retaken = await retakeLease(unit, lease.id);
  return retaken ? { lease: retaken, sealTo: row.sealTo } : null;
}

async function fail(deps: Deps, call: Call, id: string, code: string): Promise<Fulfilment> {
  await transact(deps, call, async (unit) => {
    const row = await lockRequest(unit, id);
    if (row.state === 'approved') await failRequest(unit, row, code);
  });
  return { outcome: 'failed', code };
}
