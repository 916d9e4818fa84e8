// Issues login roles in a PostgreSQL of somebody else's. Every name is generated, every statement is built by
// the server itself with format(), and a login is gone only when the server no longer knows it.
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres, { type Sql, type TransactionSql } from 'postgres';
import {
  TargetError,
  type Issuer,
  type LeaseToIssue,
  type RevokeOutcome,
  type TargetRef,
} from '../../commands/issuer.ts';
import { bodyOf, isId, type Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import {
  CLOSE_LOGIN,
  CREATE_LOGIN,
  DROP_LOGIN,
  EXTEND_LOGIN,
  OWN_CODES,
} from './postgres-blocks.ts';

/** Resolves the name of a setting that holds a secret; the composition root reads the environment. */
export type Secrets = (name: string) => string | null;

const ROLE_PREFIX = 'cs_';
/** The role's name follows from the lease, so it can be found again whatever was lost. */
export const roleName = (credential: Id<'credential'>): string =>
  `${ROLE_PREFIX}${bodyOf(credential)}`;

/** Reads a lease's id back from a role's name; null for a role that is not ours. */
export function leaseOfRole(role: string): Id<'credential'> | null {
  if (!role.startsWith(ROLE_PREFIX)) return null;
  const id = `crd_${role.slice(ROLE_PREFIX.length)}`;
  return isId('credential', id) ? id : null;
}

/** The target is given this long for one statement of ours. */
const STATEMENT_TIMEOUT_MS = 5_000;
const SCRAM_ITERATIONS = 4096;

/**
 * `mark` begins the comment that every role of ours carries, and no other; the number of the attempt follows it. A
 * role without it, whatever its name, belongs to somebody else or to another deployment and is never touched.
 */
export function postgresIssuer(
  secrets: Secrets,
  mark: string,
): Issuer & { close(): Promise<void> } {
  const pools = new Map<string, Sql>();
  const open = ({ definition }: TargetRef): { sql: Sql; url: URL } => {
    const text = definition?.issuer === 'postgres' ? secrets(definition.url_from) : null;
    if (text === null) throw new TargetError('target_not_configured');
    const sql = pools.get(text) ?? connectTarget(text);
    pools.set(text, sql);
    return { sql, url: new URL(text) };
  };
  return {
    issue: async (lease) => {
      const { sql, url } = open(lease.target);
      const material = await issueLogin(sql, url, mark, lease);
      return { material, handle: null, diesAt: null };
    },
    renew: async (lease) => {
      const { sql } = open(lease.target);
      try {
        await unlessDisturbed(() => runBlock(sql, placeOf(mark, lease), EXTEND_LOGIN));
      } catch (error) {
        throw new TargetError(errorCode(error), { cause: error });
      }
    },
    revoke: async (target, leases) => {
      const credentials = leases.map(({ credential }) => credential);
      try {
        return await revokeLogins(open(target).sql, mark, credentials);
      } catch (error) {
        const code = errorCode(error);
        return credentials.map((credential) => ({ credential, code, sessionsEnded: 0 }));
      }
    },
    verifyDead: async (target, leases) => {
      const alive = await loginsAmong(
        open(target).sql,
        leases.map(({ credential }) => credential),
      );
      return leases.map(({ credential }) => (alive.has(credential) ? 'alive' : 'gone'));
    },
    list: async (target) => listLogins(open(target).sql, mark),
    close: async () => {
      await Promise.all([...pools.values()].map((sql) => sql.end({ timeout: 2 })));
    },
  };
}

function connectTarget(url: string): Sql {
  return postgres(url, {
    max: 4,
    idle_timeout: 20,
    connect_timeout: 3,
    onnotice: () => undefined,
    connection: {
      application_name: 'countersign issuer',
      statement_timeout: STATEMENT_TIMEOUT_MS,
      lock_timeout: STATEMENT_TIMEOUT_MS,
      // A login half made by a process that hangs is nobody's to wait for.
      idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
    },
  });
}

async function issueLogin(
  sql: Sql,
  url: URL,
  mark: string,
  lease: LeaseToIssue,
): Promise<JsonObject> {
  if (lease.definition.issuer !== 'postgres')
    throw new TypeError('this role is not a PostgreSQL one');
  const { member_of: groups, connection_limit: connections } = lease.definition;
  const username = roleName(lease.credential);
  const password = randomBytes(32).toString('base64url');
  const parameters = {
    ...placeOf(mark, lease),
    verifier: scramVerifier(password),
    groups: JSON.stringify(groups),
    connections: String(connections),
  };
  try {
    await unlessDisturbed(() => runBlock(sql, parameters, CREATE_LOGIN));
  } catch (error) {
    throw new TargetError(errorCode(error), { cause: error });
  }
  const database = decodeURIComponent(url.pathname.slice(1));
  const port = url.port === '' ? 5432 : Number(url.port);
  return {
    kind: 'postgres',
    host: url.hostname,
    port,
    database,
    username,
    password,
    url: `postgres://${username}:${password}@${url.hostname}:${port}/${encodeURIComponent(database)}`,
  };
}

/** Which login of which attempt, until when, and how long the target may take to make or move it. */
const placeOf = (mark: string, lease: LeaseToIssue) => ({
  role: roleName(lease.credential),
  mark,
  attempt: String(lease.attempt),
  valid_until: lease.expiresAt,
  issue_by: lease.issueBy,
});

/** Values reach the blocks below as settings of this transaction, never as text of a statement. */
async function setParameters(
  tx: TransactionSql,
  parameters: Record<string, string>,
): Promise<void> {
  const all = Object.entries(parameters).flatMap(([name, value]) => [`countersign.${name}`, value]);
  const calls = Array.from(
    { length: all.length / 2 },
    (_, at) => `set_config($${2 * at + 1}, $${2 * at + 2}, true)`,
  );
  await tx.unsafe(`select ${calls.join(', ')}`, all);
}

/** NOLOGIN, end sessions by usesysid, see none, put away what it owned, drop it. */
async function revokeLogins(
  sql: Sql,
  mark: string,
  credentials: readonly Id<'credential'>[],
): Promise<RevokeOutcome[]> {
  const names = new Map(credentials.map((credential) => [roleName(credential), credential]));
  const failures = new Map<string, string>();
  await runOverAll(sql, { mark, block: CLOSE_LOGIN, names: [...names.keys()], failures });
  const found = await sql<{ name: string; oid: string }[]>`
    select rolname as name, oid::text as oid from pg_roles
    where rolname = any(${[...names.keys()].filter((name) => failures.get(name) !== 'name_not_ours')})`;
  const { ended, remaining } = await endSessions(
    sql,
    found.map(({ oid }) => oid),
  );
  for (const { name, oid } of found) if (remaining.has(oid)) failures.set(name, 'sessions_remain');
  const emptied = found.map(({ name }) => name).filter((name) => !failures.has(name));
  await runOverAll(sql, { mark, block: DROP_LOGIN, names: emptied, failures });
  return [...names].map(([name, credential]) => {
    const oid = found.find((each) => each.name === name)?.oid ?? '';
    return {
      credential,
      code: failures.get(name) ?? null,
      sessionsEnded: ended.get(oid) ?? 0,
    };
  });
}

/** Of these, the ones whose login the server still knows: by its catalog, whatever revoking thought it did. */
async function loginsAmong(
  sql: Sql,
  credentials: readonly Id<'credential'>[],
): Promise<Set<Id<'credential'>>> {
  const rows = await sql<{ name: string }[]>`
    select rolname as name from pg_roles where rolname = any(${credentials.map(roleName)})`;
  return new Set(rows.flatMap(({ name }) => leaseOfRole(name) ?? []));
}

interface OverAll {
  mark: string;
  block: string;
  names: readonly string[];
  failures: Map<string, string>;
}

/** Runs a block over all of these at once; where one of them fails, over each by itself, so that it fails alone. */
async function runOverAll(sql: Sql, { mark, block, names, failures }: OverAll): Promise<void> {
  const run = (some: readonly string[]): Promise<void> =>
    unlessDisturbed(() => runBlock(sql, { roles: JSON.stringify(some), mark }, block));
  if (names.length === 0) return;
  if (names.length > 1)
    try {
      return await run(names);
    } catch {
      // Which of them it was is found out below.
    }
  for (const name of names)
    try {
      await run([name]);
    } catch (error) {
      failures.set(name, errorCode(error));
    }
}

/** Two of us changed one role at the same moment: `tuple concurrently updated`, its name just taken, a deadlock. */
const DISTURBED = ['XX000', '23505', '42710', '40P01'];
const TRIES_MAX = 10;

/** Runs again what another of our own calls got in the way of; each leaves the role whole, whoever is last. */
async function unlessDisturbed(run: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries += 1)
    try {
      return await run();
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (tries >= TRIES_MAX || typeof code !== 'string' || !DISTURBED.includes(code)) throw error;
      await sleep(20 * tries);
    }
}

async function runBlock(
  sql: Sql,
  parameters: Record<string, string>,
  block: string,
): Promise<void> {
  await sql.begin(async (tx) => {
    await setParameters(tx, parameters);
    await tx.unsafe(block);
  });
}

/** How often a terminated session is looked for before the attempt is given up. */
const SESSION_CHECKS_MAX = 40;

interface Ended {
  /** Sessions that were ended, by role. */
  ended: Map<string, number>;
  /** Roles that still have one. */
  remaining: Set<string>;
}

/** Ends the sessions of these roles and looks until none is left. By id: a name is NULL once its role is gone. */
async function endSessions(sql: Sql, oids: readonly string[]): Promise<Ended> {
  const ended = new Map<string, number>();
  if (oids.length === 0) return { ended, remaining: new Set() };
  let remaining = new Set<string>();
  for (let check = 0; check < SESSION_CHECKS_MAX; check += 1) {
    const open = await sql<{ oid: string; pid: number; told: boolean }[]>`
      select usesysid::text as oid, pid, pg_terminate_backend(pid) as told
      from pg_stat_activity where usesysid::text = any(${[...oids]})`;
    remaining = new Set(open.map(({ oid }) => oid));
    if (open.length === 0) break;
    if (check === 0) for (const { oid } of open) ended.set(oid, (ended.get(oid) ?? 0) + 1);
    await sleep(25);
  }
  return { ended, remaining };
}

async function listLogins(sql: Sql, mark: string): Promise<Id<'credential'>[]> {
  const rows = await sql<{ name: string }[]>`
    select rolname as name from pg_roles
    where rolname like 'cs\\_%' and starts_with(shobj_description(oid, 'pg_authid'), ${mark})`;
  return rows.flatMap(({ name }) => leaseOfRole(name) ?? []);
}

/** RFC 5803: what the server stores, so that the password itself never travels to it or into its log. */
function scramVerifier(password: string): string {
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password, salt, SCRAM_ITERATIONS, 32, 'sha256');
  const hmac = (text: string): Buffer => createHmac('sha256', salted).update(text).digest();
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64');
  const serverKey = hmac('Server Key').toString('base64');
  return `SCRAM-SHA-256$${SCRAM_ITERATIONS}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}

/** A short, stable word for what went wrong; the message itself could carry a secret. */
function errorCode(error: unknown): string {
  if (error instanceof TargetError) return error.code;
  if (error instanceof Error && 'code' in error && typeof error.code === 'string')
    return OWN_CODES[error.code] ?? error.code.toLowerCase();
  return 'unreachable';
}
