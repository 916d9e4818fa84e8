// Who an agent is, proved at the token endpoint: an assertion signed with one of its registered keys (RFC 7523 §2.2).
import { keysOf } from '../../commands/agent-keys.ts';
import { findAgent } from '../../commands/agents.ts';
import type { AgentRow, KeyRow } from '../../db/rows.ts';
import { isId } from '../../domain/id.ts';
import { ASSERTION_GRACE_SECONDS, verifyAssertion } from '../../keys/assertion.ts';
import { unverifiedClaims, type TokenFault } from '../../keys/verify.ts';
import { isUnstorable } from '../body.ts';
import type { ApiDeps } from '../route.ts';
import { OAuthError } from './error.ts';

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
/** Longer-lived assertions are refused: they would have to be remembered for as long. */
const ASSERTION_SECONDS_MAX = 300;

/** An agent that has just proved who it is, and what with. */
export interface ProvenClient {
  agent: AgentRow;
  key: KeyRow;
  /** The `jti` of its assertion and when that may be forgotten: good once. */
  assertion: { jti: string; expiresAt: string };
}

export const tokenEndpoint = (publicUrl: string): string => `${publicUrl}/oauth2/token`;

/** Finds out which agent calls the token endpoint, or refuses. Whoever uses the proof has to use it up. */
export async function authenticateClient(
  form: ReadonlyMap<string, string>,
  deps: ApiDeps,
): Promise<ProvenClient> {
  if (form.get('client_assertion_type') !== ASSERTION_TYPE)
    throw new OAuthError('invalid_request', `Use client_assertion_type=${ASSERTION_TYPE}.`);
  const assertion = form.get('client_assertion') ?? '';
  const agent = await claimedAgent(assertion, deps);
  const clientId = form.get('client_id');
  if (clientId !== undefined && clientId !== agent.id)
    throw new OAuthError('invalid_client', 'client_id and the assertion name different agents.');
  const { key, jti, exp } = await provenKey(assertion, agent, deps);
  const expiresAt = new Date((exp + ASSERTION_GRACE_SECONDS) * 1000).toISOString();
  return { agent, key, assertion: { jti, expiresAt } };
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
