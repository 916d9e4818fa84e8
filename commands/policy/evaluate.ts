// Asks Cedar. Everything that is not a clear yes is a no.
import type { EntityJson, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs';
import { atRisk, strongestOf, type FrozenRoute } from '../../domain/approval.ts';
import type { Digest } from '../../domain/digest.ts';
import type { JsonObject } from '../../domain/json.ts';
import { groupsEver, RESOURCE_OWNER } from '../../domain/seats.ts';
import { targetOf } from '../access/kinds.ts';
import type { PolicyBundle, Rule } from './bundle.ts';
import { ask, isEnforced, isObservedForbid } from './engine.ts';
import { whyNotForPurpose } from './purposes.ts';

/** What Cedar is asked: entity references, their attributes, and the context. */
export interface Question {
  principal: TypeAndId;
  action: string;
  resource: TypeAndId;
  context: JsonObject;
  entities: EntityJson[];
  /** Targets whose observers see what happens there; without it none does. */
  sensors?: string[];
}

export interface Evaluation {
  decision: 'permit' | 'hold' | 'deny';
  policyVersion: Digest;
  /** The rules that decided, or why none could. */
  reasons: string[];
  /** The same for people: a rule by its title, where it has one. */
  says: string[];
  /** Routes that must all approve; empty unless held. */
  routes: FrozenRoute[];
  controls: string[];
  risk: string | null;
  /** What rules that do not hold yet would have done. */
  observed: Observed[];
  /** Gates that would have held this, and the permit that takes each of them away. */
  waived: Waived[];
  /** Targets that nobody independent sees, where that alone is why this is denied. */
  unseen: string[];
  /** What the engine was asked, once for everybody in the chain. */
  asked: Question[];
}

/** A control that a rule took out of the way. */
interface Waived {
  control: string;
  rule: string;
}

/** A rule that only observes or warns, and would have changed the answer. */
interface Observed {
  rule: string;
  mode: 'observe' | 'warn';
  would: 'hold' | 'deny';
  says: string;
}

export function evaluate(bundle: PolicyBundle, question: Question): Evaluation {
  const answer = ask(bundle, 'enforced', question);
  if (answer.errors.length > 0) return denied(bundle, question, answer.errors);
  if (answer.decision === 'deny')
    return denied(
      bundle,
      question,
      answer.reason.length > 0 ? answer.reason : ['no policy permits this'],
    );
  const strayed = whyNotForPurpose(bundle, question);
  if (strayed) return { ...denied(bundle, question, [strayed.code]), says: [strayed.says] };
  return permitted(bundle, question, rulesOf(bundle, answer.reason));
}

/** Every rule whose words match a question, whether it decides or only observes. */
export function matchingRules(bundle: PolicyBundle, question: Question): string[] {
  const { reason } = ask(bundle, 'enforced', question);
  return [...new Set([...reason, ...observedDenials(bundle, question).map(({ rule }) => rule)])];
}

const rulesOf = ({ rules }: PolicyBundle, ids: readonly string[]): Rule[] =>
  ids.flatMap((id) => rules.get(id) ?? []);

/**
 * An approval beats a plain permit: a broad permit elsewhere never silences a gate. The one way past it is a permit
 * that waives its control by name, and then only past that one.
 */
function permitted(bundle: PolicyBundle, question: Question, rules: Rule[]): Evaluation {
  const blind = rules.filter(({ sensor }) => sensor !== null && !isSeen(question, sensor));
  const counting = rules.filter((rule) => !blind.includes(rule));
  const waived = waivedBy(counting);
  const isWaived = (rule: Rule): boolean => waived.some(({ control }) => control === rule.control);
  // Without its eyes a rule permits nothing. Of a gate that is a no: left out, it would let a plain permit through.
  if (counting.length === 0 || blind.some((rule) => isGate(rule) && !isWaived(rule)))
    return unseen(bundle, question, blind);
  const gates = counting.filter((rule) => isGate(rule) && !isWaived(rule));
  const routes = gates.flatMap((rule) => {
    const route = bundle.routes.get(rule.route ?? '');
    return route ? atRisk(route, rule.risk) : [];
  });
  const deciding = gates.length === 0 ? counting : gates;
  return {
    decision: gates.length === 0 ? 'permit' : 'hold',
    policyVersion: bundle.version,
    reasons: deciding.map((rule) => rule.id),
    says: deciding.map(titleOf),
    routes: strongestOf(routes).map((route) =>
      withOwner(route, ownerOf(bundle, question.resource.type, question.resource.id)),
    ),
    controls: [...new Set(gates.flatMap((rule) => rule.control ?? []))],
    risk: counting.find((rule) => rule.risk !== null)?.risk ?? null,
    observed: [
      ...observedGates(rules.filter((rule) => !isWaived(rule))),
      ...observedDenials(bundle, question),
    ],
    waived: waived.filter(({ control }) =>
      rules.some((rule) => isGate(rule) && rule.control === control),
    ),
    unseen: [],
    asked: [question],
  };
}

/** A route that asks the owner of what is asked for, with who that is; nobody where none is named (I6). */
export const withOwner = (route: FrozenRoute, owner: string | null): FrozenRoute =>
  groupsEver(route.rule).includes(RESOURCE_OWNER) ? { ...route, resource_owner: owner } : route;

/** Who answers for a role or an API: as it says itself, or else as its target says. */
export function ownerOf(
  { roles, targets, upstreams }: PolicyBundle,
  type: string,
  id: string,
): string | null {
  if (type === 'Upstream') return upstreams.get(id)?.owner ?? null;
  const role = type === 'Role' ? roles.get(id) : undefined;
  return role?.owner ?? (role && targets.get(targetOf(role))?.owner) ?? null;
}

const isSeen = ({ sensors = [] }: Question, target: string): boolean => sensors.includes(target);

/** No independent eyes on the path, no permit. */
function unseen(bundle: PolicyBundle, question: Question, blind: readonly Rule[]): Evaluation {
  const says = blind.map(
    (rule) =>
      `sensor_silent: nobody independent sees ${rule.sensor} now, and without that "${titleOf(rule)}" permits nothing; try again once its observer is alive`,
  );
  return {
    ...denied(bundle, question, ['sensor_silent', ...blind.map(({ id }) => id)]),
    says: [...new Set(says)],
    unseen: [...new Set(blind.flatMap(({ sensor }) => sensor ?? []))],
  };
}

/** Whether a rule has people asked. */
const isGate = (rule: Rule): boolean => rule.route !== null && isEnforced(rule);

const waivedBy = (rules: readonly Rule[]): Waived[] =>
  rules.flatMap(({ id, waives }) => (waives === null ? [] : [{ control: waives, rule: id }]));

/** Gates that would have held this, were they to hold. */
const observedGates = (rules: readonly Rule[]): Observed[] =>
  rules
    .filter((rule) => rule.route !== null && !isEnforced(rule))
    .map((rule) => observedOf(rule, 'hold'));

/** Forbids that would have denied this, were they to hold. */
function observedDenials(bundle: PolicyBundle, question: Question): Observed[] {
  if (![...bundle.rules.values()].some(isObservedForbid)) return [];
  // One that errs would deny as well: of a rule that holds, an error is a no.
  const { reason, erring } = ask(bundle, 'observed', question);
  return rulesOf(bundle, [...reason, ...erring]).map((rule) => observedOf(rule, 'deny'));
}

function observedOf(rule: Rule, would: Observed['would']): Observed {
  const says = `${titleOf(rule)}: this would ${would === 'hold' ? `wait for ${rule.route}` : 'be denied'}, once the rule holds`;
  // Only what only warns or observes is ever asked about here.
  return { rule: rule.id, mode: rule.mode === 'warn' ? 'warn' : 'observe', would, says };
}

/**
 * One answer out of those to each agent of a chain: denied if any is, held if any is, by the routes of all of them.
 */
export function togetherAs(answers: readonly Evaluation[]): Evaluation {
  const [first] = answers;
  if (!first) throw new RangeError('an evaluation needs somebody who asks');
  if (answers.length === 1) return first;
  const denials = answers.filter(({ decision }) => decision === 'deny');
  const holds = answers.filter(({ decision }) => decision === 'hold');
  const deciding = denials.length > 0 ? denials : holds.length > 0 ? holds : answers;
  const all = <T>(pick: (answer: Evaluation) => readonly T[]): T[] => [
    ...new Set(deciding.flatMap(pick)),
  ];
  const controls = all(({ controls: asked }) => asked);
  return {
    decision: (deciding[0] ?? first).decision,
    policyVersion: first.policyVersion,
    reasons: all(({ reasons }) => reasons),
    says: all(({ says }) => says),
    routes: strongestOf(deciding.flatMap(({ routes }) => routes)),
    controls,
    risk: answers.find(({ risk }) => risk !== null)?.risk ?? null,
    observed: denials.length > 0 ? [] : observedByAny(answers),
    waived: denials.length > 0 ? [] : waivedForAll(answers, controls),
    unseen: denials.every(({ unseen: of }) => of.length > 0) ? all(({ unseen: of }) => of) : [],
    asked: answers.flatMap(({ asked }) => asked),
  };
}

/** What still holds anybody of a chain was waived for nobody. */
const waivedForAll = (answers: readonly Evaluation[], controls: readonly string[]): Waived[] => [
  ...new Map(
    answers
      .flatMap(({ waived }) => waived)
      .filter(({ control }) => !controls.includes(control))
      .map((each) => [`${each.control} ${each.rule}`, each]),
  ).values(),
];

const observedByAny = (answers: readonly Evaluation[]): Observed[] => [
  ...new Map(
    answers.flatMap(({ observed }) => observed.map((each) => [each.rule, each] as const)),
  ).values(),
];

const titleOf = ({ id, title }: Rule): string => title ?? `policy ${id}`;

const denied = (bundle: PolicyBundle, question: Question, reasons: string[]): Evaluation => ({
  decision: 'deny',
  policyVersion: bundle.version,
  reasons,
  says: reasons.map((reason) => {
    const rule = bundle.rules.get(reason);
    return rule ? titleOf(rule) : reason;
  }),
  routes: [],
  controls: [],
  risk: null,
  // What is denied anyway would not have come out otherwise.
  observed: [],
  waived: [],
  unseen: [],
  asked: [question],
});
