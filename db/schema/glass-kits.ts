// Logins that lie ready at a target for when we are down, each password split between two people. What is kept here
// opens nothing: halves are sealed to their holders' own keys, and gone once both were collected.
import { index, integer, jsonb, pgTable, text } from 'drizzle-orm/pg-core';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { statesOf } from '../../domain/lifecycle.ts';
import { id, instant } from './columns.ts';
import { request } from './requests.ts';

/** One of the two holders, and how far they are. */
export interface KitSeat {
  person: Id<'person'>;
  /** The public key that they brought themselves. */
  key: JsonObject | null;
  thumbprint: string | null;
  /** Their half, sealed to it, until both halves were collected. */
  share: string | null;
  collected_at: string | null;
}

export const glassKit = pgTable(
  'glass_kit',
  {
    id: id('glassKit')().primaryKey(),
    /** What people agreed to it in. */
    request: id('request')()
      .notNull()
      .unique()
      .references(() => request.id),
    role: text().notNull(),
    target: text().notNull(),
    /** The routes that it goes past. */
    gates: text().array().notNull(),
    /** Their own groups, which may review its use. */
    reviewers: text().array().notNull(),
    state: text({ enum: statesOf('glassKit') }).notNull(),
    seats: jsonb().$type<[KitSeat, KitSeat]>().notNull(),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    /** Counts the attempts at making it: a slower, earlier one must not replace what a later one made. */
    attempt: integer().notNull().default(0),
    issueBy: instant('issue_by'),
    madeAt: instant('made_at'),
    /** The salt of what the target keeps of the password, which it tells to anybody who asks to sign in. */
    salt: text(),
    checkedAt: instant('checked_at'),
    checked: text(),
    warnedAt: instant('warned_at'),
    /** When the target first and last saw it at work, by its own clock. */
    firstSeenAt: instant('first_seen_at'),
    lastSeenAt: instant('last_seen_at'),
    effects: integer().notNull().default(0),
    /** When people were told that it was used. */
    toldAt: instant('told_at'),
    because: text(),
    /** What the last try at the target came to, where it failed, and when the next one is due. */
    failure: text(),
    nextTryAt: instant('next_try_at'),
    endedAt: instant('ended_at'),
  },
  (table) => [index('glass_kit_target').on(table.target, table.state)],
);
