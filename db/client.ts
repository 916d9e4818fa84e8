// Connections to our own database, under the least role that the work needs.
import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import postgres, { type Options, type Sql } from 'postgres';
import * as schema from './schema/index.ts';
import { Sessions } from './sessions.ts';
import { patientSockets } from './sockets.ts';

/** Database roles. The migrating owner is none of them. */
export type DatabaseRole = 'service' | 'sequencer' | 'reader';

export const databaseRole = (role: DatabaseRole): string => `countersign_${role}`;

export type Query = PostgresJsDatabase<typeof schema>;
export type Transaction = Parameters<Parameters<Query['transaction']>[0]>[0];

export interface Database {
  /** Typed queries. */
  query: Query;
  /** The driver itself: LISTEN, and what a query builder cannot say. */
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
  const settings = connectionOptions(options);
  const { connectionsMax: max } = options;
  const sessions = new Sessions(url, max, settings);
  const sql = postgres(url, { ...settings, ...patientSockets(url, max), max, idle_timeout: 10 });
  return {
    query: drizzle(asSql(sessions), { schema }),
    sql,
    close: async () => {
      await Promise.all([sessions.close(), sql.end({ timeout: 5 })]);
    },
  };
}

/** The query builder names the driver's client, and uses of it what our sessions have. */
const asSql = (sessions: Sessions) => sessions as unknown as Sql;

function connectionOptions(options: ConnectOptions): Options<Record<string, never>> {
  return {
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
