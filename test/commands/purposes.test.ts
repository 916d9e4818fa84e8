// Purposes: a taxonomy that policy knows, what each may be used for, and rules that compare them.
import { beforeAll, describe, expect, it } from 'vitest';
import { parsePolicyBundle } from '../../commands/policy/bundle.ts';
import { diffPolicies } from '../../commands/policy/diff.ts';
import { evaluate, type Evaluation } from '../../commands/policy/evaluate.ts';
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

const taxonomy = (functionOfSupport = 'support', more = ''): Change =>
  adding(
    'purposes.yaml',
    `billing.reconcile: { title: Reconcile invoices, business_function: finance }
orders.support: { title: Help customers, business_function: ${functionOfSupport}, actions: [credential:request orders-readonly, "statement:run"] }
${more}`,
  );
const HEAD = 'permit (principal is Agent, action == Action::"credential:request", resource';
const compared = (condition: string): Change =>
  adding(
    'main.cedar',
    `@id("compared")\n@approval("payouts-write")\n${HEAD} == Role::"orders-readonly") when { ${condition} };`,
  );
const FINANCE = 'context has business_function && context.business_function == "finance"';

/** What a policy says when a role is asked for under a purpose. */
function asked(change: Change, purpose: string, role = 'orders-readonly'): Evaluation {
  const bundle = parsePolicyBundle(change(sample));
  const [question] = evaluateRole(bundle, role).asked;
  if (!question) throw new Error('nothing was asked');
  return evaluate(bundle, { ...question, context: { ...question.context, purpose } });
}

const said = (change: Change): string => problemsOf(change(sample));

describe('a policy with purposes', () => {
  it('permits nothing for a purpose that it does not know, and without them takes any text', () => {
    expect(asked((files) => files, 'whatever I like').decision).toBe('permit');
    const { decision, reasons, says } = asked(taxonomy(), 'whatever I like');
    expect([decision, reasons]).toEqual(['deny', ['purpose_unknown']]);
    expect(says[0]).toContain('billing.reconcile, orders.support');
    // The text is the agent's own, and reasons are public.
    expect(JSON.stringify(reasons)).not.toContain('whatever');
  });

  it('permits for a purpose only the actions that belong to it', () => {
    expect(asked(taxonomy(), 'orders.support').decision).toBe('permit');
    const { decision, reasons } = asked(taxonomy(), 'orders.support', 'reports-api');
    expect([decision, reasons]).toEqual(['deny', ['purpose_excludes']]);
    expect(asked(taxonomy(), 'billing.reconcile', 'reports-api').decision).toBe('permit');
    // Nor does a purpose get anybody past a gate.
    expect(asked(taxonomy(), 'billing.reconcile', 'orders-write').decision).toBe('hold');
  });

  it('tells rules the function that a purpose serves', () => {
    const both = all(taxonomy(), compared(FINANCE));
    expect(asked(both, 'billing.reconcile').decision).toBe('hold');
    expect(asked(both, 'orders.support').decision).toBe('permit');
  });

  it('lets cases say none, and then takes one that fits', () => {
    const cases = replacing(
      'tests.yaml',
      '[]',
      `- { name: any, action: credential:request, resource: reports-api, expect: permit }
- { name: other, action: credential:request, resource: reports-api, context: { purpose: orders.support }, expect: deny }
- { name: unknown, action: credential:request, resource: reports-api, context: { purpose: x }, expect: deny }`,
    );
    expect(runPolicyTests(parsePolicyBundle(all(taxonomy(), cases)(sample)))).toEqual([]);
  });
});

describe('a bundle whose purposes lead nowhere is refused, with file and line', () => {
  it.each([
    [
      'compared with one that is not there',
      all(taxonomy(), compared('context.purpose == "billing.reconcil"')),
      /^main\.cedar:\d+: .*"billing\.reconcil".*there are: billing\.reconcile, orders\.support/,
    ],
    [
      'among several',
      all(taxonomy(), compared('["orders.support", "x.y"].contains(context.purpose)')),
      /"x\.y", which is not in purposes\.yaml/,
    ],
    [
      'a function that none serves',
      all(taxonomy(), compared(FINANCE.replace('"finance"', '"finances"'))),
      /context\.business_function with "finances".*there are: finance, support/,
    ],
    [
      'an action that nobody can ask for',
      taxonomy('x', 'a.b: { title: A, business_function: x, actions: ["credential:ask"] }'),
      /^purposes\.yaml:4: a\.b\.actions: "credential:ask"/,
    ],
    [
      'a role that is not there',
      taxonomy('x', 'a.b: { title: A, business_function: x, actions: ["credential:request no"] }'),
      /^purposes\.yaml:4: .*with one of: orders-readonly/,
    ],
    [
      'no function',
      taxonomy('x', 'a.b: { title: A }'),
      /^purposes\.yaml:4: a\.b\.business_function/,
    ],
    [
      'a name that is no name',
      taxonomy('x', '"A B": { title: A, business_function: x }'),
      /^purposes\.yaml:4: A B: lower-case letters/,
    ],
    ['nothing at all', adding('purposes.yaml', '{}'), /at least one purpose/],
    [
      'a schema that does not know the function',
      all(taxonomy(), replacing('schema.cedarschema', / {4}business_function\?: String,\n/, '')),
      /^schema\.cedarschema:\d+: .*"credential:request" needs business_function\?: String/,
    ],
  ])('%s', (_what, change, message) => {
    expect(said(change)).toMatch(message);
  });

  it('and a pattern is no name', () => {
    expect(said(all(taxonomy(), compared('context.purpose like "billing.*"')))).toBe('');
  });
});

describe('a change of purposes', () => {
  const gate = compared(FINANCE);
  const silenced = (before: Change, after: Change): string[] =>
    silencedBy(parsePolicyBundle(before(sample)), parsePolicyBundle(after(sample))).routes.map(
      ({ name }) => name,
    );
  const moved = replacing('purposes.yaml', 'business_function: finance', 'business_function: ops');
  const still = 'c.d: { title: C, business_function: finance }';

  it('that takes a purpose away from a gate that compares functions needs its approvers', () => {
    const before = all(taxonomy('support', still), gate);
    expect(silenced(before, all(taxonomy('support', still), moved, gate))).toEqual([
      'payouts-write',
    ]);
    const without = (files: Files): Files => {
      const { 'purposes.yaml': _taxonomy, ...rest } = before(files);
      return rest;
    };
    expect(silenced(before, without)).toEqual(['payouts-write']);
  });

  it('that no rule compares needs nobody else', () => {
    expect(silenced(taxonomy(), all(taxonomy(), moved))).toEqual([]);
  });

  it('is told in words: what is permitted for which purpose, and what a purpose is', () => {
    const [none, some] = [parsePolicyBundle(sample), parsePolicyBundle(taxonomy()(sample))];
    const narrower = diffPolicies(none, some).changes;
    expect(
      narrower.some(
        ({ direction, subject }) =>
          direction === 'narrower' && subject === 'credential:request reports-api',
      ),
    ).toBe(true);
    const renamed = parsePolicyBundle(all(taxonomy(), moved)(sample));
    expect(diffPolicies(some, renamed).changes).toContainEqual({
      direction: 'changed',
      about: 'purpose',
      subject: 'billing.reconcile',
      says: 'business_function: "finance" → "ops"',
    });
  });
});
