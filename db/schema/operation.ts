// What keeps the service honest with its callers and its own parts: idempotency, wake-ups, integrations, sensors.
import { bigint, index, integer, pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import { bytes, digest, id, instant } from './columns.ts';

/** One row per key a caller used: the call it stood for, and its answer once there is one. */
export const idempotency = pgTable(
  'idempotency',
  {
    principal: text().notNull(),
    route: text().notNull(),
    key: text().notNull(),
    fingerprint: digest().notNull(),
    /** What a call that takes several transactions is making, so that a retry resumes it. */
    resource: text(),
    lockedUntil: instant('locked_until'),
    status: integer(),
    /** The answer, sealed: it may carry what only the caller may see, such as a sign-in link. */
    reply: bytes(),
    createdAt: instant('created_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.principal, table.route, table.key] }),
    index('idempotency_age').on(table.createdAt),
  ],
);

/** Workflows that should look at their rows again. One row per workflow however often it is woken. */
export const wake = pgTable('wake', {
  workflow: text().primaryKey(),
  kind: text({ enum: ['agent', 'task', 'request', 'target', 'review', 'discovery'] }).notNull(),
  agent: text(),
  /** Counts the wake-ups, so that delivering one never deletes a later one. */
  sequence: bigint({ mode: 'number' }).notNull(),
  at: instant().notNull(),
});

export const worker = pgTable('worker', {
  id: text().primaryKey(),
  seenAt: instant('seen_at').notNull(),
});

/** Connections to other services; `sealed` is AES-256-GCM under a key that is not in this database. */
export const integration = pgTable('integration', {
  name: text().primaryKey(),
  sealed: bytes().notNull(),
  updatedAt: instant('updated_at').notNull(),
});

/** How far a target's own log has been read, and what was last said about the target. */
export const sensorCursor = pgTable('sensor_cursor', {
  target: text().primaryKey(),
  file: text().notNull(),
  offset: bigint({ mode: 'number' }).notNull(),
  /** When the log was last read, by our clock; a sensor that is silent longer than a minute is not alive. */
  readAt: instant('read_at').notNull(),
  /** When an event last said that the sensor is alive. */
  reportedAt: instant('reported_at').notNull(),
  /** When it was last proven that the log tells everything; long ago once it is known not to. */
  aliveAt: instant('alive_at').notNull(),
  /** Digest of the standing access that was last reported. */
  paths: digest().notNull(),
});

/** Sessions in a target that have been seen to open and not yet to close. */
export const sensorSession = pgTable(
  'sensor_session',
  {
    target: text().notNull(),
    session: text().notNull(),
    login: text().notNull(),
    credential: id('credential')(),
    openedAt: instant('opened_at').notNull(),
    statements: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.target, table.session] })],
);
