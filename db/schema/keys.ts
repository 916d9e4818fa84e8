// Keys that sign for us. Whoever writes here can stop a key from verifying, but makes none verify: each row carries
// a proof under a key that is not in this database. Whoever reads here learns public keys and ciphertext.
import { sql } from 'drizzle-orm';
import { boolean, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import type { PublicJwk, SigningAlgorithm } from '../../domain/signing-key.ts';
import { KEY_DRIVERS, KEY_USES, SIGNING_KEY_STATES } from '../../domain/signing-key.ts';
import { bytes, instant } from './columns.ts';

export const signingKey = pgTable(
  'signing_key',
  {
    /** The thumbprint of the public part. */
    kid: text().primaryKey(),
    use: text({ enum: KEY_USES }).notNull(),
    algorithm: text().$type<SigningAlgorithm>().notNull(),
    driver: text({ enum: KEY_DRIVERS }).notNull(),
    reference: text().notNull(),
    jwk: jsonb().$type<PublicJwk>().notNull(),
    /** The private part, encrypted; removed when the key stops signing. */
    sealed: bytes(),
    /** Shows that we wrote this row; removed when the key is retired, so that it cannot come back. */
    proof: bytes(),
    state: text({ enum: SIGNING_KEY_STATES }).notNull(),
    publishedAt: instant('published_at').notNull(),
    /** When it began to sign, or is to begin. */
    activatesAt: instant('activates_at').notNull(),
    /** When it goes: set when it stops signing. */
    retiresAt: instant('retires_at'),
    /** Whether it was dropped at once, with everything it had signed. */
    revoked: boolean().notNull().default(false),
  },
  (table) => [
    // Replicas that turn keys at the same time make one new key, and one key signs.
    uniqueIndex('signing_key_one_active')
      .on(table.use)
      .where(sql`${table.state} = 'active'`),
    uniqueIndex('signing_key_one_next')
      .on(table.use)
      .where(sql`${table.state} = 'published'`),
  ],
);
