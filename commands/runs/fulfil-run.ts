// Carrying out a statement or a call that people agreed to: once, however often this is tried.
import type { PermitRow, RequestRow, TaskRow } from '../../db/rows.ts';
import { Refusal } from '../../domain/refusal.ts';
import { readPublicKey } from '../../keys/public-key.ts';
import { asAgentId } from '../agents/agents.ts';
import { lockActiveAgent, lockActiveChain } from '../agents/tasks.ts';
import type { Fulfilment } from '../approvals/fulfil.ts';
import { redeemPermit } from '../approvals/permits.ts';
import { failRequest } from '../approvals/request-ends.ts';
import { lockRequest } from '../approvals/requests.ts';
import { lockRunningTask } from '../credentials/credentials.ts';
import type { Deps } from '../deps.ts';
import { databaseTime, transact, type Call, type Unit } from '../unit.ts';
import { outcomeOf, type Planned } from './approved-run.ts';
import { beginCall, retakeCall } from './fulfil-call.ts';
import { beginStatement, retakeStatement } from './fulfil-statement.ts';
import { giveUpRun, resolveRun } from './perform-run.ts';
import { endRunLease, runOfRequest, strayRuns } from './runs.ts';

/** Runs what an approved request is about. */
export async function fulfilRun(deps: Deps, call: Call, row: RequestRow): Promise<Fulfilment> {
  const begun = await runOfRequest(deps.db.query, row.id);
  if (begun) {
    const resolved = await resolveRun(deps, call, begun.id);
    if (resolved.kind === 'ended') return outcomeOf(resolved.run);
    // The target, or whoever sent it, ends it before long.
    if (resolved.code === 'in_progress') return { outcome: 'later', code: resolved.code };
  }
  const plan = await transact(deps, call, (unit) => planAttempt(unit, deps, row));
  if ('outcome' in plan) return plan;
  deps.crashPoint('run:redeemed');
  const performed = await plan.perform(deps, call);
  return performed.kind === 'ended'
    ? outcomeOf(performed.run)
    : { outcome: 'later', code: performed.code };
}

async function planAttempt(
  unit: Unit,
  deps: Deps,
  seen: RequestRow,
): Promise<Planned | Fulfilment> {
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
  const about = { row, owner, sealKey: await readPublicKey(row.sealTo ?? {}, 'seal_key_invalid') };
  const isCall = row.action.action === 'http:call';
  const begun = await runOfRequest(unit.sql, row.id);
  if (begun)
    return isCall ? retakeCall(unit, deps, about, begun) : retakeStatement(unit, about, begun);
  const redeemed = await redeem(unit, deps, row);
  if ('outcome' in redeemed) return redeemed;
  return isCall
    ? beginCall(unit, deps, about, redeemed)
    : beginStatement(unit, deps, about, redeemed);
}

async function redeem(unit: Unit, deps: Deps, row: RequestRow): Promise<PermitRow | Fulfilment> {
  const redeemed = await redeemPermit(unit, deps, row);
  if (!(redeemed instanceof Refusal)) return redeemed;
  if (redeemed.code === 'sensor_silent') return { outcome: 'later', code: redeemed.code };
  // An approval that lapsed is closed by the clock; anything else can never be carried out.
  if (redeemed.code !== 'approval_lapsed') await failRequest(unit, row, redeemed.code);
  return { outcome: 'failed', code: redeemed.code };
}

/** Runs looked after in one go. */
const SWEEP_MAX = 20;

/** Ends runs that nobody will carry on: by the target's own record of what they did, or by our own of what went out. */
export async function sweepRuns(deps: Deps, call: Call): Promise<boolean> {
  const due = await strayRuns(deps.db.query, await databaseTime(deps.db.query), SWEEP_MAX);
  for (const run of due) {
    const resolved = await resolveRun(deps, call, run.id);
    if (resolved.kind === 'ended') continue;
    if (resolved.code !== 'in_progress') {
      if (GIVEN_UP.includes(resolved.code))
        await giveUpRun(deps, call, { run, code: resolved.code });
      continue;
    }
    // Ending the login ends its session, and what that had open; then the target can say.
    const { credential } = run;
    if (credential !== null) await transact(deps, call, (unit) => endRunLease(unit, credential));
  }
  return false;
}

/** What a run came to that nobody will try again. */
const GIVEN_UP: readonly string[] = ['not_run', 'aborted', 'no_answer'];
