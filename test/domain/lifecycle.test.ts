// The tables of states: every move leads somewhere, every life ends, and an end is an end.
import { describe, expect, it } from 'vitest';
import { ALIVE, canMove, isFinal, statesOf, type LifecycleNoun } from '../../domain/lifecycle.ts';

const NOUNS: LifecycleNoun[] = [
  'agent',
  'task',
  'credential',
  'request',
  'grant',
  'permit',
  'run',
  'glassKit',
];
const FINAL: Record<LifecycleNoun, string[]> = {
  agent: ['rejected', 'retired'],
  task: ['completed', 'expired', 'failed', 'killed'],
  credential: ['abandoned', 'expired', 'force_closed', 'revoked'],
  request: ['cancelled', 'consumed', 'denied', 'expired', 'failed', 'superseded'],
  grant: ['expired', 'revoked', 'voided'],
  permit: ['lapsed', 'voided'],
  glassKit: ['ended'],
  run: ['done', 'failed', 'unknown'],
};

describe.each(NOUNS)('the life of a %s', (noun) => {
  const states = statesOf(noun);
  const next = (state: string): string[] =>
    states.filter((to) => canMove(noun, state as (typeof states)[number], to));

  it('ends exactly in its final states, from which nothing moves', () => {
    const final = states.filter((state) => isFinal(noun, state));
    expect(new Set<string>(final)).toEqual(new Set(FINAL[noun]));
    for (const state of FINAL[noun]) expect(next(state)).toEqual([]);
  });

  it('reaches every state from the first one, and an end from every state', () => {
    const reached = new Set<string>();
    const walk = (state: string): void => {
      if (reached.has(state)) return;
      reached.add(state);
      next(state).forEach(walk);
    };
    walk(states[0]);
    expect(reached).toEqual(new Set(states));
    const ends = (state: string, seen: string[]): boolean =>
      FINAL[noun].includes(state) ||
      next(state).some((to) => !seen.includes(to) && ends(to, [...seen, to]));
    expect(states.filter((state) => !ends(state, [state]))).toEqual([]);
  });

  it('knows no other state: what is not in the table cannot be moved to or from', () => {
    for (const state of ['', 'constructor', '__proto__', 'toString', 'ACTIVE'])
      for (const known of states) {
        expect(canMove(noun, state as (typeof states)[number], known)).toBe(false);
        expect(canMove(noun, known, state as (typeof states)[number])).toBe(false);
        expect(isFinal(noun, state as (typeof states)[number])).toBe(false);
      }
  });
});

describe('the tables keep what the product promises', () => {
  it('I3: a credential never comes back, and dies only through revocation', () => {
    for (const state of statesOf('credential')) {
      expect(canMove('credential', state, 'active')).toBe(state === 'pending');
      const beingRevoked = ['revoking', 'revoke_failed'].includes(state);
      for (const end of ['revoked', 'expired', 'abandoned'] as const)
        expect(canMove('credential', state, end)).toBe(beingRevoked);
      // Nobody gives up on what was not tried.
      expect(canMove('credential', state, 'force_closed')).toBe(state === 'revoke_failed');
      expect(ALIVE.includes(state)).toBe(!isFinal('credential', state));
    }
  });

  it('I3: a task ends only by way of ending, while what it holds is taken away', () => {
    for (const state of statesOf('task')) {
      expect(canMove('task', 'running', state)).toBe(state === 'ending');
      expect(canMove('task', 'ending', state)).toBe(isFinal('task', state));
    }
  });

  it('I2: a permit is redeemed at most once, and an approval is consumed at most once', () => {
    const after = statesOf('permit').filter((to) => canMove('permit', 'redeemed', to));
    expect(after).toEqual(['voided']);
    expect(canMove('request', 'consumed', 'consumed')).toBe(false);
    expect(canMove('request', 'pending', 'consumed')).toBe(false);
  });

  it('I6: an expired, denied or cancelled request is never approved', () => {
    for (const state of ['expired', 'denied', 'cancelled', 'superseded', 'failed'] as const)
      for (const to of statesOf('request')) expect(canMove('request', state, to)).toBe(false);
  });
});
