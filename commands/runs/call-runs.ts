// Runs that are HTTP calls: counted as sent before the first byte goes out, and ended honestly where no answer came.
import { eq } from 'drizzle-orm';
import type { CredentialRow, RunRow, TaskRow } from '../../db/rows.ts';
import { run } from '../../db/schema/index.ts';
import type { Digest } from '../../domain/digest.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds, earliest } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import { targetOf } from '../access/kinds.ts';
import { lockActiveAgent, lockActiveChain } from '../agents/tasks.ts';
import { lockRequest } from '../approvals/requests.ts';
import { lockRunningTask } from '../credentials/credentials.ts';
import { intendLease, lockLease } from '../credentials/leases.ts';
import type { Deps } from '../deps.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { databaseTime, type Unit } from '../unit.ts';
import type { PreparedCall } from './http-call.ts';
import {
  aboutRun,
  finishRun,
  lockRun,
  runLeaseSeconds,
  type Performed,
  type RunInput,
} from './runs.ts';

/** A call of which no answer comes goes out this often at most, where it may go out again at all. */
const SENDS_MAX = 3;

/** After its own time limit: writing down what came of it. */
const AFTER_SECONDS = 15;

/** What a call is made under. */
interface UnderTask {
  owner: TaskRow;
  prepared: PreparedCall;
  control: string | null;
  request: Id<'request'> | null;
  permit: Id<'permit'> | null;
  sealThumbprint: string;
}

/** A call as a run of its own. */
export function ofCall(
  about: UnderTask & { lease: CredentialRow | null; digest: Digest },
): RunInput {
  const { owner, prepared, control, request, permit, sealThumbprint, lease, digest } = about;
  const { wish, shape, retry, upstream } = prepared;
  return {
    for: { task: owner.id, agent: owner.agent, control, request, permit, sealThumbprint },
    what: {
      role: null,
      target: wish.upstream,
      upstream: wish.upstream,
      call: wish.call,
      retry,
      effect: shape.effect,
    },
    credential: lease?.id ?? null,
    digest,
    timeoutSeconds: upstream.timeout_seconds,
  };
}

/** Writes down the token that a call signs in with; null where it is a secret of ours, which nothing is made for. */
export async function intendToken(
  unit: Unit,
  bundle: PolicyBundle,
  about: UnderTask & { until: string; evaluation?: Id<'evaluation'> },
): Promise<CredentialRow | null> {
  const { owner, prepared, control, request, permit, sealThumbprint } = about;
  const { authentication, timeout_seconds: seconds } = prepared.upstream;
  if (authentication.role === undefined) return null;
  const definition = bundle.roles.get(authentication.role);
  if (!definition) throw new Error('an upstream names a role that its policy does not have');
  return intendLease(unit, {
    task: owner.id,
    agent: owner.agent,
    chain: owner.chain,
    confirmation: null,
    role: authentication.role,
    definition,
    targetDefinition: bundle.targets.get(targetOf(definition)) ?? null,
    holder: 'service',
    options: {},
    control,
    evaluation: about.evaluation ?? null,
    request,
    permit,
    // It may go out a few times, and then a few seconds later each time.
    expiresAt: earliest(addSeconds(unit.at, SENDS_MAX * runLeaseSeconds(seconds)), about.until),
    sealThumbprint,
  });
}

/**
 * The last word before the first byte: the agent and its task are as they should be, the approval is good, nothing was
 * revoked, and no other attempt took over. From here on it counts as sent, whatever becomes of us.
 */
export async function recordBeforeSend(
  unit: Unit,
  seen: RunRow,
  timeoutSeconds: number,
): Promise<RunRow> {
  const agent = await lockActiveAgent(unit, seen.agent);
  const owner = await lockRunningTask(unit, seen.task, agent.id);
  await lockActiveChain(unit, owner.chain.slice(1));
  if (seen.request !== null) await refuseUnlessGood(unit, seen.request);
  const current = await lockRun(unit, seen.id);
  if (current.state !== 'running' || current.attempt !== seen.attempt)
    throw new Refusal(
      'wrong_state',
      'Another attempt at this run took over: GET /v1/runs/{id} has what comes of it.',
    );
  const lease = current.credential === null ? null : await lockLease(unit, current.credential);
  const now = await unit.readClock();
  if (lease && (lease.state !== 'active' || !(now < lease.expiresAt)))
    throw new Refusal(
      'task_not_running',
      'What the call would sign in with has ended: ask again under a task that runs.',
    );
  const change = {
    sends: current.sends + 1,
    runBy: addSeconds(now, timeoutSeconds + AFTER_SECONDS),
  };
  await unit.sql.update(run).set(change).where(eq(run.id, current.id));
  const row = { ...current, ...change };
  unit.emit('run.sent', {
    ...aboutRun(row),
    detail: { run: row.id, sends: row.sends, attempt: row.attempt, run_by: row.runBy },
    private: {},
  });
  return row;
}

async function refuseUnlessGood(unit: Unit, id: string): Promise<void> {
  const { state, approvedUntil } = await lockRequest(unit, id);
  const now = await unit.readClock();
  if (state !== 'approved' || approvedUntil === null || !(now < approvedUntil))
    throw new Refusal('approval_lapsed', 'The approval ended before the call went out: ask again.');
}

/** Whether a call of which no answer came may go out once more. */
export const mayGoAgain = ({ retry, sends }: RunRow): boolean =>
  retry !== null && retry !== 'never' && sends < SENDS_MAX;

/** Ends a call of which there is no answer. What went out and changes something may have done so. */
export async function endUnanswered(unit: Unit, seen: RunRow, code: string): Promise<RunRow> {
  // In the order of whoever ends a task; from here on nobody sends it.
  if (seen.request !== null) await lockRequest(unit, seen.request);
  const row = await lockRun(unit, seen.id);
  if (row.state !== 'running' || row.attempt !== seen.attempt) return row;
  const state = row.sends > 0 && row.effect !== 'read' ? 'unknown' : 'failed';
  return finishRun(unit, row.id, { state, outcome: null, code });
}

/** Finds out what became of a call whose sender was not heard of again, by what it had written down. */
export async function resolveCall(deps: Deps, row: RunRow): Promise<Performed> {
  if (row.state !== 'running') return { kind: 'ended', run: row };
  // Whoever takes it over from here on sends it, and whoever had it before is refused when they want to.
  if (row.sends === 0) return { kind: 'later', code: 'not_run' };
  // By then it has its answer, or died.
  const isOver = row.runBy <= (await databaseTime(deps.db.query));
  return { kind: 'later', code: isOver ? 'no_answer' : 'in_progress' };
}
