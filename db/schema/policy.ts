// Policy versions by digest, and the one that is active. Whoever can write here decides what needs approval.
import { integer, jsonb, pgTable, text } from 'drizzle-orm/pg-core';
import type { Party } from '../../domain/action.ts';
import { digest, instant } from './columns.ts';

export const policy = pgTable('policy', {
  version: digest().primaryKey(),
  /** The files of the bundle by name, exactly as they were pushed. */
  files: jsonb().$type<Record<string, string>>().notNull(),
  createdAt: instant('created_at').notNull(),
});

/** One row. Redeeming a permit holds it `FOR SHARE`, activating a policy `FOR UPDATE`. */
export const activePolicy = pgTable('active_policy', {
  singleton: integer().primaryKey().default(1),
  version: digest()
    .notNull()
    .references(() => policy.version),
  activatedAt: instant('activated_at').notNull(),
  activatedBy: jsonb('activated_by').$type<Party>().notNull(),
});

/** Facts fixed at the first migration, so that changing a port never changes who we are. */
export const installation = pgTable('installation', {
  singleton: integer().primaryKey().default(1),
  issuer: text().notNull(),
  trustDomain: text('trust_domain').notNull(),
  logOrigin: text('log_origin').notNull(),
  createdAt: instant('created_at').notNull(),
});
