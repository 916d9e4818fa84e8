// The token endpoint: private_key_jwt in, an RFC 9068 access token out (RFC 6749 §4.4, RFC 7523 §2.2).
import { randomUUID } from 'node:crypto';
import { keysOf } from '../../commands/agent-keys.ts';
import { recordAgentSignIn } from '../../commands/agent-sign-in.ts';
import { findAgent } from '../../commands/agents.ts';
import { transact } from '../../commands/unit.ts';
import type { AgentRow, KeyRow } from '../../db/rows.ts';
import { isId } from '../../domain/id.ts';
import { Refusal } from '../../domain/refusal.ts';
import { ASSERTION_GRACE_SECONDS, verifyAssertion } from '../../keys/assertion.ts';
import { ACCESS_TOKEN } from '../../keys/tokens.ts';
import { unverifiedClaims, type TokenFault } from '../../keys/verify.ts';
import { isUnstorable, readForm } from '../body.ts';
import type { ApiDeps, AppContext } from '../route.ts';

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
/** Longer-lived assertions are refused: they would have to be remembered for as long. */
const ASSERTION_SECONDS_MAX = 300;
const TOKEN_SECONDS = 900;
/** What an access token of ours lets an agent do: act as itself. Roles are asked for under a task. */
const SCOPE = 'agent';

/** RFC 6749 §5.2: this endpoint has its own shape of error. */
export class OAuthError extends Error {
  readonly code: 'invalid_client' | 'invalid_request' | 'unsupported_grant_type';
  constructor(code: OAuthError['code'], description: string) {
    super(description);
    this.code = code;
  }
}

export const tokenEndpoint = (publicUrl: string): string => `${publicUrl}/oauth2/token`;

export async function issueToken(context: AppContext, deps: ApiDeps): Promise<Response> {
  context.header('cache-control', 'no-store');
  try {
    const form = await readForm(context.req);
    if (form.get('grant_type') !== 'client_credentials')
      throw new OAuthError('unsupported_grant_type', 'Use grant_type=client_credentials.');
    if (form.get('client_assertion_type') !== ASSERTION_TYPE)
      throw new OAuthError('invalid_request', `Use client_assertion_type=${ASSERTION_TYPE}.`);
    const assertion = form.get('client_assertion') ?? '';
    return context.json(await exchange(assertion, form.get('client_id'), deps, context));
  } catch (error) {
    return refuseOAuth(context, error);
  }
}

/** An error in the shape of RFC 6749 §5.2; anything that has none is thrown on. */
export function refuseOAuth(context: AppContext, error: unknown): Response {
  if (error instanceof OAuthError)
    return context.json(
      { error: error.code, error_description: error.message },
      error.code === 'invalid_client' ? 401 : 400,
    );
  if (error instanceof Refusal && error.code === 'invalid_request')
    return context.json({ error: 'invalid_request', error_description: error.message }, 400);
  throw error;
}

async function exchange(
  assertion: string,
  clientId: string | undefined,
  deps: ApiDeps,
  context: AppContext,
): Promise<{ access_token: string; token_type: 'Bearer'; expires_in: number; scope: string }> {
  const agent = await claimedAgent(assertion, deps);
  if (clientId !== undefined && clientId !== agent.id)
    throw new OAuthError('invalid_client', 'client_id and the assertion name different agents.');
  const { key, jti, exp } = await provenKey(assertion, agent, deps);
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
      key,
      assertion: jti,
      assertionExpiresAt: new Date((exp + ASSERTION_GRACE_SECONDS) * 1000).toISOString(),
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
    // The token dies with this key, and with the admission that was good at this time (RFC 9068 §2.2.1).
    key: key.id,
    auth_time: Math.floor(Date.parse(signedInAt) / 1000),
    exp: expires,
  });
  return { access_token: token, token_type: 'Bearer', expires_in: TOKEN_SECONDS, scope: SCOPE };
}

/** Whose keys to try. The claim is not believed until one of them has verified it. */
async function claimedAgent(assertion: string, deps: ApiDeps): Promise<AgentRow> {
  const claims = unverifiedClaims(assertion);
  if (!claims) throw new OAuthError('invalid_client', 'client_assertion is not a JWT.');
  const { sub: subject } = claims;
  const agent =
    typeof subject === 'string' && isId('agent', subject)
      ? await findAgent(deps.db.query, subject)
      : null;
  if (!agent) throw new OAuthError('invalid_client', 'The assertion names no agent known here.');
  if (agent.state !== 'active' || agent.retiring)
    throw new OAuthError('invalid_client', `This agent is ${agent.state}.`);
  return agent;
}

async function provenKey(
  assertion: string,
  agent: AgentRow,
  deps: ApiDeps,
): Promise<{ key: KeyRow; jti: string; exp: number }> {
  const { issuer } = deps.installation;
  const keys = (await keysOf(deps.db.query, agent.id)).filter((key) => key.state === 'active');
  const audience = [issuer, tokenEndpoint(issuer), deps.publicUrl, tokenEndpoint(deps.publicUrl)];
  const verdict = verifyAssertion(assertion, { client: agent.id, keys, audience, now: new Date() });
  if (verdict.fault !== null) throw new OAuthError('invalid_client', whyNot(verdict.fault));
  const { key, jti, exp } = verdict;
  if (jti === '' || jti.length > 200 || isUnstorable(jti))
    throw new OAuthError('invalid_client', 'The assertion needs a jti of 1 to 200 characters.');
  if (!(exp <= Date.now() / 1000 + ASSERTION_SECONDS_MAX + ASSERTION_GRACE_SECONDS))
    throw new OAuthError(
      'invalid_client',
      `The assertion may be good for at most ${ASSERTION_SECONDS_MAX} seconds.`,
    );
  return { key, jti, exp };
}

/** What an agent can mend is said; which of its keys it was not is nobody's business. */
const whyNot = (fault: TokenFault): string =>
  fault === 'not_yet'
    ? 'The assertion says it was made in the future.'
    : 'The assertion does not verify: sign it with ES256 and a registered key, iss and sub the agent, aud this server, exp in the next minutes.';
