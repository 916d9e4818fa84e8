// The end of logins in a PostgreSQL of somebody else's: closed, their sessions ended, what they own put away, dropped.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from 'postgres';
import { BECOME_LOGIN, CLOSE_LOGIN, DISOWN_LOGIN, DROP_LOGIN } from './postgres-blocks.ts';
import {
  CONNECTIONS_MAX,
  connectTarget,
  disconnect,
  errorCode,
  runBlock,
  unlessDisturbed,
  type Target,
} from './postgres-target.ts';

/** What came of ending one login; no code where all was done that can be. */
export interface LoginEnd {
  name: string;
  code: string | null;
  sessionsEnded: number;
}

/** NOLOGIN, end sessions by usesysid, see none, put away what it owned, drop it. */
export async function endLogins(
  target: Target,
  mark: string,
  names: readonly string[],
): Promise<LoginEnd[]> {
  const failures = new Map<string, string>();
  const { sql } = target;
  await closeLogins(target, mark, names, failures);
  const found = await sql<{ name: string; oid: string }[]>`
    select rolname as name, oid::text as oid from pg_roles
    where rolname = any(${names.filter((name) => failures.get(name) !== 'name_not_ours')})`;
  const { ended, remaining } = await endSessions(
    sql,
    found.map(({ oid }) => oid),
  );
  const left = await databasesLeft(sql, names);
  for (const { name, oid } of found) if (remaining.has(oid)) failures.set(name, 'sessions_remain');
  const emptied = found.map(({ name }) => name).filter((name) => !failures.has(name));
  const removeNext = async (): Promise<void> => {
    for (let name = emptied.pop(); name !== undefined; name = emptied.pop())
      await remove(target, mark, name, left.get(name) ?? [], failures);
  };
  await Promise.all(Array.from({ length: CONNECTIONS_MAX - 1 }, removeNext));
  return names.map((name) => {
    const oid = found.find((each) => each.name === name)?.oid ?? '';
    return { name, code: failures.get(name) ?? null, sessionsEnded: ended.get(oid) ?? 0 };
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

/** Of these, the ones that the server still knows: by its catalog, whatever ending them thought it did. */
export async function loginsAmong(sql: Sql, names: readonly string[]): Promise<Set<string>> {
  const rows = await sql<{ name: string }[]>`
    select rolname as name from pg_roles where rolname = any(${[...names]})`;
  return new Set(rows.map(({ name }) => name));
}
