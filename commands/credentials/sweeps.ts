// Comparing a target with the leases, both ways: logins that no lease accounts for, and leases whose login is gone.
import { and, asc, eq, inArray, lt, gt } from 'drizzle-orm';
import type { CredentialRow } from '../../db/rows.ts';
import { credential, targetSweep } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { ALIVE } from '../../domain/lifecycle.ts';
import { aboutCredential, revokeWhere } from '../agents/tasks.ts';
import type { Unit } from '../unit.ts';

/** Leases looked at in one sweep; the next one goes on. */
const SWEPT_MAX = 500;

/** Which of these logins, found in a target, no lease accounts for. */
export async function orphansAmong(
  unit: Unit,
  target: string,
  found: readonly Id<'credential'>[],
): Promise<Id<'credential'>[]> {
  if (found.length === 0) return [];
  const rows = await unit.sql
    .select({ id: credential.id })
    .from(credential)
    .where(
      and(
        eq(credential.target, target),
        inArray(credential.id, [...found]),
        // What was given up by force has a search of its own.
        inArray(credential.state, [...ALIVE, 'force_closed']),
      ),
    );
  const known = new Set<string>(rows.map((row) => row.id));
  return found.filter((id) => !known.has(id));
}

/** Leases that say a login should be there which a list, taken at that moment or later, did not have. */
export async function missingFrom(
  unit: Unit,
  target: string,
  found: readonly Id<'credential'>[],
  listedAt: string,
): Promise<CredentialRow[]> {
  const known = new Set<string>(found);
  const rows = await unit.sql
    .select()
    .from(credential)
    .where(
      and(
        eq(credential.target, target),
        eq(credential.state, 'active'),
        // Made meanwhile, it could not be on the list.
        lt(credential.issuedAt, listedAt),
        gt(credential.expiresAt, listedAt),
      ),
    )
    .orderBy(asc(credential.id));
  return rows.filter(({ id }) => !known.has(id)).slice(0, SWEPT_MAX);
}

/** Ends leases whose login somebody else removed from the target: their agents are told that they hold nothing. */
export async function endVanished(unit: Unit, ids: readonly Id<'credential'>[]): Promise<number> {
  if (ids.length === 0) return 0;
  const rows = await revokeWhere(
    unit,
    and(inArray(credential.id, [...ids]), eq(credential.state, 'active')),
    'vanished',
    null,
  );
  for (const row of rows) {
    emitFound(unit, row, { kind: 'login_vanished', decision: 'ended', outcome: 'missing' });
    unit.changed(row.id);
  }
  return rows.length;
}

/** What people gave up on and nobody has seen gone. */
export const forcedLeases = (unit: Unit, target: string): Promise<CredentialRow[]> =>
  unit.sql
    .select()
    .from(credential)
    .where(
      and(
        eq(credential.target, target),
        eq(credential.state, 'force_closed'),
        eq(credential.seenGone, false),
      ),
    )
    .orderBy(asc(credential.endedAt))
    .limit(SWEPT_MAX);

/** Says what was found of a lease that people gave up on; each thing once, not at every look. */
export async function noteForced(
  unit: Unit,
  row: CredentialRow,
  found: { seenGone: boolean; outcome: string },
): Promise<void> {
  const { seenGone, outcome } = found;
  if (!seenGone && row.lastError === outcome) return;
  const [changed] = await unit.sql
    .update(credential)
    .set({ lastError: seenGone ? null : outcome, ...(seenGone && { seenGone, handles: null }) })
    .where(and(eq(credential.id, row.id), eq(credential.seenGone, false)))
    .returning();
  if (!changed) return;
  const decision = seenGone ? 'removed' : 'remains';
  emitFound(unit, row, { kind: 'force_closed_login', decision, outcome });
  unit.changed(row.id);
}

/** Says that a login was found which no lease accounts for, and what became of it. */
export function noteOrphan(
  unit: Unit,
  target: string,
  id: Id<'credential'>,
  outcome: { isOver: boolean; code: string | null },
): void {
  emitFound(
    unit,
    { id, target },
    {
      kind: 'orphan_login',
      decision: outcome.isOver ? 'removed' : 'remains',
      outcome: outcome.isOver ? 'removed' : (outcome.code ?? 'still_there'),
    },
  );
}

function emitFound(
  unit: Unit,
  row: CredentialRow | Pick<CredentialRow, 'id' | 'target'>,
  { kind, decision, outcome }: { kind: string; decision: string; outcome: string },
): void {
  unit.emit('runtime.observed', {
    ...('task' in row ? aboutCredential(row) : { subject: row.id }),
    decision,
    detail: {
      kind,
      target: row.target,
      grade: 'C',
      controls: [],
      credential: row.id,
      login: 'ours',
      effect: 'login',
      outcome,
      session_ref: null,
      at: unit.at,
      skew_ms: 0,
      statements: 0,
    },
    private: { login_name: null, statement_digest: null, objects: null },
  });
}

export type Swept = Omit<typeof targetSweep.$inferSelect, 'target' | 'at'>;

/** Keeps what came of the last sweep, so that a target that cannot be compared says so. */
export async function recordSweep(unit: Unit, target: string, swept: Swept): Promise<void> {
  const row = { ...swept, at: unit.at };
  await unit.sql
    .insert(targetSweep)
    .values({ target, ...row })
    .onConflictDoUpdate({ target: targetSweep.target, set: row });
}
