// The newest bundle that was had of each trust domain policy names. Whoever can write here can make us forget one, so
// that the next is judged by what was handed over; a bundle that is not ours to believe cannot be put in its place.
import { pgTable, text } from 'drizzle-orm/pg-core';
import { bytes, digest, instant } from './columns.ts';

export const foreignBundle = pgTable('foreign_bundle', {
  /** Of how policy says that it is had, and of what was handed over: another way to it begins anew. */
  source: digest().primaryKey(),
  trustDomain: text('trust_domain').notNull(),
  /** The document as it came, encrypted so that it also proves to have been written by us. */
  sealed: bytes().notNull(),
  fetchedAt: instant('fetched_at').notNull(),
});
