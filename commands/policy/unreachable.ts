// What a bundle says in vain: gates that nothing can reach, routes that no rule asks, roles that nobody can get. No
// mistakes, as a bundle may be ahead of what it is for, and so warnings; a gate that stands beside the way guards nothing.
import type { PolicyBundle } from './bundle.ts';
import {
  couldMatch,
  mattersOf,
  namedActions,
  scopedRules,
  surelyMatches,
  type Matter,
  type ScopedRule,
} from './scope.ts';
import { lineOf, placeOf, type PolicyProblem } from './yaml.ts';

/** Whatever of a bundle has no effect, each with its place. */
export function unreachable(bundle: PolicyBundle): PolicyProblem[] {
  const rules = scopedRules(bundle);
  return [
    ...idleRoutes(bundle),
    ...idleGates(bundle, rules),
    ...[...bundle.roles.keys()]
      .filter((role) => !isUsedByUpstream(bundle, role))
      .flatMap((role) => idleRole(bundle, rules, role)),
  ];
}

/** Routes whose people nobody asks. */
function idleRoutes({ routes, rules, files }: PolicyBundle): PolicyProblem[] {
  const asked = [...rules.values()].filter(({ mode }) => mode === 'hold').map(({ route }) => route);
  return [...routes.keys()]
    .filter((name) => !asked.includes(name))
    .map((name) => ({
      ...placeOfKey(files, 'routes.yaml', name),
      message: `no rule asks the route "${name}", so it guards nothing: add @approval("${name}") to a permit that holds, or take the route away`,
    }));
}

/** Gates in front of what is not there: a role or an API that the bundle does not have. */
function idleGates(bundle: PolicyBundle, rules: readonly ScopedRule[]): PolicyProblem[] {
  // Enforcement points of others may ask about things that only they know.
  if (bundle.enforcementPoints.size > 0) return [];
  const matters: Matter[] = [...mattersOf(bundle), { action: 'token:exchange', resource: 'Agent' }];
  const ours = new Set<string>(OUR_ACTIONS);
  return rules
    .filter((rule) => rule.route !== null && rule.mode === 'hold')
    .filter((rule) => namedActions(rule)?.every((action) => ours.has(action)) === true)
    .filter((rule) => !matters.some((matter) => couldMatch(rule, matter)))
    .map(({ id }) => ({
      ...placeOf(bundle.files, `@id("${id}")`),
      message: `policy "${id}" asks people about something that nobody can ask for: what its resource names is not in roles.yaml or upstreams.yaml, or is no resource of its action`,
    }));
}

const OUR_ACTIONS: readonly Matter['action'][] = [
  'credential:request',
  'statement:run',
  'http:call',
  'agent:admit',
  'agent:add_key',
  'agent:change_owner',
  'kill:lift',
  'policy:activate',
  'token:exchange',
];

/** A role that calls of an API are made with is given to nobody on purpose. */
const isUsedByUpstream = ({ upstreams }: PolicyBundle, role: string): boolean =>
  [...upstreams.values()].some(({ authentication }) => authentication.role === role);

/** A role that no permit could give, or that a forbid surely takes away. */
function idleRole(
  { files }: PolicyBundle,
  rules: readonly ScopedRule[],
  role: string,
): PolicyProblem[] {
  const ways = (['credential:request', 'statement:run'] as const).map((action): Matter => ({
    action,
    resource: 'Role',
    role,
  }));
  const isOpen = (way: Matter): boolean =>
    rules.some((rule) => rule.effect === 'permit' && couldMatch(rule, way)) &&
    !rules.some(
      (rule) => rule.effect === 'forbid' && rule.mode === 'hold' && surelyMatches(rule, way),
    );
  if (ways.some(isOpen)) return [];
  return [
    {
      ...placeOfKey(files, 'roles.yaml', role, 'roles:'),
      message: `nobody can get the role "${role}": no permit is about it, or a forbid always is. Permit it, or take the role away`,
    },
  ];
}

/** The line of a key, below another one where it says so: a target may be called as a role is. */
function placeOfKey(
  files: Record<string, string>,
  file: string,
  key: string,
  below = '',
): Pick<PolicyProblem, 'file' | 'line'> {
  const text = `\n${files[file] ?? ''}`;
  const from = below === '' ? 0 : text.indexOf(`\n${below}`);
  const at = text.indexOf(`${below === '' ? '\n' : '\n  '}${key}:`, from);
  return { file, line: at < 0 ? null : lineOf(text, at) };
}
