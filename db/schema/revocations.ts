// Orders to revoke many credentials at once, and the switch that stops everything.
import { sql } from 'drizzle-orm';
import { index, integer, pgTable, primaryKey, text, uniqueIndex, jsonb } from 'drizzle-orm/pg-core';
import type { Party } from '../../domain/action.ts';
import { id, instant } from './columns.ts';
import { credential, REVOKE_CAUSES } from './credentials.ts';

/** What an order can name. */
export const REVOCATION_SCOPES = [
  'credential',
  'task',
  'agent',
  'chain',
  'team',
  'role',
  'issuer',
  'target',
  'everything',
] as const;
export type RevocationScope = (typeof REVOCATION_SCOPES)[number];

export const revocation = pgTable('revocation', {
  id: id('revocation')().primaryKey(),
  by: text({ enum: REVOCATION_SCOPES }).notNull(),
  /** The one thing of that kind; null for everything. */
  of: text(),
  because: text({ enum: REVOKE_CAUSES }).notNull(),
  reason: text().notNull(),
  orderedBy: jsonb('ordered_by').$type<Party>().notNull(),
  createdAt: instant('created_at').notNull(),
  /** How many were alive when it was ordered. */
  credentials: integer().notNull(),
  /** When the last of them was over. */
  doneAt: instant('done_at'),
});

/** What an order found alive; one credential can be under several. */
export const revocationLease = pgTable(
  'revocation_lease',
  {
    revocation: id('revocation')()
      .notNull()
      .references(() => revocation.id),
    credential: id('credential')()
      .notNull()
      .references(() => credential.id),
  },
  (table) => [
    primaryKey({ columns: [table.revocation, table.credential] }),
    index('revocation_lease_credential').on(table.credential),
  ],
);

/** The kill switch, each time it was thrown. While one row is not lifted, nothing new starts. */
export const stop = pgTable(
  'stop',
  {
    id: id('stop')().primaryKey(),
    revocation: id('revocation')()
      .notNull()
      .references(() => revocation.id),
    reason: text().notNull(),
    orderedBy: jsonb('ordered_by').$type<Party>().notNull(),
    createdAt: instant('created_at').notNull(),
    liftedAt: instant('lifted_at'),
    /** The request in which people agreed to lift it. */
    liftedBy: id('request')('lifted_by'),
  },
  (table) => [
    uniqueIndex('stop_one_at_a_time')
      .on(sql`(${table.liftedAt} is null)`)
      .where(sql`${table.liftedAt} is null`),
  ],
);
