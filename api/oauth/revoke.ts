// RFC 7009: whoever was given a token takes it back. A token that is none of ours, or is over, needs no taking back.
import type { JWTPayload } from 'jose';
import { findCredential, revokeCredential } from '../../commands/credentials/credentials.ts';
import { revokeToken } from '../../commands/credentials/revoke-token.ts';
import type { Principal } from '../../commands/principal.ts';
import { transact } from '../../commands/unit.ts';
import type { Confirmation } from '../../domain/delegation.ts';
import type { Id } from '../../domain/id.ts';
import { readForm } from '../body.ts';
import type { ApiDeps, AppContext } from '../route.ts';
import { callerOf } from './caller.ts';
import { cancelDeferred } from './deferred-poll.ts';
import { hasProof, readProof, useProof } from './dpop.ts';
import { OAuthError, refuseOAuth } from './error.ts';
import { readToken, verifiedClaims } from './introspect.ts';

export async function revoke(context: AppContext, deps: ApiDeps): Promise<Response> {
  context.header('cache-control', 'no-store');
  try {
    const form = await readForm(context.req);
    const caller = await callerOf(context, form, deps);
    const token = readToken(form);
    const canceller = {
      caller,
      cameWith: () => cameWith(context, deps, caller),
      traceId: context.get('traceId'),
    };
    if (await cancelDeferred(deps, token, canceller)) return context.body(null, 200);
    const claims = await verifiedClaims(token, deps);
    if (claims) await takeBack(context, deps, caller, claims);
    return context.body(null, 200);
  } catch (error) {
    return refuseOAuth(context, error);
  }
}

/** The key or certificate of whoever calls: by the token they came with, or by what they send along. */
async function cameWith(
  context: AppContext,
  deps: ApiDeps,
  caller: Principal,
): Promise<Confirmation | null> {
  if (caller.kind === 'agent' && caller.token) return caller.token.confirmation;
  if (hasProof(context)) {
    const proof = await readProof(context, deps, null);
    await useProof(deps, proof);
    return { jkt: proof.thumbprint };
  }
  const certificate = context.get('clientCertificate');
  return certificate && { 'x5t#S256': certificate.thumbprint };
}

async function takeBack(
  context: AppContext,
  deps: ApiDeps,
  caller: Principal,
  claims: JWTPayload,
): Promise<void> {
  const call = { principal: caller, traceId: context.get('traceId') };
  const { jti = '', exp = 0, aud, client_id: client } = claims;
  if (aud === deps.installation.issuer) {
    if (typeof client !== 'string') return;
    refuseOthers(caller, client);
    const expiresAt = new Date(exp * 1000).toISOString();
    const token = { jti, agent: client as Id<'agent'>, expiresAt };
    await transact(deps, call, (unit) => revokeToken(unit, token));
    return;
  }
  const lease = await findCredential(deps.db.query, jti);
  if (!lease) return;
  refuseOthers(caller, lease.agent);
  await transact(deps, call, (unit) => revokeCredential(unit, lease.id, 'revoked', null));
}

/** §2.1: a client revokes what was issued to it. The admin token revokes anything. */
function refuseOthers(caller: Principal, holder: string): void {
  if (caller.kind === 'agent' && caller.id !== holder)
    throw new OAuthError('unauthorized_client', 'This token was issued to another agent.');
}
