// A rule that is being tried out stands in nobody's way, is no control, and says what it would have done.
import { beforeAll, describe, expect, it } from 'vitest';
import { parsePolicyBundle } from '../../commands/policy/bundle.ts';
import type { Evaluation } from '../../commands/policy/evaluate.ts';
import { silencedBy } from '../../commands/policy/silenced.ts';
import { evaluateRole } from '../../commands/policy/tests.ts';
import { warningsOf } from '../../commands/policy/warnings.ts';
import { controlsOf } from '../../commands/record/verdicts.ts';
import {
  adding,
  replacing,
  samplePolicy,
  type Change,
  type Files,
  problemsOf,
} from '../support/policy-files.ts';

let sample: Files;
beforeAll(async () => {
  sample = await samplePolicy();
});

const rule = (id: string, effect: string, annotations: string, when = ''): Change =>
  adding(
    'main.cedar',
    `@id("${id}")\n${annotations}\n${effect} (principal is Agent, action == Action::"credential:request", resource == Role::"orders-readonly") ${when};`,
  );

const asked = (change: Change, role = 'orders-readonly'): Evaluation =>
  evaluateRole(parsePolicyBundle(change(sample)), role);

const seen = ({ observed }: Evaluation): string[] =>
  observed.map(({ rule: id, mode, would }) => `${id} ${mode} ${would}`);

const gate = (mode: string): Change =>
  rule('look', 'permit', `@approval("orders-write") @mode("${mode}")`);
const ban = (mode: string, when = ''): Change => rule('never', 'forbid', `@mode("${mode}")`, when);

describe('a gate', () => {
  it('in the mode hold holds', () => {
    const { decision, controls, observed } = asked(gate('hold'));
    expect([decision, controls, observed]).toEqual(['hold', ['orders-write'], []]);
  });

  it.each(['observe', 'warn'])('in the mode %s holds nobody, and is no control', (mode) => {
    const found = asked(gate(mode));
    expect([found.decision, found.controls, found.routes]).toEqual(['permit', [], []]);
    expect(seen(found)).toEqual([`look ${mode} hold`]);
  });

  it('that only observes does not take the place of one that holds', () => {
    const found = asked(
      adding(
        'main.cedar',
        '@id("look") @approval("onboarding") @mode("observe") permit (principal is Agent, action == Action::"credential:request", resource == Role::"orders-write");',
      ),
      'orders-write',
    );
    expect(found.routes.map(({ name }) => name)).toEqual(['orders-write']);
    expect(seen(found)).toEqual(['look observe hold']);
  });

  it.each(['observe', 'warn'])('in the mode %s is counted by no verdict', (mode) => {
    const controlled = (files: Files): string[] =>
      controlsOf(parsePolicyBundle(files)).map(({ id }) => id);
    const next = replacing(
      'main.cedar',
      '@id("make-payouts")\n',
      `@id("make-payouts")\n@mode("${mode}")\n`,
    )(
      replacing(
        'main.cedar',
        '@id("run-payouts")\n',
        `@id("run-payouts")\n@mode("${mode}")\n`,
      )(sample),
    );
    expect(controlled(sample)).toContain('payouts-write');
    expect(controlled(next)).not.toContain('payouts-write');
  });
});

describe('a forbid', () => {
  it('in the mode hold denies', () => {
    expect(asked(ban('hold')).decision).toBe('deny');
  });

  it.each(['observe', 'warn'])('in the mode %s denies nobody', (mode) => {
    const found = asked(ban(mode));
    expect(found.decision).toBe('permit');
    expect(found.reasons).toEqual(['read-orders']);
    expect(seen(found)).toEqual([`never ${mode} deny`]);
  });

  it('that only observes hides none that holds', () => {
    const both = (files: Files): Files => rule('really', 'forbid', '')(ban('observe')(files));
    const found = asked(both);
    expect([found.decision, found.reasons, found.observed]).toEqual(['deny', ['really'], []]);
  });

  it('that only observes and cannot be evaluated says so and stands in no way; one that holds is a no', () => {
    const overflow = 'when { context.ttl_seconds + 9223372036854775807 < 0 }';
    expect(asked(ban('hold', overflow)).decision).toBe('deny');
    const found = asked(ban('observe', overflow));
    expect(found.decision).toBe('permit');
    expect(seen(found)).toEqual(['never observe deny']);
  });

  it('that comes to observe no longer closes a way around a gate, and so needs its approvers', () => {
    const open = adding(
      'main.cedar',
      '@id("broad") permit (principal is Agent, action == Action::"credential:request", resource == Role::"alias");',
    )(
      adding(
        'roles.yaml',
        '  alias:\n    title: Alias\n    issuer: postgres\n    target: sample\n    member_of: [orders_write]',
      )(sample),
    );
    const closed = (mode: string): Files =>
      adding(
        'main.cedar',
        `@id("closed") @mode("${mode}") forbid (principal, action, resource == Role::"alias");`,
      )(open);
    const silenced = (before: Files, after: Files): string[] =>
      silencedBy(parsePolicyBundle(before), parsePolicyBundle(after)).routes.map(
        ({ name }) => name,
      );
    expect(silenced(closed('hold'), closed('hold'))).toEqual([]);
    expect(silenced(closed('hold'), closed('observe'))).toEqual(['orders-write']);
  });
});

describe('the mode', () => {
  it('warn is told to whoever asks, observe is not', () => {
    expect(warningsOf(asked(gate('warn')))).toEqual([
      'policy look: this would wait for orders-write, once the rule holds',
    ]);
    expect(warningsOf(asked(ban('warn')))).toEqual([
      'policy never: this would be denied, once the rule holds',
    ]);
    expect(warningsOf(asked(gate('observe')))).toEqual([]);
  });

  it('is refused on a permit that asks nobody: observed or not, it would permit', () => {
    const said = (change: Change): string => problemsOf(change(sample));
    expect(said(rule('x', 'permit', '@mode("observe")'))).toContain('which no @mode changes');
    expect(said(rule('x', 'permit', '@mode("hold")'))).toBe('');
  });
});
