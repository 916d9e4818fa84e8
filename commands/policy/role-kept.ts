// Whether a role still is what people were shown: an approval is for access to one place with certain rights, and a
// policy that gives its name to something else takes the approval away with it.
import type { Action } from '../../domain/action.ts';
import { canonicalJson, type JsonValue } from '../../domain/json.ts';
import { targetOf, type RoleDefinition, type TargetDefinition } from '../access/kinds.ts';
import type { PolicyBundle } from './bundle.ts';

/** What is compared as a limit, or nobody's access depends on. */
const NOT_IDENTITY: readonly string[] = [
  'title',
  'owner',
  'reason',
  'ttl_seconds_default',
  'ttl_seconds_max',
  'renew_seconds_max',
];

/** Whether an action that was judged under one policy is about the same access under another, and within its limits. */
export function isRoleKept(action: Action, before: PolicyBundle, after: PolicyBundle): boolean {
  if (action.resource.type === 'upstream') return isUpstreamKept(action, before, after);
  if (action.resource.type !== 'role') return true;
  const was = before.roles.get(action.resource.id);
  const is = after.roles.get(action.resource.id);
  if (!was || !is || identityOf(was) !== identityOf(is)) return false;
  const [from, to] = [before.targets.get(targetOf(was)), after.targets.get(targetOf(is))];
  return placeOrOwn(from) === placeOrOwn(to) && isWithin(action, is);
}

/** Whether a call still goes where it went, as whom it went, in the same form. */
function isUpstreamKept(action: Action, before: PolicyBundle, after: PolicyBundle): boolean {
  const was = callIn(action, before);
  return was !== null && was === callIn(action, after);
}

function callIn({ resource, parameters }: Action, bundle: PolicyBundle): string | null {
  const upstream = bundle.upstreams.get(resource.id);
  const { call: name } = parameters;
  const call = typeof name === 'string' ? upstream?.calls[name] : undefined;
  if (!upstream || !call) return null;
  const role = bundle.roles.get(upstream.authentication.role ?? '');
  const target = role && bundle.targets.get(targetOf(role));
  return canonicalJson([
    without(upstream, ['title', 'owner', 'reason', 'calls', 'timeout_seconds']),
    asJson(call),
    role ? identityOf(role) : '',
    placeOrOwn(target),
  ]);
}

const placeOrOwn = (target: TargetDefinition | undefined): string =>
  target ? placeOf(target) : 'own';

function isWithin({ parameters }: Action, role: RoleDefinition): boolean {
  const { ttl_seconds: ttl, renew_seconds_max: renewed } = parameters;
  return (
    (typeof ttl !== 'number' || ttl <= role.ttl_seconds_max) &&
    (typeof renewed !== 'number' || renewed <= (role.renew_seconds_max ?? role.ttl_seconds_max))
  );
}

const identityOf = (role: RoleDefinition): string => without(role, NOT_IDENTITY);

/** How a target is watched and whose it is, which may change at any time. */
const WATCHING: readonly string[] = ['owner', 'observer_url_from', 'grade', 'application_logins'];

/** Which server a target is, and by which right we are there. */
export const placeOf = (definition: TargetDefinition): string => without(definition, WATCHING);

const without = (definition: object, members: readonly string[]): string =>
  canonicalJson(
    asJson(
      Object.fromEntries(
        Object.entries(definition).filter(([member]) => !members.includes(member)),
      ),
    ),
  );

/** A definition was read from YAML: it is plain JSON, and what it leaves out is not there. */
const asJson = (definition: unknown): JsonValue => definition as JsonValue;
