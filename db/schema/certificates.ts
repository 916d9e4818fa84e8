// What our own authority signed. Whoever writes here can keep a certificate off the revocation list, or put one on it;
// nobody becomes an authority by it, for a certificate here counts only with a key that is proven to be ours.
import { sql } from 'drizzle-orm';
import { index, pgTable, text } from 'drizzle-orm/pg-core';
import { agent } from './agents.ts';
import { bytes, id, instant } from './columns.ts';
import { credential } from './credentials.ts';

/** The certificate of each of our authorities, beside the key that it is about. */
export const x509Authority = pgTable('x509_authority', {
  kid: text().primaryKey(),
  certificate: bytes().notNull(),
  notAfter: instant('not_after').notNull(),
});

export const certificate = pgTable(
  'certificate',
  {
    /** Hexadecimal, 128 random bits. */
    serial: text().primaryKey(),
    /** The key of the authority that signed it, which also signs the list that revokes it. */
    authority: text().notNull(),
    agent: id('agent')()
      .notNull()
      .references(() => agent.id),
    /** The lease it was given for; null for the identity of the agent itself. */
    credential: id('credential')().references(() => credential.id),
    spiffeId: text('spiffe_id').notNull(),
    keyThumbprint: text('key_thumbprint').notNull(),
    issuedAt: instant('issued_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    revokedAt: instant('revoked_at'),
  },
  (table) => [
    index('certificate_agent').on(table.agent),
    index('certificate_credential').on(table.credential),
    index('certificate_revoked')
      .on(table.authority, table.expiresAt)
      .where(sql`${table.revokedAt} is not null`),
  ],
);
