// What a new policy would take away from the people who decide today. A gate is changed only with the consent of
// those who stand at it: otherwise whoever may change the policy could decide everything.
import { policyToJson } from '@cedar-policy/cedar-wasm/nodejs';
import { isStrongEnough, type FrozenRoute, type RouteRule } from '../domain/approval.ts';
import { canonicalJson, type JsonValue } from '../domain/json.ts';
import type { PolicyBundle, RoleDefinition, Rule } from './policy-bundle.ts';
import { evaluateRole } from './policy-tests.ts';

export interface Silenced {
  /** The routes as they are today, whose approvers have to agree. */
  routes: FrozenRoute[];
  controls: string[];
}

/** The gates of `current` that `next` removes, changes, weakens, or lets somebody walk around. */
export function silencedBy(current: PolicyBundle, next: PolicyBundle): Silenced {
  const gates = [...current.rules.values()].filter(isGate);
  const lost = gates.filter(
    (rule) => !isKept(rule, current, next) && !isWithoutUse(rule, current, next),
  );
  const names = new Set([
    ...lost.flatMap(({ route }) => route ?? []),
    ...[...current.routes.values()].filter((route) => isWeakened(route, next)).map((r) => r.name),
    ...walkedAround(current, next),
  ]);
  const touched = gates.filter(({ route }) => route !== null && names.has(route));
  return {
    routes: [...names].flatMap((name) => current.routes.get(name) ?? []),
    controls: [...new Set(touched.flatMap(({ control }) => control ?? []))],
  };
}

const isGate = ({ route, mode }: Rule): boolean => route !== null && mode === 'hold';

/** A gate is kept when a rule of the same words still asks the same route, under whatever name. */
function isKept(rule: Rule, current: PolicyBundle, next: PolicyBundle): boolean {
  const words = wordsOf(current, rule);
  return [...next.rules.values()].some(
    (other) => isGate(other) && other.route === rule.route && wordsOf(next, other) === words,
  );
}

/** A gate in front of roles that are gone altogether guards nothing any more. */
function isWithoutUse({ route }: Rule, current: PolicyBundle, next: PolicyBundle): boolean {
  const guarded = [...current.roles.keys()].filter((role) =>
    evaluateRole(current, role).routes.some(({ name }) => name === route),
  );
  return guarded.length > 0 && guarded.every((role) => !next.roles.has(role));
}

/** A rule without its annotations, so that its layout and its title may change freely. */
function wordsOf(bundle: PolicyBundle, rule: Rule): string {
  const parsed = policyToJson(bundle.cedar[rule.id] ?? '');
  if (parsed.type === 'failure') throw new Error(`the parsed rule ${rule.id} no longer parses`);
  const { annotations: _annotations, ...words } = parsed.json;
  return canonicalJson(asJson(words));
}

/** What Cedar returns is plain JSON. */
const asJson = (words: unknown): JsonValue => words as JsonValue;

function isWeakened({ name, rule }: FrozenRoute, next: PolicyBundle): boolean {
  const after = next.routes.get(name)?.rule;
  // Without the route there is no rule that asks it either, and that is seen above.
  return after !== undefined && isWeaker(rule, after);
}

/** Whether a rule asks for less than it did: fewer or other people, less proof, or for longer. */
function isWeaker(before: RouteRule, after: RouteRule): boolean {
  const adds = (was: readonly string[], is: readonly string[]): boolean =>
    is.some((each) => !was.includes(each));
  const relaxes = (who: 'owner' | 'triggerer'): boolean =>
    before.independence[who] === 'barred' && after.independence[who] === 'allowed';
  return (
    after.quorum < before.quorum ||
    adds(before.groups, after.groups) ||
    adds(before.channels, after.channels) ||
    !isStrongEnough(after.strength, before.strength) ||
    after.valid_seconds > before.valid_seconds ||
    relaxes('owner') ||
    relaxes('triggerer') ||
    after.escalation.some((step) => {
      const known = before.escalation.filter((each) => each.after_seconds <= step.after_seconds);
      return adds([...before.groups, ...known.flatMap(({ groups }) => groups)], step.groups);
    })
  );
}

/** Routes that guard what a role of `next` reaches without them, as no role of `current` did. */
function walkedAround(current: PolicyBundle, next: PolicyBundle): string[] {
  return [...current.roles].flatMap(([guarded, definition]) => {
    const asked = evaluateRole(current, guarded).routes.map(({ name }) => name);
    const reaching = [...next.roles].filter(([, other]) => reachesSame(definition, other));
    return asked.filter((route) =>
      reaching.some(([role, other]) => {
        const before = current.roles.get(role);
        const wasFree =
          before !== undefined &&
          reachesSame(definition, before) &&
          isFreeOf(current, role, route) &&
          canonicalJson(asJson(before)) === canonicalJson(asJson(other));
        return isFreeOf(next, role, route) && !wasFree;
      }),
    );
  });
}

function isFreeOf(bundle: PolicyBundle, role: string, route: string): boolean {
  const { decision, routes } = evaluateRole(bundle, role);
  return decision !== 'deny' && !routes.some(({ name }) => name === route);
}

function reachesSame(guarded: RoleDefinition, other: RoleDefinition): boolean {
  if (guarded.issuer === 'postgres' && other.issuer === 'postgres')
    return (
      guarded.target === other.target &&
      other.member_of.some((group) => guarded.member_of.includes(group))
    );
  if (guarded.issuer === 'jwt' && other.issuer === 'jwt')
    return guarded.audience === other.audience;
  return false;
}
