// When a key is published, signs and goes: each in its time, and one thing at a time.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addSeconds } from '../../domain/instant.ts';
import {
  cacheSeconds,
  dueSteps,
  KEEP_SECONDS,
  type KeySchedule,
  type KeyTurn,
} from '../../domain/signing-key.ts';

const AT = '2026-11-21T12:00:00.000Z';
const schedule: KeySchedule = { ageSeconds: 1000, aheadSeconds: 100, keepSeconds: 300 };
const key = (
  kid: string,
  state: KeyTurn['state'],
  activates: number,
  retires?: number,
): KeyTurn => ({
  kid,
  state,
  activatesAt: addSeconds(AT, activates),
  retiresAt: retires === undefined ? null : addSeconds(AT, retires),
});

describe('a signing key', () => {
  it('is published ahead of the end of the one that signs, and only one is', () => {
    const due = (active: number, ...more: KeyTurn[]) =>
      dueSteps([key('a', 'active', active), ...more], AT, schedule);
    expect(due(-899.999)).toEqual([]);
    expect(due(-900)).toEqual([{ step: 'publish' }]);
    expect(due(-5000)).toEqual([{ step: 'publish' }]);
    expect(due(-5000, key('b', 'published', 1))).toEqual([]);
  });

  it('signs from the moment it was promised for, never before', () => {
    const due = (activates: number) =>
      dueSteps([key('a', 'active', -10), key('b', 'published', activates)], AT, schedule);
    expect(due(0.001)).toEqual([]);
    expect(due(0)).toEqual([{ step: 'activate', kid: 'b' }]);
  });

  it('goes when what it signed is over, never while it signs', () => {
    const due = (...keys: KeyTurn[]) => dueSteps(keys, AT, schedule);
    const active = key('a', 'active', -10);
    expect(due(active, key('b', 'retiring', -500, 0.001))).toEqual([]);
    expect(due(active, key('b', 'retiring', -500, 0), key('c', 'retiring', -900, -9))).toEqual([
      { step: 'retire', kid: 'b' },
      { step: 'retire', kid: 'c' },
    ]);
    expect(due({ ...active, retiresAt: addSeconds(AT, -1) })).toEqual([]);
    expect(due(key('d', 'retired', -900, -9))).toEqual([]);
  });

  it('does nothing at a time that is none, or where nothing signs', () => {
    expect(dueSteps([key('a', 'active', -5000)], '', schedule)).toEqual([]);
    expect(dueSteps([], AT, schedule)).toEqual([]);
  });

  it('outlives a day-long token, and is known to every cache before it signs', () => {
    expect(KEEP_SECONDS).toBeGreaterThan(86_400 + 60);
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 2_592_000 }), (ahead) => {
        const cache = cacheSeconds(ahead);
        expect(cache).toBeLessThan(ahead);
        expect(cache).toBeLessThanOrEqual(300);
        expect(cache).toBeGreaterThanOrEqual(1);
        expect(ahead - cache).toBeGreaterThanOrEqual(Math.min(ahead / 2, 30));
      }),
    );
  });
});
