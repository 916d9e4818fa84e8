// Names in rules that lead nowhere, beyond routes and roles: controls that are waived, sensors that are wanted, and
// purposes that conditions compare with.
import type { TargetDefinition } from '../access/kinds.ts';
import { literalsComparedWith } from './askers.ts';
import type { PolicyBundle } from './bundle.ts';
import { PURPOSES_FILE } from './purposes.ts';
import { scopedRules } from './scope.ts';
import { placeOf, type PolicyProblem } from './yaml.ts';

/** Rules that name something which is not there. */
export const nameProblems = (bundle: PolicyBundle): PolicyProblem[] => [
  ...waiverProblems(bundle),
  ...sensorProblems(bundle),
  ...comparedProblems(bundle),
];

/** A waiver that names no control would be a plain permit that looks like more. */
function waiverProblems({ rules, files }: PolicyBundle): PolicyProblem[] {
  const controls = new Set([...rules.values()].flatMap(({ control }) => control ?? []));
  return [...rules.values()]
    .filter(({ waives }) => waives !== null && !controls.has(waives))
    .map(({ id, waives }) => ({
      ...placeOfRule(files, id),
      message: `policy "${id}" waives the control "${waives}", which no rule is; there are: ${listed(controls)}`,
    }));
}

/** A rule that waits for eyes that nobody has would never permit anything. */
function sensorProblems({ rules, targets, files }: PolicyBundle): PolicyProblem[] {
  const seen = new Set(
    [...targets].flatMap(([name, target]) => (isObserved(target) ? [name] : [])),
  );
  return [...rules.values()]
    .filter(({ sensor }) => sensor !== null && !seen.has(sensor))
    .map(({ id, sensor }) => ({
      ...placeOfRule(files, id),
      message: `policy "${id}" requires the sensor "${sensor}", which is no target with an observer_url_from; there are: ${listed(seen)}`,
    }));
}

const isObserved = (target: TargetDefinition): boolean =>
  target.issuer === 'postgres' && target.observer_url_from !== undefined;

/** A condition on a purpose that no task can have never holds: of a gate, that is a gate that is not there. */
function comparedProblems(bundle: PolicyBundle): PolicyProblem[] {
  const { purposes, files } = bundle;
  if (purposes === null) return [];
  const known: [string, Set<string>][] = [
    ['purpose', new Set(purposes.keys())],
    [
      'business_function',
      new Set([...purposes.values()].map((purpose) => purpose.business_function)),
    ],
  ];
  return scopedRules(bundle).flatMap((rule) =>
    known.flatMap(([member, names]) =>
      literalsComparedWith(rule, `context.${member}`)
        .filter((name) => !names.has(name))
        .map((name) => ({
          ...placeOfRule(files, rule.id),
          message: `policy "${rule.id}" compares context.${member} with "${name}", which is not in ${PURPOSES_FILE}; there are: ${listed(names)}`,
        })),
    ),
  );
}

const placeOfRule = (files: Record<string, string>, id: string) => placeOf(files, `@id("${id}")`);

const listed = (names: Iterable<string>): string => [...names].join(', ') || 'none';
