// Secrets that people bring, because what they open can issue none of its own. Whoever can write here can hand out
// another secret than was put, or forget who had one; whoever only reads finds ciphertext.
import { index, integer, pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import { bytes, id, instant } from './columns.ts';

export const staticSecret = pgTable('static_secret', {
  name: text().primaryKey(),
  version: integer().notNull(),
  /** The secret, under a key of its own for each version; null once it was removed, so that versions go on counting. */
  sealed: bytes(),
  /** That key, under one that is not in this database. */
  sealedKey: bytes('sealed_key'),
  putBy: text('put_by').notNull(),
  putAt: instant('put_at').notNull(),
  /** Since when somebody knows this version who no longer should. */
  taintedAt: instant('tainted_at'),
  remindedAt: instant('reminded_at'),
});

/** The chain of custody: who was given which version, under which lease. Kept when the secret is gone. */
export const secretCustody = pgTable(
  'secret_custody',
  {
    credential: id('credential')().notNull(),
    version: integer().notNull(),
    secret: text().notNull(),
    agent: id('agent')().notNull(),
    task: id('task')().notNull(),
    givenAt: instant('given_at').notNull(),
    /** When the lease ended. What was learnt stays known. */
    endedAt: instant('ended_at'),
  },
  (table) => [
    primaryKey({ columns: [table.credential, table.version] }),
    index('secret_custody_secret').on(table.secret, table.credential),
  ],
);
