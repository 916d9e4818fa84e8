// Connections to a MySQL or MariaDB of somebody else's, for the issuer beside this file.
import { createPool, type Pool, type PoolConnection, type RowDataPacket } from 'mysql2/promise';
import type { MysqlTarget } from '../../commands/access/mysql.ts';
import { TargetError, type TargetRef } from '../../commands/credentials/issuer.ts';
import type { Secrets } from './login.ts';

/** The target is given this long for one statement of ours. */
const STATEMENT_TIMEOUT_MS = 5_000;
const CONNECTIONS_MAX = 4;
/** Leases ended at once in one target, and calls that come in the meantime. */
const WAITING_MAX = 1_000;

/** A target as it is configured now. */
export interface MysqlServer {
  definition: MysqlTarget;
  url: URL;
  pool: Pool;
}

/** Finds targets by their configuration, and keeps the connections to each. */
export function mysqlServers(secrets: Secrets): {
  open(target: TargetRef): MysqlServer;
  close(): Promise<void>;
} {
  const pools = new Map<string, Pool>();
  return {
    open: ({ definition }) => {
      const text = definition?.issuer === 'mysql' ? secrets(definition.url_from) : null;
      if (definition?.issuer !== 'mysql' || text === null || !URL.canParse(text))
        throw new TargetError('target_not_configured');
      const ca = definition.ca_from === undefined ? null : secrets(definition.ca_from);
      if (definition.ca_from !== undefined && ca === null)
        throw new TargetError('target_not_configured');
      const key = JSON.stringify([text, definition.tls, ca]);
      const url = new URL(text);
      const pool = pools.get(key) ?? connect(url, definition, ca);
      pools.set(key, pool);
      return { definition, url, pool };
    },
    close: async () => {
      await Promise.all([...pools.values()].map((pool) => pool.end().catch(() => undefined)));
    },
  };
}

const connect = (url: URL, { tls }: MysqlTarget, ca: string | null): Pool =>
  createPool({
    host: url.hostname,
    port: portOf(url),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    charset: 'utf8mb4',
    connectTimeout: 3_000,
    connectionLimit: CONNECTIONS_MAX,
    queueLimit: WAITING_MAX,
    idleTimeout: STATEMENT_TIMEOUT_MS,
    // What is asked in one packet is carried out without a way back in between. No value is ever part of its text.
    multipleStatements: true,
    ...(tls === 'required' && {
      ssl: { rejectUnauthorized: true, verifyIdentity: true, ...(ca !== null && { ca }) },
    }),
  });

/** The port of a target's URL. */
export const portOf = (url: URL): number => (url.port === '' ? 3306 : Number(url.port));

/** Runs one or several statements, as they stand. */
export async function run(connection: PoolConnection, sql: string): Promise<void> {
  await connection.query({ sql, timeout: STATEMENT_TIMEOUT_MS });
}

/** Asks one question; values travel beside it and never in it. */
export async function ask(
  connection: PoolConnection,
  sql: string,
  values: readonly (string | number)[] = [],
): Promise<Record<string, unknown>[]> {
  const [rows] = await connection.execute<RowDataPacket[]>({
    sql,
    values: [...values],
    timeout: STATEMENT_TIMEOUT_MS,
  });
  return rows;
}

const DENIED = new Set([
  'er_tableaccess_denied_error',
  'er_columnaccess_denied_error',
  'er_dbaccess_denied_error',
  'er_specific_access_denied_error',
]);

/** Asks what the issuer may not be allowed to know: null where it is not. */
export async function askIfAllowed(
  connection: PoolConnection,
  sql: string,
): Promise<Record<string, unknown>[] | null> {
  try {
    return await ask(connection, sql);
  } catch (error) {
    if (DENIED.has(mysqlErrorCode(error))) return null;
    throw error;
  }
}

/** Sets variables of this session; statements below read them. */
export async function set(
  connection: PoolConnection,
  variables: Readonly<Record<string, string>>,
): Promise<void> {
  const names = Object.keys(variables).map((name) => `@${name} = ?`);
  await connection.execute(`SET ${names.join(', ')}`, Object.values(variables));
}

/**
 * Lends a connection. After anything unexpected it is not used again: with it go its locks, so that nobody waits for
 * what a call left half done; and so that a process which hangs holds nobody up, the server ends one that is idle.
 */
export async function using<T>(
  { pool }: MysqlServer,
  work: (connection: PoolConnection) => Promise<T>,
): Promise<T> {
  const connection = await pool.getConnection();
  let sound = false;
  try {
    await run(
      connection,
      `SET SESSION sql_mode = '', time_zone = '+00:00', wait_timeout = 15, lock_wait_timeout = 5`,
    );
    const result = await work(connection);
    sound = true;
    return result;
  } finally {
    if (sound) connection.release();
    else connection.destroy();
  }
}

/** A short, stable word for what went wrong; the message itself could carry what a statement was about. */
export function mysqlErrorCode(error: unknown): string {
  if (error instanceof TargetError) return error.code;
  if (error instanceof Error && 'code' in error && typeof error.code === 'string')
    return error.code.toLowerCase();
  return 'unreachable';
}
