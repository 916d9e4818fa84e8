// Routes as they are written: what a mistake is told, and which changes take the consent of those who decide today.
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import { readPolicyFolder } from '../../cli/policy-folder.ts';
import { parsePolicyBundle, type PolicyBundle } from '../../commands/policy/bundle.ts';
import { ownerOf } from '../../commands/policy/evaluate.ts';
import { isWeaker, routeChanges } from '../../commands/policy/route-change.ts';
import { silencedBy } from '../../commands/policy/silenced.ts';
import { PolicyError } from '../../commands/policy/yaml.ts';
import type { RouteRule } from '../../domain/approval.ts';
import { groupsEver, seatsInWords } from '../../domain/seats.ts';

type Files = Record<string, string>;
let sample: Files;
beforeAll(async () => {
  sample = { ...(await readPolicyFolder(path.join(PACKAGE_ROOT, 'policy'))), 'tests.yaml': '[]' };
});

/** The sample policy with a route of these lines; its title is on the first of them. */
const withRoute = (lines: string, files: Files = sample): PolicyBundle =>
  parsePolicyBundle({
    ...files,
    'routes.yaml': `${files['routes.yaml'] ?? ''}\nmine:\n  title: Mine\n${lines}\n`,
  });

function ruleOf(lines: string): RouteRule {
  const route = withRoute(lines).routes.get('mine');
  if (!route) throw new Error('the route is not there');
  return route.rule;
}

function problemOf(lines: string): string {
  try {
    withRoute(lines);
    return '';
  } catch (error) {
    if (error instanceof PolicyError) return error.message;
    throw error;
  }
}

describe('a route', () => {
  it('that says nothing new has none of the new members, so that its digest is what it was', () => {
    const rule = ruleOf('  groups: [a, b]\n  quorum: 2');
    expect(Object.keys(rule).toSorted()).toEqual([
      'channels',
      'escalation',
      'expiry_seconds',
      'groups',
      'independence',
      'quorum',
      'remind_at',
      'strength',
      'title',
      'valid_seconds',
    ]);
  });

  it('counts people per group, and in sum', () => {
    const rule = ruleOf('  groups: [a, b]\n  quorum: { a: 1, b: 2 }');
    expect([rule.quorum, rule.seats]).toEqual([3, { a: 1, b: 2 }]);
    expect(seatsInWords(rule)).toBe('1 from a and 2 from b');
  });

  it('has stages, with all their groups and their people in sum', () => {
    const rule = ruleOf(
      '  stages:\n    - groups: [a, b]\n    - { title: Last, groups: [b, c], quorum: 2 }',
    );
    expect([rule.quorum, rule.groups, rule.same_person]).toEqual([3, ['a', 'b', 'c'], undefined]);
    expect(seatsInWords(rule)).toBe('1 from a or b, then 2 from b or c');
    const shared = ruleOf('  stages: [{ groups: [a] }, { groups: [b] }]\n  same_person: allowed');
    expect(shared.same_person).toBe('allowed');
  });

  it('asks duties beside groups, which no group of people can be called', () => {
    const rule = ruleOf(
      '  groups: [a]\n  on_call: [primary]\n  resource_owner: true\n' +
        '  escalation: [{ after_seconds: 60, on_call: [second] }]',
    );
    expect(groupsEver(rule)).toEqual(['a', 'on-call:primary', 'resource:owner', 'on-call:second']);
    expect(problemOf('  groups: ["on-call:primary"]')).toContain('lower-case letters');
  });

  it('is refused with its line and what is allowed', () => {
    const line = (sample['routes.yaml'] ?? '').split('\n').length + 3;
    for (const [lines, said] of [
      ['  quorum: 1', 'groups: asks nobody: name groups, on_call or resource_owner'],
      ['  groups: []', 'asks nobody'],
      ['  groups: [a]\n  quorum: many', 'a number from 1 to 10, or such a number for each group'],
      ['  groups: [a]\n  quorum: 0', 'mine.quorum: Too small'],
      ['  groups: [a]\n  quorum: { b: 1, a: 1 }', '"b" is not asked here; there are: a'],
      ['  groups: [a, b]\n  quorum: { a: 1 }', '"b" is asked and has no seat'],
      ['  groups: [a, b]\n  quorum: { a: 9, b: 2 }', 'at most 10 people in all'],
      ['  groups: [a]\n  quorum: { a: 0 }', 'mine.quorum.a: Too small'],
      [
        '  groups: [a]\n  stages: [{ groups: [b] }]',
        'a route with stages says this in each of them',
      ],
      ['  stages: [{ quorum: 1 }]', 'stages.0.groups: asks nobody'],
      ['  stages: []', 'stages'],
      ['  groups: [a]\n  same_person: allowed', 'only a route with stages'],
      ['  groups: [a]\n  on_call: [Primary]', 'lower-case letters, digits and dashes'],
      [
        '  groups: [a]\n  quorum: { a: 1 }\n  escalation: [{ after_seconds: 60, groups: [b] }]',
        'for is missing: whose seats may they fill? There are: a',
      ],
      [
        '  groups: [a]\n  escalation: [{ after_seconds: 60, groups: [b], for: c }]',
        '"c" is not asked here; there are: a',
      ],
      ['  groups: [a]\n  escalation: [{ after_seconds: 60 }]', 'adds nobody'],
    ] as const) {
      const problem = problemOf(lines);
      expect(problem).toContain(said);
      expect(problem).toMatch(/^routes\.yaml:\d+: mine/m);
      expect(Number(/routes\.yaml:(\d+)/.exec(problem)?.[1])).toBeGreaterThanOrEqual(line - 2);
    }
  });
});

describe('what asks less of people', () => {
  const weakenings: [string, string, string][] = [
    [
      'a seat less',
      '  groups: [a, b]\n  quorum: { a: 1, b: 2 }',
      '  groups: [a, b]\n  quorum: { a: 1, b: 1 }',
    ],
    [
      'a group’s own seat',
      '  groups: [a, b]\n  quorum: { a: 1, b: 1 }',
      '  groups: [a, b]\n  quorum: 2',
    ],
    [
      'seats for another group',
      '  groups: [a, b]\n  quorum: { a: 2, b: 1 }',
      '  groups: [a, b]\n  quorum: { a: 1, b: 2 }',
    ],
    ['a stage', '  stages: [{ groups: [a] }, { groups: [b] }]', '  stages: [{ groups: [b] }]'],
    [
      'their order',
      '  stages: [{ groups: [a] }, { groups: [b] }]',
      '  stages: [{ groups: [b] }, { groups: [a] }]',
    ],
    [
      'stages for one crowd',
      '  stages: [{ groups: [a] }, { groups: [b] }]',
      '  groups: [a, b]\n  quorum: 2',
    ],
    [
      'more people in a stage',
      '  stages: [{ groups: [a] }, { groups: [b] }]',
      '  stages: [{ groups: [a] }, { groups: [b, c] }]',
    ],
    [
      'two stages by one',
      '  stages: [{ groups: [a] }, { groups: [b] }]',
      '  stages: [{ groups: [a] }, { groups: [b] }]\n  same_person: allowed',
    ],
    ['whoever is on call', '  groups: [a]', '  groups: [a]\n  on_call: [primary]'],
    ['the owner', '  groups: [a]', '  groups: [a]\n  resource_owner: true'],
    [
      'others for its seats',
      '  groups: [a, b]\n  quorum: { a: 1, b: 1 }\n  escalation: [{ after_seconds: 60, groups: [c], for: a }]',
      '  groups: [a, b]\n  quorum: { a: 1, b: 1 }\n  escalation: [{ after_seconds: 60, groups: [c], for: b }]',
    ],
  ];
  it.each(weakenings)('%s', (_what, before, after) => {
    expect(isWeaker(ruleOf(before), ruleOf(after))).toBe(true);
    expect(routeChanges(ruleOf(before), ruleOf(after)).length).toBeGreaterThan(0);
  });

  it('and what asks more takes nobody’s consent', () => {
    for (const [before, after] of [
      ['  groups: [a, b]\n  quorum: 2', '  groups: [a, b]\n  quorum: { a: 1, b: 1 }'],
      ['  groups: [a]', '  stages: [{ groups: [a] }, { groups: [b] }]'],
      ['  stages: [{ groups: [a] }]', '  stages: [{ groups: [c] }, { groups: [a], quorum: 2 }]'],
      [
        '  stages: [{ groups: [a] }, { groups: [b] }]\n  same_person: allowed',
        '  stages: [{ groups: [a] }, { groups: [b] }]',
      ],
    ] as const)
      expect([after, isWeaker(ruleOf(before), ruleOf(after))]).toEqual([after, false]);
  });
});

describe('the owner of a role', () => {
  const OWNED = '  groups: [a]\n  resource_owner: true';
  const owning = (owner: string): Files => ({
    ...sample,
    'main.cedar':
      `${sample['main.cedar'] ?? ''}\n@id("by-owner")\n@approval("mine")\npermit (principal is Agent, ` +
      'action == Action::"credential:request", resource == Role::"reports-api");\n',
    'roles.yaml': (sample['roles.yaml'] ?? '').replace(
      '    audience: https://reports.example\n',
      `    audience: https://reports.example\n${owner}`,
    ),
  });

  it('is named by itself before its target, and by nobody where neither does', () => {
    const bundle = withRoute(OWNED, owning('    owner: data-owners\n'));
    expect(ownerOf(bundle, 'Role', 'reports-api')).toBe('data-owners');
    expect(ownerOf(bundle, 'Role', 'orders-write')).toBeNull();
    expect(ownerOf(bundle, 'Agent', 'agt_1')).toBeNull();
    const roles = (sample['roles.yaml'] ?? '').replace(
      '    issuer: postgres\n    url_from',
      '    issuer: postgres\n    owner: ada@example.com\n    url_from',
    );
    const placed = parsePolicyBundle({ ...sample, 'roles.yaml': roles });
    expect(ownerOf(placed, 'Role', 'orders-write')).toBe('ada@example.com');
  });

  it('is not another one without the consent of those who decide today, where owners decide', () => {
    const asked = (before: string, after: string, route: string): string[] =>
      silencedBy(withRoute(route, owning(before)), withRoute(route, owning(after))).routes.map(
        ({ name }) => name,
      );
    const [ada, bob] = ['    owner: ada@example.com\n', '    owner: bob@example.com\n'];
    expect(asked(ada, bob, OWNED)).toEqual(['mine']);
    expect(asked(ada, '', OWNED)).toEqual(['mine']);
    expect(asked(ada, ada, OWNED)).toEqual([]);
    expect(asked(ada, bob, '  groups: [a]')).toEqual([]);
  });
});
