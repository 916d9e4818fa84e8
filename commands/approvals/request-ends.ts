// How requests end without a decision: withdrawn, out of time, with their task, or not possible to carry out; and what
// somebody is told who comes after any end.
import { and, eq, inArray } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { RequestRow } from '../../db/rows.ts';
import { person, request } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { Refusal } from '../../domain/refusal.ts';
import { partyOf } from '../principal.ts';
import type { Unit } from '../unit.ts';
import { aboutRequest, lockRequest, moveRequest } from './requests.ts';

/** Withdraws a request. A returned refusal is an outcome: the expiry it found is kept. */
export async function cancelRequest(unit: Unit, id: string): Promise<RequestRow | Refusal> {
  const row = await lockRequest(unit, id);
  const now = await unit.readClock();
  // Nobody withdraws what ran out of time: that stays an expiry.
  if (row.state === 'pending' && isDue(row, now))
    return alreadyDecided(unit.sql, await expireLocked(unit, row));
  if (row.state !== 'pending') throw await alreadyDecided(unit.sql, row);
  const moved = await moveRequest(unit, row, 'cancelled', { decidedAt: now });
  const { type, id: by } = partyOf(unit.call.principal);
  unit.emit('request.cancelled', {
    ...aboutRequest(row),
    detail: { by: { type, id: by } },
    private: {},
  });
  return moved;
}

/** Closes a request whose time has passed: pending ones as undecided, approved ones as unused. */
export async function expireRequest(unit: Unit, id: string): Promise<RequestRow> {
  const row = await lockRequest(unit, id);
  const now = await unit.readClock();
  return isDue(row, now) ? expireLocked(unit, row) : row;
}

/** Whether the time of a request that is still open has passed. */
export function isDue(row: RequestRow, now: string): boolean {
  if (row.state === 'pending') return !(now < row.expiresAt);
  return row.state === 'approved' && row.approvedUntil !== null && !(now < row.approvedUntil);
}

/** An expiry is recorded as an expiry, never as anybody's decision (I6). */
export async function expireLocked(unit: Unit, row: RequestRow): Promise<RequestRow> {
  const hadApproval = row.state === 'approved';
  const moved = await moveRequest(unit, row, 'expired', hadApproval ? {} : { decidedAt: unit.at });
  unit.emit('request.expired', {
    ...aboutRequest(row),
    decision: 'expired',
    detail: { expires_at: row.approvedUntil ?? row.expiresAt, had_approval: hadApproval },
    private: {},
  });
  return moved;
}

/** Ends the requests of a task that is ending. What ran out with its task expired, and nobody cancelled it (I6). */
export async function closeRequestsOf(unit: Unit, task: Id<'task'>): Promise<void> {
  const rows = await unit.sql
    .select()
    .from(request)
    .where(and(eq(request.task, task), inArray(request.state, ['pending', 'approved'])))
    .orderBy(request.id)
    .for('update');
  const now = await unit.readClock();
  for (const row of rows) {
    if (isDue(row, now)) {
      await expireLocked(unit, row);
    } else if (row.state === 'pending') {
      await moveRequest(unit, row, 'cancelled', { decidedAt: unit.at });
      unit.emit('request.cancelled', {
        ...aboutRequest(row),
        cause: 'task_ended',
        detail: { by: { type: 'workflow', id: task } },
        private: {},
      });
    } else {
      await failRequest(unit, row, 'task_not_running');
    }
  }
}

/** An approved request that could not be carried out. */
export async function failRequest(unit: Unit, row: RequestRow, code: string): Promise<RequestRow> {
  const moved = await moveRequest(unit, row, 'failed', { failure: code });
  unit.emit('request.failed', { ...aboutRequest(row), detail: { code }, private: {} });
  return moved;
}

/** The 409 for a decision that comes too late, which says what was decided and by whom. */
export async function alreadyDecided(
  query: Query | Transaction,
  row: RequestRow,
): Promise<Refusal> {
  const { state, decidedBy } = row;
  const [who] =
    decidedBy === null ? [] : await query.select().from(person).where(eq(person.id, decidedBy));
  return new Refusal('already_decided', whatBecame(row, who?.name ?? 'its approvers'), {
    state,
    decided_by: decidedBy,
  });
}

function whatBecame({ state, failure }: RequestRow, who: string): string {
  switch (state) {
    case 'pending':
      return 'This request is still pending.';
    case 'approved':
      return `This request was already approved by ${who}.`;
    case 'consumed':
      return `This request was already approved by ${who}, and used.`;
    case 'denied':
      return `This request was already denied by ${who}.`;
    case 'expired':
      return `This request was approved by ${who}, and the approval lapsed unused.`;
    case 'failed':
      return `This request was already approved by ${who}, and could not be carried out (${failure ?? 'unknown'}).`;
    case 'cancelled':
      return 'This request was already withdrawn: nobody decided it.';
    case 'superseded':
      return `This request is already superseded: the ${failure === 'purpose_changed' ? 'purpose of its task' : 'policy'} changed since it was opened.`;
  }
}
