// A permit that waives a control is the one way past its gate: past that one only, said aloud, and agreed to by the
// people who stand there.
import { beforeAll, describe, expect, it } from 'vitest';
import { parsePolicyBundle } from '../../commands/policy/bundle.ts';
import { diffPolicies } from '../../commands/policy/diff.ts';
import type { Evaluation } from '../../commands/policy/evaluate.ts';
import { togetherAs } from '../../commands/policy/evaluate.ts';
import { silencedBy } from '../../commands/policy/silenced.ts';
import { evaluateRole, runPolicyTests } from '../../commands/policy/tests.ts';
import { waiverNotes } from '../../commands/policy/waivers.ts';
import {
  adding,
  all,
  problemsOf,
  replacing,
  samplePolicy,
  type Change,
  type Files,
} from '../support/policy-files.ts';

let sample: Files;
beforeAll(async () => {
  sample = await samplePolicy();
});

const SCOPE = 'principal is Agent, action == Action::"credential:request", resource';
const rule = (id: string, annotations: string, when = '', effect = 'permit'): Change =>
  adding(
    'main.cedar',
    `@id("${id}")\n${annotations}\n${effect} (${SCOPE} == Role::"orders-write") ${when};`,
  );
const waiver = (control = 'orders-write', when = '', id = 'past'): Change =>
  rule(id, `@waives("${control}")`, when);
const second = rule('also-payouts', '@approval("payouts-write")');

const asked = (change: Change): Evaluation =>
  evaluateRole(parsePolicyBundle(change(sample)), 'orders-write');
const routesOf = ({ routes }: Evaluation): string[] => routes.map(({ name }) => name);

const said = (change: Change): string => problemsOf(change(sample));

describe('a permit that waives a control', () => {
  it('is the one way past its gate: a plain permit beside it is none', () => {
    expect(asked(rule('broad', '@title("plain")')).decision).toBe('hold');
    const found = asked(waiver());
    expect([found.decision, found.routes, found.controls]).toEqual(['permit', [], []]);
    expect(found.waived).toEqual([{ control: 'orders-write', rule: 'past' }]);
  });

  it('leaves every other gate in front of the same thing', () => {
    const found = asked(all(second, waiver()));
    expect([found.decision, routesOf(found), found.controls]).toEqual([
      'hold',
      ['payouts-write'],
      ['payouts-write'],
    ]);
    expect(found.waived).toEqual([{ control: 'orders-write', rule: 'past' }]);
    expect(routesOf(asked(all(second, waiver('payouts-write'))))).toEqual(['orders-write']);
  });

  it('leaves the route asked where another control asks the same one', () => {
    const twin = rule('twin', '@approval("orders-write") @control("twin")');
    const found = asked(all(twin, waiver()));
    expect([routesOf(found), found.controls]).toEqual([['orders-write'], ['twin']]);
  });

  it('lets nobody past who it does not match, and says of nothing that it was waived where no gate was', () => {
    const found = asked(waiver('orders-write', 'when { principal.team == "night" }'));
    expect([found.decision, found.waived]).toEqual(['hold', []]);
    const elsewhere = asked(waiver('payouts-write'));
    expect([elsewhere.decision, elsewhere.waived]).toEqual(['hold', []]);
  });

  it('lets nobody past a forbid', () => {
    const found = asked(all(waiver(), rule('never', '', '', 'forbid')));
    expect([found.decision, found.reasons, found.waived]).toEqual(['deny', ['never'], []]);
  });

  it('waives for a chain only what it waives for everybody in it', () => {
    const [past, held] = [asked(waiver()), asked((files) => files)];
    expect(togetherAs([past, held])).toMatchObject({ decision: 'hold', waived: [] });
    expect(togetherAs([past, past])).toMatchObject({
      decision: 'permit',
      waived: [{ control: 'orders-write', rule: 'past' }],
    });
  });

  it('is not said to be observed once it is waived', () => {
    const observing = replacing(
      'main.cedar',
      '@risk("medium")',
      '@risk("medium")\n@mode("observe")',
    );
    expect(asked(all(observing, rule('plain', '@title("x")'))).observed).toHaveLength(1);
    expect(asked(all(observing, waiver())).observed).toEqual([]);
  });
});

describe('a bundle with a waiver that means nothing is refused', () => {
  it.each([
    ['on a forbid', rule('x', '@waives("orders-write")', '', 'forbid'), 'a forbid lets nobody'],
    [
      'with an approval',
      rule('x', '@waives("orders-write") @approval("payouts-write")'),
      'leave out @approval',
    ],
    ['in a mode', rule('x', '@waives("orders-write") @mode("observe")'), 'no @mode changes'],
    ['without a control', rule('x', '@waives("")'), '@waives has no value'],
  ])('%s', (_how, change, message) => {
    expect(said(change)).toContain(message);
  });

  it('of a control that no rule is, with its line and those there are', () => {
    const line = (sample['main.cedar'] ?? '').split('\n').length + 1;
    expect(said(waiver('order-writes'))).toMatch(
      new RegExp(`^main\\.cedar:${line}: .*"order-writes".*there are: .*orders-write`),
    );
  });

  it('and one that is good is told of, with its line', () => {
    const notes = waiverNotes(parsePolicyBundle(waiver()(sample)));
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatchObject({ file: 'main.cedar' });
    expect(notes[0]?.message).toContain('"past" waives the control "orders-write"');
    expect(waiverNotes(parsePolicyBundle(sample))).toEqual([]);
  });
});

describe('activating a waiver needs the own approvers of what it waives', () => {
  const silenced = (before: Change, after: Change): string[] => {
    const bundles = [before, after].map((change) => parsePolicyBundle(change(sample)));
    const [current, next] = bundles;
    if (!current || !next) throw new Error('two policies are compared');
    return silencedBy(current, next).routes.map(({ name }) => name);
  };
  const same: Change = (files) => files;
  const some = waiver('orders-write', 'when { principal.team == "night" }');

  it('when it is new, however few it lets past', () => {
    expect(silenced(same, waiver())).toEqual(['orders-write']);
    expect(silenced(same, some)).toEqual(['orders-write']);
    expect(silenced(some, some)).toEqual([]);
  });

  it('when it says something else, and not when only its title does', () => {
    expect(silenced(some, waiver())).toEqual(['orders-write']);
    const titled = replacing('main.cedar', '@id("past")\n', '@id("past")\n@title("At night")\n');
    expect(silenced(some, all(some, titled))).toEqual([]);
  });

  it('when a permit that was plain becomes one', () => {
    expect(silenced(rule('past', '@title("x")'), waiver())).toEqual(['orders-write']);
  });

  it('when it comes to waive another control, of that one', () => {
    expect(silenced(all(second, waiver()), all(second, waiver('payouts-write')))).toEqual([
      'payouts-write',
    ]);
  });

  it('when it comes together with its gate, of the people who will stand there', () => {
    const gate = rule('fresh', '@approval("payouts-write") @control("fresh")');
    expect(silenced(same, all(gate, waiver('fresh')))).toEqual(['payouts-write']);
  });

  it('when a forbid that kept it small goes', () => {
    const kept = rule('day', '', 'when { principal.team != "night" }', 'forbid');
    expect(silenced(all(waiver(), kept), waiver())).toEqual(['orders-write']);
  });

  it('and taking it back needs nobody', () => {
    expect(silenced(waiver(), same)).toEqual([]);
  });
});

describe('a change that brings a waiver', () => {
  it('is told in words, for whom it opens and past what', () => {
    const [current, next] = [parsePolicyBundle(sample), parsePolicyBundle(waiver()(sample))];
    const { changes, silenced } = diffPolicies(current, next);
    const words = changes.map(({ direction, says }) => `${direction} ${says}`).join('\n');
    expect(words).toContain(
      'wider held by orders-write → permitted, past orders-write by the waiver past',
    );
    expect(words).toContain('past the control orders-write, whose own approvers have to agree');
    expect(silenced).toEqual({ routes: ['orders-write'], controls: ['orders-write'] });
    const back = diffPolicies(next, current).changes.map(({ direction }) => direction);
    expect(new Set(back)).toEqual(new Set(['narrower']));
  });

  it('is tried in tests.yaml by what is waived', () => {
    const cases = (waived: string): Change =>
      replacing(
        'tests.yaml',
        '[]',
        `- { name: past, action: credential:request, resource: orders-write, expect: permit, waived: [${waived}] }`,
      );
    const problems = (waived: string): string[] =>
      runPolicyTests(parsePolicyBundle(all(waiver(), cases(waived))(sample))).map(
        ({ message }) => message,
      );
    expect(problems('orders-write')).toEqual([]);
    expect(problems('')[0]).toContain('expected to be waived none, got orders-write');
  });
});
