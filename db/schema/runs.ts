// Statements and calls that we run for agents. What was asked for is in the request that people decided on, or
// nowhere. Whoever can write here can claim that something ran: the target's transaction and the log say otherwise.
import { boolean, index, integer, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import { CALL_RETRIES } from '../../domain/http-call.ts';
import { statesOf } from '../../domain/lifecycle.ts';
import { agent, task } from './agents.ts';
import { digest, id, instant } from './columns.ts';

export const run = pgTable(
  'run',
  {
    id: id('run')().primaryKey(),
    task: id('task')()
      .notNull()
      .references(() => task.id),
    agent: id('agent')()
      .notNull()
      .references(() => agent.id),
    /** Whose rights a statement has; null for a call. */
    role: text(),
    target: text().notNull(),
    /** Of a call: where it goes, what it is called there, and whether it may be sent again. */
    upstream: text(),
    call: text(),
    retry: text({ enum: CALL_RETRIES }),
    /** How often it went out, or may have: counted before its first byte does. */
    sends: integer().notNull(),
    control: text(),
    effect: text().notNull(),
    /** Digest of the action: exactly what runs, with its parameters and limits. */
    digest: digest().notNull(),
    request: id('request')(),
    permit: id('permit')(),
    /** Null for a call that takes none of its own. */
    credential: id('credential')(),
    state: text({ enum: statesOf('run') }).notNull(),
    /** The attempt now allowed to commit: a slower, earlier one no longer is. */
    attempt: integer().notNull(),
    /** By then this attempt has ended one way or the other, or died. */
    runBy: instant('run_by').notNull(),
    /** The target's own name for the transaction; set before it is committed, so that its fate can be asked. */
    transaction: text(),
    outcome: text({ enum: ['committed', 'read', 'answered'] }),
    code: text(),
    rows: integer(),
    /** What an API answered with, how much of it came, and whether our secret was in it. */
    status: integer(),
    bytes: integer(),
    isCut: boolean('is_cut'),
    isMasked: boolean('is_masked'),
    resultDigest: digest('result_digest'),
    /** The result as JWE to the agent's key: a reader of this table holds only ciphertext for someone else. */
    sealed: text(),
    sealThumbprint: text('seal_thumbprint').notNull(),
    createdAt: instant('created_at').notNull(),
    finishedAt: instant('finished_at'),
  },
  (table) => [
    index('run_task').on(table.task),
    index('run_state').on(table.state, table.runBy),
    // What people agreed to runs once.
    uniqueIndex('run_request_once').on(table.request),
  ],
);
