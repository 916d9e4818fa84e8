import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { effectOf, type SqlEffect } from '../../domain/sql-effect.ts';

const cases: [string, SqlEffect, string[]][] = [
  ['select 1', 'read', []],
  ['select * from orders o join customers c on true', 'read', ['orders', 'customers']],
  ['UPDATE only public."orders" set a = 1', 'write', ['orders']],
  ['insert into sales.orders select 1', 'write', ['orders']],
  ['delete from "Orders"', 'write', ['Orders']],
  ['merge into orders using x on true when matched then delete', 'write', ['orders']],
  ['truncate table a, b.c', 'write', ['a', 'c']],
  ['copy orders from stdin', 'write', ['orders']],
  ['copy (select 1) to stdout', 'read', []],
  ['with gone as (delete from orders returning *) select * from gone', 'write', ['orders']],
  ['explain delete from orders', 'read', []],
  ['explain analyze delete from orders', 'write', ['orders']],
  ['prepare p as delete from orders', 'write', ['orders']],
  ['begin; update orders set x = 1; commit', 'write', ['orders']],
  ['create role x login', 'access', []],
  ['grant a to b', 'access', []],
  ['alter default privileges grant all on tables to x', 'access', []],
  ['create table x (a int)', 'define', []],
  ['set role x', 'session', []],
  ['do $$ begin delete from orders; end $$', 'opaque', []],
  ['call pay()', 'opaque', []],
  ['update U&"\\006frders" set a = 1', 'opaque', []],
];

describe('what a statement does', () => {
  it.each(cases)('%s', (sql, effect, tables) => {
    expect(effectOf(sql)).toEqual({ effect, tables });
  });

  const hidden: string[] = [
    "select '/*'; delete from orders; select '*/'",
    "select 'a\\'; delete from orders; --'",
    'select $$x$$; delete from orders; select $$y$$',
    'select 1 --\n; delete from orders',
    '/* /* */ */ delete from orders',
    "select e'\\''; delete from orders",
    'select $1; delete from orders',
    '(delete from orders)',
  ];
  it.each(hidden)('no writing statement hides behind a comment or a literal: %s', (sql) => {
    expect(effectOf(sql).effect).toBe('write');
    expect(effectOf(sql).tables).toContain('orders');
  });

  const harmless: string[] = [
    "select 'it''s; delete from orders'",
    'select $$delete from orders$$',
    'select $a$ $$; delete from orders; $$ $a$',
    '/* /* */ delete from orders */ select 1',
    'select 1 -- ; delete from orders',
    'select a.update from x',
    'select * from orders for update',
  ];
  it.each(harmless)('what is only quoted is not run: %s', (sql) => {
    expect(effectOf(sql).effect).toBe('read');
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
        expect(effectOf(sql)).toEqual({ effect: 'write', tables: ['orders'] });
      }),
    );
  });

  it('never fails, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (sql) => {
        expect(['session', 'read', 'write', 'define', 'access', 'opaque']).toContain(
          effectOf(sql).effect,
        );
      }),
    );
  });
});
