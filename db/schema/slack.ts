// What we said in Slack, and what Slack told us. Whoever can write here can make a click count for another card, but
// not for another person: that is in `person`.
import { boolean, index, integer, pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import { statesOf } from '../../domain/lifecycle.ts';
import { bytes, digest, id, instant } from './columns.ts';

/** A message about a request: the card that shows it, or what its owner is told in the end. */
export const slackMessage = pgTable(
  'slack_message',
  {
    request: id('request')().notNull(),
    /** Whom we meant to tell: a channel as the settings name it, or a Slack user. */
    recipient: text().notNull(),
    purpose: text({ enum: ['card', 'outcome'] }).notNull(),
    /** Where Slack says it put the message. */
    channel: text().notNull(),
    ts: text().notNull(),
    shown: digest().notNull(),
    /** Whether it shows the whole action and offers to decide; where it does not, no click counts. */
    decidable: boolean().notNull(),
    /** What the message says now; compared with what it should say before each update. */
    face: digest().notNull(),
    /** The state of the request that it tells of. */
    says: text({ enum: statesOf('request') }).notNull(),
    /** How many votes its thread tells of. */
    threaded: integer().notNull(),
    /** Whether it says the last there is to say, or cannot be changed any more. */
    isFinal: boolean('is_final').notNull(),
    at: instant().notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.request, table.recipient, table.purpose] }),
    index('slack_message_ts').on(table.ts),
    index('slack_message_open').on(table.isFinal, table.at),
  ],
);

/** A card that is about to be put up: where its putting up was not recorded, it may be there all the same. */
export const slackPosting = pgTable(
  'slack_posting',
  {
    request: id('request')().notNull(),
    recipient: text().notNull(),
    at: instant().notNull(),
  },
  (table) => [primaryKey({ columns: [table.request, table.recipient] })],
);

/** What Slack delivered: kept before it is acknowledged, so that a crash between the two loses nothing. */
export const slackInbox = pgTable(
  'slack_inbox',
  {
    /** Of what was delivered: Slack repeats what it thinks was not heard. */
    digest: digest().primaryKey(),
    /** The delivery, sealed: it may carry an address at which its user can be answered. */
    sealed: bytes().notNull(),
    at: instant().notNull(),
    attempts: integer().notNull(),
    nextTryAt: instant('next_try_at').notNull(),
    workedAt: instant('worked_at'),
  },
  (table) => [index('slack_inbox_due').on(table.workedAt, table.nextTryAt)],
);

/** A form that was opened for one Slack user about one card. What comes back names it, and proves nothing else. */
export const slackDialog = pgTable('slack_dialog', {
  tokenHash: text('token_hash').primaryKey(),
  slackUser: text('slack_user').notNull(),
  request: id('request')().notNull(),
  shown: digest().notNull(),
  channel: text().notNull(),
  ts: text().notNull(),
  createdAt: instant('created_at').notNull(),
});

/** A one-time address with which a signed-in person says that a Slack user is theirs. */
export const slackLink = pgTable('slack_link', {
  tokenHash: text('token_hash').primaryKey(),
  slackUser: text('slack_user').notNull(),
  /** What Slack calls them and their workspace, and which address it has for them. */
  slackName: text('slack_name').notNull(),
  slackTeam: text('slack_team').notNull(),
  email: text(),
  createdAt: instant('created_at').notNull(),
  expiresAt: instant('expires_at').notNull(),
  usedAt: instant('used_at'),
});
