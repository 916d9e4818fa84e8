// People and how they prove who they are. Whoever can write here can make approvers: `person` is as
// sensitive as the policy itself, and every change to it is an event.
import { sql } from 'drizzle-orm';
import { index, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import type { Party } from '../../domain/action.ts';
import { id, instant } from './columns.ts';

export const PERSON_ROLES = ['admin', 'approver', 'auditor', 'owner'] as const;
export type PersonRole = (typeof PERSON_ROLES)[number];

/** Said by an administrator, or shown by the person themselves: signed in here, and asking from Slack. */
export const SLACK_BINDINGS = ['set_by_admin', 'linked'] as const;

export const person = pgTable(
  'person',
  {
    id: id('person')().primaryKey(),
    name: text().notNull(),
    email: text(),
    roles: text({ enum: PERSON_ROLES }).array().notNull(),
    groups: text().array().notNull(),
    slackUserId: text('slack_user_id'),
    /** How we know that this Slack user is theirs; null where they have none. */
    slackBinding: text('slack_binding', { enum: SLACK_BINDINGS }),
    state: text({ enum: ['active', 'deactivated'] }).notNull(),
    invitedBy: jsonb('invited_by').$type<Party>().notNull(),
    createdAt: instant('created_at').notNull(),
  },
  (table) => [
    uniqueIndex('person_slack').on(table.slackUserId),
    // One address is one human, however it is spelt.
    uniqueIndex('person_email')
      .on(sql`lower(${table.email})`)
      .where(sql`${table.email} is not null`),
  ],
);

/** A one-time link. Only the hash of its token is kept, so a reader of this table cannot sign in. */
export const signInLink = pgTable('sign_in_link', {
  tokenHash: text('token_hash').primaryKey(),
  person: id('person')()
    .notNull()
    .references(() => person.id),
  createdAt: instant('created_at').notNull(),
  expiresAt: instant('expires_at').notNull(),
  usedAt: instant('used_at'),
});

export const session = pgTable(
  'session',
  {
    id: id('session')().primaryKey(),
    tokenHash: text('token_hash').notNull().unique(),
    person: id('person')()
      .notNull()
      .references(() => person.id),
    /** How its person came in. */
    method: text({ enum: ['link', 'passkey'] }).notNull(),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    endedAt: instant('ended_at'),
  },
  (table) => [index('session_person').on(table.person)],
);
