// The token endpoint: a proven client in, an RFC 9068 access token out.
import { randomUUID } from 'node:crypto';
import type { JWTPayload } from 'jose';
import { placeForSignIn } from '../../commands/credentials/token-status.ts';
import { recordAgentSignIn, standingClaims } from '../../commands/sign-in/agent-sign-in.ts';
import { transact, type Call } from '../../commands/unit.ts';
import type { Confirmation } from '../../domain/delegation.ts';
import { ACCESS_TOKEN } from '../../keys/tokens.ts';
import { readForm } from '../body.ts';
import type { ApiDeps, AppContext } from '../route.ts';
import { authenticateClient, JWT_BEARER_GRANT, type ProvenClient } from './client-auth.ts';
import { DEFERRED_GRANT, pollDeferred } from './deferred-poll.ts';
import { askForToken, mayDefer } from './deferred.ts';
import { hasProof, readProof, useProof, type ReadProof } from './dpop.ts';
import { OAuthError, refuseOAuth } from './error.ts';
import { exchange, TOKEN_EXCHANGE } from './exchange.ts';
import {
  commonClaims,
  ownTargets,
  refuseOtherTarget,
  typeFor,
  type TokenAnswer,
} from './own-claims.ts';
import { namesRole } from './role-asked.ts';

const TOKEN_SECONDS = 900;
/** What an access token of ours lets an agent do: act as itself. Roles are asked for under a task. */
const SCOPE = 'agent';

/** What every grant starts from: who the client is, and what the token shall be bound to. */
export interface Grant {
  client: ProvenClient;
  confirmation: Confirmation | null;
  form: ReadonlyMap<string, string>;
  call: Call;
  idempotencyKey: string | null;
}

export async function issueToken(context: AppContext, deps: ApiDeps): Promise<Response> {
  context.header('cache-control', 'no-store');
  try {
    const form = await readForm(context.req);
    const grant = grantOf(form);
    // Before the client is: who is told to come back with a nonce has used up nothing.
    const proof = hasProof(context) ? await readProof(context, deps, null) : null;
    const client = await authenticateClient(form, context, deps);
    if (proof) await useProof(deps, proof);
    const confirmation = confirmationOf(context, proof);
    const call = {
      principal: { kind: 'agent' as const, id: client.agent.id },
      traceId: context.get('traceId'),
    };
    const idempotencyKey = context.req.header('idempotency-key') ?? null;
    return context.json(await grant({ client, confirmation, form, call, idempotencyKey }, deps));
  } catch (error) {
    return refuseOAuth(context, error);
  }
}

type MakeToken = (grant: Grant, deps: ApiDeps) => Promise<TokenAnswer>;

const GRANTS: ReadonlyMap<string, MakeToken> = new Map([
  ['client_credentials', signIn],
  [JWT_BEARER_GRANT, signIn],
  [TOKEN_EXCHANGE, exchange],
  [DEFERRED_GRANT, pollDeferred],
]);

export const grantTypes = (): string[] => [...GRANTS.keys()];

function grantOf(form: ReadonlyMap<string, string>): MakeToken {
  const grant = GRANTS.get(form.get('grant_type') ?? '');
  if (grant) return grant;
  throw new OAuthError('unsupported_grant_type', `Use grant_type=${grantTypes().join(' or ')}.`);
}

/** A proof binds the token to its key, and a certificate to itself (RFC 8705 §3); both is one too many. */
function confirmationOf(context: AppContext, proof: ReadProof | null): Confirmation | null {
  const certificate = context.get('clientCertificate');
  if (proof) return { jkt: proof.thumbprint };
  return certificate && { 'x5t#S256': certificate.thumbprint };
}

async function signIn(grant: Grant, deps: ApiDeps): Promise<TokenAnswer> {
  const {
    client: { agent, proof },
    confirmation,
    form,
    call,
  } = grant;
  // A client that did not say it would wait is answered as ever: it might take a code for a token.
  if (mayDefer(form) && namesRole(form, ownTargets(deps), SCOPE)) return askForToken(grant, deps);
  refuseOtherTarget(form, deps);
  const scope = form.get('scope') ?? SCOPE;
  if (scope !== SCOPE)
    throw new OAuthError('invalid_scope', `An agent signs in with the scope ${SCOPE}.`);
  const tokenId = randomUUID();
  const expires = Math.floor(Date.now() / 1000) + TOKEN_SECONDS;
  const tokenExpiresAt = new Date(expires * 1000).toISOString();
  const signedIn = await transact(deps, call, async (unit) => {
    const at = await recordAgentSignIn(unit, { agent, proof, tokenId, tokenExpiresAt });
    if (at === null) return null;
    const token = { jti: tokenId, agent: agent.id, standing: proof.standing, signedInAt: at };
    return { at, status: await placeForSignIn(unit, { ...token, expiresAt: tokenExpiresAt }) };
  });
  if (signedIn === null)
    throw new OAuthError(
      'invalid_client',
      'This assertion was already used: make one for each call.',
    );
  const claims: JWTPayload = {
    ...commonClaims(deps, { tokenId, status: signedIn.status, confirmation }),
    sub: agent.id,
    client_id: agent.id,
    scope,
    // The token dies with what it stands on, and with the admission that was good at this time (RFC 9068 §2.2.1).
    ...standingClaims(proof.standing),
    auth_time: Math.floor(Date.parse(signedIn.at) / 1000),
  };
  const token = await deps.tokens.sign(ACCESS_TOKEN, { ...claims, exp: expires });
  return {
    access_token: token,
    token_type: typeFor(confirmation),
    expires_in: TOKEN_SECONDS,
    scope,
  };
}
