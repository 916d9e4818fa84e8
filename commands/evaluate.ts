// Asks Cedar. Everything that is not a clear yes is a no.
import {
  preparsePolicySet,
  preparseSchema,
  statefulIsAuthorized,
  type EntityJson,
  type TypeAndId,
} from '@cedar-policy/cedar-wasm/nodejs';
import type { FrozenRoute } from '../domain/approval.ts';
import type { Digest } from '../domain/digest.ts';
import type { PolicyBundle, Rule } from './policy-bundle.ts';
import { PolicyError } from './policy-yaml.ts';

/** What Cedar is asked: entity references, their attributes, and the context. */
export interface Question {
  principal: TypeAndId;
  action: string;
  resource: TypeAndId;
  context: Record<string, string | number | boolean | string[]>;
  entities: EntityJson[];
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
}

/** Prepared sets are never freed by the engine, so one slot is reused for whichever policy is asked. */
const SLOT = 'countersign';
let prepared: Digest | null = null;

export function evaluate(bundle: PolicyBundle, question: Question): Evaluation {
  prepare(bundle);
  const answer = statefulIsAuthorized({
    principal: question.principal,
    action: { type: 'Action', id: question.action },
    resource: question.resource,
    context: question.context,
    entities: question.entities,
    preparsedPolicySetId: SLOT,
    preparsedSchemaName: SLOT,
    validateRequest: true,
  });
  if (answer.type === 'failure')
    return denied(bundle, [
      `the policy engine refused the question: ${answer.errors[0]?.message ?? ''}`,
    ]);
  const { decision, diagnostics } = answer.response;
  // Cedar skips a policy that errs. A skipped forbid would turn a no into a yes, so any error is a no.
  if (diagnostics.errors.length > 0)
    return denied(
      bundle,
      diagnostics.errors.map(({ policyId }) => `policy "${policyId}" could not be evaluated`),
    );
  if (decision === 'deny')
    return denied(
      bundle,
      diagnostics.reason.length > 0 ? diagnostics.reason : ['no policy permits this'],
    );
  return permitted(
    bundle,
    diagnostics.reason.flatMap((id) => bundle.rules.get(id) ?? []),
  );
}

/** An approval beats a plain permit: a broad permit elsewhere never silences a gate. */
function permitted(bundle: PolicyBundle, rules: Rule[]): Evaluation {
  const gates = rules.filter((rule) => rule.route !== null && rule.mode === 'hold');
  const routes = gates.flatMap((rule) => bundle.routes.get(rule.route ?? '') ?? []);
  const risk = rules.find((rule) => rule.risk !== null)?.risk ?? null;
  if (gates.length === 0)
    return {
      decision: 'permit',
      policyVersion: bundle.version,
      reasons: rules.map((rule) => rule.id),
      says: rules.map(titleOf),
      routes: [],
      controls: [],
      risk,
    };
  return {
    decision: 'hold',
    policyVersion: bundle.version,
    reasons: gates.map((rule) => rule.id),
    says: gates.map(titleOf),
    routes: [...new Map(routes.map((route) => [route.name, route])).values()],
    controls: [...new Set(gates.flatMap((rule) => rule.control ?? []))],
    risk,
  };
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
  const routes = new Map(deciding.flatMap((each) => each.routes.map((at) => [at.name, at])));
  return {
    decision: (deciding[0] ?? first).decision,
    policyVersion: first.policyVersion,
    reasons: all(({ reasons }) => reasons),
    says: all(({ says }) => says),
    routes: [...routes.values()],
    controls: all(({ controls }) => controls),
    risk: answers.find(({ risk }) => risk !== null)?.risk ?? null,
  };
}

const titleOf = ({ id, title }: Rule): string => title ?? `policy ${id}`;

const denied = (bundle: PolicyBundle, reasons: string[]): Evaluation => ({
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
});

function prepare(bundle: PolicyBundle): void {
  if (prepared === bundle.version) return;
  prepared = null;
  const schema = preparseSchema(SLOT, bundle.schema);
  const policies = preparsePolicySet(SLOT, { staticPolicies: bundle.cedar });
  for (const answer of [schema, policies])
    if (answer.type === 'failure')
      throw new PolicyError(
        answer.errors.map(({ message }) => ({ file: 'the bundle', line: null, message })),
      );
  prepared = bundle.version;
}
