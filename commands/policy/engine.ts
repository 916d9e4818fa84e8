// The engine itself: which rules of a bundle it is given, and what it says about a question.
import {
  preparsePolicySet,
  preparseSchema,
  statefulIsAuthorized,
} from '@cedar-policy/cedar-wasm/nodejs';
import type { Digest } from '../../domain/digest.ts';
import type { PolicyBundle, Rule } from './bundle.ts';
import type { Question } from './evaluate.ts';
import { contextUnder } from './purposes.ts';
import { PolicyError } from './yaml.ts';

/** The rules that decide, or the forbids that only observe: the engine lets no permit past a forbid, so it never sees both. */
type Part = 'enforced' | 'observed';

export interface EngineAnswer {
  decision: 'allow' | 'deny';
  /** Rules that match: the forbids, if any does. */
  reason: string[];
  /** Rules that could not be evaluated. */
  erring: string[];
  /** Why the answer is no answer. */
  errors: string[];
}

/** How an error begins that is about the question itself; what follows may quote who asked. */
export const ENGINE_REFUSED = 'the policy engine refused the question';

/** Whether a rule stands in the way of anybody. */
export const isEnforced = ({ mode }: Rule): boolean => mode === 'hold';

/** A forbid that is being tried out: it denies nothing. */
export const isObservedForbid = (rule: Rule): boolean =>
  rule.effect === 'forbid' && !isEnforced(rule);

/** Puts a question to one part of a bundle. */
export function ask(bundle: PolicyBundle, part: Part, question: Question): EngineAnswer {
  const slot = prepared(bundle, part);
  const answer = statefulIsAuthorized({
    principal: question.principal,
    action: { type: 'Action', id: question.action },
    resource: question.resource,
    context: contextUnder(bundle, question),
    entities: question.entities,
    preparsedPolicySetId: slot,
    preparsedSchemaName: slot,
    validateRequest: true,
  });
  if (answer.type === 'failure')
    return {
      decision: 'deny',
      reason: [],
      erring: [],
      errors: [`${ENGINE_REFUSED}: ${answer.errors[0]?.message ?? ''}`],
    };
  const { decision, diagnostics } = answer.response;
  const erring = diagnostics.errors.map(({ policyId }) => policyId);
  return {
    decision,
    reason: diagnostics.reason,
    erring,
    // Cedar skips a policy that errs. A skipped forbid would turn a no into a yes, so any error is a no, save of a
    // rule that stands in nobody's way.
    errors: erring
      .filter((id) => isDeciding(bundle.rules.get(id)))
      .map((id) => `policy "${id}" could not be evaluated`),
  };
}

const isDeciding = (rule: Rule | undefined): boolean => rule === undefined || isEnforced(rule);

interface Slot {
  name: string;
  version: Digest | null;
  part: Part;
  usedAt: number;
}

/** Prepared sets are never freed by the engine, so a few slots are reused: the least recently used one next. */
const SLOTS: Slot[] = Array.from({ length: 4 }, (_, at) => ({
  name: `countersign/${at}`,
  version: null,
  part: 'enforced',
  usedAt: 0,
}));
let uses = 0;

function prepared(bundle: PolicyBundle, part: Part): string {
  uses += 1;
  const known = SLOTS.find((slot) => slot.version === bundle.version && slot.part === part);
  const slot =
    known ?? SLOTS.reduce((oldest, each) => (each.usedAt < oldest.usedAt ? each : oldest));
  slot.usedAt = uses;
  if (known) return slot.name;
  slot.version = null;
  const schema = preparseSchema(slot.name, bundle.schema);
  const policies = preparsePolicySet(slot.name, { staticPolicies: cedarOf(bundle, part) });
  for (const answer of [schema, policies])
    if (answer.type === 'failure')
      throw new PolicyError(
        answer.errors.map(({ message }) => ({ file: 'the bundle', line: null, message })),
      );
  slot.version = bundle.version;
  slot.part = part;
  return slot.name;
}

function cedarOf({ cedar, rules }: PolicyBundle, part: Part): Record<string, string> {
  const isIn = (id: string): boolean => {
    const rule = rules.get(id);
    return (rule !== undefined && isObservedForbid(rule)) === (part === 'observed');
  };
  return Object.fromEntries(Object.entries(cedar).filter(([id]) => isIn(id)));
}
