// Who an agent is, proved at the token endpoint: an assertion signed with one of its registered keys (RFC 7523 §2.2).
import { decodeJwt, importJWK, jwtVerify, type JWK } from 'jose';
import { keysOf } from '../../commands/agent-keys.ts';
import { findAgent } from '../../commands/agents.ts';
import type { AgentRow, KeyRow } from '../../db/rows.ts';
import { isId } from '../../domain/id.ts';
import { isUnstorable } from '../body.ts';
import type { ApiDeps } from '../route.ts';
import { OAuthError } from './error.ts';

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
/** Longer-lived assertions are refused: they would have to be remembered for as long. */
const ASSERTION_SECONDS_MAX = 300;
const SKEW_SECONDS = 30;

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
  const { key, jti, exp } = await verifyAssertion(assertion, agent, deps);
  const expiresAt = new Date((exp + SKEW_SECONDS) * 1000).toISOString();
  return { agent, key, assertion: { jti, expiresAt } };
}

/** Whose keys to try. The claim is not believed until one of them has verified it. */
async function claimedAgent(assertion: string, deps: ApiDeps): Promise<AgentRow> {
  let subject: string | undefined;
  try {
    subject = decodeJwt(assertion).sub;
  } catch {
    throw new OAuthError('invalid_client', 'client_assertion is not a JWT.');
  }
  const agent =
    subject !== undefined && isId('agent', subject)
      ? await findAgent(deps.db.query, subject)
      : null;
  if (!agent) throw new OAuthError('invalid_client', 'The assertion names no agent known here.');
  if (agent.state !== 'active' || agent.retiring)
    throw new OAuthError('invalid_client', `This agent is ${agent.state}.`);
  return agent;
}

async function verifyAssertion(
  assertion: string,
  agent: AgentRow,
  deps: ApiDeps,
): Promise<{ key: KeyRow; jti: string; exp: number }> {
  const { issuer } = deps.installation;
  const keys = (await keysOf(deps.db.query, agent.id)).filter(isGoodNow);
  for (const key of keys) {
    const payload = await verifyWith(assertion, key, agent, [
      issuer,
      tokenEndpoint(issuer),
      deps.publicUrl,
      tokenEndpoint(deps.publicUrl),
    ]);
    if (!payload) continue;
    const { jti, exp, iat } = payload;
    if (iat !== undefined && !(Number(iat) <= Date.now() / 1000 + SKEW_SECONDS))
      throw new OAuthError('invalid_client', 'The assertion says it was made in the future.');
    if (typeof jti !== 'string' || jti === '' || jti.length > 200 || isUnstorable(jti))
      throw new OAuthError('invalid_client', 'The assertion needs a jti of 1 to 200 characters.');
    if (
      typeof exp !== 'number' ||
      !(exp <= Date.now() / 1000 + ASSERTION_SECONDS_MAX + SKEW_SECONDS)
    )
      throw new OAuthError(
        'invalid_client',
        `The assertion may be good for at most ${ASSERTION_SECONDS_MAX} seconds.`,
      );
    return { key, jti, exp };
  }
  throw new OAuthError(
    'invalid_client',
    'The assertion does not verify: sign it with ES256 and a registered key, iss and sub the agent, aud this server, exp in the next minutes.',
  );
}

/** A key that is being retired is one until its overlap is over. */
const isGoodNow = ({ state, retireAt }: KeyRow): boolean =>
  state === 'active' && (retireAt === null || Date.parse(retireAt) > Date.now());

async function verifyWith(
  assertion: string,
  key: KeyRow,
  agent: AgentRow,
  audience: string[],
): Promise<Record<string, unknown> | null> {
  try {
    const publicKey = await importJWK(key.jwk as JWK, 'ES256');
    const { payload } = await jwtVerify(assertion, publicKey, {
      algorithms: ['ES256'],
      issuer: agent.id,
      subject: agent.id,
      audience,
      clockTolerance: SKEW_SECONDS,
      requiredClaims: ['exp', 'jti'],
    });
    return payload;
  } catch {
    return null;
  }
}
