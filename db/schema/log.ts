// The record and the log over it. Whoever can write here can add events, but cannot change one: a trigger
// refuses UPDATE, DELETE and TRUNCATE, and a published checkpoint no longer matches what was altered.
import { bigint, index, integer, jsonb, pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import type { JsonValue } from '../../domain/json.ts';
import { bytes, id, instant } from './columns.ts';

/** Partitioned by the time in the id (the migration says how); INSERT and SELECT only. */
export const event = pgTable(
  'event',
  {
    id: id('event')().primaryKey(),
    type: text().notNull(),
    time: instant().notNull(),
    task: text(),
    request: text(),
    agent: text(),
    control: text(),
    /** The leaf as it was written: JCS text, never serialised again. */
    leaf: text().notNull(),
  },
  (table) => [
    index('event_task').on(table.task, table.id),
    index('event_request').on(table.request, table.id),
    index('event_agent').on(table.agent, table.id),
    index('event_type').on(table.type, table.id),
    index('event_control').on(table.control, table.id),
  ],
);

/** What a leaf only commits to. Deleting a row erases the value and breaks no proof. */
export const eventPrivate = pgTable(
  'event_private',
  {
    event: id('event')().notNull(),
    field: text().notNull(),
    salt: bytes().notNull(),
    /** NULL stands for JSON null: explicitly none. */
    value: jsonb().$type<JsonValue>(),
  },
  (table) => [primaryKey({ columns: [table.event, table.field] })],
);

/** Events that committed and have no index yet, in an order that respects what caused what. */
export const logPending = pgTable('log_pending', {
  sequence: bigint({ mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  event: id('event')().notNull().unique(),
  at: instant().notNull(),
});

export const logEntry = pgTable('log_entry', {
  index: bigint({ mode: 'number' }).primaryKey(),
  event: id('event')().notNull().unique(),
});

export const logTile = pgTable(
  'log_tile',
  {
    level: integer().notNull(),
    index: bigint({ mode: 'number' }).notNull(),
    /** Hashes so far; the newest state of the tile, of which any narrower one is a prefix. */
    width: integer().notNull(),
    hashes: bytes().notNull(),
  },
  (table) => [primaryKey({ columns: [table.level, table.index] })],
);

/** One row, which the sequencer locks: there is never more than one at work. */
export const logHead = pgTable('log_head', {
  singleton: integer().primaryKey().default(1),
  size: bigint({ mode: 'number' }).notNull(),
  root: bytes().notNull(),
  checkpoint: text().notNull(),
  signedAt: instant('signed_at').notNull(),
});
