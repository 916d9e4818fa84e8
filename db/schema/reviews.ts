// Lifecycle reviews: the scope as it was frozen, and what people decided about each line of it.
import { index, jsonb, pgTable, text } from 'drizzle-orm/pg-core';
import type { Party } from '../../domain/action.ts';
import type { JsonObject } from '../../domain/json.ts';
import { digest, id, instant } from './columns.ts';
import { person } from './people.ts';

export const review = pgTable('review', {
  id: id('review')().primaryKey(),
  title: text().notNull(),
  state: text({ enum: ['open', 'closed'] }).notNull(),
  /** Digest over the frozen lines: a line added later would not be in it. */
  scopeDigest: digest('scope_digest').notNull(),
  openedBy: jsonb('opened_by').$type<Party>().notNull(),
  createdAt: instant('created_at').notNull(),
  dueAt: instant('due_at').notNull(),
  closedAt: instant('closed_at'),
});

export const reviewLine = pgTable(
  'review_line',
  {
    id: id('reviewLine')().primaryKey(),
    review: id('review')()
      .notNull()
      .references(() => review.id),
    agent: id('agent')().notNull(),
    credential: id('credential')(),
    /** The line as it stood when the review was opened. */
    snapshot: jsonb().$type<JsonObject>().notNull(),
    recommendation: text({ enum: ['keep', 'revoke'] }).notNull(),
    basis: text().notNull(),
    decision: text({ enum: ['keep', 'revoke'] }),
    decidedBy: id('person')('decided_by').references(() => person.id),
    decidedAt: instant('decided_at'),
    reason: text(),
  },
  (table) => [index('review_line_review').on(table.review)],
);
