// What discovery found in targets. Whoever can write here can hide a standing login from those who look for one; the
// target itself still has it, and looking again finds it. Names and comments are as the target has them, less secrets.
import { index, integer, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import type { Party } from '../../domain/action.ts';
import {
  CHANGES,
  FOUND_KINDS,
  OWNER_CLUES,
  RISKS,
  type FoundFacts,
  type Gap,
} from '../../domain/found-identity.ts';
import { id, instant } from './columns.ts';
import { person } from './people.ts';

export const FOUND_STATES = ['unmanaged', 'adopted', 'ignored', 'gone'] as const;

/** What became of an identity, seen from one look to the next. */
export const DIFFERENCES = ['new', 'changed', 'gone'] as const;

export const foundIdentity = pgTable(
  'found_identity',
  {
    id: id('foundIdentity')().primaryKey(),
    target: text().notNull(),
    name: text().notNull(),
    kind: text({ enum: FOUND_KINDS }).notNull(),
    /** What the target tells apart two of one name by. */
    reference: text().notNull(),
    facts: jsonb().$type<FoundFacts>().notNull(),
    risks: text({ enum: RISKS }).array().notNull(),
    /** Controls whose tables it may write without asking. */
    around: text().array().notNull(),
    state: text({ enum: FOUND_STATES }).notNull(),
    firstSeenAt: instant('first_seen_at').notNull(),
    /** When discovery last saw that it exists. */
    lastSeenAt: instant('last_seen_at').notNull(),
    /** When it was last seen in use, by discovery or by the target's observer. */
    usedAt: instant('used_at'),
    /** What was last different about it, and at which look. */
    difference: text({ enum: DIFFERENCES }).notNull(),
    differentAt: instant('different_at').notNull(),
    changes: text({ enum: CHANGES }).array().notNull(),
    guessedOwner: id('person')().references(() => person.id),
    guessedBecause: text('guessed_because', { enum: OWNER_CLUES }),
    /** The agent that it was adopted as. */
    agent: id('agent')(),
    decidedBy: jsonb('decided_by').$type<Party>(),
    decidedAt: instant('decided_at'),
    reason: text(),
    /** What was known against it when somebody chose to leave it as it is. */
    accepted: text().array().notNull(),
  },
  (table) => [
    uniqueIndex('found_identity_name').on(table.target, table.kind, table.name),
    index('found_identity_agent').on(table.agent),
  ],
);

/** When each target was asked for its identities, and what that came to. */
export const targetLook = pgTable('target_look', {
  target: text().primaryKey(),
  /** Since when it is to be asked. */
  since: instant().notNull(),
  /** Until then somebody is asking it; whoever died on the way holds nobody up for longer. */
  askingUntil: instant('asking_until'),
  askedAt: instant('asked_at'),
  /** Why it said nothing when it was last asked; null where it did. */
  code: text(),
  answeredAt: instant('answered_at'),
  identities: integer().notNull(),
  found: integer().notNull(),
  changed: integer().notNull(),
  gone: integer().notNull(),
  /** Identities beyond what one look takes in. */
  leftOut: integer('left_out').notNull(),
  /** What it refused to list. */
  gaps: jsonb().$type<Gap[]>().notNull(),
});
