// The cases that a bundle brings along, run against the bundle itself.
import type { EntityJson, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs';
import type { JsonObject } from '../../domain/json.ts';
import { questionAbout } from '../authzen/question.ts';
import { requiredSensors } from '../record/sensors.ts';
import type { PolicyBundle } from './bundle.ts';
import type { PolicyTest } from './cases.ts';
import { evaluate, matchingRules, type Evaluation, type Question } from './evaluate.ts';
import { callContext } from './questions.ts';
import { resourceEntity } from './recorded-questions.ts';
import type { UpstreamDefinition } from './upstreams.ts';
import { placeOf, type PolicyProblem } from './yaml.ts';

/** What one case came to. */
interface CaseOutcome {
  name: string;
  line: number | null;
  passed: boolean;
  decision: Evaluation['decision'];
  routes: string[];
  /** Why it did not come out as it says; null where it did. */
  problem: string | null;
}

export interface TestRun {
  cases: CaseOutcome[];
  /** Rules that no case is about. */
  unexercised: string[];
}

/** Runs every case of a bundle against the bundle itself, and says which rules none of them reaches. */
export function runPolicyCases(bundle: PolicyBundle): TestRun {
  const exercised = new Set<string>();
  const cases = bundle.tests.map((test): CaseOutcome => {
    const asked = questionOf(bundle, test);
    if (typeof asked === 'string') return unasked(bundle, test, asked);
    const question = seenIn(bundle, test, asked);
    const evaluation = evaluate(bundle, question);
    for (const rule of matchingRules(bundle, question)) exercised.add(rule);
    const problem = difference(test, evaluation);
    return {
      name: test.name,
      line: placeOfTest(bundle, test).line,
      passed: problem === null,
      decision: evaluation.decision,
      routes: evaluation.routes.map(({ name }) => name),
      problem,
    };
  });
  return { cases, unexercised: [...bundle.rules.keys()].filter((rule) => !exercised.has(rule)) };
}

/** A case about something that no rule could be asked about, which is a no. */
const unasked = (bundle: PolicyBundle, test: PolicyTest, because: string): CaseOutcome => ({
  name: test.name,
  line: placeOfTest(bundle, test).line,
  passed: test.expect === 'deny',
  decision: 'deny',
  routes: [],
  problem: test.expect === 'deny' ? null : `expected ${test.expect}, got deny (${because})`,
});

/** Problems, one for each case that does not come out as it says. */
export const runPolicyTests = (bundle: PolicyBundle): PolicyProblem[] =>
  runPolicyCases(bundle).cases.flatMap(({ name, line, problem }) =>
    problem === null ? [] : [{ file: 'tests.yaml', line, message: `"${name}": ${problem}` }],
  );

/** What a bundle says when an agent that nothing is known of asks for a role. */
export const evaluateRole = (bundle: PolicyBundle, role: string): Evaluation =>
  evaluateSeen(bundle, { ...ANY_CASE, name: role, resource: role });

const ANY_CASE: PolicyTest = {
  name: '',
  action: 'credential:request',
  resource: '',
  agent: {},
  other: {},
  effect: 'read',
  call: '',
  params: {},
  query: {},
  context: {},
  sensors: {},
  expect: 'permit',
  routes: [],
};

const placeOfTest = ({ files }: PolicyBundle, { name }: PolicyTest) =>
  placeOf({ 'tests.yaml': files['tests.yaml'] ?? '' }, name);

function difference(test: PolicyTest, evaluation: Evaluation): string | null {
  if (evaluation.decision !== test.expect)
    return `expected ${test.expect}, got ${evaluation.decision} (${evaluation.reasons.join(', ')})`;
  const { routes, controls, waived, observed, risk, says } = evaluation;
  const past = waived.map(({ control }) => control);
  const names = routes.map(({ name }) => name);
  const rules = observed.map(({ rule }) => rule);
  const words = test.says;
  return (
    otherNames('the routes', test.routes, names) ??
    otherNames('the controls', test.controls ?? controls, controls) ??
    otherNames('to be waived', test.waived ?? past, past) ??
    otherNames('to be observed by', test.observed ?? rules, rules) ??
    (test.risk === undefined || test.risk === risk
      ? null
      : `expected the risk ${test.risk}, got ${risk ?? 'none'}`) ??
    (words === undefined || says.some((each) => each.includes(words))
      ? null
      : `expected it to say "${words}", and it says ${says.map((each) => `"${each}"`).join(', ')}`)
  );
}

function otherNames(
  what: string,
  expected: readonly string[],
  got: readonly string[],
): string | null {
  const written = (names: readonly string[]): string => names.toSorted().join(', ') || 'none';
  return written(expected) === written(got)
    ? null
    : `expected ${what} ${written(expected)}, got ${written(got)}`;
}

/** With every sensor alive that the case does not say is silent. */
const seenIn = (bundle: PolicyBundle, test: PolicyTest, question: Question): Question => ({
  ...question,
  sensors: requiredSensors(bundle).filter((target) => test.sensors[target] !== 'silent'),
});

const evaluateSeen = (bundle: PolicyBundle, test: PolicyTest): Evaluation =>
  evaluate(bundle, seenIn(bundle, test, ownQuestionOf(bundle, test)));

const SOME_AGENT = { name: 'test-agent', kind: 'ai_agent', team: 'test' };

const questionOf = (bundle: PolicyBundle, test: PolicyTest): Question | string =>
  test.access
    ? questionAbout(bundle, test.access, { subject: null, resource: null })
    : ownQuestionOf(bundle, test);

function ownQuestionOf(bundle: PolicyBundle, test: PolicyTest): Question {
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
    { ...SOME_AGENT, ...test.agent, owner: { __entity: person } },
  );
  if (test.action === 'token:exchange') {
    const other = add(
      { type: 'Agent', id: 'test-other' },
      { ...SOME_AGENT, name: 'test-other', ...test.other, owner: { __entity: person } },
    );
    const purpose = somePurpose(bundle, test.action);
    const context = { gate: 'subject', depth: 1, is_sub_agent: false, purpose };
    return {
      principal: agent,
      action: test.action,
      resource: other,
      context: { ...context, ...test.context },
      entities,
    };
  }
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
  const purpose = somePurpose(bundle, `${test.action} ${test.resource}`);
  const common = { purpose, triggered_by_proof: 'none', ...test.context };
  if (test.action === 'http:call') {
    const resource = { type: 'Upstream', id: test.resource };
    entities.push(...resourceEntity(bundle, resource));
    const call = calledIn(bundle.upstreams.get(test.resource), test);
    const context = { ...common, ...callContext(call) };
    return { principal: agent, action: test.action, resource, context, entities };
  }
  const resource = { type: 'Role', id: test.resource };
  entities.push(...resourceEntity(bundle, resource));
  const context =
    test.action === 'statement:run'
      ? { effect: test.effect, ...common }
      : { ttl_seconds: 60, ...common };
  return { principal: agent, action: test.action, resource, context, entities };
}

/** A purpose that allows it, where a case says none; any text, where policy knows no purposes. */
function somePurpose({ purposes }: PolicyBundle, what: string): string {
  const fits = (actions: readonly string[] | undefined): boolean =>
    actions === undefined || actions.some((each) => what === each || what.startsWith(`${each} `));
  return [...(purposes ?? [])].find(([, { actions }]) => fits(actions))?.[0] ?? 'test';
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
