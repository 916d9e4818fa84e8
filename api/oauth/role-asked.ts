// Which role a token request names: by the audience of its token (RFC 8707), by its own name as the scope, or by both.
import { readActiveBundle } from '../../commands/policy/policies.ts';
import type { Confirmation } from '../../domain/delegation.ts';
import type { ApiDeps } from '../route.ts';
import { OAuthError } from './error.ts';

type Form = ReadonlyMap<string, string>;

/** Whether a request is for a token of somebody else's audience, or for more than acting as itself. */
export function namesRole(form: Form, own: readonly string[], ownScope: string): boolean {
  const targets = targetsOf(form).map((target) => target.replace(/\/$/, ''));
  return (
    (form.get('scope') ?? ownScope) !== ownScope || targets.some((each) => !own.includes(each))
  );
}

const targetsOf = (form: Form): string[] =>
  [form.get('resource'), form.get('audience')].filter((each) => each !== undefined);

/** The one role that is meant. Roles that give something else than a token cannot be asked for here. */
export async function roleAsked(
  deps: ApiDeps,
  form: Form,
  confirmation: Confirmation | null,
): Promise<string> {
  const { roles } = await readActiveBundle(deps.db.query, deps.policies);
  const [target, ...others] = new Set(targetsOf(form));
  if (others.length > 0)
    throw new OAuthError('invalid_target', 'A token is for one audience: name one.');
  const scope = form.get('scope');
  const meant = [...roles].flatMap(([name, role]) =>
    role.issuer === 'jwt' &&
    (target === undefined || role.audience === target) &&
    (scope === undefined || scope === name)
      ? [{ name, binding: role.binding }]
      : [],
  );
  const [role, ...more] = meant;
  if (!role)
    throw new OAuthError(
      scope === undefined || target !== undefined ? 'invalid_target' : 'invalid_scope',
      'No role of the policy gives such a token: name the audience of one as resource, or its name as scope.',
    );
  if (more.length > 0)
    throw new OAuthError(
      'invalid_scope',
      'Several roles give a token for this audience: say with scope which of them is meant.',
    );
  // Without one it would be bound to the key that the code stands for, with which nobody can make a proof.
  if (role.binding === 'dpop' && !(confirmation && 'jkt' in confirmation))
    throw new OAuthError(
      'invalid_request',
      `Tokens of the role ${role.name} are bound to a key: send a DPoP proof with this call and with every poll.`,
    );
  return role.name;
}
