// Keys that people hold, and what their authenticators were asked to sign. Whoever can write here can sign in as anybody,
// but cannot make up a vote by a passkey: that is checked against the log.
import { bigint, boolean, index, jsonb, pgTable, text } from 'drizzle-orm/pg-core';
import { bytes, id, instant } from './columns.ts';
import { person } from './people.ts';

/** A passkey. One that was removed keeps its row, so that nobody can bring the same credential again. */
export const passkey = pgTable(
  'passkey',
  {
    id: id('passkey')().primaryKey(),
    person: id('person')()
      .notNull()
      .references(() => person.id),
    /** The authenticator's own name for it, in base64url. */
    credentialId: text('credential_id').notNull().unique(),
    /** A COSE key, as the authenticator wrote it. */
    publicKey: bytes('public_key').notNull(),
    /** What it last counted; 0 from those that do not count. */
    counter: bigint({ mode: 'number' }).notNull(),
    /** Whether it may be copied to other devices of its person. */
    backupEligible: boolean('backup_eligible').notNull(),
    /** How browsers reach it, as they said. */
    transports: text().array().notNull(),
    name: text().notNull(),
    createdAt: instant('created_at').notNull(),
    lastUsedAt: instant('last_used_at'),
    removedAt: instant('removed_at'),
  },
  (table) => [index('passkey_person').on(table.person)],
);

/** Something an authenticator was asked to sign. It is good once and for minutes. */
export const passkeyChallenge = pgTable(
  'passkey_challenge',
  {
    challenge: text().primaryKey(),
    purpose: text({ enum: ['register', 'sign_in', 'vote'] }).notNull(),
    /** Null for a sign-in, which whoever it is has yet to say. */
    person: id('person')(),
    session: id('session')(),
    request: id('request')(),
    /** What a statement was made with besides what the vote says again. */
    grounds: jsonb().$type<{ checkpoint: { size: number; root: string }; nonce: string }>(),
    /** Hides reason and limits in the published statement. */
    salt: bytes(),
    expiresAt: instant('expires_at').notNull(),
    usedAt: instant('used_at'),
  },
  (table) => [index('passkey_challenge_expiry').on(table.expiresAt)],
);
