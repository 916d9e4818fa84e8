import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readSql, SQL_LENGTH_MAX, type SqlEffect } from '../../domain/sql-effect.ts';

/** The most telling effect, and the tables it names. */
const strongest = (sql: string): [SqlEffect | undefined, string[] | undefined] => {
  const [first] = readSql(sql).effects;
  return [first?.effect, first?.tables];
};
const kinds = (sql: string): SqlEffect[] => readSql(sql).effects.map(({ effect }) => effect);

const cases: [string, SqlEffect, string[]][] = [
  ['select 1', 'read', []],
  ['select * from orders o join customers c on true', 'read', ['orders', 'customers']],
  ['UPDATE only public."orders" set a = 1', 'write', ['public.orders']],
  ['insert into pg_temp.orders select 1', 'write', ['pg_temp.orders']],
  ['insert into sample.sales.orders select 1', 'write', ['sales.orders']],
  ['insert into "a.b"."c" select 1', 'write', ['"a.b".c']],
  ['insert into "public.orders" select 1', 'write', ['"public.orders"']],
  ['delete from "Orders"', 'write', ['Orders']],
  ['merge into orders using x on true when matched then delete', 'write', ['orders']],
  ['truncate table a, b.c', 'write', ['a', 'b.c']],
  ['truncate a, only (b) restart identity', 'write', ['a', 'b']],
  ['copy orders from stdin', 'write', ['orders']],
  ['copy (select 1) to stdout', 'read', []],
  ['copy orders (id, item) to stdout', 'read', ['orders']],
  ['with gone as (delete from orders returning *) select * from gone', 'write', ['orders']],
  ['explain delete from orders', 'read', []],
  ['explain analyze delete from orders', 'write', ['orders']],
  ['prepare p as delete from orders', 'write', ['orders']],
  ['begin; update orders set x = 1; commit', 'write', ['orders']],
  ['alter table if exists only orders alter cents type int using 0', 'define', ['orders']],
  ['drop table a, orders', 'define', ['a', 'orders']],
  ['create role x login', 'access', []],
  ['grant a to b', 'access', []],
  ['alter default privileges grant all on tables to x', 'access', []],
  ['create table x (a int references y on update cascade on delete set null)', 'define', []],
  ['create index on orders (lower(item))', 'define', []],
  ['set role x', 'session', []],
  ['prepare transaction $$x$$', 'session', []],
  ['do $$ begin delete from orders; end $$', 'opaque', []],
  ['call pay()', 'opaque', []],
  ['execute p', 'opaque', []],
  ['update U&"\\006frders" set a = 1', 'opaque', []],
];

describe('what a statement does', () => {
  it.each(cases)('%s', (sql, effect, tables) => {
    expect(strongest(sql)).toEqual([effect, tables]);
  });

  const writes: string[] = [
    "select '/*'; delete from orders; select '*/'",
    "select 'a\\'; delete from orders; --'",
    "select 'a\\', '; delete from orders; --'",
    'select $$x$$; delete from orders; select $$y$$',
    'select 1 --\n; delete from orders',
    '/* /* */ */ delete from orders',
    "select e'\\''; delete from orders",
    'select $1; delete from orders',
    '(delete from orders)',
    'UPDATE ONLY (orders) SET x = 1',
    'DELETE FROM ONLY (public.orders)',
    'TRUNCATE ONLY (orders)',
    'TRUNCATE a, ONLY (orders) CASCADE',
    'EXPLAIN ANALYZE VERBOSE UPDATE orders SET x = 1',
    'EXPLAIN ANALYSE UPDATE orders SET x = 1',
    'EXPLAIN (ANALYZE) UPDATE orders SET x = 1',
    'EXPLAIN (FORMAT json, "analyze" true) UPDATE orders SET x = 1',
    'EXPLAIN (ANALYZE) WITH x AS (UPDATE orders SET x = 1 RETURNING 1) SELECT 1 FROM x',
    'CREATE TEMP TABLE t AS WITH x AS (UPDATE orders SET x = 1 RETURNING 1) SELECT * FROM x',
    'SELECT 1 INTO t FROM (SELECT 1) s; WITH x AS (DELETE FROM orders) TABLE x',
    'WITH RECURSIVE x(a) AS (SELECT 1) CYCLE a SET o USING p UPDATE orders SET x = 1',
    'WITH RECURSIVE x(a) AS (SELECT 1) CYCLE a SET o USING key UPDATE orders SET x = 1',
    'WITH RECURSIVE x(a) AS (SELECT 1) SEARCH DEPTH FIRST BY a SET o DELETE FROM orders',
    'WITH RECURSIVE x(a) AS (SELECT 1) SEARCH DEPTH FIRST BY a SET o INSERT INTO orders SELECT 1',
    'WITH x AS NOT MATERIALIZED (MERGE INTO ONLY orders USING y ON true WHEN MATCHED THEN DELETE RETURNING 1) SELECT 1',
    "SELECT E'a'\n'b\\'', '\\'; UPDATE orders SET x = 1 --'",
    "SELECT E'a' -- and on\n  'b\\'', '\\'; UPDATE orders SET x = 1 --'",
    'COPY BINARY orders FROM STDIN',
    'copy public.orders (id) from program $$x$$',
    'insert into orders values (1) on conflict (id) do update set x = 2',
  ];
  it.each(writes)('no write hides in the grammar, a comment or a literal: %s', (sql) => {
    const write = readSql(sql).effects.find(({ effect }) => effect === 'write');
    expect(write?.tables.map((name) => name.replace(/^public\./, ''))).toContain('orders');
  });

  const harmless: string[] = [
    "select 'it''s; delete from orders'",
    'select $$delete from orders$$',
    'select $a$ $$; delete from orders; $$ $a$',
    '/* /* */ delete from orders */ select 1',
    'select 1 -- ; delete from orders',
    'select a.update from x',
    'select update, insert from x',
    'select * from orders for update',
    'select * from orders for no key update of orders skip locked',
    "select 'C:\\temp\\'",
    "select 'a\\'' || ' set '",
  ];
  it.each(harmless)('what is only quoted, named or locked is not run: %s', (sql) => {
    expect(kinds(sql)).toEqual(['read']);
  });

  it('sees what is read, wherever a table may stand', () => {
    for (const sql of [
      'TABLE orders',
      'select * from a, orders',
      'select * from (orders join a using (id))',
      'select * from a x cross join lateral (select 1 from only (orders)) y',
      'create table t as table orders',
      'select 1 where exists (select from public.orders)',
      'copy orders to stdout',
    ])
      expect([sql, readSql(sql).effects.find(({ effect }) => effect === 'read')?.tables]).toEqual([
        sql,
        expect.arrayContaining([sql.includes('public.') ? 'public.orders' : 'orders']),
      ]);
  });

  it('a second statement does not hide behind the first, whatever that was', () => {
    expect(kinds('update a set x = 1; do $$ anything $$; grant a to b')).toEqual([
      'write',
      'access',
      'opaque',
      'read',
    ]);
  });

  it('a write stays a write whatever harmless statements stand around it', () => {
    const piece = fc.constantFrom(
      'select 1',
      "select ';'",
      'set x = 1',
      'select $$;$$',
      '/* ; */ select 2',
      'select "a;b" from t',
      "select E'\\\\'",
    );
    fc.assert(
      fc.property(fc.array(piece), fc.array(piece), (before, after) => {
        const sql = [...before, 'delete from orders', ...after].join(';\n');
        expect(strongest(sql)).toEqual(['write', ['orders']]);
      }),
    );
  });
});

describe('what cannot be read', () => {
  const opaque: string[] = [
    'select pay()',
    'select public.lower(item) from orders',
    'select pg_temp.f()',
    'select "Pay"()',
    'select U&"pay"()',
    'select distinct on (a) pay(1) from x',
    'select 1 from x with ordinality as a, pay(1)',
    'select a from x where exists (select pay(a))',
    "select query_to_xml('delete from orders', true, true, '')",
    'explain select pay()',
    'explain analyze execute p',
    'create function pg_temp.f() returns int language sql as $$ select 1 $$',
    'create or replace procedure p() as $$ $$',
    'create temp view v as table orders',
    'create or replace rule r as on update to x do also select 1',
    'create trigger t before insert on a execute function f()',
    'create materialized view v as select 1',
    'create schema s create view v as select 1',
    'create table t as execute p',
    'create extension dblink',
    'load $$x$$',
    'set log_statement = none',
    'alter database sample set log_statement = none',
    'drop schema public cascade',
    'drop owned by me',
    'truncate a cascade',
    "copy t to program 'psql'",
    'update 1 set x = 1; frobnicate orders',
    ';;; !',
  ];
  it.each(opaque)('is opaque, never nothing: %s', (sql) => {
    expect(kinds(sql)).toContain('opaque');
  });

  const quiet: string[] = [
    '',
    ';',
    'begin',
    'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
    'commit',
    'show transaction_read_only',
    "SET client_encoding TO 'UTF8'; set datestyle = iso",
    'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED',
    'deallocate all; discard all; listen x; reset all',
    'select version()',
    'select count(*), max(o.cents), coalesce(lower(item), $1) from orders o group by 2 having count(*) > 1',
    "select now() at time zone 'utc', current_setting('x', true)",
    'select * from (values (1), (2)) v(x), unnest($1::text[]) as u(y), generate_series(1, 3) g(n)',
    'with recursive t(n) as (values (1) union all select n + 1 from t), u(m) as (select 1) select sum(n) from t',
    'select cast(x as numeric(10, 2)), y::varchar(3), z::public.box(4) from t',
    'select row_number() over (partition by a order by b) from t',
    "select string_agg(a, ',' order by a) filter (where a is not null) from t",
    'select percentile_cont(0.5) within group (order by x) from t where (a, b) in ((1, 2)) and c = any (array(select 1))',
    'select extract(epoch from now()), substring(a from 1 for 2), trim(both from a) from t',
    "select set_config('search_path', '', false)",
    `select b.oid, b.typarray from pg_catalog.pg_type a left join pg_catalog.pg_type b on b.oid = a.typelem
     where a.typcategory = 'A' group by b.oid, b.typarray order by b.oid`,
    `SELECT n.nspname as "Schema", c.relname as "Name",
       CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' END as "Type",
       pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
     FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r','p','') AND n.nspname !~ '^pg_toast' AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1,2`,
    `SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d
        WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef), a.attnotnull
     FROM pg_catalog.pg_attribute a WHERE a.attrelid = '16395' AND a.attnum > 0
       AND c.relname OPERATOR(pg_catalog.~) '^(orders)$' COLLATE pg_catalog.default ORDER BY a.attnum`,
    `SELECT result.table_cat, (result.keys).n FROM (SELECT NULL AS table_cat,
       information_schema._pg_expandarray(i.indkey) AS keys FROM pg_catalog.pg_index i) result`,
    `SELECT t.tgname, pg_catalog.pg_get_triggerdef(t.oid, true), CASE WHEN t.tgparentid != 0 THEN
       (SELECT u.tgrelid::pg_catalog.regclass FROM pg_catalog.pg_trigger AS u,
          pg_catalog.pg_partition_ancestors(t.tgrelid) WITH ORDINALITY AS a(relid, depth)
        WHERE u.tgname = t.tgname AND u.tgrelid = a.relid ORDER BY a.depth LIMIT 1) END AS parent
     FROM pg_catalog.pg_trigger t WHERE has_table_privilege('x', t.tgrelid, 'select') ORDER BY 1`,
    "SELECT 'countersign-alive 1'",
    'explain select * from orders',
  ];
  it.each(quiet)('is not ordinary work: %s', (sql) => {
    expect(kinds(sql).filter((kind) => kind !== 'read' && kind !== 'session')).toEqual([]);
  });

  it('is all of a text that is too long, or has too many parts', () => {
    expect(kinds(`select '${'x'.repeat(SQL_LENGTH_MAX)}'`)).toEqual(['opaque']);
    expect(kinds('a.'.repeat(110_000))).toEqual(['opaque']);
  });
});

describe('whether an error speaks of everything that a text did', () => {
  it.each([
    ['update orders set x = 1', true],
    ['update orders set x = 1;', true],
    ['update orders set x = 1; select 1', false],
    ["select '\\'; update orders set x = 1; --'", false],
    ['', false],
  ])('%s', (sql, isSingle) => {
    expect(readSql(sql).isSingle).toBe(isSingle);
  });
});

describe('a hostile text', () => {
  const parts = [
    ...['a.', 'truncate a,', '(', ')', 'update ', 'with x as (', "'", "''\n", '$$', '$a', 'set '],
    ...['/*', '--\n', 'create table t as ', 'explain ', 'prepare p as ', 'f(', 'from ', '"', ';'],
    ...["\\'", 'U&"', ',', 'only (', 'key ', 'for no '],
  ];

  it('takes no more steps than a few for each character, and never throws', () => {
    const hostile = fc
      .array(fc.constantFrom(...parts), { minLength: 1, maxLength: 4 })
      .map((chosen) => chosen.join('').repeat(500));
    fc.assert(
      fc.property(hostile, (sql) => {
        const meter = { steps: 0 };
        expect(readSql(sql, meter).effects.length).toBeGreaterThan(0);
        expect(meter.steps).toBeLessThan(8 * sql.length + 100);
      }),
      { numRuns: 200 },
    );
  });

  it.each(parts)('repeated 50,000 times costs what reading it costs: %s', (part) => {
    const began = performance.now();
    readSql(part.repeat(50_000));
    // Quadratic work on texts of this length takes minutes.
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  it('never fails, whatever it is', () => {
    const text = fc
      .array(fc.integer({ min: 0, max: 0xffff }))
      .map((codes) => String.fromCharCode(...codes));
    fc.assert(
      fc.property(text, (sql) => {
        expect(readSql(sql).effects.length).toBeGreaterThan(0);
      }),
    );
  });
});
