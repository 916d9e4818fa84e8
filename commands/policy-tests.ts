// The cases that a bundle brings along, run against the bundle itself.
import type { EntityJson, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs';
import type { JsonObject } from '../domain/json.ts';
import { targetOf } from './access/kinds.ts';
import { evaluate, type Evaluation, type Question } from './evaluate.ts';
import type { PolicyBundle, PolicyTest } from './policy-bundle.ts';
import type { UpstreamDefinition } from './policy-upstreams.ts';
import { placeOf, type PolicyProblem } from './policy-yaml.ts';
import { attributesOf, callContext } from './questions.ts';

/** Problems, one for each case that does not come out as it says. */
export function runPolicyTests(bundle: PolicyBundle): PolicyProblem[] {
  return bundle.tests.flatMap((test) => {
    const evaluation = evaluate(bundle, questionOf(bundle, test));
    const wrong = difference(test, evaluation);
    return wrong === null
      ? []
      : [{ ...placeOfTest(bundle, test), message: `"${test.name}": ${wrong}` }];
  });
}

/** What a bundle says when an agent that nothing is known of asks for a role. */
export const evaluateRole = (bundle: PolicyBundle, role: string): Evaluation =>
  evaluate(
    bundle,
    questionOf(bundle, {
      name: role,
      action: 'credential:request',
      resource: role,
      agent: {},
      effect: 'read',
      call: '',
      params: {},
      query: {},
      expect: 'permit',
      routes: [],
    }),
  );

const placeOfTest = ({ files }: PolicyBundle, { name }: PolicyTest) =>
  placeOf({ 'tests.yaml': files['tests.yaml'] ?? '' }, name);

function difference(test: PolicyTest, evaluation: Evaluation): string | null {
  if (evaluation.decision !== test.expect)
    return `expected ${test.expect}, got ${evaluation.decision} (${evaluation.reasons.join(', ')})`;
  const asked = evaluation.routes.map((route) => route.name).toSorted();
  const expected = test.routes.toSorted();
  return asked.join() === expected.join()
    ? null
    : `expected the routes ${expected.join(', ') || 'none'}, got ${asked.join(', ') || 'none'}`;
}

function questionOf(bundle: PolicyBundle, test: PolicyTest): Question {
  const entities: EntityJson[] = [];
  const add = (uid: TypeAndId, attrs: EntityJson['attrs']): TypeAndId => {
    entities.push({ uid, attrs, parents: [] });
    return uid;
  };
  const person = add(
    { type: 'Person', id: 'test-person' },
    { roles: ['admin'], groups: ['admins'] },
  );
  const agent = add(
    { type: 'Agent', id: 'test-agent' },
    {
      name: 'test-agent',
      kind: 'ai_agent',
      team: 'test',
      ...test.agent,
      owner: { __entity: person },
    },
  );
  if (test.action.startsWith('agent:'))
    return { principal: person, action: test.action, resource: agent, context: {}, entities };
  if (test.action === 'policy:activate') {
    const resource = add({ type: 'Policy', id: 'test-policy' }, {});
    return { principal: person, action: test.action, resource, context: {}, entities };
  }
  if (test.action === 'kill:lift') {
    const resource = add({ type: 'Stop', id: 'test-stop' }, {});
    return { principal: person, action: test.action, resource, context: {}, entities };
  }
  const common = { purpose: 'test', triggered_by_proof: 'none' };
  if (test.action === 'http:call') {
    const upstream = bundle.upstreams.get(test.resource);
    const uid = { type: 'Upstream', id: test.resource };
    const resource = upstream ? add(uid, attributesOf(upstream)) : uid;
    const context = { ...common, ...callContext(calledIn(upstream, test)) };
    return { principal: agent, action: test.action, resource, context, entities };
  }
  const role = bundle.roles.get(test.resource);
  const resource = add(
    { type: 'Role', id: test.resource },
    {
      issuer: role?.issuer ?? 'none',
      target: role ? targetOf(role) : 'none',
      data_class: role?.data_class ?? 'none',
    },
  );
  const context =
    test.action === 'statement:run'
      ? { ...common, effect: test.effect }
      : { ...common, ttl_seconds: 60 };
  return { principal: agent, action: test.action, resource, context, entities };
}

/** The call of a case: what upstreams.yaml says of it counts, and not what the case does. */
function calledIn(upstream: UpstreamDefinition | undefined, test: PolicyTest): JsonObject {
  const call = upstream?.calls[test.call];
  return {
    call: test.call,
    method: call?.method ?? 'none',
    effect: call?.effect ?? 'none',
    params: test.params,
    query: test.query,
  };
}
