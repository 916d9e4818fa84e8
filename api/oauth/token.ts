// The token endpoint: a proven client in, an RFC 9068 access token out (RFC 6749 §4.4).
import { randomUUID } from 'node:crypto';
import { recordAgentSignIn, standingClaims } from '../../commands/agent-sign-in.ts';
import { transact } from '../../commands/unit.ts';
import { ACCESS_TOKEN } from '../../keys/tokens.ts';
import { readForm } from '../body.ts';
import type { ApiDeps, AppContext } from '../route.ts';
import { authenticateClient, JWT_BEARER_GRANT, type ProvenClient } from './client-auth.ts';
import { OAuthError, refuseOAuth } from './error.ts';

const TOKEN_SECONDS = 900;
/** What an access token of ours lets an agent do: act as itself. Roles are asked for under a task. */
const SCOPE = 'agent';

interface TokenAnswer {
  access_token: string;
  token_type: 'Bearer';
  expires_in: number;
  scope: string;
}

export async function issueToken(context: AppContext, deps: ApiDeps): Promise<Response> {
  context.header('cache-control', 'no-store');
  try {
    const form = await readForm(context.req);
    const grant = form.get('grant_type');
    if (grant !== 'client_credentials' && grant !== JWT_BEARER_GRANT)
      throw new OAuthError(
        'unsupported_grant_type',
        `Use grant_type=client_credentials, or ${JWT_BEARER_GRANT}.`,
      );
    const client = await authenticateClient(form, context, deps);
    return context.json(await signIn(client, deps, context));
  } catch (error) {
    return refuseOAuth(context, error);
  }
}

async function signIn(
  { agent, proof }: ProvenClient,
  deps: ApiDeps,
  context: AppContext,
): Promise<TokenAnswer> {
  const tokenId = randomUUID();
  const { issuer } = deps.installation;
  const expires = Math.floor(Date.now() / 1000) + TOKEN_SECONDS;
  const call = {
    principal: { kind: 'agent' as const, id: agent.id },
    traceId: context.get('traceId'),
  };
  const signedInAt = await transact(deps, call, (unit) =>
    recordAgentSignIn(unit, {
      agent,
      proof,
      tokenId,
      tokenExpiresAt: new Date(expires * 1000).toISOString(),
    }),
  );
  if (signedInAt === null)
    throw new OAuthError(
      'invalid_client',
      'This assertion was already used: make one for each call.',
    );
  const token = await deps.tokens.sign(ACCESS_TOKEN, {
    iss: issuer,
    sub: agent.id,
    aud: issuer,
    client_id: agent.id,
    jti: tokenId,
    scope: SCOPE,
    // The token dies with what it stands on, and with the admission that was good at this time (RFC 9068 §2.2.1).
    ...standingClaims(proof.standing),
    auth_time: Math.floor(Date.parse(signedInAt) / 1000),
    exp: expires,
  });
  return { access_token: token, token_type: 'Bearer', expires_in: TOKEN_SECONDS, scope: SCOPE };
}
