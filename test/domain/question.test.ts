// Questions and the clock: what stands still, for how long at most, and what several routes say together.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ruleDigest } from '../../domain/approval.ts';
import { addSeconds, secondsBetween } from '../../domain/instant.ts';
import { askRuleOf, expiryWith, nextLapseAt, type Question } from '../../domain/question.ts';
import { ruleTitled } from '../support/rules.ts';

const OPENED = '2026-11-21T10:00:00.000Z';
const at = (seconds: number): string => addSeconds(OPENED, seconds);
const CLOCK = { createdAt: OPENED, firstExpiresAt: at(3600), endsAt: null };

const question = (
  asked: number,
  closed: number | null,
  more: Partial<Question> = {},
): Question => ({
  id: 'qst_1',
  by: { person: 'psn_1', name: 'Bea' },
  to: 'agent',
  text: 'Why?',
  state: closed === null ? 'open' : 'answered',
  asked_at: at(asked),
  answer_by: at(asked + 600),
  closed_at: closed === null ? null : at(closed),
  answer: null,
  clock: 'stops',
  seen: false,
  told: false,
  ...more,
});

const extra = (...questions: Question[]): number =>
  secondsBetween(CLOCK.firstExpiresAt, expiryWith(questions, CLOCK));

describe('the clock', () => {
  it('stands still as long as a question waited, and as long as an open one may', () => {
    expect(extra()).toBe(0);
    expect(extra(question(100, 160))).toBe(60);
    expect(extra(question(100, null))).toBe(600);
    expect(extra(question(100, 160), question(200, 230))).toBe(90);
  });

  it('stands still once for two questions at once', () => {
    expect(extra(question(100, 200), question(150, 250))).toBe(150);
    expect(extra(question(100, 400), question(150, 250))).toBe(300);
  });

  it('goes on for questions of routes that let it', () => {
    expect(extra(question(100, 400, { clock: 'runs' }))).toBe(0);
  });

  it('never stands still for longer than there was time, nor past what bounds it, nor goes back', () => {
    const spans = fc.array(fc.tuple(fc.nat(7000), fc.nat(4000)), { maxLength: 5 });
    const bound = fc.option(fc.integer({ min: 3600, max: 9000 }), { nil: null });
    fc.assert(
      fc.property(spans, bound, (pairs, end) => {
        const questions = pairs.map(([from, long]) => question(from, from + long));
        const clock = { ...CLOCK, endsAt: end === null ? null : at(end) };
        const seconds = secondsBetween(OPENED, expiryWith(questions, clock));
        expect(seconds).toBeGreaterThanOrEqual(3600);
        expect(seconds).toBeLessThanOrEqual(Math.min(7200, end ?? Infinity));
        // The order in which they are kept says nothing.
        expect(expiryWith(questions.toReversed(), clock)).toBe(expiryWith(questions, clock));
      }),
    );
  });
});

describe('a rule about questions', () => {
  it('of several routes stops the clock only where all do, and waits the shortest time', () => {
    const stops = { ask: { clock: 'stops' as const, answer_within_seconds: 900 } };
    expect(askRuleOf([stops, stops]).clock).toBe('stops');
    expect(askRuleOf([stops, {}])).toEqual({ clock: 'runs', answer_within_seconds: 900 });
    expect(askRuleOf([{}])).toEqual({ clock: 'runs', answer_within_seconds: 3600 });
  });

  it('is part of what a route is only where it says something', () => {
    const plain = ruleTitled('Orders');
    const ask = { clock: 'runs' as const, answer_within_seconds: 3600 };
    expect(ruleDigest({ ...plain, ask: undefined })).toBe(ruleDigest(plain));
    expect(ruleDigest({ ...plain, ask })).not.toBe(ruleDigest(plain));
  });
});

it('the next question to lapse is the open one that waits least', () => {
  expect(nextLapseAt([question(100, 160)])).toBeNull();
  expect(nextLapseAt([question(300, null), question(100, null), question(0, 50)])).toBe(at(700));
});
