// What a policy could be about, read from the scope of each rule and not from its wording: conditions can say
// anything, so a condition never proves that a rule does not apply, and a rule with one never surely does.
import {
  policyToJson,
  schemaToJson,
  type ActionConstraint,
  type EntityUidJson,
  type PolicyJson,
  type ResourceConstraint,
} from '@cedar-policy/cedar-wasm/nodejs';
import type { FrozenRoute } from '../../domain/approval.ts';
import { canonicalJson, type JsonValue } from '../../domain/json.ts';
import type { PolicyBundle, Rule } from './bundle.ts';

/** What somebody can ask for: a role, a call, or something that is done to an agent or to the policy. */
export type Matter =
  | { action: 'credential:request' | 'statement:run'; resource: 'Role'; role: string }
  | { action: 'http:call'; resource: 'Upstream'; upstream: string }
  | { action: 'agent:admit' | 'agent:add_key' | 'agent:change_owner'; resource: 'Agent' }
  | { action: 'kill:lift'; resource: 'Stop' }
  | { action: 'policy:activate'; resource: 'Policy' }
  | { action: 'token:exchange'; resource: 'Agent' };

/** A rule with its scope. */
export interface ScopedRule extends Rule {
  scope: Pick<PolicyJson, 'principal' | 'action' | 'resource' | 'conditions'>;
  /** What the rule says without its annotations, so that its layout and its title may change freely. */
  words: string;
  /** Whether actions are grouped, so that `in` may mean any of them. */
  hasActionGroups: boolean;
}

/** What a role can be had for: to hold it, or to have one statement run with it. */
const usesOf = (role: string): Matter[] => [
  { action: 'credential:request', resource: 'Role', role },
  { action: 'statement:run', resource: 'Role', role },
];

/** All that can be asked for under a policy. */
export const mattersOf = (bundle: PolicyBundle): Matter[] => [
  { action: 'agent:admit', resource: 'Agent' },
  { action: 'agent:add_key', resource: 'Agent' },
  { action: 'agent:change_owner', resource: 'Agent' },
  { action: 'kill:lift', resource: 'Stop' },
  { action: 'policy:activate', resource: 'Policy' },
  ...[...bundle.roles.keys()].flatMap(usesOf),
  ...[...bundle.upstreams.keys()].map((upstream): Matter => ({
    action: 'http:call',
    resource: 'Upstream',
    upstream,
  })),
];

/** The name of what is asked for; null for what has none in the policy. */
const nameIn = (matter: Matter): string | null => {
  if ('role' in matter) return matter.role;
  return 'upstream' in matter ? matter.upstream : null;
};

/** A matter in words. */
export const nameOfMatter = (matter: Matter): string => {
  const name = nameIn(matter);
  return name === null ? matter.action : `${matter.action} ${name}`;
};

/** The rules of a policy with their scopes. */
export function scopedRules(bundle: PolicyBundle): ScopedRule[] {
  const groups = actionGroups(bundle);
  const functions = functionsOf(bundle);
  return [...bundle.rules.values()].map((rule) => {
    const parsed = policyToJson(bundle.cedar[rule.id] ?? '');
    if (parsed.type === 'failure') throw new Error(`the parsed rule ${rule.id} no longer parses`);
    const { annotations: _annotations, ...scope } = parsed.json;
    return {
      ...rule,
      scope,
      // The same words mean something else once other actions belong to the group that they name.
      words: canonicalJson([
        asJson(scope),
        groups,
        ...(JSON.stringify(scope.conditions).includes('"business_function"') ? [functions] : []),
      ]),
      hasActionGroups: groups.length > 0,
    };
  });
}

/** Which purpose serves which function: a rule that compares functions means something else once that changes. */
const functionsOf = ({ purposes }: PolicyBundle): JsonValue =>
  purposes === null
    ? null
    : [...purposes].map(([name, { business_function: of }]) => [name, of].join(' ')).toSorted();

/** What Cedar returns is plain JSON. */
const asJson = (words: unknown): JsonValue => words as JsonValue;

/** The groups of actions that a schema makes, in no order that matters. */
function actionGroups({ schema }: PolicyBundle): string[] {
  const parsed = schemaToJson(schema);
  if (parsed.type === 'failure') throw new Error('the parsed schema no longer parses');
  return Object.values(parsed.json)
    .flatMap(({ actions }) => Object.entries(actions))
    .flatMap(([action, { memberOf }]) =>
      (memberOf ?? []).map((group) => canonicalJson([action, asJson(group)])),
    )
    .toSorted();
}

/**
 * The controls of every rule that could match a request for this role, to hold it or to use it once. Only a scope that rules the role out
 * does: conditions can say anything, so they narrow nothing.
 */
export function controlsOver(bundle: PolicyBundle, role: string): string[] {
  const matters = usesOf(role);
  const controls = scopedRules(bundle).flatMap((rule) =>
    rule.control !== null &&
    rule.mode === 'hold' &&
    matters.some((matter) => couldMatch(rule, matter))
      ? [rule.control]
      : [],
  );
  return [...new Set(controls)];
}

/** The gates of every rule that could match this being done to an agent of which nothing is known. */
export function gatesOver(
  bundle: PolicyBundle,
  action: 'agent:add_key',
): { routes: FrozenRoute[]; controls: string[] } {
  const gates = scopedRules(bundle).filter(
    (rule) => rule.mode === 'hold' && couldMatch(rule, { action, resource: 'Agent' }),
  );
  return {
    routes: gates.flatMap(({ route }) => bundle.routes.get(route ?? '') ?? []),
    controls: gates.flatMap(({ control }) => control ?? []),
  };
}

/** Whether a rule might apply to some request: its scope does not rule it out. */
export const couldMatch = ({ scope, hasActionGroups }: ScopedRule, matter: Matter): boolean =>
  couldAct(scope.action, matter, hasActionGroups) && couldConcern(scope.resource, matter);

/** Whether a rule applies to every such request, whoever makes it. */
export function surelyMatches({ scope }: ScopedRule, matter: Matter): boolean {
  const { principal, resource, conditions } = scope;
  const isAnybody =
    principal.op === 'All' ||
    // Only agents ask for roles and for calls; the rest is asked for by people and by services.
    (principal.op === 'is' &&
      principal.entity_type === 'Agent' &&
      !principal.in &&
      nameIn(matter) !== null);
  const isAnything =
    resource.op === 'All' ||
    (resource.op === 'is' && resource.entity_type === matter.resource && !resource.in) ||
    (resource.op === '==' && nameIn(matter) !== null && couldConcern(resource, matter));
  return (
    conditions.length === 0 && isAnybody && isAnything && couldAct(scope.action, matter, false)
  );
}

/** The actions that a rule names one by one; null where it may mean any, or a group of them. */
export function namedActions({ scope, hasActionGroups }: ScopedRule): string[] | null {
  const { action } = scope;
  if (action.op === 'All' || hasActionGroups) return null;
  if ('entities' in action) return action.entities.map((each) => identity(each).id);
  return 'entity' in action ? [identity(action.entity).id] : null;
}

const identity = (entity: EntityUidJson): { type: string; id: string } =>
  '__entity' in entity ? entity.__entity : entity;

function couldAct(
  constraint: ActionConstraint,
  { action }: Matter,
  hasActionGroups: boolean,
): boolean {
  if (constraint.op === 'All') return true;
  const isAction = (entity: EntityUidJson): boolean => identity(entity).id === action;
  if (constraint.op === '==') return 'entity' in constraint && isAction(constraint.entity);
  const entities = 'entities' in constraint ? constraint.entities : [constraint.entity];
  return hasActionGroups || entities.some(isAction);
}

function couldConcern(constraint: ResourceConstraint, matter: Matter): boolean {
  if (constraint.op === 'All' || constraint.op === 'in') return true;
  if (constraint.op === 'is') return constraint.entity_type === matter.resource;
  if (!('entity' in constraint)) return true;
  const { type, id } = identity(constraint.entity);
  const name = nameIn(matter);
  return type === matter.resource && (name === null || id === name);
}
