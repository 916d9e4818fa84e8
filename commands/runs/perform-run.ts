// One attempt at a run, step by step; each step can be the last before a crash, and the next one to come then asks
// the target what became of it.
import { eq } from 'drizzle-orm';
import type { CredentialRow, RunRow } from '../../db/rows.ts';
import { credential } from '../../db/schema/index.ts';
import { digestOf } from '../../domain/digest.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { sealTo, type PublicKey } from '../../keys/public-key.ts';
import { TargetError } from '../credentials/issuer.ts';
import { abandonLease } from '../credentials/leases.ts';
import type { Deps } from '../deps.ts';
import { readActiveBundle } from '../policy/policies.ts';
import { transact, type Call } from '../unit.ts';
import { endUnanswered, resolveCall } from './call-runs.ts';
import { openLogin } from './own-login.ts';
import { StatementError, type Ran, type StatementToRun } from './runner.ts';
import { findRun, finishRun, recordBeforeCommit, type Performed } from './runs.ts';

export interface Attempt {
  run: RunRow;
  lease: CredentialRow;
  statement: StatementToRun;
  sealKey: PublicKey['jwk'];
}

/** Makes the login, runs the statement and commits it while everything it stands on holds. */
export async function performRun(deps: Deps, call: Call, attempt: Attempt): Promise<Performed> {
  const { run, lease } = attempt;
  deps.crashPoint('run:intended');
  const material = await openLogin(deps, call, lease);
  if ('code' in material) return { kind: 'later', code: material.code };
  deps.crashPoint('run:login');
  try {
    await deps.runner.run(material.login, attempt.statement, (ran) =>
      keepResult(deps, call, attempt, ran),
    );
  } catch (error) {
    return whenNotCommitted(deps, call, attempt, error);
  }
  deps.crashPoint('run:committed');
  return { kind: 'ended', run: await endAsDone(deps, call, run.id) };
}

async function endAsDone(deps: Deps, call: Call, id: Id<'run'>): Promise<RunRow> {
  return transact(deps, call, async (unit) => {
    const kept = await findRun(unit.sql, id);
    const outcome = kept?.transaction === null ? 'read' : 'committed';
    return finishRun(unit, id, { state: 'done', outcome, code: null });
  });
}

async function keepResult(deps: Deps, call: Call, attempt: Attempt, ran: Ran): Promise<void> {
  const result: JsonObject = {
    kind: 'rows',
    columns: ran.columns,
    rows: ran.rows,
    row_count: ran.rowCount,
    is_cut: ran.isCut,
  };
  const kept = {
    transaction: ran.transaction,
    rows: ran.rowCount,
    resultDigest: digestOf('countersign/result/v1', result),
    sealed: await sealTo(attempt.sealKey, result),
  };
  deps.crashPoint('run:ran');
  await transact(deps, call, (unit) => recordBeforeCommit(unit, attempt.run, kept));
  deps.crashPoint('run:kept');
}

async function whenNotCommitted(
  deps: Deps,
  call: Call,
  { run, sealKey }: Attempt,
  error: unknown,
): Promise<Performed> {
  if (error instanceof StatementError) {
    const sealed = await sealTo(sealKey, { kind: 'error', ...error.said });
    const end = { state: 'failed' as const, outcome: null, code: error.code.toLowerCase(), sealed };
    return {
      kind: 'ended',
      run: await transact(deps, call, (unit) => finishRun(unit, run.id, end)),
    };
  }
  if (error instanceof TargetError) return resolveRun(deps, call, run.id);
  // Ours: another attempt took over, or the task ended; the target rolled it back either way.
  if (error instanceof Refusal && error.code === 'task_not_running') {
    const end = { state: 'failed' as const, outcome: null, code: error.code };
    return {
      kind: 'ended',
      run: await transact(deps, call, (unit) => finishRun(unit, run.id, end)),
    };
  }
  if (error instanceof Refusal) return { kind: 'later', code: 'superseded' };
  throw error;
}

/** Finds out what became of a run whose runner cannot tell: by the target's own record of its transaction. */
export async function resolveRun(deps: Deps, call: Call, id: Id<'run'>): Promise<Performed> {
  const row = await findRun(deps.db.query, id);
  if (!row) throw new Refusal('not_found', 'There is no such run.');
  if (row.upstream !== null) return resolveCall(deps, row);
  if (row.state !== 'running') return { kind: 'ended', run: row };
  // It never came to where it could be committed, or its result stands and there was nothing to commit.
  if (row.transaction === null)
    return row.resultDigest === null
      ? { kind: 'later', code: 'not_run' }
      : { kind: 'ended', run: await endAsDone(deps, call, id) };
  const bundle = await readActiveBundle(deps.db.query, deps.policies);
  const definition = bundle.targets.get(row.target) ?? null;
  try {
    const fate = await deps.runner.fateOf({ name: row.target, definition }, row.transaction);
    if (fate === 'committed') return { kind: 'ended', run: await endAsDone(deps, call, id) };
    if (fate === 'unknown') {
      const end = { state: 'unknown' as const, outcome: null, code: 'forgotten' };
      return { kind: 'ended', run: await transact(deps, call, (unit) => finishRun(unit, id, end)) };
    }
    return { kind: 'later', code: fate };
  } catch (error) {
    if (error instanceof TargetError) return { kind: 'later', code: error.code };
    throw error;
  }
}

/** Ends a run that nobody will try again, and gives its lease up. */
export async function giveUpRun(
  deps: Deps,
  call: Call,
  { run, code }: { run: RunRow; code: string },
): Promise<RunRow> {
  return transact(deps, call, async (unit) => {
    const ended =
      run.upstream === null
        ? await finishRun(unit, run.id, { state: 'failed', outcome: null, code })
        : await endUnanswered(unit, run, code);
    if (run.credential === null) return ended;
    const [lease] = await unit.sql
      .select()
      .from(credential)
      .where(eq(credential.id, run.credential));
    if (lease?.state === 'pending') await abandonLease(unit, lease);
    return ended;
  });
}
