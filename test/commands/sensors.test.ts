// No independent eyes on the path, no permit: a rule that wants a target seen counts for nothing while nobody sees it.
import { beforeAll, describe, expect, it } from 'vitest';
import { parsePolicyBundle } from '../../commands/policy/bundle.ts';
import { evaluate, togetherAs, type Evaluation } from '../../commands/policy/evaluate.ts';
import { silencedBy } from '../../commands/policy/silenced.ts';
import { evaluateRole, runPolicyTests } from '../../commands/policy/tests.ts';
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
const EYES = '@requires_sensor("sample")';
const rule = (id: string, annotations: string, effect = 'permit'): Change =>
  adding(
    'main.cedar',
    `@id("${id}")\n${annotations}\n${effect} (${SCOPE} == Role::"orders-write");`,
  );
const seenGate = replacing('main.cedar', '@risk("medium")', `@risk("medium")\n${EYES}`);

/** What a policy says while the sensors see, and while nobody does. */
function asked(change: Change): { seen: Evaluation; unseen: Evaluation } {
  const bundle = parsePolicyBundle(change(sample));
  const seen = evaluateRole(bundle, 'orders-write');
  const [question] = seen.asked;
  if (!question) throw new Error('nothing was asked');
  const { sensors: _sensors, ...blind } = question;
  return { seen, unseen: evaluate(bundle, blind) };
}

const said = (change: Change): string => problemsOf(change(sample));

describe('I6: a rule that requires a sensor, while that is silent', () => {
  it('holds nothing open: its gate denies, and says why', () => {
    const { seen, unseen } = asked(seenGate);
    expect([seen.decision, seen.unseen]).toEqual(['hold', []]);
    expect([unseen.decision, unseen.reasons, unseen.unseen]).toEqual([
      'deny',
      ['sensor_silent', 'write-orders'],
      ['sample'],
    ]);
    expect(unseen.says[0]).toMatch(/^sensor_silent: nobody independent sees sample now/);
    expect([unseen.routes, unseen.controls]).toEqual([[], []]);
  });

  it('is no way around its own gate: a plain permit beside it permits nothing', () => {
    expect(asked(all(seenGate, rule('broad', ''))).unseen.decision).toBe('deny');
  });

  it('permits nothing, and leaves what other rules permit or hold', () => {
    const without = replacing('main.cedar', /@id\("write-orders"\)[^;]*;/, '');
    const plain = rule('plain', EYES);
    expect(asked(all(without, plain)).seen.decision).toBe('permit');
    expect(asked(all(without, plain)).unseen.unseen).toEqual(['sample']);
    const both = asked(all(without, plain, rule('other', ''))).unseen;
    expect([both.decision, both.reasons]).toEqual(['permit', ['other']]);
    expect(asked(plain).unseen.decision).toBe('hold');
  });

  it('waives nothing', () => {
    const waiver = rule('past', `@waives("orders-write") ${EYES}`);
    expect(asked(waiver).seen.decision).toBe('permit');
    const { decision, waived } = asked(waiver).unseen;
    expect([decision, waived]).toEqual(['hold', []]);
  });

  it('is a no to a chain of which it says no to one, and not for want of eyes where a forbid says no as well', () => {
    const { seen, unseen } = asked(seenGate);
    expect(togetherAs([seen, unseen])).toMatchObject({ decision: 'deny', unseen: ['sample'] });
    const forbidden = asked(rule('never', '', 'forbid')).unseen;
    expect(togetherAs([unseen, forbidden])).toMatchObject({ decision: 'deny', unseen: [] });
  });
});

describe('a bundle that requires eyes that nobody has is refused', () => {
  it.each([
    ['an unknown target', rule('x', '@requires_sensor("elsewhere")'), /"elsewhere".*are: sample/],
    [
      'a target without an observer',
      all(replacing('roles.yaml', / {4}observer_url_from: .*\n/, ''), rule('x', EYES)),
      /"sample".*observer_url_from; there are: none/,
    ],
    ['a forbid', rule('x', EYES, 'forbid'), /leave out @requires_sensor/],
    ['no name', rule('x', '@requires_sensor("")'), /has no value/],
  ])('%s', (_what, change, message) => {
    expect(said(change)).toMatch(message);
    expect(said(change)).toMatch(/^main\.cedar:\d+: /);
  });
});

describe('a change that no longer wants a path seen', () => {
  const silenced = (before: Change, after: Change): string[] =>
    silencedBy(parsePolicyBundle(before(sample)), parsePolicyBundle(after(sample))).routes.map(
      ({ name }) => name,
    );
  const same: Change = (files) => files;

  it('is agreed to by those whose gate it was', () => {
    expect(silenced(seenGate, same)).toEqual(['orders-write']);
    expect(silenced(same, seenGate)).toEqual([]);
  });

  it('or whose waiver', () => {
    const past = (more: string) => rule('past', `@waives("orders-write") ${more}`);
    expect(silenced(past(EYES), past(''))).toEqual(['orders-write']);
  });
});

it('a case of tests.yaml says which sensor is silent; each sees, unless told', () => {
  const cases = replacing(
    'tests.yaml',
    '[]',
    `- { name: seen, action: credential:request, resource: orders-write, expect: hold, routes: [orders-write] }
- { name: unseen, action: credential:request, resource: orders-write, sensors: { sample: silent }, expect: deny, says: sensor_silent }`,
  );
  expect(runPolicyTests(parsePolicyBundle(all(seenGate, cases)(sample)))).toEqual([]);
  expect(runPolicyTests(parsePolicyBundle(cases(sample)))).toHaveLength(1);
});
