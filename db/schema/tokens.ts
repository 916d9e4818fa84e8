// What is remembered about tokens that we signed, for none is ever stored. Whoever can write here can let a revoked
// token pass until it expires, or make a good one look revoked; nobody gains a token.
import { index, integer, pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import type { Id } from '../../domain/id.ts';
import { digest, id, instant } from './columns.ts';

/** Tokens that were revoked before they expired (RFC 7009), kept until they would have. */
export const revokedToken = pgTable('revoked_token', {
  jti: text().primaryKey(),
  expiresAt: instant('expires_at').notNull(),
});

/** DPoP proofs already seen (RFC 9449 §11.1), kept for as long as they could be sent again. */
export const dpopProof = pgTable(
  'dpop_proof',
  {
    thumbprint: text().notNull(),
    jti: text().notNull(),
    expiresAt: instant('expires_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.thumbprint, table.jti] })],
);

/** Token status lists that were opened. The newest one is filled, and a full one is only read. */
export const statusList = pgTable('status_list', {
  id: integer().primaryKey(),
  openedAt: instant('opened_at').notNull(),
});

/**
 * One place in a status list, taken at random and never again. The status itself is not kept: it follows from the
 * rows named here, so that a token is dead in the list as soon as what it stands on is.
 */
export const tokenStatus = pgTable(
  'token_status',
  {
    list: integer()
      .notNull()
      .references(() => statusList.id),
    index: integer().notNull(),
    jti: text().notNull(),
    /** The lease, for a token that was issued as a credential. */
    credential: id('credential')(),
    /** The agents it speaks for: whoever acts, then on whose behalf. */
    agents: text().array().$type<Id<'agent'>[]>().notNull(),
    /** The key it was signed in with, or the way in that policy names. */
    key: id('key')(),
    wayIn: digest('way_in'),
    /** The task it is bound to. */
    task: id('task')(),
    signedInAt: instant('signed_in_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.list, table.index] }),
    index('token_status_credential').on(table.credential),
  ],
);
