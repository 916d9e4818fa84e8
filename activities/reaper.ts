// Ending leases in one target: what is due, what was abandoned, and what no lease accounts for.
import type { Deps } from '../commands/deps.ts';
import type { RevokeOutcome, TargetRef } from '../commands/issuer.ts';
import {
  beginReaping,
  closeLease,
  dueLeases,
  failLease,
  nextDueAt,
  orphansAmong,
} from '../commands/leases.ts';
import { readActiveBundle } from '../commands/policies.ts';
import { OWN_TOKENS, type IssuerName } from '../commands/policy-bundle.ts';
import { transact, type Call, type Unit } from '../commands/unit.ts';
import type { Reaped } from '../workflows/contract.ts';

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
  if (due.length > 0) {
    const { issuer, ref } = await targetRef(deps, target, due[0]?.issuer);
    const outcomes = await deps.issuers[issuer].revoke(
      ref,
      due.map((row) => row.id),
    );
    deps.crashPoint('reap:revoked');
    await record(deps, call, outcomes);
  }
  const next = await transact(deps, call, (unit) => nextDueAt(unit, target));
  return { nextDueAt: next, more: due.length === BATCH_MAX };
}

async function record(deps: Deps, call: Call, outcomes: readonly RevokeOutcome[]): Promise<void> {
  await transact(deps, call, async (unit) => {
    // Sorted, so that two batches never lock the same leases in different orders.
    for (const outcome of outcomes.toSorted((a, b) => (a.credential < b.credential ? -1 : 1)))
      if (outcome.gone) await closeLease(unit, outcome.credential, outcome.sessionsEnded);
      else await failLease(unit, outcome.credential, outcome.code);
  });
}

/** Compares the logins in a target with the leases and ends those that nobody leases. */
export async function sweep(deps: Deps, call: Call, target: string): Promise<void> {
  const { issuer, ref } = await targetRef(deps, target, undefined);
  if (ref.definition === null) return;
  const found = await deps.issuers[issuer].list(ref).catch(() => null);
  // A target that cannot be asked now is asked again at the next sweep; reaping does not wait for that.
  if (found === null) return;
  const orphans = await transact(deps, call, (unit) => orphansAmong(unit, target, found));
  if (orphans.length === 0) return;
  const outcomes = await deps.issuers[issuer].revoke(ref, orphans);
  await transact(deps, call, (unit) => {
    for (const outcome of outcomes) reportOrphan(unit, target, outcome);
    return Promise.resolve();
  });
}

function reportOrphan(unit: Unit, target: string, outcome: RevokeOutcome): void {
  unit.emit('runtime.observed', {
    subject: outcome.credential,
    decision: outcome.gone ? 'removed' : 'remains',
    detail: {
      kind: 'orphan_login',
      target,
      grade: 'C',
      controls: [],
      credential: outcome.credential,
      login: 'ours',
      effect: 'login',
      outcome: outcome.gone ? 'removed' : outcome.code,
      session_ref: null,
      at: unit.at,
      skew_ms: 0,
      statements: 0,
    },
    private: { login_name: null, statement_digest: null, objects: null },
  });
}

/** The issuer and definition of a target. One that policy no longer has can only be reported as failing. */
async function targetRef(
  deps: Deps,
  target: string,
  known: string | undefined,
): Promise<{ issuer: IssuerName; ref: TargetRef }> {
  if (target === OWN_TOKENS) return { issuer: 'jwt', ref: { name: target, definition: null } };
  const bundle = await readActiveBundle(deps.db.query, deps.policies);
  const definition = bundle.targets.get(target) ?? null;
  const issuer = definition?.issuer ?? (known === 'jwt' ? 'jwt' : 'postgres');
  return { issuer, ref: { name: target, definition } };
}
