// Ending leases in one target: what is due, what was abandoned, and what no lease accounts for.
import { isIssuerName, OWN_TARGETS, type IssuerName } from '../commands/access/kinds.ts';
import type { Deps } from '../commands/deps.ts';
import { openHandles } from '../commands/issue.ts';
import type { LeaseToEnd, TargetRef } from '../commands/issuer.ts';
import {
  beginReaping,
  closeLease,
  dueLeases,
  failLease,
  nextDueAt,
  orphansAmong,
} from '../commands/leases.ts';
import { readActiveBundle } from '../commands/policies.ts';
import { transact, type Call, type Unit } from '../commands/unit.ts';
import type { CredentialRow } from '../db/rows.ts';
import type { Reaped } from '../workflows/contract.ts';
import { endCredentials, type Ended } from './ending.ts';

/** Leases ended in one go: enough to be quick, few enough to finish within a heartbeat or two. */
const BATCH_MAX = 100;

/** Ends what is due in a target and says when there is more to do. */
export async function reap(deps: Deps, call: Call, target: string): Promise<Reaped> {
  const due = await transact(deps, call, async (unit) => {
    const rows = await dueLeases(unit, target, BATCH_MAX);
    await beginReaping(unit, rows);
    return rows;
  });
  deps.crashPoint('reap:intended');
  const [first] = due;
  if (first) {
    const { issuer, ref } = await targetOf(deps, target, first.issuer);
    const ended = await endCredentials(
      deps.issuers[issuer],
      ref,
      due.map((row) => leaseToEnd(deps, row)),
    );
    deps.crashPoint('reap:revoked');
    await record(deps, call, ended);
  }
  const next = await transact(deps, call, (unit) => nextDueAt(unit, target));
  return { nextDueAt: next, more: due.length === BATCH_MAX };
}

const leaseToEnd = (deps: Deps, row: CredentialRow): LeaseToEnd => ({
  credential: row.id,
  handles: openHandles(deps.vault, row),
  diesAt: row.diesAt,
});

async function record(deps: Deps, call: Call, ended: readonly Ended[]): Promise<void> {
  await transact(deps, call, async (unit) => {
    // Sorted, so that two batches never lock the same leases in different orders.
    for (const { outcome, death, isOver } of ended.toSorted((a, b) =>
      a.outcome.credential < b.outcome.credential ? -1 : 1,
    )) {
      const { credential, code, sessionsEnded, tryAt } = outcome;
      if (isOver) await closeLease(unit, credential, { sessionsEnded, seenGone: death === 'gone' });
      else await failLease(unit, credential, code ?? 'still_there', tryAt);
    }
  });
}

/** Compares the logins in a target with the leases and ends those that nobody leases. */
export async function sweep(deps: Deps, call: Call, target: string): Promise<void> {
  const { issuer, ref } = await targetOf(deps, target, null);
  const found = await deps.issuers[issuer].list(ref).catch(() => null);
  // A target that cannot be asked now is asked again at the next sweep; reaping does not wait for that.
  if (found === null) return;
  const orphans = await transact(deps, call, (unit) => orphansAmong(unit, target, found));
  if (orphans.length === 0) return;
  const ended = await endCredentials(
    deps.issuers[issuer],
    ref,
    orphans.map((credential) => ({ credential, handles: [], diesAt: null })),
  );
  await transact(deps, call, (unit) => {
    for (const each of ended) reportOrphan(unit, target, each);
    return Promise.resolve();
  });
}

function reportOrphan(unit: Unit, target: string, { outcome, isOver }: Ended): void {
  unit.emit('runtime.observed', {
    subject: outcome.credential,
    decision: isOver ? 'removed' : 'remains',
    detail: {
      kind: 'orphan_login',
      target,
      grade: 'C',
      controls: [],
      credential: outcome.credential,
      login: 'ours',
      effect: 'login',
      outcome: isOver ? 'removed' : (outcome.code ?? 'still_there'),
      session_ref: null,
      at: unit.at,
      skew_ms: 0,
      statements: 0,
    },
    private: { login_name: null, statement_digest: null, objects: null },
  });
}

/** The issuer and definition of a target. One that policy no longer has can only be reported as failing. */
async function targetOf(
  deps: Deps,
  target: string,
  issuedBy: string | null,
): Promise<{ issuer: IssuerName; ref: TargetRef }> {
  const bundle = await readActiveBundle(deps.db.query, deps.policies);
  const definition = bundle.targets.get(target) ?? null;
  const named = OWN_TARGETS.get(target) ?? definition?.issuer ?? issuedBy ?? '';
  const issuer = isIssuerName(named) ? named : 'postgres';
  return { issuer, ref: { name: target, definition } };
}
