import { describe, expect, it } from 'vitest';
import { seenOf, type Surroundings } from '../../activities/observer/seen.ts';
import type { LogLine } from '../../domain/postgres-log.ts';
import { openShadows } from '../../domain/sql-shadows.ts';

const facts = {
  session: '6741.1a2b',
  line: 3,
  at: '2026-11-21T09:07:14.123Z',
  user: 'legacy_batch',
  database: 'sample',
  transaction: '3/15',
};

const surroundings: Surroundings = {
  coverage: [
    {
      control: 'orders-write',
      writes: new Set(['public.orders', 'public.orders_2026']),
      reads: new Set(),
    },
    { control: 'payouts-write', writes: new Set(['public.payouts']), reads: new Set() },
    { control: 'salaries-read', writes: new Set(), reads: new Set(['public.salaries']) },
  ],
  plainTables: new Set(['public.orders', 'public.payouts', 'public.notes', 'audit.orders']),
  names: new Map(
    ['orders', 'orders_2026', 'payouts', 'notes', 'salaries'].map((name) => [
      name,
      [`public.${name}`],
    ]),
  ),
  writable: new Map([
    ['legacy_batch', new Set(['public.orders', 'public.orders_2026', 'public.payouts'])],
    ['intern', new Set<string>()],
  ]),
  ours: { issuer: 'issuer', observer: 'observer', applications: ['shop'] },
};

const LEASE = 'cs_01m7yzvmzne00awyepd94mhqpm';
const ALL = ['orders-write', 'payouts-write', 'salaries-read'];

const statement = (text: string, user = facts.user, isSure = true): LogLine => ({
  ...facts,
  user,
  kind: 'statement',
  text,
  isSure,
});

/** What is seen of one statement, with the line that follows it in its session. */
const seen = (line: LogLine, next: LogLine | null = null, around = surroundings) =>
  seenOf(line, next, around).map((each) =>
    each.kind === 'effect' ? [each.effect, each.outcome, each.controls] : [each.kind],
  );

describe('how a statement ended', () => {
  const text = 'update orders set x = 1';
  const error = (more: Partial<Extract<LogLine, { kind: 'error' }>>): LogLine => ({
    ...facts,
    kind: 'error',
    refused: false,
    statement: text,
    ...more,
  });

  it('is excused by an error of that very statement in its own transaction', () => {
    expect(seen(statement(text), error({}))).toEqual([['write', 'failed', ['orders-write']]]);
    expect(seen(statement(text), error({ refused: true }))).toEqual([
      ['write', 'refused', ['orders-write']],
    ]);
  });

  it('is not excused by any other error', () => {
    const ran = [['write', 'ran', ['orders-write']]];
    expect(seen(statement(text))).toEqual(ran);
    expect(seen(statement(text), statement('select 1'))).toEqual(ran);
    expect(seen(statement(text), error({ statement: 'slect 1' }))).toEqual(ran);
    expect(seen(statement(text), error({ statement: null }))).toEqual(ran);
    expect(seen(statement(text), error({ transaction: '3/16' }))).toEqual(ran);
    const outside = { ...statement(text), transaction: '' };
    expect(seen(outside, error({ transaction: '' }))).toEqual(ran);
    const two = `begin; ${text}; commit; select 1/0`;
    expect(seen(statement(two), error({ statement: two }))).toEqual(ran);
  });

  it('is not excused for a block, which can commit before it fails', () => {
    const block = 'do $$ begin commit; perform 1/0; end $$';
    expect(seen(statement(block), error({ statement: block }))).toEqual([['opaque', 'ran', ALL]]);
  });
});

describe('what a statement reached', () => {
  it('is what it names, and everything where a part of it cannot be read', () => {
    expect(seen(statement('update notes set x = 1'))).toEqual([['harmless']]);
    expect(seen(statement('insert into orders_2026 values (1)'))).toEqual([
      ['write', 'ran', ['orders-write']],
    ]);
    expect(seen(statement('drop table orders'))).toEqual([['define', 'ran', ['orders-write']]]);
    expect(seen(statement('select * from salaries'))).toEqual([['read', 'ran', ['salaries-read']]]);
    expect(seen(statement('update orders set x = 1; call anything()'))).toEqual([
      ['write', 'ran', ['orders-write']],
      ['opaque', 'ran', ['payouts-write', 'salaries-read']],
    ]);
    expect(seen(statement('select 1', facts.user, false))).toEqual([['opaque', 'ran', ALL]]);
  });

  it('can be anything behind a name that is no plain table', () => {
    expect(seen(statement('update some_view set x = 1'))).toEqual([['opaque', 'ran', ALL]]);
    expect(seen(statement('update some_view set x = 1', LEASE))).toEqual([['opaque', 'ran', ALL]]);
    expect(seen(statement('update orders set x = 1; update v set x = 1', LEASE))).toEqual([
      ['write', 'ran', ['orders-write']],
    ]);
  });

  it('is nothing to us where it is the work of an application, of the observer, or of the issuer', () => {
    expect(seen(statement('update orders set x = 1', 'shop'))).toEqual([]);
    expect(seen(statement('call anything()', 'observer'))).toEqual([]);
    expect(seen(statement('select pg_terminate_backend(1)', 'issuer'))).toEqual([]);
    expect(seen(statement('update orders set x = 1', 'issuer'))).toEqual([
      ['write', 'ran', ['orders-write']],
    ]);
  });
});

describe('a table that only has the name of a covered one', () => {
  const opaque = [['opaque', 'ran', ['orders-write']]];
  /** What is seen of the last of some statements of one session. */
  const seenAfter = (...texts: string[]) => {
    const shadows = openShadows();
    const shadowed = texts.map((text) => shadows.after('1.2', text)).at(-1);
    return seenOf(statement(texts.at(-1) ?? ''), null, surroundings, shadowed).map((each) =>
      each.kind === 'effect' ? [each.effect, each.outcome, each.controls] : [each.kind],
    );
  };

  it('in another schema is not the covered one', () => {
    expect(seen(statement('insert into audit.orders values (1)'))).toEqual([['harmless']]);
    expect(seen(statement('insert into public.orders values (1)'))).toEqual([
      ['write', 'ran', ['orders-write']],
    ]);
    expect(seen(statement('insert into pg_temp.orders values (1)'))).toEqual([
      ['opaque', 'ran', ALL],
    ]);
  });

  it('makes a write unknown where its session made it, and there alone', () => {
    for (const made of [
      'CREATE TEMP TABLE orders (id int)',
      'create local temporary table if not exists "orders" (id int)',
      'create table pg_temp.orders (id int)',
      'select 1 into temp orders',
      'create temp table t (id int); alter table t rename to orders',
      'create or replace temp view orders as select 1',
    ])
      expect([made, seenAfter(made, 'INSERT INTO orders VALUES (1)')]).toEqual([
        made,
        [['opaque', 'ran', ALL]],
      ]);
    const write = [['write', 'ran', ['orders-write']]];
    expect(seenAfter('create temp table t (id int)', 'insert into orders values (1)')).toEqual(
      write,
    );
    expect(seenAfter('insert into orders values (1)', 'insert into orders select 1')).toEqual(
      write,
    );
    const shadows = openShadows();
    shadows.after('1.2', 'create temp table orders (id int)');
    expect(shadows.after('1.3', 'insert into orders values (1)')).toEqual(new Set());
    shadows.left('1.2');
    expect(shadows.after('1.2', 'insert into orders values (1)')).toEqual(new Set());
  });

  it('makes a write unknown where the name alone does not say which of them it is', () => {
    const names = new Map(surroundings.names).set('orders', ['public.orders', 'audit.orders']);
    const around = { ...surroundings, names };
    const line = statement('insert into orders values (1)');
    expect(seen(line, null, around)).toEqual(opaque);
  });

  it('is what a login wrote to that may not write to the covered one, unless it was refused', () => {
    const line = statement('insert into orders values (1)', 'intern');
    expect(seen(line)).toEqual(opaque);
    const refusal = { ...facts, user: 'intern', kind: 'error' as const, refused: true };
    expect(seen(line, { ...refusal, statement: 'insert into orders values (1)' })).toEqual([
      ['write', 'refused', ['orders-write']],
    ]);
  });

  it('is never taken for it because too many names are to be kept in mind', () => {
    const shadows = openShadows();
    const many = Array.from({ length: 1_001 }, (_, at) => `create table t${at} (id int)`);
    expect(shadows.after('1.2', many.join(';'))).toBe('all');
    expect(shadows.after('1.2', 'insert into orders values (1)')).toBe('all');
  });
});
