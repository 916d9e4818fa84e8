// Roles of every kind of issuer that tests add to the sample policy, plainly permitted.
import { changePolicy, type Cast } from './cast.ts';
import type { Reply } from './client.ts';

export interface AddedAccess {
  /** Entries of `targets:` in roles.yaml, as JSON, by name. */
  targets?: Record<string, object>;
  /** Entries of `roles:`, as JSON, by name. */
  roles: Record<string, object>;
  /** The names of those that people of the route `orders-write` have to agree to. */
  held?: readonly string[];
}

/** Adds targets and roles, each permitted to every agent, once people agreed where that is said. YAML takes JSON as it is. */
export function withAccess(
  files: Record<string, string>,
  { targets = {}, roles, held = [] }: AddedAccess,
): Record<string, string> {
  const entries = (added: Record<string, object>): string =>
    Object.entries(added)
      .map(([name, definition]) => `\n  ${name}: ${JSON.stringify(definition)}`)
      .join('');
  const rules = Object.keys(roles).map(
    (name) =>
      `\n@id("take-${name}")\n${held.includes(name) ? '@approval("orders-write")\n' : ''}permit (principal is Agent, ` +
      `action == Action::"credential:request", resource == Role::"${name}");\n`,
  );
  return {
    ...files,
    'main.cedar': `${files['main.cedar'] ?? ''}${rules.join('')}`,
    'roles.yaml': (files['roles.yaml'] ?? '')
      .replace(/^targets:/m, `targets:${entries(targets)}`)
      .replace(/^roles:/m, `roles:${entries(roles)}`),
  };
}

/** Activates the sample policy with these added. */
export const activateAccess = (cast: Cast, added: AddedAccess): Promise<Reply> =>
  changePolicy(cast.service, cast.approver, (files) => withAccess(files, added));
