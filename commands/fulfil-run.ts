// Carrying out a statement that people agreed to: once, however often this is tried.
import type { CredentialRow, RequestRow, RunRow, TaskRow } from '../db/rows.ts';
import { addSeconds, earliest } from '../domain/instant.ts';
import { Refusal } from '../domain/refusal.ts';
import { readPublicKey } from '../keys/public-key.ts';
import { asAgentId } from './agents.ts';
import { linkCredential, lockRunningTask } from './credentials.ts';
import type { Deps } from './deps.ts';
import type { Fulfilment } from './fulfil.ts';
import { intendLease, lockLease, reissueLease, retakeLease } from './leases.ts';
import { giveUpRun, performRun, resolveRun } from './perform-run.ts';
import { redeemPermit } from './permits.ts';
import { activeBundle } from './policies.ts';
import { failRequest, lockRequest } from './requests.ts';
import { statementOf } from './run-statement.ts';
import {
  endRunLease,
  intendRun,
  lockRun,
  strayRuns,
  retakeRun,
  runLeaseSeconds,
  runOfRequest,
} from './runs.ts';
import { lockActiveAgent, lockActiveChain } from './tasks.ts';
import { databaseTime, transact, type Call, type Unit } from './unit.ts';

/** Runs the statement of an approved request. */
export async function fulfilRun(deps: Deps, call: Call, row: RequestRow): Promise<Fulfilment> {
  const begun = await runOfRequest(deps.db.query, row.id);
  if (begun) {
    const resolved = await resolveRun(deps, call, begun.id);
    if (resolved.kind === 'ended') return outcomeOf(resolved.run);
    // Its transaction is still open in the target, which ends it before long.
    if (resolved.code === 'in_progress') return { outcome: 'later', code: resolved.code };
  }
  const plan = await transact(deps, call, (unit) => planAttempt(unit, deps, row));
  if ('outcome' in plan) return plan;
  deps.crashPoint('run:redeemed');
  const key = await readPublicKey(plan.sealTo ?? {}, 'seal_key_invalid');
  const { run, lease } = plan;
  const statement = statementOf(row.action);
  const performed = await performRun(deps, call, { run, lease, statement, sealKey: key.jwk });
  return performed.kind === 'ended'
    ? outcomeOf(performed.run)
    : { outcome: 'later', code: performed.code };
}

const outcomeOf = (run: RunRow): Fulfilment =>
  run.state === 'done'
    ? { outcome: 'done' }
    : { outcome: 'failed', code: run.code ?? 'statement_failed' };

type AttemptPlan = { run: RunRow; lease: CredentialRow; sealTo: RequestRow['sealTo'] } | Fulfilment;

async function planAttempt(unit: Unit, deps: Deps, seen: RequestRow): Promise<AttemptPlan> {
  let owner: TaskRow;
  try {
    const agent = await lockActiveAgent(unit, asAgentId(seen.agent ?? ''));
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
  const begun = await runOfRequest(unit.sql, row.id);
  if (begun) return retake(unit, row, begun);
  const redeemed = await redeemPermit(unit, deps, row);
  if (redeemed instanceof Refusal) {
    // An approval that lapsed is closed by the clock; anything else can never be carried out.
    if (redeemed.code !== 'approval_lapsed') await failRequest(unit, row, redeemed.code);
    return { outcome: 'failed', code: redeemed.code };
  }
  const bundle = await activeBundle(unit, deps.policies);
  const definition = bundle.roles.get(row.action.resource.id);
  if (!definition) throw new Error('a redeemed permit names a role that policy no longer has');
  const statement = statementOf(row.action);
  const { timeoutSeconds } = statement;
  const key = await readPublicKey(row.sealTo ?? {}, 'seal_key_invalid');
  const lease = await intendLease(unit, {
    task: owner.id,
    agent: owner.agent,
    chain: owner.chain,
    confirmation: null,
    role: row.action.resource.id,
    definition,
    holder: 'service',
    options: {},
    control: row.controls[0] ?? null,
    request: row.id,
    permit: redeemed.id,
    // Nothing that was approved outlives its approval (I3).
    expiresAt: earliest(
      addSeconds(unit.at, runLeaseSeconds(timeoutSeconds)),
      owner.deadlineAt,
      redeemed.expiresAt,
    ),
    sealThumbprint: key.thumbprint,
  });
  await linkCredential(unit, row.id, lease.id);
  const run = await intendRun(unit, {
    lease,
    effect: statement.effect,
    digest: row.digest,
    timeoutSeconds,
  });
  return { run, lease, sealTo: row.sealTo };
}

/** Another attempt under the same lease: one approval never leads to a second login. */
async function retake(unit: Unit, row: RequestRow, seen: RunRow): Promise<AttemptPlan> {
  const begun = await lockRun(unit, seen.id);
  const before = await lockLease(unit, begun.credential);
  const lease =
    before.state === 'active'
      ? await reissueLease(unit, before, before.sealThumbprint)
      : await retakeLease(unit, before.id);
  if (begun.state !== 'running') return outcomeOf(begun);
  // Its time ran out with nothing done; the sweep over runs closes it.
  if (!lease) return { outcome: 'failed', code: 'target_unavailable' };
  const { timeoutSeconds } = statementOf(row.action);
  return { run: await retakeRun(unit, begun, lease, timeoutSeconds), lease, sealTo: row.sealTo };
}

/** Runs looked after in one go. */
const SWEEP_MAX = 20;

/** Ends runs that nobody will carry on: by the target's own record of what they did. */
export async function sweepRuns(deps: Deps, call: Call): Promise<boolean> {
  const due = await strayRuns(deps.db.query, await databaseTime(deps.db.query), SWEEP_MAX);
  for (const run of due) {
    const resolved = await resolveRun(deps, call, run.id);
    if (resolved.kind === 'ended') continue;
    // Ending the login ends its session, and what that had open; then the target can say.
    if (resolved.code === 'in_progress')
      await transact(deps, call, (unit) => endRunLease(unit, run.credential));
    else if (resolved.code === 'not_run' || resolved.code === 'aborted')
      await giveUpRun(deps, call, { run, code: resolved.code });
  }
  return false;
}
