// Reports of leaked secrets and what they led to. No secret is kept, nor anything from which one could be guessed.
import {
  boolean,
  doublePrecision,
  index,
  jsonb,
  pgTable,
  primaryKey,
  text,
} from 'drizzle-orm/pg-core';
import type { Party } from '../../domain/action.ts';
import { bytes, id, instant } from './columns.ts';

export const SCANNER_KINDS = ['github', 'webhook'] as const;
export const LEAK_POLICIES = ['revoke', 'suspend'] as const;

/** Who else may report leaks, and how their reports are known to be theirs. */
export const scanner = pgTable('scanner', {
  id: id('scanner')().primaryKey(),
  name: text().notNull(),
  kind: text({ enum: SCANNER_KINDS }).notNull(),
  policy: text({ enum: LEAK_POLICIES }).notNull(),
  /** GitHub's public keys by their identifier, as PEM. */
  publicKeys: jsonb('public_keys').$type<Record<string, string>>().notNull(),
  /** The shared secret of a webhook, under a key that is not in this database. */
  sealed: bytes(),
  createdBy: jsonb('created_by').$type<Party>().notNull(),
  createdAt: instant('created_at').notNull(),
});

export const leak = pgTable('leak', {
  id: id('leak')().primaryKey(),
  source: text().notNull(),
  scanner: id('scanner')(),
  place: text(),
  seenAt: instant('seen_at'),
  /** How many of each kind were looked for. */
  lookedFor: jsonb('looked_for').$type<Record<string, number>>().notNull(),
  reportedBy: jsonb('reported_by').$type<Party>().notNull(),
  reportedAt: instant('reported_at').notNull(),
  /** When everything it led to was seen gone; at once if that was nothing. */
  closedAt: instant('closed_at'),
  /** From the report to seen gone; null while something is alive, and if nothing was. */
  seconds: doublePrecision(),
});

/** What a report led to: a lease, or an access token of an agent. */
export const leakMatch = pgTable(
  'leak_match',
  {
    leak: id('leak')().notNull(),
    /** A credential, or the agent whose access token it was. */
    subject: text().notNull(),
    credential: id('credential')(),
    agent: id('agent')().notNull(),
    /** `secret`: the secret itself was shown. `name`: only what names it. */
    proof: text({ enum: ['secret', 'name'] }).notNull(),
    outcome: text({ enum: ['revoked', 'dead_before', 'named_only'] }).notNull(),
    agentSuspended: boolean('agent_suspended').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.leak, table.subject] }),
    index('leak_match_credential').on(table.credential),
  ],
);

/** Where a secret was put, as its agent says: sensors on the host can watch these. */
export const placement = pgTable(
  'placement',
  {
    id: id('placement')().primaryKey(),
    credential: id('credential')().notNull(),
    kind: text({ enum: ['file', 'env', 'socket'] }).notNull(),
    path: text().notNull(),
    host: text(),
    at: instant().notNull(),
  },
  (table) => [index('placement_credential').on(table.credential)],
);
