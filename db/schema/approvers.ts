// Who approves for a time: stand-ins of people who are away, and who is on call. Whoever can write here can make
// somebody an approver of what others decide; the events about it say who did.
import { index, integer, pgTable, text } from 'drizzle-orm/pg-core';
import type { Id } from '../../domain/id.ts';
import { id, instant } from './columns.ts';
import { person } from './people.ts';

export const absence = pgTable(
  'absence',
  {
    id: id('absence')().primaryKey(),
    person: id('person')()
      .notNull()
      .references(() => person.id),
    /** Who votes for them meanwhile. */
    standIn: id('person')('stand_in')
      .notNull()
      .references(() => person.id),
    startsAt: instant('starts_at').notNull(),
    endsAt: instant('ends_at').notNull(),
    createdAt: instant('created_at').notNull(),
    /** When it was taken back; what was voted under it counts no more from then on. */
    withdrawnAt: instant('withdrawn_at'),
  },
  (table) => [
    index('absence_person').on(table.person, table.endsAt),
    index('absence_stand_in').on(table.standIn, table.endsAt),
  ],
);

/** What a source said when it was last asked. Nobody is on call where it did not answer. */
export const onCall = pgTable('on_call', {
  source: text().primaryKey(),
  people: text().array().$type<Id<'person'>[]>().notNull(),
  /** How many it named who are nobody here. */
  unmatched: integer().notNull(),
  lookedAt: instant('looked_at').notNull(),
  /** Why it could not be asked; null when it answered. */
  code: text(),
});
