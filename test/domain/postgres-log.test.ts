import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { readLogLine } from '../../domain/postgres-log.ts';

const line = (more: JsonObject): JsonObject => ({
  timestamp: '2026-11-21 09:07:14.123 UTC',
  user: 'legacy_batch',
  dbname: 'sample',
  session_id: '6741.1a2b',
  line_num: 3,
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
};

describe('a line of a PostgreSQL log', () => {
  it('says who logged in, who left, what ran and what failed', () => {
    expect(readLogLine(line({ message: 'connection authorized: user=legacy_batch' }))).toEqual({
      ...facts,
      kind: 'login',
    });
    expect(readLogLine(line({ message: 'disconnection: session time: 0:00:01' }))?.kind).toBe(
      'logout',
    );
    expect(readLogLine(line({ message: 'statement: update orders set x = 1' }))).toEqual({
      ...facts,
      kind: 'statement',
      text: 'update orders set x = 1',
    });
    expect(readLogLine(line({ message: 'execute <unnamed>: select: 1' }))).toMatchObject({
      kind: 'statement',
      text: 'select: 1',
    });
    const error = { error_severity: 'ERROR', message: 'permission denied', state_code: '42501' };
    expect(readLogLine(line(error))).toMatchObject({ kind: 'error', refused: true });
    expect(readLogLine(line({ ...error, state_code: '23505' }))).toMatchObject({ refused: false });
  });

  it('is placed in time only where its zone can be read', () => {
    const at = (timestamp: string): string | undefined =>
      readLogLine(line({ timestamp, message: 'disconnection: x' }))?.at;
    expect(at('2026-11-21 09:07:14.123 GMT')).toBe('2026-11-21T09:07:14.123Z');
    expect(at('2026-11-21 10:07:14.123 +01')).toBe('2026-11-21T09:07:14.123Z');
    expect(at('2026-11-21 04:37:14.123 -04:30')).toBe('2026-11-21T09:07:14.123Z');
    expect(at('2026-11-21 10:07:14.123 CET')).toBeUndefined();
    expect(at('yesterday')).toBeUndefined();
  });

  it('without a session, a user or a database says nothing', () => {
    const login = { message: 'connection authorized: x' };
    for (const member of ['session_id', 'user', 'dbname', 'line_num'])
      expect(readLogLine({ ...line(login), [member]: null })).toBeNull();
  });
});
