// Reads a PostgreSQL target's own log and catalog, through a login that can read those and do nothing else.
// It is how a bypass is seen: a raw login leaves its lines there whether or not anybody asked us.
import postgres, { type Sql } from 'postgres';
import { fromMs, toMs } from '../../domain/instant.ts';
import { parseJson, type JsonObject } from '../../domain/json.ts';
import { readLogLine, type LogLine } from '../../domain/postgres-log.ts';

/** What is read of the log in one go. */
const CHUNK_BYTES = 1024 * 1024;
/** Lines younger than this wait: whether a statement failed is said on a later line. */
const SETTLE_MS = 1_000;

export interface Position {
  file: string;
  offset: number;
}

export interface LogRead {
  lines: LogLine[];
  /** Everything before this was read. */
  next: Position;
  /** How far the target's clock is from ours at most. */
  skewMs: number;
  more: boolean;
}

export interface TargetObserver {
  readLog(from: Position | null): Promise<LogRead>;
  /** Tables that members of these roles may write or, failing that, read. */
  tablesOf(roles: readonly string[]): Promise<{ writes: string[]; reads: string[] }>;
  /** Logins, other than leases, that may write any of these tables. A superuser may do anything and is not counted. */
  standingWriters(tables: readonly string[]): Promise<string[]>;
  close(): Promise<void>;
}

export function observePostgres(url: string): TargetObserver {
  const sql = postgres(url, {
    max: 1,
    idle_timeout: 20,
    connect_timeout: 3,
    onnotice: () => undefined,
    connection: { application_name: 'countersign observer', statement_timeout: 10_000 },
  });
  const database = decodeURIComponent(new URL(url).pathname.slice(1));
  return {
    readLog: (from) => readLog(sql, database, from),
    tablesOf: (roles) => tablesOf(sql, roles),
    standingWriters: (tables) => standingWriters(sql, tables),
    close: () => sql.end({ timeout: 2 }),
  };
}

async function readLog(sql: Sql, database: string, from: Position | null): Promise<LogRead> {
  const { now, skewMs } = await compareClocks(sql);
  const files = await logFiles(sql);
  if (from === null) return { lines: [], next: endOf(files), skewMs, more: false };
  const at = files.findIndex(({ name }) => name >= from.file);
  const file = files[at];
  if (!file) return { lines: [], next: from, skewMs, more: false };
  const offset = file.name === from.file ? from.offset : 0;
  const settledBefore = fromMs(toMs(now) - SETTLE_MS);
  const { lines, bytes, isAll } = await readChunk(sql, file.name, offset, database, settledBefore);
  const next = { file: file.name, offset: offset + bytes };
  const following = files[at + 1];
  // A file that is no longer written and was read to its end: go on with the next one.
  if (isAll && following && next.offset >= file.size)
    return { lines, next: { file: following.name, offset: 0 }, skewMs, more: true };
  return { lines, next, skewMs, more: bytes >= CHUNK_BYTES / 2 };
}

interface LogFile {
  name: string;
  size: number;
}

/** The server's log files in its JSON form, oldest first: their names carry the time they were begun. */
async function logFiles(sql: Sql): Promise<LogFile[]> {
  const rows = await sql<{ name: string; size: string }[]>`
    select name, size::text from pg_ls_logdir() where name like '%.json' order by name`;
  return rows.map(({ name, size }) => ({ name, size: Number(size) }));
}

const endOf = (files: readonly LogFile[]): Position => {
  const last = files.at(-1);
  return last ? { file: last.name, offset: last.size } : { file: '', offset: 0 };
};

/** The target's time, and how far from ours it can be: the difference, and half of what asking took. */
async function compareClocks(sql: Sql): Promise<{ now: string; skewMs: number }> {
  const asked = Date.now();
  const [row] = await sql<{ ms: string }[]>`
    select floor(extract(epoch from clock_timestamp()) * 1000)::text as ms`;
  const answered = Date.now();
  const theirs = Number(row?.ms ?? Number.NaN);
  const skewMs = Math.abs(theirs - (asked + answered) / 2) + (answered - asked) / 2;
  return { now: fromMs(theirs), skewMs: Math.ceil(skewMs) };
}

/** Whole, settled lines from an offset, as far as one chunk goes. */
async function readChunk(
  sql: Sql,
  file: string,
  offset: number,
  database: string,
  settledBefore: string,
): Promise<{ lines: LogLine[]; bytes: number; isAll: boolean }> {
  const [row] = await sql<{ chunk: Buffer | null }[]>`
    select pg_read_binary_file(current_setting('log_directory') || '/' || ${file}, ${offset}::bigint, ${CHUNK_BYTES}::bigint, true) as chunk`;
  const chunk = row?.chunk ?? Buffer.alloc(0);
  const lines: LogLine[] = [];
  let bytes = 0;
  for (;;) {
    const end = chunk.indexOf(0x0a, bytes);
    if (end < 0) break;
    const text = chunk.toString('utf8', bytes, end);
    const line = readLogLine(parseLine(text));
    if (line && line.at > settledBefore) return { lines, bytes, isAll: false };
    if (line && line.database === database) lines.push(line);
    bytes = end + 1;
  }
  // A line longer than a chunk could never be read whole; it is passed over rather than waited for for ever.
  if (bytes === 0 && chunk.length === CHUNK_BYTES) bytes = chunk.length;
  return { lines, bytes, isAll: bytes === chunk.length };
}

function parseLine(text: string): JsonObject {
  try {
    const parsed = parseJson(text);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

async function tablesOf(
  sql: Sql,
  roles: readonly string[],
): Promise<{ writes: string[]; reads: string[] }> {
  const rows = await sql<{ name: string; writes: boolean }[]>`
    select c.relname as name,
      bool_or(has_table_privilege(r.oid, c.oid, 'INSERT') or has_table_privilege(r.oid, c.oid, 'UPDATE')
        or has_table_privilege(r.oid, c.oid, 'DELETE') or has_table_privilege(r.oid, c.oid, 'TRUNCATE')) as writes
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    cross join pg_roles r
    where r.rolname = any(${[...roles]}) and c.relkind in ('r', 'p', 'v', 'f', 'm')
      and (has_table_privilege(r.oid, c.oid, 'SELECT') or has_table_privilege(r.oid, c.oid, 'INSERT')
        or has_table_privilege(r.oid, c.oid, 'UPDATE') or has_table_privilege(r.oid, c.oid, 'DELETE'))
    group by c.relname`;
  const named = (writes: boolean): string[] =>
    rows.filter((row) => row.writes === writes).map((row) => row.name);
  return { writes: named(true), reads: named(false) };
}

async function standingWriters(sql: Sql, tables: readonly string[]): Promise<string[]> {
  if (tables.length === 0) return [];
  const rows = await sql<{ name: string }[]>`
    select distinct r.rolname as name
    from pg_roles r cross join pg_class c
    join pg_namespace n on n.oid = c.relnamespace and n.nspname !~ '^pg_'
    where r.rolcanlogin and not r.rolsuper and r.rolname !~ '^cs_[0-9a-z]{26}$' and c.relname = any(${[...tables]})
      and c.relkind in ('r', 'p', 'v', 'f')
      and (has_table_privilege(r.oid, c.oid, 'INSERT') or has_table_privilege(r.oid, c.oid, 'UPDATE')
        or has_table_privilege(r.oid, c.oid, 'DELETE'))
    order by 1`;
  return rows.map((row) => row.name);
}
