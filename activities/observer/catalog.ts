// What a PostgreSQL target's own catalog, settings and counters say to a login that owns nothing there.
import type { Sql } from 'postgres';
import { fromMs } from '../../domain/instant.ts';
import { nameOf } from '../../domain/sql-tokens.ts';
import type { RowCount } from '../../domain/write-witness.ts';

export interface TablesOfRoles {
  /** What members of the roles may write, with every part of it. */
  writes: string[];
  reads: string[];
}

/** Tables that members of these roles may write or, failing that, read: a single column is enough. */
export async function tablesOf(sql: Sql, roles: readonly string[]): Promise<TablesOfRoles> {
  const rows = await sql<{ name: string; writes: boolean }[]>`
    with recursive member as (
      select distinct m.oid from pg_roles r join pg_roles m on ${mayBecome(sql)} where r.rolname = any(${[...roles]})
    ), granted as (
      select c.oid, bool_or(${mayWrite(sql)}) as writes
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      cross join member m
      where c.relkind in ('r', 'p', 'v', 'f', 'm')
        and (${mayWrite(sql)} or has_any_column_privilege(m.oid, c.oid, 'SELECT'))
      group by c.oid
    ), part(oid) as (
      select oid from granted where writes
      union select i.inhrelid from pg_inherits i join part on i.inhparent = part.oid
    )
    select ${nameIn(sql)} as name, bool_or(found.writes) as writes
    from (select oid, true as writes from part union all select oid, writes from granted) found
    join pg_class c on c.oid = found.oid join pg_namespace n on n.oid = c.relnamespace
    group by 1`;
  const named = (writes: boolean): string[] =>
    rows.filter((row) => row.writes === writes).map((row) => row.name);
  return { writes: named(true), reads: named(false) };
}

/** The name of table `c` in schema `n`, as it is spelled where statements are read. */
const nameIn = (sql: Sql) => sql`(
  select string_agg(case when part ~ '[."]' then '"' || replace(part, '"', '""') || '"' else part end, '.' order by at)
  from unnest(array[n.nspname::text, c.relname::text]) with ordinality as parts(part, at))`;

/** Whether role `m` may change anything in table `c`: rights to a table do not show those to its columns. */
const mayWrite = (sql: Sql) => sql`(
  has_any_column_privilege(m.oid, c.oid, 'INSERT') or has_any_column_privilege(m.oid, c.oid, 'UPDATE')
  or has_table_privilege(m.oid, c.oid, 'DELETE') or has_table_privilege(m.oid, c.oid, 'TRUNCATE'))`;

/**
 * Whether role `r` is role `m` or may become it with SET ROLE, which a member that inherits nothing may as well.
 * From version 16 on a membership can leave that out, as the issuer's own one does.
 */
export const mayBecome = (sql: Sql) => sql`
  pg_has_role(r.oid, m.oid,
    case when current_setting('server_version_num')::integer < 160000 then 'MEMBER' else 'SET' end)`;

/** By login, and no superuser among them, what it may write of these tables, itself or as a role it may become. */
export async function writableBy(
  sql: Sql,
  tables: readonly string[],
): Promise<Map<string, ReadonlySet<string>>> {
  const rows = await sql<{ login: string; names: string[] }[]>`
    with writer as (
      select m.oid, ${nameIn(sql)} as name
      from pg_roles m cross join pg_class c
      join pg_namespace n on n.oid = c.relnamespace and n.nspname !~ '^pg_'
      where ${nameIn(sql)} = any(${[...tables]}) and c.relkind in ('r', 'p', 'v', 'f') and ${mayWrite(sql)}
    )
    select r.rolname as login,
      array(select distinct m.name from writer m where m.oid = r.oid or ${mayBecome(sql)}) as names
    from pg_roles r
    where r.rolcanlogin and not r.rolsuper
    order by 1`;
  return new Map(rows.map(({ login, names }) => [login, new Set(names)]));
}

/** What a name without a schema can stand for, by name; temporary tables aside, which sessions make for themselves. */
export async function tableNames(sql: Sql): Promise<Map<string, string[]>> {
  const rows = await sql<{ schema: string; name: string }[]>`
    select n.nspname as schema, c.relname as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relkind in ('r', 'p', 'v', 'm', 'f')`;
  const names = new Map<string, string[]>();
  for (const { schema, name } of rows)
    names.set(nameOf(null, name), [...(names.get(nameOf(null, name)) ?? []), nameOf(schema, name)]);
  return names;
}

/** Tables alone: no rule, part or foreign key leads on from them. */
export async function plainTables(sql: Sql): Promise<Set<string>> {
  const rows = await sql<{ name: string }[]>`
    select ${nameIn(sql)} as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and c.relkind in ('r', 'p') and not c.relhasrules and not c.relhassubclass and not exists (
        select from pg_constraint f where f.contype = 'f' and f.confrelid = c.oid
          and (f.confdeltype in ('c', 'n', 'd') or f.confupdtype in ('c', 'n', 'd')))`;
  return new Set(rows.map(({ name }) => name));
}

export interface RowCounts {
  takenAt: string;
  counts: RowCount[];
}

/** The rows ever written to these tables and their parts, as the target itself counts them. */
export async function rowCounts(sql: Sql, tables: readonly string[]): Promise<RowCounts> {
  const rows = await sql<{ table: string; name: string; names: string[]; rows: string }[]>`
    with recursive root as (
      select c.oid, ${nameIn(sql)} as name
      from pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname !~ '^pg_'
      where ${nameIn(sql)} = any(${[...tables]}) and c.relkind in ('r', 'p')
    ), down(root, oid) as (
      select oid, oid from root
      union select down.root, i.inhrelid from pg_inherits i join down on i.inhparent = down.oid
    ), up(root, oid) as (
      select oid, oid from root
      union select up.root, i.inhparent from pg_inherits i join up on i.inhrelid = up.oid
    ), kin as (select * from down union select * from up)
    select root.oid::text as table, root.name,
      (select array_agg(c.relname::text) || array_agg(${nameIn(sql)})
        from kin join pg_class c on c.oid = kin.oid join pg_namespace n on n.oid = c.relnamespace
        where kin.root = root.oid) as names,
      (select sum(pg_stat_get_tuples_inserted(down.oid) + pg_stat_get_tuples_updated(down.oid)
        + pg_stat_get_tuples_deleted(down.oid)) from down where down.root = root.oid)::text as rows
    from root`;
  const [clock] = await sql<{ ms: string }[]>`
    select floor(extract(epoch from clock_timestamp()) * 1000)::text as ms`;
  return {
    takenAt: fromMs(Number(clock?.ms)),
    counts: rows.map((row) => ({ ...row, rows: Number(row.rows) })),
  };
}

/** What the log's abbreviated time zones mean, over two years around now. */
export async function zoneOffsets(sql: Sql): Promise<Map<string, string>> {
  // Sent as one, so that nothing is sent any more to a session that the target has ended in between.
  const [, , rows] = await sql.unsafe<{ name: string; offset: string }[][]>(`
    begin;
    select set_config('TimeZone', current_setting('log_timezone'), true);
    select to_char(t, 'TZ') as name, to_char(t, 'TZH:TZM') as offset
    from generate_series(now() - interval '1 year', now() + interval '1 year', interval '1 week') t order by t;
    commit`);
  return new Map((rows ?? []).map(({ name, offset }) => [name, offset]));
}

/** Settings without which the log does not say who did what; each in a sentence. */
const NEEDED: Record<string, (value: string) => boolean> = {
  log_statement: (value) => value === 'all',
  logging_collector: (value) => value === 'on',
  log_destination: (value) => value.includes('jsonlog'),
  log_connections: (value) => value !== 'off' && value !== '',
  log_disconnections: (value) => value === 'on',
  log_min_error_statement: (value) => !['log', 'fatal', 'panic'].includes(value),
};

/** What keeps the target's log from telling everything, as far as its settings say. */
export async function logProblems(sql: Sql): Promise<string[]> {
  const settings = await sql<{ name: string; value: string }[]>`
    select name, setting as value from pg_settings where name = any(${Object.keys(NEEDED)})`;
  const wrong = settings
    .filter(({ name, value }) => NEEDED[name]?.(value) === false)
    .map(({ name, value }) => `${name} is '${value}'`);
  const silenced = await sql<{ role: string }[]>`
    select setrole::regrole::text as role from pg_db_role_setting, unnest(setconfig) as one
    where setrole <> 0 and one like 'log_statement=%' and one <> 'log_statement=all'
      and setdatabase in (0, (select oid from pg_database where datname = current_database()))`;
  return [...wrong, ...silenced.map(({ role }) => `log_statement is not 'all' for ${role}`)];
}
