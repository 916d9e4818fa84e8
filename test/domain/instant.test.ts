// Instants: RFC 3339 with an offset, or nothing.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addMs, addSeconds, fromMs, secondsBetween, toMs } from '../../domain/instant.ts';

describe('an instant', () => {
  it('is read with its offset, to the millisecond', () => {
    expect(toMs('1970-01-01T00:00:00Z')).toBe(0);
    expect(toMs('2026-11-21T09:07:14.123Z')).toBe(Date.UTC(2026, 10, 21, 9, 7, 14, 123));
    expect(toMs('2026-11-21T10:07:14.123456+01:00')).toBe(toMs('2026-11-21T09:07:14.123Z'));
    expect(toMs('2024-02-29T23:59:59-04:30')).toBe(toMs('2024-03-01T04:29:59Z'));
  });

  it('is refused where its meaning would depend on who reads it', () => {
    const texts = [
      '',
      'now',
      '2026',
      '2026-11-21',
      '2026-11-21T09:07:14',
      '2026-11-21 09:07:14Z',
      '2026-11-21T09:07Z',
      '2026-11-21t09:07:14z',
      '2026-11-21T09:07:14+0100',
      '2026-11-21T09:07:14.Z',
      '2026-11-21T09:07:14Z ',
      '2026-11-21T24:00:00Z',
      '2026-11-21T09:60:00Z',
      '2026-02-29T00:00:00Z',
      '2026-02-30T00:00:00Z',
      '2026-04-31T00:00:00Z',
      '2026-13-01T00:00:00Z',
      '2026-00-01T00:00:00Z',
      '2026-01-00T00:00:00Z',
      '+012026-01-01T00:00:00Z',
      'Sat, 21 Nov 2026 09:07:14 GMT',
      '1763716034000',
    ];
    for (const text of texts) expect(() => toMs(text)).toThrow(`"${text}" is no instant`);
  });

  it('is written in one form, which reads back as the same instant and sorts as time does', () => {
    const ms = fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) });
    fc.assert(
      fc.property(ms, ms, (a, b) => {
        expect(toMs(fromMs(a))).toBe(a);
        expect(fromMs(a) < fromMs(b)).toBe(a < b);
        expect(secondsBetween(fromMs(a), fromMs(b))).toBe((b - a) / 1000);
      }),
    );
    expect(fromMs(0)).toBe('1970-01-01T00:00:00.000Z');
    expect(addSeconds('2026-12-31T23:59:59Z', 1)).toBe('2027-01-01T00:00:00.000Z');
    expect(addMs('2026-01-01T00:00:00Z', -1)).toBe('2025-12-31T23:59:59.999Z');
  });
});
