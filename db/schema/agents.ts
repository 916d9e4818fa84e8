// Agents, their public keys, and their tasks.
import { boolean, index, jsonb, pgTable, primaryKey, text, uniqueIndex } from 'drizzle-orm/pg-core';
import type { Party } from '../../domain/action.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { statesOf } from '../../domain/lifecycle.ts';
import { digest, id, instant } from './columns.ts';
import { person } from './people.ts';

export const AGENT_KINDS = ['ai_agent', 'service', 'ci', 'demo'] as const;

export const agent = pgTable(
  'agent',
  {
    id: id('agent')().primaryKey(),
    /** Unique for ever: a retired name is never given to another agent. */
    name: text().notNull().unique(),
    kind: text({ enum: AGENT_KINDS }).notNull(),
    owner: id('person')()
      .notNull()
      .references(() => person.id),
    team: text().notNull(),
    purpose: text().notNull(),
    /** The agent that this one is a sub-agent of. */
    parent: id('agent')(),
    state: text({ enum: statesOf('agent') }).notNull(),
    /** Set once retirement was asked for; the agent is retired when nothing of it is alive. */
    retiring: boolean().notNull().default(false),
    spiffeId: text('spiffe_id').unique(),
    request: id('request')(),
    registeredBy: jsonb('registered_by').$type<Party>().notNull(),
    createdAt: instant('created_at').notNull(),
    admittedAt: instant('admitted_at'),
    lastUsedAt: instant('last_used_at'),
    rotationDueAt: instant('rotation_due_at'),
    reviewDueAt: instant('review_due_at'),
    /** When somebody was last told that a new key is due. */
    rotationNotedAt: instant('rotation_noted_at'),
    /** Since when nobody active answers for it. */
    orphanedAt: instant('orphaned_at'),
  },
  (table) => [index('agent_owner').on(table.owner)],
);

export const agentKey = pgTable(
  'agent_key',
  {
    id: id('key')().primaryKey(),
    agent: id('agent')()
      .notNull()
      .references(() => agent.id),
    thumbprint: text().notNull(),
    jwk: jsonb().$type<JsonObject>().notNull(),
    state: text({ enum: ['active', 'revoked'] }).notNull(),
    /** Who brought it, or asked for the token of whoever did: with it they can act as the agent (I4). */
    broughtBy: jsonb('brought_by').$type<Party>().notNull(),
    /** From then on it is no key any more, whether or not anybody has noted that. */
    retireAt: instant('retire_at'),
    createdAt: instant('created_at').notNull(),
  },
  // A public key names one agent: the same key on two would let one sign in as the other.
  (table) => [uniqueIndex('agent_key_thumbprint').on(table.thumbprint)],
);

/** A right to bind one key to an agent, once. Only the hash of its token is kept: a reader of this table cannot join. */
export const joinToken = pgTable(
  'join_token',
  {
    id: id('joinToken')().primaryKey(),
    tokenHash: text('token_hash').notNull().unique(),
    agent: id('agent')()
      .notNull()
      .references(() => agent.id),
    /** What has to be approved before it is good; null where policy asks nobody. */
    request: id('request')(),
    /** Who asked for it, and may hand it to anybody. */
    madeBy: jsonb('made_by').$type<Party>().notNull(),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    usedAt: instant('used_at'),
    /** When its agent was stopped before anybody had used it. */
    withdrawnAt: instant('withdrawn_at'),
    /** The key that it bound. */
    key: id('key')().references(() => agentKey.id),
  },
  (table) => [index('join_token_agent').on(table.agent)],
);

/** Client assertions already used, kept until they would have expired anyway. */
export const usedAssertion = pgTable(
  'used_assertion',
  {
    /** Who made it: the agent, or the issuer of somebody else's token. Nobody uses up what another made. */
    source: text().notNull(),
    jti: text().notNull(),
    expiresAt: instant('expires_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.source, table.jti] })],
);

export const TRIGGER_PROOFS = ['verified', 'claimed', 'none'] as const;

/** Who else may show what set a task off. Whoever can write here can have any trigger verified. */
export const triggerSource = pgTable('trigger_source', {
  id: id('triggerSource')().primaryKey(),
  name: text().notNull(),
  jwk: jsonb().$type<{ kty: 'EC'; crv: 'P-256'; x: string; y: string }>().notNull(),
  thumbprint: text().notNull(),
  createdBy: jsonb('created_by').$type<Party>().notNull(),
  createdAt: instant('created_at').notNull(),
});

export const task = pgTable(
  'task',
  {
    id: id('task')().primaryKey(),
    agent: id('agent')()
      .notNull()
      .references(() => agent.id),
    /** The task under which this one was delegated; it never outlives it. */
    parent: id('task')(),
    /** Whoever acts first, then each agent on whose behalf: one agent where nothing was delegated. */
    chain: text().array().$type<Id<'agent'>[]>().notNull(),
    /** The roles that were delegated; null where nothing limits them. */
    roles: text().array(),
    purpose: text().notNull(),
    triggeredBy: id('person')('triggered_by').references(() => person.id),
    triggeredByProof: text('triggered_by_proof', { enum: TRIGGER_PROOFS }).notNull(),
    /** The signed event that set it off. */
    trigger: jsonb().$type<{ source: string; type: string; id: string }>(),
    state: text({ enum: statesOf('task') }).notNull(),
    /** What an ending task ends as. */
    outcome: text({ enum: ['completed', 'failed', 'expired', 'killed'] }),
    reason: text(),
    policyVersion: digest('policy_version').notNull(),
    deadlineAt: instant('deadline_at').notNull(),
    createdAt: instant('created_at').notNull(),
    /** When the task's workflow was first seen running; nothing is issued before. */
    ownedAt: instant('owned_at'),
    endedAt: instant('ended_at'),
  },
  (table) => [
    index('task_agent').on(table.agent),
    index('task_parent').on(table.parent),
    index('task_state').on(table.state, table.deadlineAt),
  ],
);
