import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { readLogLine, statementIn, type LogClock } from '../../domain/postgres-log.ts';

const line = (more: JsonObject): JsonObject => ({
  timestamp: '2026-11-21 09:07:14.123 UTC',
  user: 'legacy_batch',
  dbname: 'sample',
  session_id: '6741.1a2b',
  line_num: 3,
  vxid: '3/15',
  error_severity: 'LOG',
  message: '',
  ...more,
});

const facts = {
  session: '6741.1a2b',
  line: 3,
  at: '2026-11-21T09:07:14.123Z',
  user: 'legacy_batch',
  database: 'sample',
  transaction: '3/15',
};

const clock: LogClock = {
  offsets: new Map([
    ['CET', '+01:00'],
    ['CEST', '+02:00'],
  ]),
  otherwise: '2026-11-21T00:00:00.000Z',
};
const read = (more: JsonObject) => readLogLine(line(more), clock);

describe('a line of a PostgreSQL log', () => {
  it('says who logged in, who left, what ran and what failed', () => {
    expect(read({ message: 'connection authorized: user=legacy_batch' })).toEqual({
      ...facts,
      kind: 'login',
    });
    expect(read({ message: 'disconnection: session time: 0:00:01' })?.kind).toBe('logout');
    expect(read({ message: 'statement: update orders set x = 1' })).toEqual({
      ...facts,
      kind: 'statement',
      text: 'update orders set x = 1',
      isSure: true,
    });
    const error = { error_severity: 'ERROR', message: 'permission denied', state_code: '42501' };
    expect(read(error)).toMatchObject({ kind: 'error', refused: true, statement: null });
    expect(read({ ...error, state_code: '23505', statement: 'select 1' })).toMatchObject({
      refused: false,
      statement: 'select 1',
    });
    expect(read({ message: 'checkpoint starting: time' })).toBeNull();
  });

  it('is never dropped for its time: a zone is read as the server tells it, or taken for now', () => {
    const at = (timestamp: string): string | undefined =>
      read({ timestamp, message: 'disconnection: x' })?.at;
    expect(at('2026-11-21 09:07:14.123 GMT')).toBe('2026-11-21T09:07:14.123Z');
    expect(at('2026-11-21 10:07:14.123 +01')).toBe('2026-11-21T09:07:14.123Z');
    expect(at('2026-11-21 04:37:14.123 -04:30')).toBe('2026-11-21T09:07:14.123Z');
    expect(at('2026-11-21 10:07:14.123 CET')).toBe('2026-11-21T09:07:14.123Z');
    expect(at('2026-06-21 10:07:14.123 CEST')).toBe('2026-06-21T08:07:14.123Z');
    for (const odd of ['2026-11-21 10:07:14.123 EST', 'yesterday', '2026-13-41 10:07:14.123 CET'])
      expect(at(odd)).toBe(clock.otherwise);
  });

  it('without a session, a user or a database says nothing', () => {
    const login = { message: 'connection authorized: x' };
    for (const member of ['session_id', 'user', 'dbname', 'line_num'])
      expect(read({ ...login, [member]: null })).toBeNull();
  });
});

describe('the text of a statement', () => {
  it.each([
    ['statement: select 1: select 2', 'select 1: select 2', true],
    ['execute <unnamed>: select: 1', 'select: 1', true],
    ['execute s1/C_2: update orders set x = 1', 'update orders set x = 1', true],
    ['execute fetch from <unnamed>/C_1: select 1', 'select 1', true],
    ['execute <unnamed>: select \'{"a": {"b": 1}}\'', 'select \'{"a": {"b": 1}}\'', true],
    ['execute a:b: update orders set x = 1', 'update orders set x = 1', true],
  ])('%s', (message, text, isSure) => {
    expect(statementIn(message)).toEqual({ text, isSure });
  });

  it.each([
    'execute x: SELECT 1 /*: UPDATE orders SET x = 1',
    'execute <unnamed>: SELECT 1 /*: /**/ UPDATE orders SET x = 1',
    "execute <unnamed>: SELECT '*: (DELETE FROM orders)",
    'execute <unnamed>: SELECT 1 --: ;DELETE FROM orders',
    'execute nothing',
    'fastpath function call: "lo_unlink" (OID 964)',
  ])('is not certain where a client could have made up what stands before it: %s', (message) => {
    expect(statementIn(message)?.isSure).toBe(false);
  });
});
