import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import { readPolicyFolder } from '../../cli/policy-folder.ts';
import { parsePolicyBundle, policyVersion } from '../../commands/policy/bundle.ts';
import { silencedBy } from '../../commands/policy/silenced.ts';
import { evaluateRole, runPolicyTests } from '../../commands/policy/tests.ts';
import { problemsOf } from '../support/policy-files.ts';

type Files = Record<string, string>;
let sample: Files;
beforeAll(async () => {
  sample = await readPolicyFolder(path.join(PACKAGE_ROOT, 'policy'));
});

const adding = (file: string, text: string): Files => ({
  ...sample,
  [file]: `${sample[file] ?? ''}\n${text}\n`,
});

function replacing(file: string, from: string | RegExp, to: string): Files {
  const changed = (sample[file] ?? '').replace(from, to);
  if (changed === sample[file]) throw new Error(`${file} has no ${String(from)}`);
  return { ...sample, [file]: changed };
}

const PLAIN = `permit (principal is Agent, action == Action::"credential:request", resource == Role::"orders-write");`;

describe('a bundle with mistakes is refused, with file, line and what is allowed', () => {
  it('the sample itself has none, and passes its own tests', () => {
    expect(problemsOf(sample)).toBe('');
    expect(runPolicyTests(parsePolicyBundle(sample))).toEqual([]);
  });

  it('annotations: misspelt, empty, without id, or on a forbid', () => {
    const line = (sample['main.cedar'] ?? '').split('\n').length + 1;
    for (const [rule, said] of [
      [
        `@id("x")\n@approvl("orders-write")\n${PLAIN}`,
        '@approvl is not an annotation; allowed: id, approval',
      ],
      [`@id("x")\n@approval("")\n${PLAIN}`, '@approval has no value'],
      [`@id("x")\n@approval\n${PLAIN}`, '@approval has no value'],
      [`@approval("orders-write")\n${PLAIN}`, 'every policy needs an @id'],
      [`@id("x")\n@control("c")\n${PLAIN}`, 'asks nobody: add @approval'],
      [
        `@id("x")\n@mode("off")\n@approval("orders-write")\n${PLAIN}`,
        'allowed: observe, warn, hold',
      ],
      [
        `@id("x")\n@approval("orders-write")\n${PLAIN.replace('permit', 'forbid')}`,
        'nobody can approve what is forbidden',
      ],
    ] as const) {
      const problems = problemsOf(adding('main.cedar', rule));
      expect(problems).toContain(said);
      expect(problems).toContain(`main.cedar:${line}:`);
    }
  });

  it('rules: not Cedar, unknown to the schema, the same id twice, templates', () => {
    expect(problemsOf(adding('main.cedar', '@id("x") permit (principal'))).toMatch(
      /^main\.cedar:\d+: /,
    );
    const unknown = `@id("x")\npermit (principal is Agent, action == Action::"credential:request", resource) when { principal.nmae == "x" };`;
    expect(problemsOf(adding('main.cedar', unknown))).toMatch(
      /main\.cedar:\d+: policy "x": .*nmae/,
    );
    expect(problemsOf(adding('main.cedar', `@id("write-orders")\n${PLAIN}`))).toContain(
      'is used twice',
    );
    const template = '@id("t") permit (principal == ?principal, action, resource);';
    expect(problemsOf(adding('main.cedar', template))).toContain('templates are not supported');
  });

  it('references: routes, targets and limits that lead nowhere name what there is', () => {
    const nowhere = `@id("x")\n@approval("nobody")\n${PLAIN}`;
    expect(problemsOf(adding('main.cedar', nowhere))).toMatch(
      /main\.cedar:\d+: .*"nobody".*there are: onboarding, policy-change/,
    );
    expect(problemsOf(replacing('roles.yaml', 'target: sample', 'target: sampel'))).toMatch(
      /roles\.yaml:\d+: .*there is no target "sampel"; there are: sample/,
    );
    expect(
      problemsOf(replacing('roles.yaml', 'ttl_seconds_default: 600', 'ttl_seconds_default: 6000')),
    ).toContain('larger than ttl_seconds_max');
  });

  it('files: unknown members, wrong values, members twice, missing and surplus files', () => {
    const misspelt = problemsOf(replacing('routes.yaml', 'quorum: 1', 'quorom: 1'));
    expect(misspelt).toMatch(/^routes\.yaml:\d+: onboarding: .*quorom/m);
    expect(problemsOf(replacing('routes.yaml', 'quorum: 1', 'quorum: 0'))).toMatch(
      /^routes\.yaml:\d+: onboarding\.quorum: /m,
    );
    expect(problemsOf(replacing('routes.yaml', 'strength: session', 'strength: strong'))).toContain(
      '"session"|"fresh"|"passkey"',
    );
    for (const [ask, says] of [
      ['{ clock: pauses }', '"runs"|"stops"'],
      ['{ answer_within_seconds: 0 }', 'ask.answer_within_seconds'],
      ['{ clock: stops, questions: 9 }', 'questions'],
    ] as const)
      expect(
        problemsOf(replacing('routes.yaml', 'quorum: 1', `quorum: 1\n  ask: ${ask}`)),
      ).toContain(says);
    expect(problemsOf(replacing('routes.yaml', 'groups: [admins]', 'groups: []'))).toMatch(
      /routes\.yaml:\d+/,
    );
    expect(problemsOf(adding('routes.yaml', 'onboarding:\n  title: Again\n  groups: [x]'))).toMatch(
      /routes\.yaml:\d+: .*unique/,
    );
    const { 'routes.yaml': _routes, ...without } = sample;
    expect(problemsOf(without)).toContain('routes.yaml: is missing');
    expect(problemsOf({ ...sample, 'route.yaml': '' })).toContain(
      'route.yaml: a policy bundle has no file',
    );
    expect(problemsOf({ ...sample, '../main.cedar': '' })).toContain('has no file of this name');
  });

  it('tests that come out otherwise say what they got', () => {
    const bundle = parsePolicyBundle(replacing('tests.yaml', 'expect: permit', 'expect: deny'));
    expect(runPolicyTests(bundle)).toMatchObject([
      {
        file: 'tests.yaml',
        message: expect.stringContaining('expected deny, got permit') as unknown,
      },
    ]);
  });

  it('the version follows from every byte of every file', () => {
    expect(policyVersion(adding('main.cedar', '// x'))).not.toBe(policyVersion(sample));
    expect(policyVersion({ ...sample })).toBe(policyVersion(sample));
  });
});

const decides = (files: Files, role = 'orders-write'): string => {
  const { decision, routes } = evaluateRole(parsePolicyBundle(files), role);
  return [decision, ...routes.map(({ name }) => name)].join(' ');
};

describe('of several rules that apply', () => {
  it('an approval beats a plain permit, however broad', () => {
    expect(decides(sample)).toBe('hold orders-write');
    expect(decides(adding('main.cedar', `@id("broad")\n${PLAIN}`))).toBe('hold orders-write');
    const all = '@id("all")\npermit (principal, action, resource);';
    expect(decides(adding('main.cedar', all))).toBe('hold orders-write');
  });

  it('a forbid beats both', () => {
    const never = `@id("never")\n${PLAIN.replace('permit', 'forbid')}`;
    expect(decides(adding('main.cedar', never))).toBe('deny');
    expect(decides(adding('main.cedar', `@id("broad")\n${PLAIN}\n${never}`))).toBe('deny');
  });

  it('one that cannot be evaluated is a no, though the engine would skip it', () => {
    const overflow = `@id("errs")\nforbid (principal, action == Action::"credential:request", resource)
when { context.ttl_seconds + 9223372036854775807 < 0 };`;
    expect(decides(adding('main.cedar', overflow), 'orders-readonly')).toBe('deny');
    expect(decides(adding('main.cedar', overflow))).toBe('deny');
  });

  it('several routes must all approve', () => {
    const second = `@id("second")\n@approval("payouts-write")\n${PLAIN}`;
    const routes = decides(adding('main.cedar', second)).split(' ');
    expect(new Set(routes)).toEqual(new Set(['hold', 'orders-write', 'payouts-write']));
  });

  it('one that only observes is no gate', () => {
    const observed = replacing(
      'main.cedar',
      '@approval("orders-write")',
      '@mode("observe")\n@approval("orders-write")',
    );
    expect(decides(observed)).toBe('permit');
  });

  it('none is a no', () => {
    expect(decides({ ...sample, 'main.cedar': '// nothing' })).toBe('deny');
    expect(decides(sample, 'no-such-role')).toBe('deny');
  });
});

const silenced = (next: Files): string[] =>
  silencedBy(parsePolicyBundle(sample), parsePolicyBundle(next)).routes.map(({ name }) => name);

const ORDERS = /(orders-write:\n {2}title: Write to orders\n {2}groups: )\[data-owners\]/;

describe('a new policy needs those whose gate it would silence', () => {
  it('no gate is silenced by rules and routes that are added, or made stricter', () => {
    expect(silenced(sample)).toEqual([]);
    expect(silenced(adding('main.cedar', `@id("broad")\n${PLAIN}`))).toEqual([]);
    expect(
      silenced(adding('main.cedar', `@id("no")\n${PLAIN.replace('permit', 'forbid')}`)),
    ).toEqual([]);
    expect(silenced(replacing('routes.yaml', 'valid_seconds: 900', 'valid_seconds: 60'))).toEqual(
      [],
    );
    expect(silenced(replacing('routes.yaml', 'strength: session', 'strength: fresh'))).toEqual([]);
    expect(silenced(replacing('main.cedar', '@id("write-orders")', '@id("renamed")'))).toEqual([]);
  });

  it.each([
    ['removed', () => replacing('main.cedar', '@approval("orders-write")\n', '')],
    [
      'only observing',
      () =>
        replacing(
          'main.cedar',
          '@approval("orders-write")',
          '@mode("observe")\n@approval("orders-write")',
        ),
    ],
    [
      'given to others',
      () => replacing('main.cedar', '@approval("orders-write")', '@approval("onboarding")'),
    ],
    [
      'narrowed',
      () =>
        replacing(
          'main.cedar',
          'resource == Role::"orders-write"\n);',
          'resource == Role::"orders-write"\n) when { context.ttl_seconds > 60 };',
        ),
    ],
    ['opened to another group', () => replacing('routes.yaml', ORDERS, '$1[data-owners, interns]')],
    [
      'good for longer',
      () => replacing('routes.yaml', 'valid_seconds: 900', 'valid_seconds: 9000'),
    ],
    [
      'escalating to others',
      () =>
        replacing(
          'routes.yaml',
          'remind_at: [0.5, 0.9]',
          'escalation: [{ after_seconds: 60, groups: [interns] }]',
        ),
    ],
    [
      'open to the owner',
      () => replacing('routes.yaml', 'remind_at: [0.5, 0.9]', 'independence: { owner: allowed }'),
    ],
    [
      'walked around by a role of another name',
      () => ({
        ...adding('main.cedar', `@id("alias")\n${PLAIN.replace('orders-write', 'alias')}`),
        'roles.yaml': `${sample['roles.yaml'] ?? ''}\n  alias:\n    title: Alias\n    issuer: postgres\n    target: sample\n    member_of: [orders_write]\n`,
      }),
    ],
    [
      'walked around by a role that reaches further',
      () =>
        replacing(
          'roles.yaml',
          'member_of: [orders_read]',
          'member_of: [orders_read, orders_write]',
        ),
    ],
  ])('a gate that is %s', (_how, next) => {
    expect(silenced(next())).toEqual(['orders-write']);
  });
});
