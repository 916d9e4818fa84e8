// Policies that tests add to the sample one: token roles that wait for routes of the test's own.
import { changePolicy, type Cast } from './cast.ts';
import type { Reply } from './client.ts';

export interface GatedRole {
  name: string;
  /** Routes by name, as they stand in routes.yaml after their title and groups. */
  routes: Record<string, string>;
}

/** Adds a rule to the sample files for each role: a JWT that every named route must approve. */
export function withRoles(
  files: Record<string, string>,
  roles: readonly GatedRole[],
): Record<string, string> {
  const rules = roles.flatMap(({ name, routes }) =>
    Object.keys(routes).map(
      (route) =>
        `@id("take-${name}-by-${route}")\n@approval("${route}")\npermit (principal is Agent, ` +
        `action == Action::"credential:request", resource == Role::"${name}");\n`,
    ),
  );
  const routes = roles.flatMap(({ routes }) =>
    Object.entries(routes).map(([route, rest]) => `\n${route}:\n  title: ${route}\n${rest}`),
  );
  const defined = roles.map(
    ({ name }) =>
      `\n  ${name}:\n    title: ${name}\n    issuer: jwt\n    audience: https://${name}.example\n`,
  );
  return {
    ...files,
    'main.cedar': `${files['main.cedar'] ?? ''}\n${rules.join('\n')}`,
    'routes.yaml': `${files['routes.yaml'] ?? ''}\n${routes.join('\n')}`,
    'roles.yaml': `${files['roles.yaml'] ?? ''}\n${defined.join('')}`,
  };
}

/** Activates the sample policy with these roles added. */
export const activateRoles = (cast: Cast, roles: readonly GatedRole[]): Promise<Reply> =>
  changePolicy(cast.service, cast.approver, (files) => withRoles(files, roles));
