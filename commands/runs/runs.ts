// Runs of single statements: written before their target is touched, committed there only while everything they
// stand on still holds, and resolved by asking the target when nobody lived to tell.
import { and, asc, eq, isNull, lt, ne, or } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { CredentialRow, RunRow } from '../../db/rows.ts';
import { credential, request, run } from '../../db/schema/index.ts';
import type { Digest } from '../../domain/digest.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import { canMove, type RunState } from '../../domain/lifecycle.ts';
import { Refusal } from '../../domain/refusal.ts';
import { revokeWhere } from '../agents/tasks.ts';
import { failRequest } from '../approvals/request-ends.ts';
import { lockRequest, moveRequest } from '../approvals/requests.ts';
import { lockLease } from '../credentials/leases.ts';
import { newId, type Unit } from '../unit.ts';

/** Beyond the statement's own time: making the login, and writing down what it did. */
const AROUND_SECONDS = 45;

export interface RunInput {
  /** What it is done under, and for whom. */
  for: {
    task: Id<'task'>;
    agent: Id<'agent'>;
    request: Id<'request'> | null;
    permit: Id<'permit'> | null;
    control: string | null;
    sealThumbprint: string;
  };
  what: Pick<RunRow, 'role' | 'target' | 'upstream' | 'call' | 'retry' | 'effect'>;
  credential: Id<'credential'> | null;
  digest: Digest;
  timeoutSeconds: number;
}

/** How long the login for one run is good at most. */
export const runLeaseSeconds = (timeoutSeconds: number): number => timeoutSeconds + AROUND_SECONDS;

/** Writes down a run that is about to begin; a lease that it takes was written with it. */
export async function intendRun(unit: Unit, input: RunInput): Promise<RunRow> {
  const row: RunRow = {
    id: newId('run'),
    ...input.for,
    ...input.what,
    digest: input.digest,
    credential: input.credential,
    state: 'running',
    attempt: 1,
    sends: 0,
    runBy: addSeconds(unit.at, runLeaseSeconds(input.timeoutSeconds)),
    ...NO_RESULT,
    outcome: null,
    code: null,
    createdAt: unit.at,
    finishedAt: null,
  };
  await unit.sql.insert(run).values(row);
  emitIntended(unit, row);
  return row;
}

/** A statement with the rights of a role, under the login that was written down for it. */
export const ofLease = (
  lease: CredentialRow,
  effect: string,
): Pick<RunInput, 'for' | 'what' | 'credential'> => ({
  for: {
    task: lease.task,
    agent: lease.agent,
    request: lease.request,
    permit: lease.permit,
    control: lease.control,
    sealThumbprint: lease.sealThumbprint,
  },
  what: {
    role: lease.role,
    target: lease.target,
    upstream: null,
    call: null,
    retry: null,
    effect,
  },
  credential: lease.id,
});

const NO_RESULT = {
  transaction: null,
  rows: null,
  status: null,
  bytes: null,
  isCut: null,
  isMasked: null,
  resultDigest: null,
  sealed: null,
};

/** Takes a run over whose runner was not heard of again: that one can no longer commit. */
export async function retakeRun(
  unit: Unit,
  before: RunRow,
  lease: Id<'credential'> | null,
  timeoutSeconds: number,
): Promise<RunRow> {
  const change = {
    attempt: before.attempt + 1,
    credential: lease,
    runBy: addSeconds(unit.at, runLeaseSeconds(timeoutSeconds)),
    ...NO_RESULT,
  };
  await unit.sql.update(run).set(change).where(eq(run.id, before.id));
  const row = { ...before, ...change };
  emitIntended(unit, row);
  return row;
}

function emitIntended(unit: Unit, row: RunRow): void {
  unit.emit('run.intended', {
    ...aboutRun(row),
    detail: {
      run: row.id,
      role: row.role,
      target: row.target,
      upstream: row.upstream,
      call: row.call,
      effect: row.effect,
      permit: row.permit,
      credential: row.credential,
      attempt: row.attempt,
      run_by: row.runBy,
    },
    private: {},
  });
}

/** The facts that every event about a run carries. */
export const aboutRun = (row: RunRow) => ({
  subject: row.id,
  task: row.task,
  agent: row.agent,
  request: row.request,
  control: row.control,
});

/** What one attempt came to. */
export type Performed =
  | { kind: 'ended'; run: RunRow }
  /** Nothing of it lasts so far, or nobody can tell yet: another attempt may be made. */
  | { kind: 'later'; code: string };

export interface RunResult {
  transaction: string | null;
  rows: number;
  resultDigest: Digest;
  sealed: string;
}

/**
 * The last word before the target's commit: this attempt is still the one, and its lease has not been ended. What it
 * did is kept from here on, under the name of the transaction that will or will not have been committed.
 */
export async function recordBeforeCommit(
  unit: Unit,
  row: RunRow,
  result: RunResult,
): Promise<RunRow> {
  const current = await lockRun(unit, row.id);
  if (current.state !== 'running' || current.attempt !== row.attempt)
    throw new Refusal(
      'wrong_state',
      'Another attempt at this run took over: GET /v1/runs/{id} has what comes of it.',
    );
  if (current.credential === null) throw new Error('a statement runs under a login');
  const lease = await lockLease(unit, current.credential);
  // Its time can be over before whoever ends it has come by: nothing is committed on what has expired (I3).
  if (lease.state !== 'active' || !((await unit.readClock()) < lease.expiresAt))
    throw new Refusal(
      'task_not_running',
      'The task or its approval ended while the statement ran: look at the target before you ask again.',
    );
  await unit.sql.update(run).set(result).where(eq(run.id, row.id));
  return { ...current, ...result };
}

export interface RunEnd {
  state: Exclude<RunState, 'running'>;
  outcome: RunRow['outcome'];
  code: string | null;
  /** What the target said about its no, sealed to the agent. */
  sealed?: string;
  /** What a call was answered with; of a statement that is written down before it is committed. */
  answer?: Pick<RunRow, 'status' | 'bytes' | 'isCut' | 'isMasked' | 'resultDigest' | 'sealed'>;
  /** Says that only this attempt ends it so: another that took over finds out by itself. */
  attempt?: number;
}

/** Ends a run, its login and the request that it carried out, in one transaction. Repeating it changes nothing. */
export async function finishRun(unit: Unit, id: Id<'run'>, end: RunEnd): Promise<RunRow> {
  const seen = await findRun(unit.sql, id);
  // The request before the run and its lease, as whoever ends a task locks them.
  const held = seen?.request ? await lockRequest(unit, seen.request) : null;
  const before = await lockRun(unit, id);
  if (before.state !== 'running' || before.attempt !== (end.attempt ?? before.attempt))
    return before;
  if (!canMove('run', before.state, end.state)) throw new Error(`a run cannot end ${end.state}`);
  const { state, outcome, code, sealed = null, answer = {} } = end;
  // What was rolled back was never a result.
  const lasting = state === 'done' ? answer : { rows: null, resultDigest: null, sealed };
  const change = { state, outcome, code, ...lasting, finishedAt: await unit.readClock() };
  await unit.sql.update(run).set(change).where(eq(run.id, id));
  const row: RunRow = { ...before, ...change };
  emitFinished(unit, row);
  if (row.credential !== null) await endRunLease(unit, row.credential);
  if (held?.state === 'approved')
    if (state === 'done') await moveRequest(unit, held, 'consumed');
    else await failRequest(unit, held, failureOf(row));
  unit.changed(row.id);
  return row;
}

function failureOf({ state, upstream }: RunRow): string {
  if (state !== 'failed') return 'run_unknown';
  return upstream === null ? 'statement_failed' : 'call_failed';
}

/** Ends the login of a run, and with it whatever its session has open. */
export async function endRunLease(unit: Unit, lease: Id<'credential'>): Promise<void> {
  await revokeWhere(unit, and(eq(credential.id, lease)), 'run_ended', null);
}

function emitFinished(unit: Unit, row: RunRow): void {
  unit.emit('run.finished', {
    ...aboutRun(row),
    detail: {
      run: row.id,
      state: row.state,
      outcome: row.outcome,
      code: row.code,
      rows: row.rows,
      status: row.status,
      bytes: row.bytes,
      is_cut: row.isCut,
      is_masked: row.isMasked,
      sends: row.sends,
      permit: row.permit,
      credential: row.credential,
      attempt: row.attempt,
    },
    private: { result_digest: row.resultDigest },
  });
  if (row.permit !== null)
    unit.emit('receipt.recorded', {
      ...aboutRun(row),
      detail: {
        permit: row.permit,
        digest_matches: true,
        outcome: row.outcome ?? row.state,
        effect: row.id,
      },
      private: { result_digest: row.resultDigest },
    });
}

export async function lockRun(unit: Unit, id: Id<'run'>): Promise<RunRow> {
  const [row] = await unit.sql.select().from(run).where(eq(run.id, id)).for('update');
  if (!row) throw new Refusal('not_found', 'There is no such run.');
  return row;
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
export const asRunId = (id: string): Id<'run'> => id as Id<'run'>;

export async function findRun(query: Query | Transaction, id: string): Promise<RunRow | null> {
  const [row] = await query
    .select()
    .from(run)
    .where(eq(run.id, asRunId(id)));
  return row ?? null;
}

/** The run of a request, if it has begun. */
export async function runOfRequest(
  query: Query | Transaction,
  request: Id<'request'>,
): Promise<RunRow | null> {
  const [row] = await query.select().from(run).where(eq(run.request, request));
  return row ?? null;
}

/**
 * Runs of whose end nobody told: their time is over, or nobody may carry them out any more. While an approval is
 * good its workflow looks after them.
 */
export async function strayRuns(query: Query, now: string, limit: number): Promise<RunRow[]> {
  const rows = await query
    .select({ run })
    .from(run)
    .leftJoin(request, eq(request.id, run.request))
    .where(
      and(
        eq(run.state, 'running'),
        or(and(isNull(run.request), lt(run.runBy, now)), ne(request.state, 'approved')),
      ),
    )
    .orderBy(asc(run.runBy))
    .limit(limit);
  return rows.map((row) => row.run);
}

/** Results wait a day for whoever asked. */
const RESULT_DAYS = 1;

export async function forgetOldResults(unit: Unit): Promise<void> {
  await unit.sql
    .update(run)
    .set({ sealed: null })
    .where(lt(run.finishedAt, addSeconds(unit.at, -RESULT_DAYS * 86_400)));
}
