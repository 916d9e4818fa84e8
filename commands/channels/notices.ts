// What approvers are still to be told on ways other than Slack: written in the transaction of the change it tells of, and
// taken by whoever sends. Sending is somebody else's work, so no receiver can slow a change or fail it.
import { and, asc, eq, inArray, isNotNull, lt, lte, ne, notExists, or, sql } from 'drizzle-orm';
import { alias } from 'drizzle-orm/pg-core';
import type { Query } from '../../db/client.ts';
import type { NoticeRow, RequestRow } from '../../db/rows.ts';
import { channel, notice } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds, secondsBetween } from '../../domain/instant.ts';
import { channelsOf, EMAIL, webhookName, type NoticeKind } from '../../domain/notice.ts';
import { newId, type Unit } from '../unit.ts';
import { disableChannel, wakeCourier } from './channels.ts';

/** The notice that becomes one for each person who decides. */
export const EVERYBODY = '';

/** Queues what is told of a request, once for all calls with the same `about`. Costs nothing where no route names a way. */
export async function queueNotices(
  unit: Unit,
  row: RequestRow,
  kind: NoticeKind,
  about: string,
): Promise<void> {
  const channels = channelsOf(row.routes);
  if (channels.length === 0) return;
  await insertNotices(
    unit,
    channels.map((each) => ({ request: row.id, channel: each, person: EVERYBODY, kind, about })),
  );
  await wakeCourier(unit);
}

/** Writes notices that are not there yet. */
export async function insertNotices(
  unit: Unit,
  rows: readonly Pick<NoticeRow, 'request' | 'channel' | 'person' | 'kind' | 'about'>[],
): Promise<void> {
  if (rows.length === 0) return;
  await unit.sql
    .insert(notice)
    .values(
      rows.map((row) => ({
        ...row,
        id: newId('notice'),
        state: 'pending' as const,
        attempts: 0,
        nextTryAt: unit.at,
        message: null,
        createdAt: unit.at,
        endedAt: null,
      })),
    )
    .onConflictDoNothing();
}

/** Ways on which something is due, apart from those that are being served. */
export async function channelsDue(
  query: Query,
  now: string,
  busy: readonly string[],
): Promise<string[]> {
  const rows = await query
    .selectDistinct({ name: notice.channel })
    .from(notice)
    .innerJoin(channel, eq(channel.name, notice.channel))
    .where(
      and(eq(notice.state, 'pending'), lte(notice.nextTryAt, now), eq(channel.state, 'enabled')),
    );
  return rows.map(({ name }) => name).filter((name) => !busy.includes(name));
}

/** Nobody else takes what a courier has taken for this long; then that courier is presumed dead. */
const CLAIM_SECONDS = 60;

/** Takes what is due on one way: of each request the oldest, which nothing older still waits before. */
export async function claimNotices(unit: Unit, of: string, limit: number): Promise<NoticeRow[]> {
  const earlier = alias(notice, 'earlier');
  const rows = await unit.sql
    .select({ id: notice.id })
    .from(notice)
    .where(
      and(
        eq(notice.channel, of),
        eq(notice.state, 'pending'),
        lte(notice.nextTryAt, unit.at),
        notExists(
          unit.sql
            .select({ one: sql`1` })
            .from(earlier)
            .where(
              and(
                eq(earlier.channel, of),
                eq(earlier.request, notice.request),
                eq(earlier.person, notice.person),
                eq(earlier.state, 'pending'),
                lt(earlier.id, notice.id),
              ),
            ),
        ),
      ),
    )
    .orderBy(asc(notice.id))
    .limit(limit)
    .for('update', { skipLocked: true });
  return claim(
    unit,
    rows.map(({ id }) => id),
  );
}

async function claim(unit: Unit, ids: readonly Id<'notice'>[]): Promise<NoticeRow[]> {
  if (ids.length === 0) return [];
  const claimed = await unit.sql
    .update(notice)
    .set({
      attempts: sql`${notice.attempts} + 1`,
      nextTryAt: addSeconds(unit.at, CLAIM_SECONDS),
    })
    .where(inArray(notice.id, [...ids]))
    .returning();
  return claimed.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

/** Standard Webhooks: how long after each failed attempt the next one is made. After the last, it is given up. */
const RETRY_SECONDS = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400] as const;

/** A webhook that took nothing for this long, and now had a notice given up, is not called any more. */
const FAILING_SECONDS_MAX = 2 * 86_400;

export type NoticeOutcome =
  | { kind: 'delivered'; message: string | null }
  /** There is nothing to tell any more. */
  | { kind: 'dropped' }
  /** It will never be taken. */
  | { kind: 'refused' }
  /** Nobody listens there any more. */
  | { kind: 'gone' }
  /** Worth another attempt, not before so many seconds. */
  | { kind: 'later'; afterSeconds: number };

/** Writes down what came of an attempt. What another courier took over meanwhile is left to that one. */
export async function settleNotice(
  unit: Unit,
  row: NoticeRow,
  outcome: NoticeOutcome,
  code: string,
): Promise<void> {
  const wait = RETRY_SECONDS[row.attempts - 1];
  const state = stateAfter(outcome, wait);
  const nextTryAt =
    state === 'pending' && outcome.kind === 'later'
      ? addSeconds(unit.at, Math.max(jittered(wait ?? 0), outcome.afterSeconds))
      : null;
  const message = outcome.kind === 'delivered' ? outcome.message : null;
  const [settled] = await unit.sql
    .update(notice)
    .set({ state, nextTryAt, message, endedAt: state === 'pending' ? null : unit.at })
    .where(
      and(eq(notice.id, row.id), eq(notice.state, 'pending'), eq(notice.attempts, row.attempts)),
    )
    .returning();
  if (!settled || outcome.kind === 'dropped') return;
  if (state === 'failed')
    unit.emit('notice.undelivered', {
      subject: row.request,
      request: row.request,
      detail: {
        ...{ notice: row.id, channel: row.channel, kind: row.kind },
        ...{ attempts: row.attempts, code },
      },
      private: {},
    });
  await judgeChannel(unit, row.channel, outcome, state, code);
}

function stateAfter(outcome: NoticeOutcome, wait: number | undefined): NoticeRow['state'] {
  if (outcome.kind === 'delivered' || outcome.kind === 'dropped') return outcome.kind;
  return outcome.kind === 'later' && wait !== undefined ? 'pending' : 'failed';
}

/** A tenth more or less, so that what failed together does not come back together. */
const jittered = (seconds: number): number => Math.ceil(seconds * (0.9 + Math.random() * 0.2));

async function judgeChannel(
  unit: Unit,
  name: string,
  outcome: NoticeOutcome,
  state: NoticeRow['state'],
  code: string,
): Promise<void> {
  if (outcome.kind === 'gone') return disableChannel(unit, name, 'gone');
  // Whoever says no to one message is there, and takes others.
  const failingSince =
    outcome.kind === 'later' ? sql`coalesce(${channel.failingSince}, ${unit.at})` : null;
  const [row] = await unit.sql
    .update(channel)
    .set({ failingSince, lastCode: code })
    .where(eq(channel.name, name))
    .returning();
  const failingSeconds = secondsBetween(row?.failingSince ?? unit.at, unit.at);
  // The one mail server is never left by itself: it is everybody's, and its notices end on their own.
  if (webhookName(name) !== null && state === 'failed' && failingSeconds >= FAILING_SECONDS_MAX)
    await disableChannel(unit, name, 'failing');
}

/** Puts something off that is nobody's failure. */
export async function postponeNotice(unit: Unit, row: NoticeRow, until: string): Promise<void> {
  await unit.sql
    .update(notice)
    .set({ nextTryAt: until, attempts: row.attempts - 1 })
    .where(and(eq(notice.id, row.id), eq(notice.state, 'pending')));
}

/** Everything that was or is to be told by e-mail about a request, to somebody in particular. */
export const mailsAbout = (query: Pick<Query, 'select'>, id: Id<'request'>): Promise<NoticeRow[]> =>
  query
    .select()
    .from(notice)
    .where(and(eq(notice.request, id), eq(notice.channel, EMAIL), ne(notice.person, EVERYBODY)));

/** When each of the mails to somebody since then was sent. */
export async function mailsSince(
  query: Pick<Query, 'select'>,
  person: string,
  since: string,
): Promise<string[]> {
  const rows = await query
    .select({ message: notice.message, at: sql<string>`min(${notice.endedAt})` })
    .from(notice)
    .where(
      and(
        eq(notice.person, person),
        eq(notice.state, 'delivered'),
        isNotNull(notice.message),
        lt(sql`${since}::timestamptz`, notice.endedAt),
      ),
    )
    .groupBy(notice.message);
  return rows.map(({ at }) => new Date(at).toISOString()).toSorted();
}

const KEPT_DAYS = 30;

/** Forgets what was told or given up long ago, and what waits for a way that is not there. */
export async function forgetNotices(unit: Unit): Promise<void> {
  const before = addSeconds(unit.at, -KEPT_DAYS * 86_400);
  await unit.sql.delete(notice).where(or(lt(notice.endedAt, before), lt(notice.createdAt, before)));
}
