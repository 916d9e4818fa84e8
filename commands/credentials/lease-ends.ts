// The end of leases: what is due, what came of ending it, and a failing revocation that a person gives up on.
import { and, asc, eq, inArray, lte, or, sql } from 'drizzle-orm';
import type { CredentialRow } from '../../db/rows.ts';
import { agent, credential, task } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds, latest } from '../../domain/instant.ts';
import { ALIVE } from '../../domain/lifecycle.ts';
import { Refusal } from '../../domain/refusal.ts';
import { aboutCredential, revokeWhere } from '../agents/tasks.ts';
import { closeLeaksOf } from '../leaks/leak-end.ts';
import type { Unit } from '../unit.ts';
import { lockLease } from './leases.ts';
import { settleRevocations } from './revocations.ts';

/** Leases of a target that the reaper has something to do about, oldest first. */
export async function dueLeases(
  unit: Unit,
  target: string,
  limit: number,
): Promise<CredentialRow[]> {
  return unit.sql
    .select()
    .from(credential)
    .where(
      and(
        eq(credential.target, target),
        or(
          and(
            inArray(credential.state, ['revoking', 'revoke_failed']),
            lte(credential.nextTryAt, unit.at),
          ),
          and(eq(credential.state, 'active'), lte(credential.expiresAt, unit.at)),
          and(eq(credential.state, 'pending'), lte(credential.issueBy, unit.at)),
        ),
      ),
    )
    .orderBy(asc(credential.expiresAt), asc(credential.id))
    .limit(limit);
}

/** Marks what ran out, so that every lease that is being ended says so before its target is touched. */
export async function beginReaping(unit: Unit, due: readonly CredentialRow[]): Promise<void> {
  const ids = (state: CredentialRow['state']): Id<'credential'>[] =>
    due.filter((row) => row.state === state).map((row) => row.id);
  const stillDue = (state: 'active' | 'pending') =>
    and(
      inArray(credential.id, ids(state)),
      lte(state === 'active' ? credential.expiresAt : credential.issueBy, unit.at),
    );
  if (ids('active').length > 0) await revokeWhere(unit, stillDue('active'), 'ttl', null);
  if (ids('pending').length > 0)
    await revokeWhere(unit, stillDue('pending'), 'issue_abandoned', null);
}

/** When the reaper of a target next has something to do, or null. */
export async function nextDueAt(unit: Unit, target: string): Promise<string | null> {
  const rows = await unit.sql.execute<{ at: string | null }>(sql`
    select min(case
      when state in ('revoking', 'revoke_failed') then next_try_at
      when state = 'active' then expires_at
      else issue_by end)::text as at
    from credential where target = ${target} and ${inArray(credential.state, [...ALIVE])}`);
  const at = rows[0]?.at ?? null;
  return at === null ? null : new Date(at).toISOString();
}

/** What came of trying to end one lease. */
export interface LeaseEnd {
  credential: Id<'credential'>;
  /** A short, stable word for what went wrong; null when it is over. */
  code: string | null;
  sessionsEnded: number;
  /** Whether its target was seen to know it no more, or cannot be asked and never forgets: not the same. */
  seenGone: boolean;
  tryAt: string | null;
}

/** Records what came of ending these: over, or failed, visible and tried again for ever. */
export async function recordEnds(unit: Unit, ends: readonly LeaseEnd[]): Promise<void> {
  const endOf = new Map(ends.map((end) => [end.credential, end]));
  // In order, so that two batches never lock the same leases crosswise.
  const rows = await unit.sql
    .select()
    .from(credential)
    .where(
      and(
        inArray(credential.id, [...endOf.keys()]),
        inArray(credential.state, ['revoking', 'revoke_failed']),
      ),
    )
    .orderBy(asc(credential.id))
    .for('update');
  await unit.readClock();
  const closed: ClosedLease[] = [];
  for (const row of rows) {
    const end = endOf.get(row.id);
    if (!end) continue;
    if (end.code === null) closed.push({ row, end });
    else await failLease(unit, row, end.code, end.tryAt);
  }
  await closeLeases(unit, closed);
}

interface ClosedLease {
  row: CredentialRow;
  end: LeaseEnd;
}

const stateAfter = ({ because }: CredentialRow): 'expired' | 'abandoned' | 'revoked' => {
  if (because === 'ttl') return 'expired';
  return because === 'issue_abandoned' ? 'abandoned' : 'revoked';
};

async function closeLeases(unit: Unit, closed: readonly ClosedLease[]): Promise<void> {
  if (closed.length === 0) return;
  for (const state of ['expired', 'abandoned', 'revoked'] as const)
    for (const seenGone of [true, false]) {
      const ids = closed
        .filter(({ row, end }) => stateAfter(row) === state && end.seenGone === seenGone)
        .map(({ row }) => row.id);
      if (ids.length === 0) continue;
      await unit.sql
        .update(credential)
        .set({
          state,
          seenGone,
          attempts: sql`${credential.attempts} + 1`,
          endedAt: unit.at,
          nextTryAt: null,
          lastError: null,
          sealed: null,
          handles: null,
        })
        .where(inArray(credential.id, ids));
    }
  for (const each of closed) emitClosed(unit, each);
  const rows = closed.map(({ row }) => row);
  await wakeOwners(unit, rows);
  await settleRevocations(
    unit,
    rows.map(({ id }) => id),
  );
  for (const { id, leak } of rows) if (leak !== null) await closeLeaksOf(unit, id);
}

function emitClosed(unit: Unit, { row, end }: ClosedLease): void {
  const because = row.because ?? 'revoked';
  const about = { ...aboutCredential(row), cause: because };
  if (stateAfter(row) === 'abandoned')
    unit.emit('credential.abandoned', {
      ...about,
      detail: { credential: row.id, seen_gone: end.seenGone },
      private: {},
    });
  else
    unit.emit('credential.revoked', {
      ...about,
      detail: {
        credential: row.id,
        because,
        seen_gone: end.seenGone,
        sessions_ended: end.sessionsEnded,
        attempts: row.attempts + 1,
      },
      private: {},
    });
  unit.changed(row.id);
}

/** Whoever waits for the last of these: tasks that are ending, and agents that are retiring. */
async function wakeOwners(unit: Unit, rows: readonly CredentialRow[]): Promise<void> {
  const owners = await unit.sql
    .select({ task: task.id, state: task.state, agent: agent.id, retiring: agent.retiring })
    .from(task)
    .innerJoin(agent, eq(task.agent, agent.id))
    .where(inArray(task.id, [...new Set(rows.map((row) => row.task))]));
  for (const owner of owners) {
    if (owner.state === 'ending') unit.wake('task', owner.task, owner.agent);
    if (owner.retiring) unit.wake('agent', owner.agent, owner.agent);
    unit.changed(owner.task);
    unit.changed(owner.agent);
  }
}

/** Backoff between attempts to revoke: from two seconds, doubling, never more than five minutes. */
const retryDelaySeconds = (attempts: number): number => Math.min(300, 2 ** Math.min(attempts, 9));

async function failLease(
  unit: Unit,
  row: CredentialRow,
  code: string,
  tryAt: string | null,
): Promise<void> {
  const attempts = row.attempts + 1;
  const nextTryAt = latest(addSeconds(unit.at, retryDelaySeconds(attempts)), tryAt ?? unit.at);
  await unit.sql
    .update(credential)
    .set({ state: 'revoke_failed', attempts, nextTryAt, lastError: code })
    .where(eq(credential.id, row.id));
  unit.emit('credential.revoke_failed', {
    ...aboutCredential(row),
    cause: row.because,
    detail: { credential: row.id, attempts, next_try_at: nextTryAt, code },
    private: {},
  });
  unit.changed(row.id);
}

/** Before a person may give up on a revocation, it has failed this often. */
export const FORCE_CLOSE_ATTEMPTS = 3;

/**
 * Gives up on a revocation by a person's word. The lease ends nobody's wait any more, stays marked as never seen gone,
 * and what it left behind is still looked for: what ending it takes is kept.
 */
export async function forceCloseLease(
  unit: Unit,
  id: string,
  reason: string,
): Promise<CredentialRow> {
  const row = await lockLease(unit, id);
  if (row.state === 'force_closed') return row;
  if (row.state !== 'revoke_failed' || row.attempts < FORCE_CLOSE_ATTEMPTS)
    throw new Refusal(
      'wrong_state',
      `Only a revocation that failed ${FORCE_CLOSE_ATTEMPTS} times can be given up: this credential is ${row.state} after ${row.attempts} attempts.`,
      { state: row.state, attempts: row.attempts },
    );
  await unit.readClock();
  const change = {
    state: 'force_closed',
    seenGone: false,
    endedAt: unit.at,
    nextTryAt: null,
    sealed: null,
  } as const;
  await unit.sql.update(credential).set(change).where(eq(credential.id, row.id));
  unit.emit('credential.force_closed', {
    ...aboutCredential(row),
    cause: row.because,
    detail: { credential: row.id, attempts: row.attempts, code: row.lastError },
    private: { reason },
  });
  unit.changed(row.id);
  await wakeOwners(unit, [row]);
  await settleRevocations(unit, [row.id]);
  if (row.leak !== null) await closeLeaksOf(unit, row.id);
  return { ...row, ...change };
}
