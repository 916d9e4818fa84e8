// Runs single statements in a PostgreSQL: one connection, one transaction, one statement of the extended protocol.
import postgres, { type ReservedSql, type Sql, type UnsafeQueryOptions } from 'postgres';
import { TargetError, type TargetRef } from '../commands/credentials/issuer.ts';
import {
  StatementError,
  type Fate,
  type Ran,
  type Statement,
  type StatementRunner,
  type StatementToRun,
} from '../commands/runs/runner.ts';
import { patientSockets } from '../db/sockets.ts';
import type { JsonObject } from '../domain/json.ts';
import type { Secrets } from './issuers/login.ts';

/** Of a result, this much is kept. */
const RESULT_BYTES_MAX = 1024 * 1024;
const EXPLAIN_TIMEOUT_MS = 5_000;
/** Waiting for somebody else's lock is not what people agreed to. */
const LOCK_TIMEOUT_MS = 5_000;

/** The extended protocol, in which a text is one statement; the client knows the option, its types do not. */
const ONE_STATEMENT = { simple: false } as UnsafeQueryOptions;

export function postgresRunner(secrets: Secrets): StatementRunner {
  return {
    explain: (material, statement) =>
      withLogin(material, EXPLAIN_TIMEOUT_MS, (sql) => explain(sql, statement)),
    run: (material, statement, beforeCommit) =>
      withLogin(material, statement.timeoutSeconds * 1000, (sql) =>
        runOne(sql, statement, beforeCommit),
      ),
    fateOf: (target, transaction) => fateOf(secrets, target, transaction),
  };
}

/**
 * One connection, used once and dropped whatever state it is in: what is not committed then is undone. Nothing is
 * ever sent after a failure, because the client breaks when it writes to a session that the target has just ended.
 */
async function withLogin<T>(
  material: JsonObject,
  timeoutMs: number,
  work: (sql: ReservedSql) => Promise<T>,
): Promise<T> {
  const { url } = material;
  if (typeof url !== 'string') throw new TypeError('this material opens no database');
  const pool = connectOnce(url, timeoutMs);
  try {
    // Whoever reserves a connection that is not there yet waits for ever, even when there will be none.
    await pool`select 1`;
    return await work(await pool.reserve());
  } catch (error) {
    throw error instanceof OwnFault ? error.cause : asFailure(error, false);
  } finally {
    await pool.end({ timeout: 0 });
  }
}

const connectOnce = (url: string, timeoutMs: number): Sql =>
  postgres(url, {
    max: 1,
    ...patientSockets(url, 1),
    connect_timeout: 5,
    fetch_types: false,
    onnotice: () => undefined,
    connection: {
      application_name: 'countersign run',
      statement_timeout: timeoutMs,
      lock_timeout: LOCK_TIMEOUT_MS,
      // Between the statement and its commit we only write a row of our own.
      idle_in_transaction_session_timeout: 15_000,
    },
  });

/** Plans it in a transaction that may change nothing: planning runs functions that claim to be stable. */
async function explain(sql: ReservedSql, { text, parameters }: Statement): Promise<JsonObject> {
  await sql`BEGIN READ ONLY`;
  const [row] = await sql.unsafe<Record<string, unknown>[]>(
    `EXPLAIN (FORMAT JSON, VERBOSE) ${text}`,
    [...parameters],
    ONE_STATEMENT,
  );
  return summaryOf(row?.['QUERY PLAN']);
}

/** What approvers need of a plan: what it does, to which tables, and to about how many rows. */
function summaryOf(plan: unknown): JsonObject {
  const parsed: unknown = typeof plan === 'string' ? JSON.parse(plan) : plan;
  const root = asNode(Array.isArray(parsed) ? asNode(parsed[0])['Plan'] : null);
  const tables = new Set<string>();
  const changes: PlanNode[] = [];
  walk(root, (node) => {
    const { Schema: schema, 'Relation Name': relation, Operation: operation } = node;
    if (typeof relation === 'string') tables.add(`${String(schema)}.${relation}`);
    // A query can change tables in any part of it, whatever it returns.
    if (typeof operation === 'string' && node['Node Type'] === 'ModifyTable') changes.push(node);
  });
  const operations = new Set(changes.map((node) => String(node['Operation']).toLowerCase()));
  return {
    does: operations.size > 0 ? [...operations].toSorted().join(', ') : 'read',
    tables: [...tables].toSorted(),
    rows_estimated: (changes.length > 0 ? changes.map(sourceOf) : [root])
      .map((node) => Number(node['Plan Rows'] ?? 0))
      .reduce((sum, rows) => sum + rows, 0),
  };
}

/** The node that changes tables says how many rows it returns, which is mostly none. */
const sourceOf = (node: PlanNode): PlanNode => asNodes(node['Plans'])[0] ?? node;

type PlanNode = Record<string, unknown>;

function walk(node: PlanNode, visit: (node: PlanNode) => void): void {
  visit(node);
  for (const child of asNodes(node['Plans'])) walk(child, visit);
}

/** EXPLAIN writes objects and lists of them; anything else is a plan without such a part. */
const asNode = (value: unknown): PlanNode =>
  typeof value === 'object' && value !== null ? (value as PlanNode) : {};
const asNodes = (value: unknown): PlanNode[] => (Array.isArray(value) ? value.map(asNode) : []);

const isRead = ({ effect }: StatementToRun): boolean => effect === 'read';

async function runOne(
  sql: ReservedSql,
  statement: StatementToRun,
  beforeCommit: (ran: Ran) => Promise<void>,
): Promise<void> {
  await (isRead(statement) ? sql`BEGIN READ ONLY` : sql`BEGIN`);
  const ran = await execute(sql, statement);
  await beforeCommit(ran).catch((cause: unknown) => {
    throw new OwnFault(cause);
  });
  try {
    await sql`COMMIT`;
  } catch (error) {
    throw asFailure(error, true);
  }
}

async function execute(sql: ReservedSql, statement: StatementToRun): Promise<Ran> {
  const { text, parameters, maxRows, maxAffectedRows } = statement;
  const rows: (string | null)[][] = [];
  let returned = 0;
  let bytes = 0;
  // One statement and no more: the extended protocol takes no second one.
  const result = await sql
    .unsafe(text, [...parameters], ONE_STATEMENT)
    .raw()
    .forEach((row) => {
      returned += 1;
      const values = asBuffers(row).map((value) => value?.toString('utf8') ?? null);
      bytes += values.reduce((sum, value) => sum + (value?.length ?? 0), 0);
      if (rows.length < maxRows && bytes <= RESULT_BYTES_MAX) rows.push(values);
    });
  const { columns, count } = asResult(result);
  const rowCount = count ?? returned;
  if (!isRead(statement) && maxAffectedRows !== null)
    await refuseTooMany(sql, rowCount, maxAffectedRows);
  const [named] = await sql<{ name: string | null }[]>`
    select pg_current_xact_id_if_assigned()::text as name`;
  return {
    columns: (columns ?? []).map(({ name, type }) => ({ name, type })),
    rows,
    rowCount,
    isCut: rows.length < returned,
    transaction: named?.name ?? null,
  };
}

/**
 * What a statement says of itself counts its outermost query alone: a part of it that deletes, a trigger or a function
 * changes rows beside that. The server counts those of every table in this session, which has done nothing else.
 */
async function refuseTooMany(sql: ReservedSql, rowCount: number, most: number): Promise<void> {
  // Added up here: what a statement left in its session could give a name or an operator another meaning.
  const tables = await sql<Record<'n_tup_ins' | 'n_tup_upd' | 'n_tup_del', string>[]>`
    select n_tup_ins, n_tup_upd, n_tup_del from pg_catalog.pg_stat_xact_user_tables`;
  const changed = Math.max(
    rowCount,
    tables.reduce(
      (sum, { n_tup_ins: added, n_tup_upd: altered, n_tup_del: gone }) =>
        sum + Number(added) + Number(altered) + Number(gone),
      0,
    ),
  );
  if (changed > most)
    throw new StatementError('too_many_rows', {
      message: `It changes ${changed} rows, and at most ${most} were agreed to.`,
    });
}

/** With `raw()` every row is a list of what came over the wire. */
const asBuffers = (row: unknown): (Buffer | null)[] => row as (Buffer | null)[];
/** The client gives these members to every result, whatever is done with its rows. */
const asResult = (result: unknown) =>
  result as { columns?: { name: string; type: number }[] | null; count: number | null };

/** Not the target said no, but whoever was asked before the commit. */
class OwnFault extends Error {
  constructor(cause: unknown) {
    super('refused before the commit', { cause });
  }
}

/** Of these classes is what the server says of itself, when it ends sessions or cannot have them. */
const SQLSTATE = /^(?!57P|08|53)[0-9A-Z]{5}$/;

/** A no by the server means that nothing lasts. Anything else, once we said "commit", could mean either. */
function asFailure(error: unknown, isCommitting: boolean): Error {
  if (error instanceof StatementError || error instanceof TargetError) return error;
  const { code, message, detail, hint, position } = asServerError(error);
  const said = (part: unknown): string | null => (typeof part === 'string' ? part : null);
  if (typeof code === 'string' && SQLSTATE.test(code))
    return new StatementError(code, {
      code,
      message: said(message),
      detail: said(detail),
      hint: said(hint),
      position: said(position),
    });
  return new TargetError(isCommitting ? 'commit_unknown' : 'unreachable', { cause: error });
}

/** Whatever was thrown, its members are looked at one by one. */
const asServerError = (error: unknown) =>
  (typeof error === 'object' && error !== null ? error : {}) as Record<string, unknown>;

async function fateOf(
  secrets: Secrets,
  { definition }: TargetRef,
  transaction: string,
): Promise<Fate> {
  const url = definition?.issuer === 'postgres' ? secrets(definition.url_from) : null;
  if (url === null) throw new TargetError('target_not_configured');
  const sql = connectOnce(url, EXPLAIN_TIMEOUT_MS);
  try {
    const [row] = await sql<{ fate: string | null }[]>`
      select pg_xact_status(${transaction}::xid8) as fate`;
    if (row?.fate === 'committed' || row?.fate === 'aborted') return row.fate;
    return row?.fate === 'in progress' ? 'in_progress' : 'unknown';
  } catch (error) {
    throw new TargetError('unreachable', { cause: error });
  } finally {
    await sql.end({ timeout: 1 });
  }
}
