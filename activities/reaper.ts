// Ending leases in one target: what is due, what was abandoned, and what the target and the leases disagree about.
import { setTimeout as sleep } from 'node:timers/promises';
import { isIssuerName, OWN_TARGETS, type IssuerName } from '../commands/access/kinds.ts';
import { openHandles } from '../commands/credentials/issue.ts';
import type { Issuer, LeaseToEnd, TargetRef } from '../commands/credentials/issuer.ts';
import {
  beginReaping,
  dueLeases,
  nextDueAt,
  recordEnds,
} from '../commands/credentials/lease-ends.ts';
import { closeInterruptedRenewals } from '../commands/credentials/renewals.ts';
import {
  endVanished,
  forcedLeases,
  missingFrom,
  noteForced,
  noteOrphan,
  orphansAmong,
  recordSweep,
  type Swept,
} from '../commands/credentials/sweeps.ts';
import type { Deps } from '../commands/deps.ts';
import { readActiveBundle } from '../commands/policy/policies.ts';
import { transact, type Call } from '../commands/unit.ts';
import type { CredentialRow } from '../db/rows.ts';
import type { Id } from '../domain/id.ts';
import type { Reaped } from '../workflows/contract.ts';
import { endCredentials } from './ending.ts';

/** Leases ended in one go: enough to be quick, few enough that a crash leaves little half done. */
const BATCH_MAX = 100;
/** What falls due this soon is waited for here: the way through a workflow and back takes longer. */
const LOOK_AHEAD_MS = 1_500;
/** Whoever is woken meanwhile is not kept waiting longer than this. */
const PAUSE_MS_MAX = 150;
/** Leases that end close together are ended together. */
const PAUSE_MS_MIN = 25;
/** One call ends in time for its answer, whatever else is due. */
const PASSES_MS_MAX = 8_000;

/** Ends what is due in a target and says when there is more to do. A worker that stops is not kept waiting for it. */
export async function reap(
  deps: Deps,
  call: Call,
  target: string,
  stopping: AbortSignal,
): Promise<Reaped> {
  const until = Date.now() + PASSES_MS_MAX;
  for (;;) {
    const more = await reapOnce(deps, call, target);
    const { due, inMs } = await transact(deps, call, async (unit) => {
      const at = await nextDueAt(unit, target);
      return { due: at, inMs: at === null ? Infinity : Date.parse(at) - Date.parse(unit.at) };
    });
    const isOver = stopping.aborted || Date.now() > until;
    if (isOver || (!more && inMs > LOOK_AHEAD_MS)) return { nextDueAt: due, more };
    if (!more) await pause(Math.min(Math.max(inMs, PAUSE_MS_MIN), PAUSE_MS_MAX), stopping);
  }
}

const pause = (ms: number, stopping: AbortSignal): Promise<void> =>
  sleep(ms, undefined, { signal: stopping }).catch(() => undefined);

/** One pass; true when more was due than one takes. */
async function reapOnce(deps: Deps, call: Call, target: string): Promise<boolean> {
  const due = await transact(deps, call, async (unit) => {
    const rows = await dueLeases(unit, target, BATCH_MAX);
    await beginReaping(unit, rows);
    return rows;
  });
  deps.crashPoint('reap:intended');
  const [first] = due;
  if (!first) return false;
  const { issuer, ref } = await targetOf(deps, target, first.issuer);
  const ended = await endCredentials(
    deps.issuers[issuer],
    ref,
    due.map((row) => leaseToEnd(deps, row)),
  );
  deps.crashPoint('reap:revoked');
  await transact(deps, call, (unit) =>
    recordEnds(
      unit,
      ended.map(({ outcome, death, isOver }) => ({
        credential: outcome.credential,
        code: isOver ? null : (outcome.code ?? 'still_there'),
        sessionsEnded: outcome.sessionsEnded,
        seenGone: death === 'gone',
        tryAt: outcome.tryAt ?? null,
      })),
    ),
  );
  return due.length === BATCH_MAX;
}

const leaseToEnd = (deps: Deps, row: CredentialRow): LeaseToEnd => ({
  credential: row.id,
  ...handlesOf(deps, row),
  diesAt: row.diesAt,
});

function handlesOf(deps: Deps, row: CredentialRow): Pick<LeaseToEnd, 'handles' | 'unheard'> {
  const handles = openHandles(deps.vault, row);
  return { handles, unheard: handles.length < row.issueAttempt };
}

interface Sweeping {
  deps: Deps;
  call: Call;
  target: string;
  issuer: Issuer;
  ref: TargetRef;
}

/** Compares a target with the leases, both ways, and goes on looking for what people gave up on. */
export async function sweep(deps: Deps, call: Call, target: string): Promise<void> {
  await transact(deps, call, (unit) => closeInterruptedRenewals(unit, target));
  const { issuer, ref } = await targetOf(deps, target, null);
  const sweeping: Sweeping = { deps, call, target, issuer: deps.issuers[issuer], ref };
  await lookForForced(sweeping);
  const swept = await compare(sweeping);
  await transact(deps, call, (unit) => recordSweep(unit, target, swept));
}

const nothing = (outcome: Swept['outcome']): Swept => ({
  outcome,
  found: 0,
  orphans: 0,
  vanished: 0,
});

async function compare(sweeping: Sweeping): Promise<Swept> {
  const { deps, call, issuer, ref } = sweeping;
  const listedAt = await transact(deps, call, (unit) => Promise.resolve(unit.at));
  let found: Id<'credential'>[] | null;
  try {
    found = await issuer.list(ref);
  } catch {
    // Asked again at the next sweep; reaping does not wait for that.
    return nothing('unreachable');
  }
  if (found === null) return nothing('unlistable');
  const orphans = await endOrphans(sweeping, found);
  const vanished = await endMissing(sweeping, found, listedAt);
  return { outcome: 'compared', found: found.length, orphans, vanished };
}

async function endOrphans(
  { deps, call, target, issuer, ref }: Sweeping,
  found: readonly Id<'credential'>[],
): Promise<number> {
  const orphans = await transact(deps, call, (unit) => orphansAmong(unit, target, found));
  if (orphans.length === 0) return 0;
  const ended = await endCredentials(
    issuer,
    ref,
    orphans.map((credential) => ({
      credential,
      handles: [],
      unheard: true,
      diesAt: null,
    })),
  );
  await transact(deps, call, (unit) => {
    for (const { outcome, isOver } of ended)
      noteOrphan(unit, target, outcome.credential, { isOver, code: outcome.code });
    return Promise.resolve();
  });
  return orphans.length;
}

/** A list may be old or short; a lease is ended only once its target, asked for it by name, does not know it. */
async function endMissing(
  { deps, call, target, issuer, ref }: Sweeping,
  found: readonly Id<'credential'>[],
  listedAt: string,
): Promise<number> {
  const missing = await transact(deps, call, (unit) => missingFrom(unit, target, found, listedAt));
  if (missing.length === 0) return 0;
  const deaths = await issuer
    .verifyDead(
      ref,
      missing.map((row) => leaseToEnd(deps, row)),
    )
    .catch(() => []);
  const gone = missing.filter((_row, at) => deaths[at] === 'gone').map(({ id }) => id);
  return transact(deps, call, (unit) => endVanished(unit, gone));
}

/** What people gave up on is ended when it can be reached again. */
async function lookForForced({ deps, call, target, issuer, ref }: Sweeping): Promise<void> {
  const rows = await transact(deps, call, (unit) => forcedLeases(unit, target));
  if (rows.length === 0) return;
  const ended = await endCredentials(
    issuer,
    ref,
    rows.map((row) => leaseToEnd(deps, row)),
  );
  const endOf = new Map(ended.map((each) => [each.outcome.credential, each]));
  await transact(deps, call, async (unit) => {
    for (const row of rows) {
      const end = endOf.get(row.id);
      if (!end) continue;
      const outcome = end.isOver ? 'removed' : (end.outcome.code ?? 'still_there');
      await noteForced(unit, row, { seenGone: end.isOver && end.death === 'gone', outcome });
    }
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
