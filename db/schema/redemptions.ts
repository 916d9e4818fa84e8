// Uses of permits by enforcement points of others, and what those said came of them. Whoever can write here can hide
// that nobody said anything, but not the leaves that tell of it: the verdict reads only the log.
import { boolean, index, integer, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import { digest, id, instant } from './columns.ts';
import { permit } from './requests.ts';

/** What became of an action, in the words of whoever carried it out. */
export const OUTCOMES = ['done', 'failed', 'unknown'] as const;

export const redemption = pgTable(
  'redemption',
  {
    id: id('redemption')().primaryKey(),
    permit: id('permit')()
      .notNull()
      .references(() => permit.id),
    /** The first use is 1. */
    number: integer().notNull(),
    redeemedAt: instant('redeemed_at').notNull(),
    receiptDueAt: instant('receipt_due_at').notNull(),
    /** When it was found that no receipt had come in time. */
    missedAt: instant('missed_at'),
    recordedAt: instant('recorded_at'),
    outcome: text({ enum: OUTCOMES }),
    digestRun: digest('digest_run'),
    digestMatches: boolean('digest_matches'),
    resultDigest: digest('result_digest'),
  },
  (table) => [
    uniqueIndex('redemption_once').on(table.permit, table.number),
    index('redemption_due').on(table.receiptDueAt),
  ],
);
