// Leases on access. A row is written before its target is touched and says what is known of the login.
// Whoever can write here can hide a live login from the reaper; the sweep over each target finds it again.
import { sql } from 'drizzle-orm';
import { boolean, index, integer, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import type { Confirmation } from '../../domain/delegation.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { statesOf } from '../../domain/lifecycle.ts';
import { agent, task } from './agents.ts';
import { bytes, id, instant } from './columns.ts';

export const REVOKE_CAUSES = [
  'ttl',
  'task_ended',
  'agent_suspended',
  'agent_retired',
  'revoked',
  'review',
  'approval_ended',
  'issue_abandoned',
  'kill',
  'leaked',
  'vanished',
  'run_ended',
  'purpose_changed',
] as const;
export type RevokeCause = (typeof REVOKE_CAUSES)[number];

export const credential = pgTable(
  'credential',
  {
    id: id('credential')().primaryKey(),
    task: id('task')()
      .notNull()
      .references(() => task.id),
    agent: id('agent')()
      .notNull()
      .references(() => agent.id),
    /** The chain of the task when it was asked for: whoever acts, then on whose behalf. */
    chain: text().array().$type<Id<'agent'>[]>().notNull(),
    /** The key or certificate that a token is bound to (RFC 7800); null where it is bound to none. */
    confirmation: jsonb().$type<Confirmation>(),
    role: text().notNull(),
    issuer: text().notNull(),
    target: text().notNull(),
    /** What was asked for within the role; what people approve names it too. */
    options: jsonb().$type<JsonObject>().notNull(),
    /** Whether revoking ends what it can do before it would expire by itself. */
    revocable: boolean().notNull(),
    control: text(),
    /** Who has its material: the agent, or ourselves for as long as one statement of the agent's takes. */
    holder: text({ enum: ['agent', 'service'] }).notNull(),
    state: text({ enum: statesOf('credential') }).notNull(),
    permit: id('permit')(),
    request: id('request')(),
    /** The standing grant that it was given under, without a request of its own. */
    grant: id('grant')(),
    /** The attempt now allowed to issue: a slower, earlier one can no longer make this lease active. */
    issueAttempt: integer('issue_attempt').notNull(),
    /** After this the target itself refuses to create the login. */
    issueBy: instant('issue_by').notNull(),
    createdAt: instant('created_at').notNull(),
    issuedAt: instant('issued_at'),
    expiresAt: instant('expires_at').notNull(),
    /** How long its target lets it live, as last heard: less than the row says where a renewal did not come through. */
    heldUntil: instant('held_until'),
    /** By then the other side has let it die, whatever we do. */
    diesAt: instant('dies_at').notNull(),
    /** What ending it takes and does not follow from the id, under a key that is not in this database. */
    handles: bytes(),
    lastUsedAt: instant('last_used_at'),
    /** JWE to the requester's key: a reader of this table holds only ciphertext for someone else. */
    sealed: text(),
    sealThumbprint: text('seal_thumbprint').notNull(),
    collectedAt: instant('collected_at'),
    /** When it was opened for its code, by somebody who had sent no key. */
    claimedAt: instant('claimed_at'),
    because: text({ enum: REVOKE_CAUSES }),
    attempts: integer().notNull().default(0),
    nextTryAt: instant('next_try_at'),
    lastError: text('last_error'),
    endedAt: instant('ended_at'),
    /** Keyed digests of each secret that was handed out, so that a leaked one leads back here. Useless without the key. */
    fingerprints: text().array().notNull().default([]),
    /** The report that ended it, and when that came in: from then on the time to dead is counted. */
    leak: id('leak')(),
    leakedAt: instant('leaked_at'),
    /** Whether its target was seen to know it no more; null while it is alive, false where nobody could look. */
    seenGone: boolean('seen_gone'),
    /** Set while a renewal is under way: by then its outcome is known, or it was interrupted. */
    renewBy: instant('renew_by'),
  },
  (table) => [
    index('credential_task').on(table.task),
    index('credential_agent').on(table.agent),
    index('credential_grant')
      .on(table.grant)
      .where(sql`${table.grant} is not null`),
    index('credential_forced')
      .on(table.target)
      .where(sql`${table.state} = 'force_closed' and not ${table.seenGone}`),
    index('credential_alive')
      .on(table.target, table.expiresAt)
      .where(sql`${table.state} in ('pending', 'active', 'revoking', 'revoke_failed')`),
    index('credential_fingerprints').using('gin', table.fingerprints),
    // A permit is good for one login at a time; an abandoned lease frees it again.
    uniqueIndex('credential_permit_once')
      .on(table.permit)
      .where(sql`${table.state} in ('pending', 'active')`),
  ],
);

/** What came of comparing a target with the leases, when last tried. */
export const targetSweep = pgTable('target_sweep', {
  target: text().primaryKey(),
  at: instant().notNull(),
  /** `unlistable` where a target cannot say what it knows: there only the leases themselves are checked. */
  outcome: text({ enum: ['compared', 'unlistable', 'unreachable'] }).notNull(),
  found: integer().notNull(),
  orphans: integer().notNull(),
  vanished: integer().notNull(),
});
