// Emergency access: who declared and confirmed it, or held its halves, and the review that has to follow. Whoever can write here can close
// a review in the tables; its leaf, which names who closed it, is what a verdict reads.
import { index, integer, pgTable, text } from 'drizzle-orm/pg-core';
import type { Id } from '../../domain/id.ts';
import { id, instant } from './columns.ts';
import { glassKit } from './glass-kits.ts';
import { request } from './requests.ts';

export const DISPOSITIONS = ['justified', 'needs_work', 'misused'] as const;

export const breakGlass = pgTable(
  'break_glass',
  {
    id: id('breakGlass')().primaryKey(),
    request: id('request')()
      .notNull()
      .unique()
      .references(() => request.id),
    /** Whose it was; null where it was a login that lay ready for when we are down, which is no agent's. */
    agent: id('agent')(),
    task: id('task')(),
    kit: id('glassKit')().references(() => glassKit.id),
    role: text().notNull(),
    /** The routes that it goes past. */
    gates: text().array().notNull(),
    /** The groups that were not asked, and so may review it. */
    reviewers: text().array().notNull(),
    /** Whoever declared it first; once it was opened, whoever confirmed it too. */
    people: text().array().$type<Id<'person'>[]>().notNull(),
    incident: text(),
    /** How many uses of the same incident came before it. */
    continues: integer().notNull(),
    createdAt: instant('created_at').notNull(),
    /** When access was given: from here on its review is open. */
    openedAt: instant('opened_at'),
    reviewDueAt: instant('review_due_at'),
    remindedAt: instant('reminded_at'),
    closedAt: instant('closed_at'),
    closedBy: id('person')('closed_by'),
    disposition: text({ enum: DISPOSITIONS }),
    findings: text(),
    /** What independent eyes saw it do, as shown to whoever reviewed it. */
    effects: integer(),
  },
  (table) => [index('break_glass_open').on(table.openedAt, table.closedAt)],
);
