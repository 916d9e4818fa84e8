// Connections to our own database, under the least role that the work needs.
import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import postgres, { type Options, type Sql } from 'postgres';
import * as schema from './schema/index.ts';
import { patientSockets } from './sockets.ts';

/** Database roles. The migrating owner is none of them. */
export type DatabaseRole = 'service' | 'sequencer' | 'reader';

export const databaseRole = (role: DatabaseRole): string => `countersign_${role}`;

export type Query = PostgresJsDatabase<typeof schema>;
export type Transaction = Parameters<Parameters<Query['transaction']>[0]>[0];

export interface Database {
  /** Typed queries. */
  query: Query;
  /** The same pool without the types: LISTEN, and what a query builder cannot say. */
  sql: Sql;
  close(): Promise<void>;
}

export interface ConnectOptions {
  role: DatabaseRole | null;
  /** Names the process in `pg_stat_activity`. */
  application: string;
  connectionsMax: number;
}

/** A statement of ours that runs longer than this is a fault, not work. */
const STATEMENT_TIMEOUT_MS = 15_000;
/** Waiting longer than this for a row means its holder is gone or stuck. */
const LOCK_TIMEOUT_MS = 10_000;

export function connect(url: string, options: ConnectOptions): Database {
  const sql = postgres(url, {
    ...connectionOptions(options),
    ...patientSockets(url, options.connectionsMax),
  });
  return {
    query: drizzle(sql, { schema }),
    sql,
    close: () => sql.end({ timeout: 5 }),
  };
}

function connectionOptions(options: ConnectOptions): Options<Record<string, never>> {
  return {
    max: options.connectionsMax,
    idle_timeout: 10,
    connect_timeout: 5,
    onnotice: () => undefined,
    connection: {
      application_name: options.application,
      ...(options.role && { role: databaseRole(options.role) }),
      statement_timeout: STATEMENT_TIMEOUT_MS,
      lock_timeout: LOCK_TIMEOUT_MS,
      idle_in_transaction_session_timeout: 60_000,
    },
  };
}
