// What every access token of ours says, whichever grant it comes from.
import type { ChainToken } from '../../commands/agents/delegate.ts';
import { statusClaim, type StatusPlace } from '../../commands/credentials/token-status.ts';
import type { PersonToken } from '../../commands/sign-in/act-for-person.ts';
import { standingClaims } from '../../commands/sign-in/agent-sign-in.ts';
import { actClaim, scopeOfRoles, type Confirmation } from '../../domain/delegation.ts';
import { ACCESS_TOKEN } from '../../keys/tokens.ts';
import type { ApiDeps } from '../route.ts';
import { OAuthError } from './error.ts';

/** RFC 6749 §5.1; an exchange also says what it issued (RFC 8693 §2.2.1). */
export interface TokenAnswer {
  access_token: string;
  issued_token_type?: string;
  token_type: 'Bearer' | 'DPoP';
  expires_in: number;
  scope: string;
}

/** A token that is bound to a certificate is sent as a bearer token, and the connection says the rest (RFC 8705 §3). */
export const typeFor = (confirmation: Confirmation | null): 'Bearer' | 'DPoP' =>
  confirmation !== null && 'jkt' in confirmation ? 'DPoP' : 'Bearer';

export const commonClaims = (
  { installation: { issuer } }: ApiDeps,
  of: { tokenId: string; status: StatusPlace; confirmation: Confirmation | null },
) => ({
  iss: issuer,
  aud: issuer,
  jti: of.tokenId,
  status: statusClaim(issuer, of.status),
  ...(of.confirmation && { cnf: { ...of.confirmation } }),
});

/** A token that speaks for a chain of agents; `mayAct` makes it one that is only good to be exchanged. */
export function signChainToken(
  deps: ApiDeps,
  token: ChainToken,
  more: { tokenId: string; confirmation: Confirmation | null; mayAct: string | null },
): Promise<string> {
  const { chain } = token;
  const act = actClaim(chain);
  return deps.tokens.sign(ACCESS_TOKEN, {
    ...commonClaims(deps, { ...more, status: token.status }),
    sub: chain.at(-1) ?? '',
    client_id: chain[0] ?? '',
    scope: scopeOfRoles(token.roles),
    task_id: token.task,
    ...(act && { act }),
    ...(more.mayAct !== null && { may_act: { sub: more.mayAct } }),
    ...standingClaims(token.standing),
    auth_time: Math.floor(Date.parse(token.signedInAt) / 1000),
    exp: Math.floor(Date.parse(token.expiresAt) / 1000),
  });
}

/** A token of an agent that acts for a person, and starts one task (RFC 8693 §4.1). */
export const signPersonToken = (
  deps: ApiDeps,
  token: PersonToken,
  more: { tokenId: string; confirmation: Confirmation | null },
): Promise<string> =>
  deps.tokens.sign(ACCESS_TOKEN, {
    ...commonClaims(deps, { ...more, status: token.status }),
    sub: token.person,
    act: { sub: token.agent },
    client_id: token.agent,
    scope: scopeOfRoles(token.roles),
    word: token.word,
    ...standingClaims(token.standing),
    auth_time: Math.floor(Date.parse(token.signedInAt) / 1000),
    exp: Math.floor(Date.parse(token.expiresAt) / 1000),
  });

/** Ourselves, as an audience. */
export const ownTargets = (deps: ApiDeps): string[] => [deps.installation.issuer, deps.publicUrl];

/** RFC 8707: the only audience of these tokens is ourselves. Tokens for others are roles, asked for under a task. */
export function refuseOtherTarget(form: ReadonlyMap<string, string>, deps: ApiDeps): void {
  const names = ownTargets(deps);
  const targets = [form.get('resource'), form.get('audience')].filter((each) => each !== undefined);
  if (targets.every((target) => names.includes(target.replace(/\/$/, '')))) return;
  throw new OAuthError(
    'invalid_target',
    `Tokens of this endpoint are for ${deps.installation.issuer}. A token for another audience is a role: ask for it under a task with POST /v1/tasks/{id}/credentials, or here with task_id and completion_mode=deferred.`,
  );
}
