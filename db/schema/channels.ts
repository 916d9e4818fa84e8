// Ways besides Slack on which approvers hear of requests, and what they are still to hear. Whoever can write here can keep
// somebody from hearing of a request, and cannot decide it: what is sent carries no authority.
import { sql } from 'drizzle-orm';
import { index, integer, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import type { Party } from '../../domain/action.ts';
import { NOTICE_KINDS } from '../../domain/notice.ts';
import { bytes, id, instant } from './columns.ts';

export const CHANNEL_STATES = ['enabled', 'disabled'] as const;

/** One way out: `email`, or `webhook/<name>`. */
export const channel = pgTable('channel', {
  name: text().primaryKey(),
  /** Where it leads and with which secrets, under a key that is not in this database. */
  sealed: bytes().notNull(),
  state: text({ enum: CHANNEL_STATES }).notNull(),
  /** Why it is not enabled: what its address answered. */
  because: text({ enum: ['gone', 'failing'] }),
  /** When it first did not take a notice, since it last took one. */
  failingSince: instant('failing_since'),
  /** What came of the last attempt, in a word of ours. What the other side wrote is not kept. */
  lastCode: text('last_code'),
  setBy: jsonb('set_by').$type<Party>().notNull(),
  setAt: instant('set_at').notNull(),
});

/**
 * One thing to tell on one way, written with the change it tells of. It holds no text: what is said is read from the
 * request when it is sent.
 */
export const notice = pgTable(
  'notice',
  {
    id: id('notice')().primaryKey(),
    request: id('request')().notNull(),
    channel: text().notNull(),
    /** Who gets it by e-mail; empty for "whoever decides then", which becomes one for each of them. */
    person: text().notNull(),
    kind: text({ enum: NOTICE_KINDS }).notNull(),
    /** Equal for what is one and the same notice, however often it is asked for. */
    about: text().notNull(),
    state: text({ enum: ['pending', 'delivered', 'dropped', 'failed'] }).notNull(),
    attempts: integer().notNull(),
    nextTryAt: instant('next_try_at'),
    /** The message it went out in: several notices may share one. */
    message: text(),
    createdAt: instant('created_at').notNull(),
    endedAt: instant('ended_at'),
  },
  (table) => [
    uniqueIndex('notice_once').on(
      table.request,
      table.channel,
      table.person,
      table.kind,
      table.about,
    ),
    index('notice_due')
      .on(table.channel, table.nextTryAt)
      .where(sql`${table.state} = 'pending'`),
    index('notice_person').on(table.person, table.endedAt),
  ],
);
