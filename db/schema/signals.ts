// Who is told when access ends, and what is still to be told. Whoever can write here can keep a receiver from hearing
// of a revocation; the event in the log says it all the same.
import { sql } from 'drizzle-orm';
import { boolean, index, integer, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import type { Party } from '../../domain/action.ts';
import { SIGNALS } from '../../domain/signal.ts';
import { bytes, id, instant } from './columns.ts';

export const RECEIVER_KINDS = ['ssf', 'webhook'] as const;
export const RECEIVER_STATES = ['enabled', 'paused', 'disabled'] as const;

export const receiver = pgTable('receiver', {
  id: id('receiver')().primaryKey(),
  kind: text({ enum: RECEIVER_KINDS }).notNull(),
  url: text().notNull(),
  /** The `aud` of what an SSF receiver gets. */
  audience: text().notNull(),
  signals: text({ enum: SIGNALS }).array().notNull(),
  state: text({ enum: RECEIVER_STATES }).notNull(),
  /** Why it is not enabled: an administrator, or what its address answered. */
  because: text({ enum: ['asked', 'gone', 'failing'] }),
  /** Whether it also gets events of the unadopted WISE vocabulary. */
  wise: boolean().notNull(),
  /** Whether it may read the reasons that people wrote. */
  reasons: boolean().notNull(),
  /** The bearer token to call it with, under a key that is not in this database. */
  token: bytes(),
  /** When it first did not take a delivery, since it last took one. */
  failingSince: instant('failing_since'),
  createdBy: jsonb('created_by').$type<Party>().notNull(),
  createdAt: instant('created_at').notNull(),
});

/** One call that was made, and what came of it. What the receiver wrote is not kept. */
export interface DeliveryAttempt {
  at: string;
  status: number | null;
  code: string;
  ms: number;
}

/**
 * One message for one receiver, written with the change it tells of. It holds no text: what is said is read from the
 * event when it is sent. There is no reference to the receiver, so that removing one never fails a change.
 */
export const signalDelivery = pgTable(
  'signal_delivery',
  {
    id: id('signal')().primaryKey(),
    receiver: id('receiver')().notNull(),
    /** The event in the log; null for a message that only tests the way. */
    event: id('event')(),
    signal: text().notNull(),
    /** The event type of a SET, or the type of a webhook. */
    form: text().notNull(),
    /** Messages about one thing go out one after the other. */
    subject: text().notNull(),
    /** What a receiver gets back in a test, so that it knows its own. */
    nonce: text(),
    state: text({ enum: ['pending', 'delivered', 'failed'] }).notNull(),
    attempts: integer().notNull(),
    nextTryAt: instant('next_try_at'),
    tries: jsonb().$type<DeliveryAttempt[]>().notNull(),
    createdAt: instant('created_at').notNull(),
    endedAt: instant('ended_at'),
  },
  (table) => [
    index('signal_delivery_due')
      .on(table.nextTryAt)
      .where(sql`${table.state} = 'pending'`),
    index('signal_delivery_order')
      .on(table.receiver, table.subject, table.id)
      .where(sql`${table.state} = 'pending'`),
    index('signal_delivery_receiver').on(table.receiver, table.id),
    uniqueIndex('signal_delivery_once').on(table.receiver, table.event, table.form),
  ],
);
