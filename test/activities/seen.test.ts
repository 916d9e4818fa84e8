import { describe, expect, it } from 'vitest';
import { seenOf, type Surroundings } from '../../activities/observer/seen.ts';
import type { LogLine } from '../../domain/postgres-log.ts';

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
    { control: 'orders-write', writes: new Set(['orders', 'orders_2026']), reads: new Set() },
    { control: 'payouts-write', writes: new Set(['payouts']), reads: new Set() },
    { control: 'salaries-read', writes: new Set(), reads: new Set(['salaries']) },
  ],
  plainTables: new Set(['orders', 'payouts', 'notes']),
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
const seen = (line: LogLine, next: LogLine | null = null) =>
  seenOf(line, next, surroundings).map((each) =>
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
