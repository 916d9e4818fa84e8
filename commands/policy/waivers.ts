// Permits that waive a control: the one way past a gate, so each is known by what it says, and a new one is agreed to by
// the people whose gate it opens.
import { digestOf, type Digest } from '../../domain/digest.ts';
import type { PolicyBundle } from './bundle.ts';
import { scopedRules } from './scope.ts';
import { placeOf, type PolicyProblem } from './yaml.ts';

/** A rule that lets somebody past a control. */
interface Waiver {
  rule: string;
  control: string;
  /** Of what the rule says and what it waives: whether it is still the one that was agreed to. */
  digest: Digest;
}

/** Every waiver of a policy. */
export function waiversOf(bundle: PolicyBundle): Waiver[] {
  // Most policies have none, and reading every scope takes its time.
  if (![...bundle.rules.values()].some(({ waives }) => waives !== null)) return [];
  return scopedRules(bundle).flatMap(({ id, waives, sensor, words }) =>
    waives === null
      ? []
      : [
          {
            rule: id,
            control: waives,
            digest: digestOf('countersign/waiver/v1', { waives, sensor, words }),
          },
        ],
  );
}

/** The waivers that a policy did not have before: new ones, and those that say something else now. */
export function newWaivers(current: PolicyBundle, next: PolicyBundle): Waiver[] {
  const known = new Set(waiversOf(current).map(({ rule, digest }) => `${rule} ${digest}`));
  return waiversOf(next).filter(({ rule, digest }) => !known.has(`${rule} ${digest}`));
}

/** What whoever checks a policy should know about its waivers. */
export const waiverNotes = (bundle: PolicyBundle): PolicyProblem[] =>
  waiversOf(bundle).map(({ rule, control }) => ({
    ...placeOf(bundle.files, `@id("${rule}")`),
    message: `"${rule}" waives the control "${control}": what it permits is asked of nobody there`,
  }));
