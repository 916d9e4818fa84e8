// What a new policy would take away from the people who decide today. A gate is changed only with the consent of
// those who stand at it: otherwise whoever may change the policy could decide everything.
import {
  atItsStrongest,
  isStrongEnough,
  strengthAt,
  type FrozenRoute,
  type Strength,
} from '../../domain/approval.ts';
import { canonicalJson, type JsonValue } from '../../domain/json.ts';
import { RESOURCE_OWNER } from '../../domain/seats.ts';
import { accessOf, targetOf } from '../access/kinds.ts';
import type { PolicyBundle } from './bundle.ts';
import { ownerOf } from './evaluate.ts';
import { isWeaker } from './route-change.ts';
import {
  couldMatch,
  mattersOf,
  scopedRules,
  surelyMatches,
  type Matter,
  type ScopedRule,
} from './scope.ts';
import { newWaivers } from './waivers.ts';

export interface Silenced {
  /** The routes as they are today, whose approvers have to agree. */
  routes: FrozenRoute[];
  controls: string[];
}

interface Scoped {
  bundle: PolicyBundle;
  rules: ScopedRule[];
}

/**
 * The gates of `current` that `next` removes, changes, weakens, or lets somebody walk around. No change is free
 * because of what another change already took away: what cannot be done at once cannot be done in two steps.
 */
export function silencedBy(current: PolicyBundle, next: PolicyBundle): Silenced {
  const before: Scoped = { bundle: current, rules: scopedRules(current) };
  const after: Scoped = { bundle: next, rules: scopedRules(next) };
  const routes = [...current.routes.values()].filter(
    (route) =>
      before.rules.some((rule) => isGateOf(route.name, rule) && !isKept(rule, before, after)) ||
      isWeakened(route, next) ||
      guardsLess(route.name, before, after) ||
      isWalkedAround(route.name, before, after),
  );
  const touched = before.rules.filter((rule) => routes.some(({ name }) => isGateOf(name, rule)));
  const waived = gatesWaived(before, after);
  const asked = [
    ...new Map([...waived.routes, ...routes].map((each) => [each.name, each])).values(),
  ];
  // Whoever agrees to less proof gives as much as is asked for today.
  return {
    routes: asked.map(atItsStrongest),
    controls: [
      ...new Set([...touched.flatMap(({ control }) => control ?? []), ...waived.controls]),
    ],
  };
}

/**
 * The gates of every control that `next` has somebody let past whom `current` did not: as they are today, and of a
 * control that comes along with its waiver, as they will be.
 */
function gatesWaived(before: Scoped, after: Scoped): Silenced {
  const controls = newWaivers(before.bundle, after.bundle).map(({ control }) => control);
  const routes = controls.flatMap((control) => {
    const today = routesOf(control, before);
    return today.length > 0 ? today : routesOf(control, after);
  });
  return { routes, controls };
}

const routesOf = (control: string, { bundle, rules }: Scoped): FrozenRoute[] =>
  rules
    .filter((rule) => rule.control === control)
    .flatMap(({ route }) => bundle.routes.get(route ?? '') ?? []);

const isGateOf = (name: string, { route, mode }: ScopedRule): boolean =>
  route === name && mode === 'hold';

/** A gate is kept when a rule of the same words still asks the same route, under whatever name. */
const isKept = (rule: ScopedRule, before: Scoped, after: Scoped): boolean =>
  after.rules.some(
    (other) =>
      rule.route !== null &&
      isGateOf(rule.route, other) &&
      other.control === rule.control &&
      (rule.sensor === null || other.sensor === rule.sensor) &&
      other.words === rule.words &&
      isStrongEnough(strengthOf(other, after), strengthOf(rule, before)),
  );

/** What a gate asks of a vote: a rule that is called less risky may ask for less. */
function strengthOf({ route, risk }: ScopedRule, { bundle }: Scoped): Strength {
  const rule = bundle.routes.get(route ?? '')?.rule;
  return rule ? strengthAt(rule, risk) : 'session';
}

function isWeakened({ name, rule }: FrozenRoute, next: PolicyBundle): boolean {
  const after = next.routes.get(name)?.rule;
  // Without the route there is no rule that asks it either, and that is seen by its gates.
  return after !== undefined && isWeaker(rule, after);
}

const guardedBy = (route: string, { bundle, rules }: Scoped): Matter[] => {
  const gates = rules.filter((rule) => isGateOf(route, rule));
  return mattersOf(bundle).filter((matter) => gates.some((gate) => couldMatch(gate, matter)));
};

/** Whether something that the route guards is no longer there for it to guard, or is watched otherwise. */
function guardsLess(route: string, before: Scoped, after: Scoped): boolean {
  // Where the owner decides, who that is decides who decides.
  const isOwners = before.bundle.routes.get(route)?.rule.groups.includes(RESOURCE_OWNER) ?? false;
  const placesIn = (scoped: Scoped): string[] =>
    guardedBy(route, scoped).flatMap((matter) => {
      const owner = isOwners ? ownerOf(scoped.bundle, ...resourceOf(matter)) : null;
      return placesOf(scoped.bundle, matter).map((place) => `${place} ${owner ?? ''}`);
    });
  const kept = new Set(placesIn(after));
  return placesIn(before).some((place) => !kept.has(place));
}

function resourceOf(matter: Matter): [string, string] {
  if ('role' in matter) return ['Role', matter.role];
  return 'upstream' in matter ? ['Upstream', matter.upstream] : [matter.resource, ''];
}

/** Whether what the route guards can be reached without it, as it could not be before. */
function isWalkedAround(route: string, before: Scoped, after: Scoped): boolean {
  const guarded = new Set(
    guardedBy(route, before).flatMap((matter) => reachOf(before.bundle, matter)),
  );
  return mattersOf(after.bundle).some((matter) => {
    if (!reachOf(after.bundle, matter).some((each) => guarded.has(each))) return false;
    return waysPast(route, after, matter).some(
      (way) => !wasOpen(route, way, before, after, matter),
    );
  });
}

/** The permits that could let somebody have it without this route: where it asks everybody, those that waive it. */
function waysPast(route: string, { rules }: Scoped, matter: Matter): ScopedRule[] {
  const gates = rules.filter((rule) => isGateOf(route, rule));
  const isWaiver = ({ waives }: ScopedRule): boolean =>
    waives !== null && gates.some(({ control }) => control === waives);
  const isAskedOfAll = gates.some((gate) => surelyMatches(gate, matter));
  return rules.filter(
    (rule) =>
      rule.effect === 'permit' &&
      !isGateOf(route, rule) &&
      couldMatch(rule, matter) &&
      (!isAskedOfAll || isWaiver(rule)),
  );
}

function wasOpen(
  route: string,
  way: ScopedRule,
  before: Scoped,
  after: Scoped,
  matter: Matter,
): boolean {
  const ways = waysPast(route, before, matter);
  // A forbid that goes may open what a permit beside it always said.
  const forbids = before.rules.filter((rule) => isForbid(rule) && couldMatch(rule, matter));
  return (
    definitionOf(before.bundle, matter) === definitionOf(after.bundle, matter) &&
    ways.some((each) => isAsOpen(each, way, matter)) &&
    forbids.every(({ words }) => after.rules.some((rule) => isForbid(rule) && rule.words === words))
  );
}

/** What lets past one gate lets past no other: a waiver is open only where the same control was waived before. */
const isAsOpen = (was: ScopedRule, way: ScopedRule, matter: Matter): boolean =>
  (way.waives === null || was.waives === way.waives) &&
  (was.sensor === null || was.sensor === way.sensor) &&
  (was.words === way.words || surelyMatches(was, matter));

/** A forbid that only observes denies nothing: turned into one, a forbid is gone. */
const isForbid = ({ effect, mode }: ScopedRule): boolean => effect === 'forbid' && mode === 'hold';

/** Everything about a role or an API that rules, issuers and callers see. */
function definitionOf(bundle: PolicyBundle, matter: Matter): string {
  if ('upstream' in matter) return definitionOfUpstream(bundle, matter.upstream);
  const role = 'role' in matter ? bundle.roles.get(matter.role) : undefined;
  if (!role) return 'role' in matter ? 'none' : matter.action;
  const { title: _title, owner: _owner, ...definition } = role;
  return canonicalJson(asJson(definition));
}

function definitionOfUpstream({ upstreams, roles, targets }: PolicyBundle, name: string): string {
  const upstream = upstreams.get(name);
  if (!upstream) return 'none';
  const { title: _title, owner: _owner, ...definition } = upstream;
  const role = roles.get(definition.authentication.role ?? '');
  const target = role && targets.get(targetOf(role));
  return canonicalJson(asJson([definition, role ?? null, target ?? null]));
}

/** What a matter gives access to. One database can be a target under many names, so its name tells nothing. */
function reachOf(bundle: PolicyBundle, matter: Matter): string[] {
  const { roles, upstreams } = bundle;
  if ('upstream' in matter) {
    const upstream = upstreams.get(matter.upstream);
    if (!upstream) return [];
    // One API can stand there under many names; and whoever holds its token needs none of them.
    const { role = '' } = upstream.authentication;
    const token = reachOf(bundle, { action: 'credential:request', resource: 'Role', role });
    return [`api ${new URL(upstream.base).origin}`, ...token];
  }
  if (!('role' in matter)) return [matter.action];
  const role = roles.get(matter.role);
  if (!role) return [];
  return accessOf(role).reaches(role);
}

/** The same with where it is and how it is watched: whoever points the observer elsewhere blinds the gate. */
function placesOf(bundle: PolicyBundle, matter: Matter): string[] {
  const role = 'role' in matter ? bundle.roles.get(matter.role) : undefined;
  const target = role && bundle.targets.get(targetOf(role));
  const { owner: _owner, ...place } = target ?? { owner: undefined };
  const where = target ? canonicalJson(asJson(place)) : '';
  return reachOf(bundle, matter).map((each) => `${each} ${where}`);
}

/** A definition was read from YAML: it is plain JSON, and what it leaves out is not there. */
const asJson = (definition: unknown): JsonValue => definition as JsonValue;
