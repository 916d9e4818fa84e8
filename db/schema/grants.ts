// Standing grants: approvals that are used more than once, within a bound. Whoever can write here can give an agent
// more uses than people agreed to; the leaves of each use tell, for they carry its number and the bound.
import { sql } from 'drizzle-orm';
import { check, index, integer, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import type { GrantBounds } from '../../domain/grant.ts';
import { statesOf } from '../../domain/lifecycle.ts';
import { agent } from './agents.ts';
import { digest, id, instant } from './columns.ts';
import { person } from './people.ts';
import { request } from './requests.ts';

export const standingGrant = pgTable(
  'standing_grant',
  {
    id: id('grant')().primaryKey(),
    agent: id('agent')()
      .notNull()
      .references(() => agent.id),
    /** Who answered for the agent when it was agreed to; under another owner it is void. */
    owner: id('person')()
      .notNull()
      .references(() => person.id),
    /** What people agreed to it in. */
    request: id('request')()
      .notNull()
      .unique()
      .references(() => request.id),
    role: text().notNull(),
    /** Digest of every action it covers, with the members that may vary replaced by their bounds. */
    pattern: digest().notNull(),
    bounds: jsonb().$type<GrantBounds>().notNull(),
    uses: integer().notNull(),
    used: integer().notNull().default(0),
    state: text({ enum: statesOf('grant') }).notNull(),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    /** When its approvers were told that it is about to end. */
    warnedAt: instant('warned_at'),
    because: text(),
    endedAt: instant('ended_at'),
  },
  (table) => [
    index('standing_grant_agent').on(table.agent, table.state),
    // The last word, should the code that counts be wrong.
    check('standing_grant_used', sql`${table.used} between 0 and ${table.uses}`),
  ],
);

/** Each use of a grant: a permit of its own, redeemed when it was issued. */
export const grantUse = pgTable(
  'grant_use',
  {
    permit: id('permit')().primaryKey(),
    grant: id('grant')()
      .notNull()
      .references(() => standingGrant.id),
    number: integer().notNull(),
    digest: digest().notNull(),
    at: instant().notNull(),
  },
  (table) => [uniqueIndex('grant_use_once').on(table.grant, table.number)],
);
