// Reads a PostgreSQL target's own log and catalog, through a login that can read those and do nothing else.
// It is how a bypass is seen: a raw login leaves its lines there whether or not anybody asked us.
import postgres, { type Sql } from 'postgres';
import { patientSockets } from '../../db/sockets.ts';
import { fromMs, toMs } from '../../domain/instant.ts';
import { parseJson, type JsonObject } from '../../domain/json.ts';
import {
  readLogLine,
  statementIn,
  type LogClock,
  type LogLine,
} from '../../domain/postgres-log.ts';
import {
  logProblems,
  plainTables,
  rowCounts,
  tableNames,
  tablesOf,
  writableBy,
  zoneOffsets,
  type RowCounts,
  type TablesOfRoles,
} from './catalog.ts';

/** What is read of the log in one go. */
const CHUNK_BYTES = 1024 * 1024;
/** Lines younger than this wait: whether a statement failed is said on a later line. */
const SETTLE_MS = 1_000;

export interface Position {
  file: string;
  offset: number;
}

interface LogRead {
  lines: LogLine[];
  /** Lines after those, to be read again: one of them may say how a statement ended. */
  ahead: LogLine[];
  /** Everything before this was read. */
  next: Position;
  /** How far the target's clock is from ours at most. */
  skewMs: number;
  more: boolean;
  /** By the target's clock, the time up to which nothing is left to read; null while there is. */
  readUpTo: string | null;
}

export interface TargetObserver {
  readLog(from: Position | null, offsets: ReadonlyMap<string, string>): Promise<LogRead>;
  /** Runs a harmless statement that must then be found in the log. */
  plant(text: string): Promise<void>;
  tablesOf(roles: readonly string[]): Promise<TablesOfRoles>;
  writableBy(tables: readonly string[]): Promise<Map<string, ReadonlySet<string>>>;
  tableNames(): Promise<Map<string, string[]>>;
  plainTables(): Promise<Set<string>>;
  rowCounts(tables: readonly string[]): Promise<RowCounts>;
  zoneOffsets(): Promise<Map<string, string>>;
  logProblems(): Promise<string[]>;
  close(): Promise<void>;
}

export function observePostgres(url: string): TargetObserver {
  const sql = postgres(url, {
    max: 1,
    ...patientSockets(url, 1),
    idle_timeout: 20,
    connect_timeout: 3,
    onnotice: () => undefined,
    connection: { application_name: 'countersign observer', statement_timeout: 10_000 },
  });
  const database = decodeURIComponent(new URL(url).pathname.slice(1));
  return {
    readLog: (from, offsets) => readLog(sql, database, from, offsets),
    plant: async (text) => void (await sql.unsafe(text)),
    tablesOf: (roles) => tablesOf(sql, roles),
    writableBy: (tables) => writableBy(sql, tables),
    tableNames: () => tableNames(sql),
    plainTables: () => plainTables(sql),
    rowCounts: (tables) => rowCounts(sql, tables),
    zoneOffsets: () => zoneOffsets(sql),
    logProblems: () => logProblems(sql),
    close: () => sql.end({ timeout: 2 }),
  };
}

async function readLog(
  sql: Sql,
  database: string,
  from: Position | null,
  offsets: ReadonlyMap<string, string>,
): Promise<LogRead> {
  const { now, skewMs } = await compareClocks(sql);
  const settledBefore = fromMs(toMs(now) - SETTLE_MS);
  const files = await logFiles(sql);
  const nothing = { lines: [], ahead: [], skewMs, more: false, readUpTo: settledBefore };
  if (from === null) return { ...nothing, next: endOf(files) };
  const at = files.findIndex(({ name }) => name >= from.file);
  const file = files[at];
  if (!file) return { ...nothing, next: from };
  const offset = file.name === from.file ? from.offset : 0;
  const chunk = await readChunk(sql, file.name, offset);
  const clock = { offsets, otherwise: settledBefore };
  const { lines, later, bytes, isSettled } = linesIn(chunk, database, settledBefore, clock);
  const next = { file: file.name, offset: offset + bytes };
  const following = files[at + 1];
  // A file that is no longer written and was read to its end: go on with the next one.
  if (isSettled && following && next.offset >= file.size) {
    const begin = { file: following.name, offset: 0 };
    return { lines, ahead: [], next: begin, skewMs, more: true, readUpTo: null };
  }
  const more = isSettled && chunk.length === CHUNK_BYTES;
  if (!more) return { lines, ahead: later, next, skewMs, more, readUpTo: settledBefore };
  const beyond = linesIn(await readChunk(sql, file.name, next.offset), database, now, clock);
  return { lines, ahead: beyond.lines, next, skewMs, more, readUpTo: null };
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

async function readChunk(sql: Sql, file: string, offset: number): Promise<Buffer> {
  const [row] = await sql<{ chunk: Buffer | null }[]>`
    select pg_read_binary_file(current_setting('log_directory') || '/' || ${file}, ${offset}::bigint, ${CHUNK_BYTES}::bigint, true) as chunk`;
  return row?.chunk ?? Buffer.alloc(0);
}

interface ChunkLines {
  lines: LogLine[];
  /** Lines of the chunk that are too young to count as read. */
  later: LogLine[];
  bytes: number;
  /** Nothing in the chunk was too young to be read. */
  isSettled: boolean;
}

/** Whole, settled lines of a chunk, as far as it goes. */
function linesIn(
  chunk: Buffer,
  database: string,
  settledBefore: string,
  clock: LogClock,
): ChunkLines {
  const lines: LogLine[] = [];
  const later: LogLine[] = [];
  let bytes = 0;
  let isSettled = true;
  for (let at = 0, end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, at)) {
    const line = lineFrom(chunk.toString('utf8', at, end), clock);
    at = end + 1;
    if (line && line.at > settledBefore) isSettled = false;
    if (isSettled) bytes = at;
    if (line && line.database === database) (isSettled ? lines : later).push(line);
  }
  if (!isSettled) return { lines, later, bytes, isSettled };
  if (bytes === 0 && chunk.length === CHUNK_BYTES) {
    // A line longer than a chunk: who wrote it stands at its head, and what it did could be anything. What is
    // left of it is no line, so reading it on from its middle finds nothing until it ends.
    const line = headOf(chunk.toString('utf8'), clock);
    if (line && line.database === database) lines.push(line);
    bytes = chunk.length;
  }
  return { lines, later, bytes, isSettled };
}

function lineFrom(text: string, clock: LogClock): LogLine | null {
  const parsed = parseLine(text);
  return parsed === null ? headOf(text, clock) : readLogLine(parsed, clock);
}

function parseLine(text: string): JsonObject | null {
  try {
    const parsed = parseJson(text);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? parsed : null;
  } catch {
    return null;
  }
}

const MESSAGE = ',"message":"';
const HEAD_MAX = 16_384;
/** Enough of a message to tell what kind it is. */
const KIND_CHARS = 200;

/** What can be told from the head of a line that cannot be read whole; its text counts as unread. */
function headOf(text: string, clock: LogClock): LogLine | null {
  const at = text.slice(0, HEAD_MAX).indexOf(MESSAGE);
  if (!text.startsWith('{"timestamp":') || at < 0) return null;
  const facts = parseLine(`${text.slice(0, at)}}`);
  const message = text.slice(at + MESSAGE.length, at + MESSAGE.length + KIND_CHARS);
  if (facts === null || statementIn(message) === null) return null;
  const line = readLogLine({ ...facts, message }, clock);
  return line?.kind === 'statement' ? { ...line, isSure: false } : null;
}
