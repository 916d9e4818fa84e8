// Who acts for whom: the chain from the agent that acts back to the one whose task it is, and its form in tokens.
import type { JsonObject, JsonValue } from './json.ts';

/** What a token is bound to (RFC 7800 §3): a key by its thumbprint, or a certificate by its hash. */
export type Confirmation = { jkt: string } | { 'x5t#S256': string };

/** Reads what was written as a confirmation; anything else binds to nothing. */
export function readConfirmation(value: JsonValue | undefined): Confirmation | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const { jkt, 'x5t#S256': certificate } = value;
  if (typeof jkt === 'string') return { jkt };
  return typeof certificate === 'string' ? { 'x5t#S256': certificate } : null;
}

/** Agents in one chain, counting the first and the last: deeper ones are nobody's business to follow. */
export const CHAIN_LENGTH_MAX = 5;

/** Scope tokens that name a role begin so; `role:*` stands for every role. */
const ROLE_SCOPE = 'role:';
const ANY_ROLE = `${ROLE_SCOPE}*`;

/** The scope of a delegated token: it starts tasks, and asks for these roles under them. */
const DELEGATED_SCOPE = 'task';

/** The scope that stands for a limit on roles; null is no limit. */
export const scopeOfRoles = (roles: readonly string[] | null): string =>
  [DELEGATED_SCOPE, ...(roles === null ? [ANY_ROLE] : roles.map((role) => ROLE_SCOPE + role))].join(
    ' ',
  );

/** The limit on roles that a scope stands for; null is no limit. */
export function rolesOfScope(scope: string): string[] | null {
  const names = scopeTokens(scope).filter((token) => token.startsWith(ROLE_SCOPE));
  if (names.includes(ANY_ROLE)) return null;
  return [...new Set(names.map((token) => token.slice(ROLE_SCOPE.length)))];
}

const scopeTokens = (scope: string): string[] => scope.split(' ').filter((token) => token !== '');

/** Whether everything that a scope allows is allowed by another. */
export function isWithinScope(asked: string, allowed: string): boolean {
  const has = new Set(scopeTokens(allowed));
  return scopeTokens(asked).every(
    (token) => has.has(token) || (has.has(ANY_ROLE) && token.startsWith(ROLE_SCOPE)),
  );
}

/** No role has a longer name, and nobody asks for more of them at once. */
const ROLE_NAME = /^(?:\*|[A-Za-z0-9][A-Za-z0-9_.-]{0,99})$/;
const ROLES_MAX = 50;

/** Whether a scope is one that can be given: a task, and roles by names that a role can have. */
export function isRoleScope(scope: string): boolean {
  const names = scopeTokens(scope).filter((token) => token !== DELEGATED_SCOPE);
  return (
    names.length <= ROLES_MAX &&
    names.every(
      (name) => name.startsWith(ROLE_SCOPE) && ROLE_NAME.test(name.slice(ROLE_SCOPE.length)),
    )
  );
}

/** Whether a limit on roles lets another one through: a child's roles are among its parent's. */
export const areRolesWithin = (
  asked: readonly string[] | null,
  allowed: readonly string[] | null,
): boolean => allowed === null || (asked?.every((role) => allowed.includes(role)) ?? false);

/**
 * The `act` claim of a chain (RFC 8693 §4.1): outermost whoever acts now, nested those who acted before. The last
 * of the chain is the subject itself and so is not among the actors; null where nobody acts for anybody.
 */
export function actClaim(chain: readonly string[]): JsonObject | null {
  let act: JsonObject | null = null;
  for (const sub of chain.slice(0, -1).toReversed()) act = act === null ? { sub } : { sub, act };
  return act;
}

/** The chain that `sub` and `act` stand for, or null where they are in no form of ours. */
export function chainOfClaims(subject: string, act: JsonValue | undefined): string[] | null {
  const actors: string[] = [];
  let at = act;
  while (at !== undefined) {
    if (typeof at !== 'object' || at === null || Array.isArray(at)) return null;
    const { sub, act: inner } = at;
    if (typeof sub !== 'string' || actors.length >= CHAIN_LENGTH_MAX) return null;
    actors.push(sub);
    at = inner;
  }
  return [...actors, subject];
}

/** Why an agent may not be put in front of a chain, or null. */
export function whyNoLink(chain: readonly string[], actor: string): 'cycle' | 'too_deep' | null {
  if (chain.includes(actor)) return 'cycle';
  return chain.length >= CHAIN_LENGTH_MAX ? 'too_deep' : null;
}
