// What one test of the operation layer found, and how a violation is written down.
import { object, objects, text, type Case, type Fact } from './facts.ts';
import type { VerdictCase } from './types.ts';

/** How a violation came about: what repeats by the same mechanism is not an accident. */
export interface Exception {
  /** Test × surface × rule: two exceptions of one mechanism make it reproducible. */
  mechanism: string;
  /** Whether something ran, rather than a record being wrong. */
  effect: boolean;
  case: VerdictCase;
}

export interface Finding {
  id: string;
  population: number;
  exceptions: Exception[];
  /** What could not be classified; counted against the control where it claims to be real. */
  unknown: VerdictCase[];
  threshold: string;
  says: string;
}

/** The threshold of a test that takes no violation at all. */
export const NONE = 'no exception';

/** The facts of a case with these names. */
export const named = (found: Case, ...names: Fact['name'][]): Fact[] =>
  found.facts.filter((fact) => names.includes(fact.name));

/** The rules a case was decided under. */
export const ruleOf = (found: Case): string =>
  objects(found.opened.detail['routes'])
    .map((route) => text(route['rule_digest']) ?? '')
    .join('+');

const surfaceOf = (found: Case): string => {
  const { action, resource } = found.opened.detail;
  return `${text(action) ?? ''} ${text(object(resource)['id']) ?? ''}`;
};

/** Whether anything came of it: a vote that should not have counted bypassed nothing while nothing ran. */
export const wasUsed = (found: Case): boolean =>
  named(found, 'permit.redeemed', 'credential.issued', 'receipt.recorded').length > 0;

export function exceptionIn(
  found: Case,
  test: string,
  effect: boolean,
  says: string,
  facts: readonly Fact[],
): Exception {
  return {
    mechanism: `${test} × ${surfaceOf(found)} × ${ruleOf(found)}`,
    effect,
    case: { request: found.request, events: facts.map((fact) => fact.id), says },
  };
}
