// The outbox as its courier sees it: what is due, who is working on it, and what came of each attempt.
import { and, asc, eq, inArray, lt, lte, notExists, sql } from 'drizzle-orm';
import { alias } from 'drizzle-orm/pg-core';
import type { Query } from '../../db/client.ts';
import type { ReceiverRow, SignalRow } from '../../db/rows.ts';
import { receiver, signalDelivery, type DeliveryAttempt } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds, secondsBetween } from '../../domain/instant.ts';
import type { Unit } from '../unit.ts';
import { moveReceiver } from './receivers.ts';

/** Standard Webhooks: how long after each failed attempt the next one is made. After the last, it is given up. */
const RETRY_SECONDS = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400] as const;

/** A receiver that took nothing for this long, and now had one given up, is not asked any more. */
const FAILING_SECONDS_MAX = 2 * 86_400;

/** Nobody else takes what a courier has taken for this long; then that courier is presumed dead. */
const CLAIM_SECONDS = 60;

/** Receivers for whom something is due, apart from those that are being served. */
export async function receiversDue(
  query: Query,
  now: string,
  busy: readonly string[],
): Promise<ReceiverRow[]> {
  const due = query
    .selectDistinct({ id: signalDelivery.receiver })
    .from(signalDelivery)
    .where(and(eq(signalDelivery.state, 'pending'), lte(signalDelivery.nextTryAt, now)));
  const rows = await query
    .select()
    .from(receiver)
    .where(and(eq(receiver.state, 'enabled'), inArray(receiver.id, due)));
  return rows.filter(({ id }) => !busy.includes(id));
}

/** Takes what is due for one receiver: the oldest about each subject, which nothing older still waits before. */
export async function claimDue(
  unit: Unit,
  of: Id<'receiver'>,
  limit: number,
): Promise<SignalRow[]> {
  const earlier = alias(signalDelivery, 'earlier');
  const rows = await unit.sql
    .select({ id: signalDelivery.id })
    .from(signalDelivery)
    .where(
      and(
        eq(signalDelivery.receiver, of),
        eq(signalDelivery.state, 'pending'),
        lte(signalDelivery.nextTryAt, unit.at),
        notExists(
          unit.sql
            .select({ one: sql`1` })
            .from(earlier)
            .where(
              and(
                eq(earlier.receiver, of),
                eq(earlier.subject, signalDelivery.subject),
                eq(earlier.state, 'pending'),
                lt(earlier.id, signalDelivery.id),
              ),
            ),
        ),
      ),
    )
    .orderBy(asc(signalDelivery.id))
    .limit(limit)
    .for('update', { skipLocked: true });
  if (rows.length === 0) return [];
  const claimed = await unit.sql
    .update(signalDelivery)
    .set({
      attempts: sql`${signalDelivery.attempts} + 1`,
      nextTryAt: addSeconds(unit.at, CLAIM_SECONDS),
    })
    .where(
      inArray(
        signalDelivery.id,
        rows.map(({ id }) => id),
      ),
    )
    .returning();
  return claimed.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

export type DeliveryOutcome =
  | { kind: 'delivered' }
  /** The receiver will never take this one. */
  | { kind: 'refused' }
  /** Nobody listens there any more. */
  | { kind: 'gone' }
  /** Worth another attempt, not before so many seconds. */
  | { kind: 'later'; afterSeconds: number };

/** Writes down what came of an attempt. One that another courier took over meanwhile is left to that one. */
export async function settleDelivery(
  unit: Unit,
  row: SignalRow,
  attempt: DeliveryAttempt,
  outcome: DeliveryOutcome,
): Promise<void> {
  const tries = [...row.tries, attempt];
  const wait = RETRY_SECONDS[row.attempts - 1];
  const isOver = outcome.kind !== 'later' || wait === undefined;
  const state = outcome.kind === 'delivered' ? 'delivered' : isOver ? 'failed' : 'pending';
  const nextTryAt =
    state === 'pending' && outcome.kind === 'later'
      ? addSeconds(unit.at, Math.max(jittered(wait ?? 0), outcome.afterSeconds))
      : null;
  const [settled] = await unit.sql
    .update(signalDelivery)
    .set({ state, tries, nextTryAt, endedAt: state === 'pending' ? null : unit.at })
    .where(
      and(
        eq(signalDelivery.id, row.id),
        eq(signalDelivery.state, 'pending'),
        eq(signalDelivery.attempts, row.attempts),
      ),
    )
    .returning();
  if (!settled) return;
  if (state === 'failed')
    unit.emit('receiver.delivery_failed', {
      subject: row.receiver,
      detail: {
        receiver: row.receiver,
        delivery: row.id,
        signal: row.signal,
        attempts: row.attempts,
        code: attempt.code,
      },
      private: {},
    });
  await judgeReceiver(unit, row.receiver, outcome, state);
  unit.changed(row.receiver);
}

/** A tenth more or less, so that what failed together does not come back together. */
const jittered = (seconds: number): number => Math.ceil(seconds * (0.9 + Math.random() * 0.2));

async function judgeReceiver(
  unit: Unit,
  id: Id<'receiver'>,
  outcome: DeliveryOutcome,
  state: SignalRow['state'],
): Promise<void> {
  if (outcome.kind === 'gone') {
    await moveReceiver(unit, id, 'disabled', 'gone');
    return;
  }
  // A receiver that says no to one message is there, and takes others.
  if (outcome.kind !== 'later') {
    await unit.sql.update(receiver).set({ failingSince: null }).where(eq(receiver.id, id));
    return;
  }
  const [row] = await unit.sql
    .update(receiver)
    .set({ failingSince: sql`coalesce(${receiver.failingSince}, ${unit.at})` })
    .where(eq(receiver.id, id))
    .returning();
  const failingSeconds = secondsBetween(row?.failingSince ?? unit.at, unit.at);
  if (state === 'failed' && failingSeconds >= FAILING_SECONDS_MAX)
    await moveReceiver(unit, id, 'disabled', 'failing');
}

const KEPT_DAYS = 30;
/** A paused receiver is not kept waiting for longer than this; what it missed is in the log. */
const PAUSED_DAYS = 7;

/** Forgets what was delivered or given up long ago, and gives up what waits for a receiver that stays paused. */
export async function forgetOldDeliveries(unit: Unit): Promise<void> {
  const daysAgo = (days: number): string => addSeconds(unit.at, -days * 86_400);
  await unit.sql.delete(signalDelivery).where(lt(signalDelivery.endedAt, daysAgo(KEPT_DAYS)));
  await unit.sql
    .update(signalDelivery)
    .set({ state: 'failed', nextTryAt: null, endedAt: unit.at })
    .where(
      and(
        eq(signalDelivery.state, 'pending'),
        lt(signalDelivery.createdAt, daysAgo(PAUSED_DAYS)),
        inArray(
          signalDelivery.receiver,
          unit.sql.select({ id: receiver.id }).from(receiver).where(eq(receiver.state, 'paused')),
        ),
      ),
    );
}
