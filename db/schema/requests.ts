// Requests that wait for people, the votes on them, and the permits they end in. Whoever can write here
// can forge a decision in the tables, but not its leaf in the log: the verdict reads only the log.
import { sql } from 'drizzle-orm';
import { index, integer, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import type { Action, Party } from '../../domain/action.ts';
import { CHANNELS, STRENGTHS, type FrozenRoute, type Involved } from '../../domain/approval.ts';
import type { CardNames } from '../../domain/card.ts';
import type { Digest } from '../../domain/digest.ts';
import type { JsonObject } from '../../domain/json.ts';
import { statesOf } from '../../domain/lifecycle.ts';
import type { Limits, Narrowable } from '../../domain/narrowing.ts';
import type { Question } from '../../domain/question.ts';
import { bytes, digest, id, instant } from './columns.ts';
import { person } from './people.ts';

/** What approvers left of what was asked for, and who took away what. */
interface Narrowed {
  action: Action;
  digest: Digest;
  limits: Limits;
  by: { person: string; name: string; limits: Limits }[];
}

export const request = pgTable(
  'request',
  {
    id: id('request')().primaryKey(),
    /** The agent it is about; null for a request about the installation itself. */
    agent: id('agent')(),
    task: id('task')(),
    requester: jsonb().$type<Party>().notNull(),
    involved: jsonb().$type<Involved>().notNull(),
    state: text({ enum: statesOf('request') }).notNull(),
    action: jsonb().$type<Action>().notNull(),
    digest: digest().notNull(),
    /** Salts the public name of the action; destroying it makes that name mean nothing. */
    salt: bytes().notNull(),
    evaluation: id('evaluation')().notNull(),
    policyVersion: digest('policy_version').notNull(),
    controls: text().array().notNull(),
    whyHeld: text('why_held').array().notNull(),
    routes: jsonb().$type<FrozenRoute[]>().notNull(),
    /** How much the rules that held it say is at stake; null where they do not say. */
    risk: text(),
    names: jsonb().$type<CardNames>().notNull(),
    /** Who carries out what is approved, where that is somebody else's enforcement point. */
    audience: text(),
    sealTo: jsonb('seal_to').$type<JsonObject>(),
    callbackUrl: text('callback_url'),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    /** When it would have run out had nobody asked anything. */
    firstExpiresAt: instant('first_expires_at').notNull(),
    /** What can be narrowed, as the role was when this was opened. */
    narrowable: jsonb().$type<Narrowable>().notNull(),
    /** What is approved in the place of `action`; null while nobody has narrowed it. */
    narrowed: jsonb().$type<Narrowed>(),
    /** Few, and read with every card: they are part of what is shown. */
    questions: jsonb().$type<Question[]>().notNull(),
    decidedAt: instant('decided_at'),
    /** Whose vote decided it; null when a clock or the requester did. */
    decidedBy: id('person')('decided_by'),
    approvedUntil: instant('approved_until'),
    denial: jsonb().$type<{ reason: string | null; disposition: 'revise' | 'stop' }>(),
    /** Why an approved request could not be carried out, for good or when last tried. */
    failure: text(),
    credential: id('credential')(),
  },
  (table) => [
    index('request_task').on(table.task),
    index('request_state').on(table.state, table.expiresAt),
    // A duplicate of a live request is that request.
    uniqueIndex('request_live_once')
      .on(table.task, table.digest)
      .where(sql`${table.state} in ('pending', 'approved')`),
  ],
);

export const vote = pgTable(
  'vote',
  {
    id: id('vote')().primaryKey(),
    request: id('request')()
      .notNull()
      .references(() => request.id),
    person: id('person')()
      .notNull()
      .references(() => person.id),
    decision: text({ enum: ['approve', 'deny'] }).notNull(),
    channel: text({ enum: CHANNELS }).notNull(),
    strength: text({ enum: STRENGTHS }).notNull(),
    shown: digest().notNull(),
    /** What this person took away, and what all had taken away by then; null for nothing. */
    narrow: jsonb().$type<Limits>(),
    limits: jsonb().$type<Limits>(),
    reason: text(),
    at: instant().notNull(),
    /** Whose vote it is, where somebody who is away has another vote, and what says so. */
    inSteadOf: id('person')('in_stead_of'),
    absence: id('absence')(),
    /** The stage it was cast in, by route; null where no route has more than one. */
    stages: jsonb().$type<Record<string, number>>(),
    /** How a vote from Slack is known to be its person's. */
    slackBinding: text('slack_binding', { enum: ['linked', 'set_by_admin', 'email_match'] }),
  },
  (table) => [uniqueIndex('vote_once').on(table.request, table.person)],
);

/** When somebody first looked at a request, kept so that a vote can say how long it was looked at. */
export const viewing = pgTable(
  'viewing',
  {
    request: id('request')().notNull(),
    person: id('person')().notNull(),
    openedAt: instant('opened_at').notNull(),
  },
  (table) => [uniqueIndex('viewing_once').on(table.request, table.person)],
);

export const permit = pgTable('permit', {
  id: id('permit')().primaryKey(),
  request: id('request')()
    .notNull()
    .unique()
    .references(() => request.id),
  digest: digest().notNull(),
  state: text({ enum: statesOf('permit') }).notNull(),
  createdAt: instant('created_at').notNull(),
  expiresAt: instant('expires_at').notNull(),
  redeemedAt: instant('redeemed_at'),
  /** How often it may be redeemed, and how often it was. */
  uses: integer().notNull().default(1),
  used: integer().notNull().default(0),
});
