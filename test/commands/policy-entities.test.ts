// What a bundle may say of things that are not ours, how it says it, and what enforcement points are told of it.
import { beforeAll, describe, expect, it } from 'vitest';
import { questionAbout } from '../../commands/authzen/question.ts';
import { parsePolicyBundle, type PolicyBundle } from '../../commands/policy/bundle.ts';
import { diffPolicies } from '../../commands/policy/diff.ts';
import { evaluate } from '../../commands/policy/evaluate.ts';
import { runPolicyCases } from '../../commands/policy/tests.ts';
import type { Named, Tuple } from '../../domain/access-tuple.ts';
import type { JsonObject } from '../../domain/json.ts';
import { fixturePack } from '../support/authzen.ts';
import {
  adding,
  all,
  problemsOf,
  replacing,
  type Change,
  type Files,
} from '../support/policy-files.ts';

let pack: Files;
beforeAll(async () => {
  pack = await fixturePack();
});

describe('the pack that comes with the product', () => {
  it('has no mistakes, passes its own cases, and has a case for every rule', () => {
    const { cases, unexercised } = runPolicyCases(parsePolicyBundle(pack));
    expect(cases.filter(({ passed }) => !passed)).toEqual([]);
    expect(unexercised).toEqual([]);
  });
});

describe('entities.yaml', () => {
  it.each<[string, string, string]>([
    ['twice', '- { type: user, id: bob }', 'user "bob": is declared twice'],
    [
      'of a type that is ours',
      '- { type: Agent, id: agt_1 }',
      'Agent "agt_1": what is true of this',
    ],
    [
      'with a parent that is nowhere',
      '- { type: user, id: eve, parents: [{ type: team, id: red }] }',
      'user "eve": its parent team "red" is not declared here',
    ],
    ['of a type that the schema lacks', '- { type: robot, id: r2 }', 'robot'],
    [
      'with an attribute that the schema lacks',
      '- { type: user, id: eve, attributes: { shoe: 43 } }',
      'shoe',
    ],
    [
      'with an attribute of another type',
      '- { type: user, id: eve, attributes: { role: [admin] } }',
      'role',
    ],
    ['with a member that it does not have', '- { type: user, id: eve, name: Eve }', 'name'],
  ])('something %s is a mistake that is told with its line', (_what, line, said) => {
    const problems = problemsOf(adding('entities.yaml', line)(pack));
    expect(problems).toMatch(/^entities\.yaml:\d+: /);
    expect(problems).toContain(said);
  });

  it('is part of the version: another fact is another policy', () => {
    const changed = replacing('entities.yaml', 'role: admin', 'role: user')(pack);
    expect(parsePolicyBundle(changed).version).not.toBe(parsePolicyBundle(pack).version);
  });

  it('a changed fact and another enforcement point are told by diff', () => {
    const change = all(
      replacing('entities.yaml', 'role: admin', 'role: user'),
      replacing('roles.yaml', 'enforcement_points: []', 'enforcement_points: [{ agent: gateway }]'),
    );
    const { changes } = diffPolicies(parsePolicyBundle(pack), parsePolicyBundle(change(pack)));
    expect(changes).toMatchObject([
      { direction: 'wider', subject: 'enforcement point gateway' },
      { direction: 'changed', about: 'entity', subject: 'user bob' },
    ]);
  });

  it('a case says either an action of ours or what an enforcement point asks', () => {
    const both = adding('tests.yaml', '- { name: neither, expect: deny }');
    expect(problemsOf(both(pack))).toContain('say either action or access');
  });
});

const GROUPED: Change = all(
  replacing(
    'schema.cedarschema',
    'entity user = {',
    'entity team in [team];\nentity user in [team] = {',
  ),
  replacing('schema.cedarschema', 'entity record = {', 'entity record = {\n  owner?: user,'),
  adding(
    'main.cedar',
    '@id("team-deletes")\npermit (principal in team::"all", action == Action::"delete", resource);\n' +
      '@id("not-of-the-vain")\nforbid (principal, action == Action::"delete", resource) when { resource has owner && resource.owner has role && resource.owner.role == "vain" };',
  ),
  adding(
    'entities.yaml',
    '- { type: team, id: all }\n- { type: team, id: red, parents: [{ type: team, id: all }] }\n' +
      '- { type: user, id: rita, parents: [{ type: team, id: red }] }\n' +
      '- { type: user, id: vince, attributes: { role: vain } }\n' +
      '- { type: record, id: his, attributes: { owner: { type: user, id: vince } } }',
  ),
);

const named = (type: string, id: string, properties: JsonObject = {}): Named => ({
  type,
  id,
  properties,
});
const deletes = (subject: Named, resource: Named): Tuple => ({
  subject,
  action: { name: 'delete', properties: {} },
  resource,
  context: {},
});

function decided(bundle: PolicyBundle, tuple: Tuple): string {
  const question = questionAbout(bundle, tuple, { subject: null, resource: null });
  return typeof question === 'string' ? question : evaluate(bundle, question).decision;
}

describe('what is declared around an entity is known as well', () => {
  let bundle: PolicyBundle;
  beforeAll(() => {
    bundle = parsePolicyBundle(GROUPED(pack));
  });

  it('the groups it is in, however far up, and nobody joins one by saying so', () => {
    const record = named('record', 'record-1');
    expect(decided(bundle, deletes(named('user', 'rita'), record))).toBe('permit');
    const parents = [{ type: 'team', id: 'all' }];
    expect(decided(bundle, deletes(named('user', 'carol', { parents }), record))).toBe('deny');
  });

  it('whatever its attributes refer to, declared or claimed', () => {
    const rita = named('user', 'rita');
    expect(decided(bundle, deletes(rita, named('record', 'his')))).toBe('deny');
    const claimed = { owner: { type: 'user', id: 'vince' } };
    expect(decided(bundle, deletes(rita, named('record', 'new', claimed)))).toBe('deny');
    const lied = { owner: { type: 'user', id: 'rita' } };
    expect(decided(bundle, deletes(rita, named('record', 'his', lied)))).toBe('deny');
  });
});
