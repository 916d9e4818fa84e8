// Issues login roles in a PostgreSQL of somebody else's. Every name is generated, every statement is built by
// the server itself with format(), and a login is gone only when the server no longer knows it.
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';
import {
  TargetError,
  type Issuer,
  type LeaseToIssue,
  type RevokeOutcome,
  type TargetRef,
} from '../../commands/issuer.ts';
import { Sessions } from '../../db/sessions.ts';
import { patientSockets } from '../../db/sockets.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { leaseOfLogin, loginName, type Secrets } from './login.ts';
import {
  BECOME_LOGIN,
  CLOSE_LOGIN,
  CREATE_LOGIN,
  DISOWN_LOGIN,
  DROP_LOGIN,
  EXTEND_LOGIN,
} from './postgres-blocks.ts';
import { discoverLogins, servantsOf } from './postgres-discovery.ts';

/** The target is given this long for one statement of ours. */
const STATEMENT_TIMEOUT_MS = 5_000;
const SCRAM_ITERATIONS = 4096;
const CONNECTIONS_MAX = 4;

/** A target as it is configured now. */
interface Target {
  /** For single statements. */
  sql: Sql;
  /** For transactions. */
  sessions: Sessions;
  url: URL;
}

type Connection = Omit<Target, 'url'>;

/**
 * `mark` begins the comment that every role of ours carries, and no other; the number of the attempt follows it. A
 * role without it, whatever its name, belongs to somebody else or to another deployment and is never touched.
 */
export function postgresIssuer(
  secrets: Secrets,
  mark: string,
): Issuer & { close(): Promise<void> } {
  const pools = new Map<string, Connection>();
  const open = ({ definition }: TargetRef): Target => {
    const text = definition?.issuer === 'postgres' ? secrets(definition.url_from) : null;
    if (text === null) throw new TargetError('target_not_configured');
    const connection = pools.get(text) ?? connectTarget(text, CONNECTIONS_MAX);
    pools.set(text, connection);
    return { ...connection, url: new URL(text) };
  };
  return {
    issue: async (lease) => {
      const material = await issueLogin(open(lease.target), mark, lease);
      return { material, handle: null, diesAt: null };
    },
    renew: async (lease) => {
      const { sessions } = open(lease.target);
      try {
        await unlessDisturbed(() => runBlock(sessions, placeOf(mark, lease), EXTEND_LOGIN));
      } catch (error) {
        throw new TargetError(errorCode(error), { cause: error });
      }
    },
    revoke: async (target, leases) => {
      const credentials = leases.map(({ credential }) => credential);
      try {
        return await revokeLogins(open(target), mark, credentials);
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
    discover: async (target, roles) => {
      try {
        return await discoverLogins(open(target).sql, mark, servantsOf(target, secrets), roles);
      } catch (error) {
        throw new TargetError(errorCode(error), { cause: error });
      }
    },
    close: async () => {
      await Promise.all([...pools.values()].map((connection) => disconnect(connection, 2)));
    },
  };
}

function connectTarget(url: string, connectionsMax: number): Connection {
  const settings = {
    // The client would take what stands in the URL as it stands there.
    database: databaseIn(new URL(url)),
    connect_timeout: 3,
    onnotice: () => undefined,
    connection: {
      application_name: 'countersign issuer',
      statement_timeout: STATEMENT_TIMEOUT_MS,
      lock_timeout: STATEMENT_TIMEOUT_MS,
      // A login half made by a process that hangs is nobody's to wait for.
      idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
    },
  };
  return {
    sql: postgres(url, {
      ...settings,
      ...patientSockets(url, connectionsMax),
      max: connectionsMax,
      idle_timeout: 20,
    }),
    sessions: new Sessions(url, connectionsMax, settings),
  };
}

const disconnect = ({ sql, sessions }: Connection, seconds: number): Promise<unknown> =>
  Promise.all([sql.end({ timeout: seconds }), sessions.close()]);

const databaseIn = (url: URL): string => decodeURIComponent(url.pathname.slice(1));

async function issueLogin(
  { sessions, url }: Target,
  mark: string,
  lease: LeaseToIssue,
): Promise<JsonObject> {
  if (lease.definition.issuer !== 'postgres')
    throw new TypeError('this role is not a PostgreSQL one');
  const { member_of: groups, connection_limit: connections } = lease.definition;
  const username = loginName(lease.credential);
  const password = randomBytes(32).toString('base64url');
  const parameters = {
    ...placeOf(mark, lease),
    verifier: scramVerifier(password),
    groups: JSON.stringify(groups),
    connections: String(connections),
  };
  try {
    await unlessDisturbed(() => runBlock(sessions, parameters, CREATE_LOGIN));
  } catch (error) {
    throw new TargetError(errorCode(error), { cause: error });
  }
  const database = databaseIn(url);
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
  role: loginName(lease.credential),
  mark,
  attempt: String(lease.attempt),
  valid_until: lease.expiresAt,
  issue_by: lease.issueBy,
});

/** Values reach the blocks below as settings of this transaction, never as text of a statement. */
async function setParameters(
  tx: Pick<Sessions, 'unsafe'>,
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
  target: Target,
  mark: string,
  credentials: readonly Id<'credential'>[],
): Promise<RevokeOutcome[]> {
  const names = new Map(credentials.map((credential) => [loginName(credential), credential]));
  const failures = new Map<string, string>();
  const { sql } = target;
  await closeLogins(target, mark, [...names.keys()], failures);
  const found = await sql<{ name: string; oid: string }[]>`
    select rolname as name, oid::text as oid from pg_roles
    where rolname = any(${[...names.keys()].filter((name) => failures.get(name) !== 'name_not_ours')})`;
  const { ended, remaining } = await endSessions(
    sql,
    found.map(({ oid }) => oid),
  );
  const left = await databasesLeft(sql, [...names.keys()]);
  for (const { name, oid } of found) if (remaining.has(oid)) failures.set(name, 'sessions_remain');
  const emptied = found.map(({ name }) => name).filter((name) => !failures.has(name));
  const removeNext = async (): Promise<void> => {
    for (let name = emptied.pop(); name !== undefined; name = emptied.pop())
      await remove(target, mark, name, left.get(name) ?? [], failures);
  };
  await Promise.all(Array.from({ length: CONNECTIONS_MAX - 1 }, removeNext));
  return [...names].map(([name, credential]) => {
    const oid = found.find((each) => each.name === name)?.oid ?? '';
    return {
      credential,
      code: failures.get(name) ?? null,
      sessionsEnded: ended.get(oid) ?? 0,
    };
  });
}

/** Closes all of these at once; where one of them fails, each by itself, so that it fails alone. */
async function closeLogins(
  { sessions }: Target,
  mark: string,
  names: readonly string[],
  failures: Map<string, string>,
): Promise<void> {
  const close = (some: readonly string[]): Promise<void> =>
    unlessDisturbed(() => runBlock(sessions, { roles: JSON.stringify(some), mark }, CLOSE_LOGIN));
  try {
    if (names.length > 0) await close(names);
  } catch {
    for (const name of names) await attempt(failures, name, () => close([name]));
  }
}

/** Takes away what a closed login has anywhere, and then the login. */
const remove = (
  { sessions, url }: Target,
  mark: string,
  name: string,
  left: readonly string[],
  failures: Map<string, string>,
): Promise<void> =>
  attempt(failures, name, async () => {
    for (const database of left)
      await connected(inDatabase(url, database), (there) => disown(there, name, mark));
    await unlessDisturbed(() => runBlock(sessions, { role: name, mark }, DISOWN_LOGIN, DROP_LOGIN));
  });

/** Where these have something that the usual end does not reach: in other databases, or prepared and not ended. */
async function databasesLeft(sql: Sql, names: readonly string[]): Promise<Map<string, string[]>> {
  const rows = await sql<{ name: string; database: string }[]>`
    select role.rolname as name, other.datname as database
    from pg_shdepend
    join pg_roles role on role.oid = refobjid
    join pg_database other on other.oid = dbid
    where refclassid = 'pg_authid'::regclass and role.rolname = any(${[...names]})
      and other.datname <> current_database()
    union select owner, database from pg_prepared_xacts where owner = any(${[...names]})`;
  const databases = new Map<string, string[]>();
  for (const { name, database } of rows)
    databases.set(name, [...(databases.get(name) ?? []), database]);
  return databases;
}

/** A connection of its own, for what should not be left behind in one that is used again. */
async function connected(url: URL, work: (target: Target) => Promise<void>): Promise<void> {
  const connection = connectTarget(url.href, 1);
  try {
    await work({ ...connection, url });
  } finally {
    await disconnect(connection, 1);
  }
}

function inDatabase(url: URL, database: string): URL {
  const other = new URL(url);
  other.pathname = `/${encodeURIComponent(database)}`;
  return other;
}

/** Takes from a login what it has in one database: what it left half done as well, which would hold its locks for ever. */
async function disown({ sql, sessions, url }: Target, name: string, mark: string): Promise<void> {
  const prepared = await sql<{ statement: string }[]>`
    select format('ROLLBACK PREPARED %L', gid) as statement from pg_prepared_xacts
    where owner = ${name} and database = current_database()`;
  if (prepared.length > 0)
    await connected(url, async (own) => {
      // Only its owner may end a prepared transaction. This connection is the login's from here on, and ends with it.
      await own.sql.unsafe(BECOME_LOGIN.replaceAll('login_to_become', name));
      for (const { statement } of prepared) await own.sql.unsafe(statement);
    });
  await unlessDisturbed(() => runBlock(sessions, { role: name, mark }, DISOWN_LOGIN));
}

/** Of these, the ones whose login the server still knows: by its catalog, whatever revoking thought it did. */
async function loginsAmong(
  sql: Sql,
  credentials: readonly Id<'credential'>[],
): Promise<Set<Id<'credential'>>> {
  const rows = await sql<{ name: string }[]>`
    select rolname as name from pg_roles where rolname = any(${credentials.map(loginName)})`;
  return new Set(rows.flatMap(({ name }) => leaseOfLogin(name) ?? []));
}

async function attempt(
  failures: Map<string, string>,
  name: string,
  step: () => Promise<void>,
): Promise<void> {
  try {
    await step();
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
  sessions: Sessions,
  parameters: Record<string, string>,
  ...blocks: readonly string[]
): Promise<void> {
  await sessions.begin(async (tx) => {
    await setParameters(tx, parameters);
    for (const block of blocks) await tx.unsafe(block);
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
  return rows.flatMap(({ name }) => leaseOfLogin(name) ?? []);
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

const OWN_CODES: Record<string, string> = {
  CS001: 'too_late',
  CS002: 'name_not_ours',
  CS003: 'superseded',
  CS004: 'gone',
};

/** A short, stable word for what went wrong; the message itself could carry a secret. */
function errorCode(error: unknown): string {
  if (error instanceof TargetError) return error.code;
  if (error instanceof Error && 'code' in error && typeof error.code === 'string')
    return OWN_CODES[error.code] ?? error.code.toLowerCase();
  return 'unreachable';
}
