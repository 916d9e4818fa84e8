// Token exchange (RFC 8693) for a person: their token of a configured issuer becomes one of the agent that acts for them.
import { randomUUID } from 'node:crypto';
import { exchangePersonsWord } from '../../commands/sign-in/act-for-person.ts';
import { judgePersonsWord, type GivenWord } from '../../commands/sign-in/foreign-people.ts';
import { TrustUnavailable } from '../../commands/sign-in/foreign-trust.ts';
import { transact } from '../../commands/unit.ts';
import { isRoleScope, isWithinScope, rolesOfScope, scopeOfRoles } from '../../domain/delegation.ts';
import { unverifiedClaims } from '../../keys/verify.ts';
import type { ApiDeps } from '../route.ts';
import { tokenJudge } from './client-auth.ts';
import { OAuthError } from './error.ts';
import { signPersonToken, typeFor, type TokenAnswer } from './own-claims.ts';
import type { Grant } from './token.ts';

export const ID_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:id_token';
const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt';
const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';

/** Whether what is exchanged is somebody else's token: an identity token, or a JWT that names another issuer. */
export function isOfSomebodyElse(form: ReadonlyMap<string, string>, deps: ApiDeps): boolean {
  const type = form.get('subject_token_type');
  if (type === ID_TOKEN_TYPE) return true;
  const issuer = unverifiedClaims(form.get('subject_token') ?? '')?.['iss'];
  return type === JWT_TYPE && issuer !== undefined && issuer !== deps.installation.issuer;
}

export async function exchangePerson(
  { client, confirmation, form, call }: Grant,
  deps: ApiDeps,
): Promise<TokenAnswer> {
  const given = await wordOf(form, client.agent, deps);
  const scope = form.get('scope') ?? ALL;
  if (!isWithinScope(scope, ALL) || !isRoleScope(scope))
    throw new OAuthError('invalid_scope', `What is given is "${ALL}", and no more than that.`);
  const tokenId = randomUUID();
  const exchanged = await transact(deps, call, (unit) =>
    exchangePersonsWord(unit, deps.policies, {
      ...{ actor: client.agent, proof: client.proof, given },
      ...{ roles: rolesOfScope(scope), tokenId },
    }),
  );
  if (exchanged.outcome === 'replayed')
    throw new OAuthError(
      'invalid_client',
      'This assertion was already used: make one for each call.',
    );
  if (exchanged.outcome === 'refused') throw new OAuthError('invalid_request', exchanged.says);
  const { token } = exchanged;
  return {
    access_token: await signPersonToken(deps, token, { tokenId, confirmation }),
    issued_token_type: ACCESS_TOKEN_TYPE,
    token_type: typeFor(confirmation),
    expires_in: Math.max(1, Math.floor((Date.parse(token.expiresAt) - Date.now()) / 1000)),
    scope: scopeOfRoles(token.roles),
  };
}

/** A task, and every role that policy lets the agent ask for under it. */
const ALL = scopeOfRoles(null);

async function wordOf(
  form: ReadonlyMap<string, string>,
  agent: Grant['client']['agent'],
  deps: ApiDeps,
): Promise<GivenWord> {
  const names = {
    name: agent.name,
    ids: [agent.id, ...(agent.spiffeId === null ? [] : [agent.spiffeId])],
  };
  const judge = await tokenJudge(deps);
  try {
    const given = await judgePersonsWord(form.get('subject_token') ?? '', names, judge);
    if ('says' in given) throw new OAuthError('invalid_request', given.says);
    return given;
  } catch (error) {
    // Without the keys of its issuer nobody's word can be believed (I6).
    if (error instanceof TrustUnavailable)
      throw new OAuthError('temporarily_unavailable', `Try again in a minute: ${error.message}.`);
    throw error;
  }
}
