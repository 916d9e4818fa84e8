// Who an agent is, proved at the token endpoint: by a key of its own (RFC 7523 §2.2), by a token of an issuer or trust
// domain that policy names, or by the certificate of its connection (RFC 8705 §2.1).
import { keysOf } from '../../commands/agents/agent-keys.ts';
import { findAgent, findAgentNamed } from '../../commands/agents/agents.ts';
import { readActiveBundle } from '../../commands/policy/policies.ts';
import type { Proof } from '../../commands/sign-in/agent-sign-in.ts';
import {
  judgeCertificate,
  type ClientCertificate,
} from '../../commands/sign-in/foreign-certificates.ts';
import {
  judgeIssuerToken,
  judgeSvidToken,
  onlyOthers,
  type Judgement,
  type LetIn,
  type TokenJudge,
} from '../../commands/sign-in/foreign-tokens.ts';
import { TrustUnavailable } from '../../commands/sign-in/foreign-trust.ts';
import { proveKeyByCertificate } from '../../commands/sign-in/own-certificates.ts';
import type { AgentRow, KeyRow } from '../../db/rows.ts';
import { isId } from '../../domain/id.ts';
import { ASSERTION_GRACE_SECONDS, verifyAssertion } from '../../keys/assertion.ts';
import { unverifiedClaims, type TokenFault } from '../../keys/verify.ts';
import { isUnstorable } from '../body.ts';
import type { ApiDeps, AppContext } from '../route.ts';
import { OAuthError } from './error.ts';

const JWT_ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
/** draft-ietf-oauth-spiffe-client-auth §3.1. */
const SVID_ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe';
/** RFC 7523 §2.1: the assertion is the grant, and says by itself who comes. */
export const JWT_BEARER_GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
/** Longer-lived assertions are refused: they would have to be remembered for as long. */
const ASSERTION_SECONDS_MAX = 300;

/** An agent that has just proved who it is, and what with. */
export interface ProvenClient {
  agent: AgentRow;
  proof: Proof;
}

type Form = ReadonlyMap<string, string>;

export const tokenEndpoint = (publicUrl: string): string => `${publicUrl}/oauth2/token`;

/** Finds out which agent calls the token endpoint, or refuses. Whoever uses the proof has to use it up. */
export async function authenticateClient(
  form: Form,
  context: AppContext,
  deps: ApiDeps,
): Promise<ProvenClient> {
  const { type, assertion } = assertionOf(form);
  if (type === null) return byCertificate(form, context, deps);
  if (type === SVID_ASSERTION) return bySvid(assertion, form, deps);
  return isOwnAssertion(assertion) ? byKey(assertion, form, deps) : byIssuer(assertion, form, deps);
}

/** The one assertion of a call, whether it stands for the client or is the grant itself. */
function assertionOf(form: Form): { type: string | null; assertion: string } {
  const type = form.get('client_assertion_type');
  const assertion = form.get('client_assertion');
  const grant = form.get('assertion');
  if (form.get('grant_type') === JWT_BEARER_GRANT) {
    if (grant === undefined) throw new OAuthError('invalid_request', 'Send the JWT as assertion.');
    if (type !== undefined || assertion !== undefined)
      throw new OAuthError('invalid_request', 'Send assertion or client_assertion, not both.');
    return { type: JWT_ASSERTION, assertion: grant };
  }
  if (type === undefined && assertion === undefined) return { type: null, assertion: '' };
  if (type !== JWT_ASSERTION && type !== SVID_ASSERTION)
    throw new OAuthError(
      'invalid_request',
      `Use client_assertion_type=${JWT_ASSERTION}, or ${SVID_ASSERTION} with a JWT-SVID.`,
    );
  if (assertion === undefined)
    throw new OAuthError('invalid_request', 'Send the JWT as client_assertion.');
  return { type, assertion };
}

/** An agent names itself as the issuer, which no issuer of policy can be called. */
function isOwnAssertion(assertion: string): boolean {
  const { iss } = readUnverified(assertion);
  return iss === undefined || isId('agent', iss);
}

function readUnverified(assertion: string): { iss?: string | undefined; sub?: string | undefined } {
  const claims = unverifiedClaims(assertion);
  if (!claims) throw new OAuthError('invalid_client', 'The assertion is not a JWT.');
  const text = (claim: unknown): string | undefined =>
    typeof claim === 'string' ? claim : undefined;
  return { iss: text(claims['iss']), sub: text(claims['sub']) };
}

async function byIssuer(assertion: string, form: Form, deps: ApiDeps): Promise<ProvenClient> {
  const judge = await tokenJudge(deps);
  return oneOf(await believed(judgeIssuerToken(assertion, judge)), form.get('client_id'), deps);
}

async function bySvid(assertion: string, form: Form, deps: ApiDeps): Promise<ProvenClient> {
  const judge = await tokenJudge(deps);
  const lets = await believed(judgeSvidToken(assertion, judge));
  const { sub } = readUnverified(assertion);
  // Its SPIFFE ID is what such a client may call itself, and says no more than the token does.
  const clientId = form.get('client_id');
  return oneOf(lets, clientId === sub ? undefined : clientId, deps);
}

/** What to judge others' tokens and certificates by. */
export async function tokenJudge(deps: ApiDeps): Promise<TokenJudge> {
  const { federation: all } = await readActiveBundle(deps.db.query, deps.policies);
  const federation = onlyOthers(all, { ...deps.installation, publicUrl: deps.publicUrl });
  return { federation, trust: deps.trust, audiences: audiencesOf(deps), now: new Date() };
}

/** Names under which this server may be an audience. */
const audiencesOf = ({ installation: { issuer }, publicUrl }: ApiDeps): string[] => [
  issuer,
  tokenEndpoint(issuer),
  publicUrl,
  tokenEndpoint(publicUrl),
];

/** What lets somebody in; a refusal says why nothing does. */
async function believed(judging: Promise<Judgement>): Promise<LetIn[]> {
  try {
    const judgement = await judging;
    if (Array.isArray(judgement)) return judgement;
    throw new OAuthError('invalid_client', judgement.says);
  } catch (error) {
    // Without its keys nothing of a source can be believed, and nothing is believed for want of them (I6).
    if (error instanceof TrustUnavailable)
      throw new OAuthError('temporarily_unavailable', `Try again in a minute: ${error.message}.`);
    throw error;
  }
}

/** The one agent that is let in; where several are, the caller has to say which it is. */
async function oneOf(
  lets: readonly LetIn[],
  clientId: string | undefined,
  deps: ApiDeps,
): Promise<ProvenClient> {
  const names = [...new Set(lets.map(({ agent }) => agent))];
  const rows = await Promise.all(names.map((name) => findAgentNamed(deps.db.query, name)));
  const known = rows.filter((row) => row !== null);
  const meant = clientId === undefined ? known : known.filter(({ id }) => id === clientId);
  const [agent, ...others] = meant;
  if (!agent)
    throw new OAuthError('invalid_client', 'The agent that this leads to is not registered here.');
  if (others.length > 0)
    throw new OAuthError(
      'invalid_client',
      'This leads to several agents: say which one you are with client_id.',
    );
  refuseInactive(agent);
  const found = lets.find((each) => each.agent === agent.name);
  if (!found) throw new Error('an agent was let in by nothing');
  return { agent, proof: found.proof };
}

function refuseInactive(agent: AgentRow): void {
  if (agent.state !== 'active' || agent.retiring)
    throw new OAuthError('invalid_client', `This agent is ${agent.state}.`);
}

async function byCertificate(
  form: Form,
  context: AppContext,
  deps: ApiDeps,
): Promise<ProvenClient> {
  const certificate = context.get('clientCertificate');
  if (certificate === null)
    throw new OAuthError(
      'invalid_request',
      `Say who you are: with client_assertion_type=${JWT_ASSERTION}, or by a client certificate.`,
    );
  const clientId = form.get('client_id');
  const own = clientId === undefined ? null : await byOwnCertificate(clientId, certificate, deps);
  if (own) return own;
  const { federation, trust, now } = await tokenJudge(deps);
  const lets = await believed(judgeCertificate(certificate, { federation, trust, now }));
  const isOwnSpiffeId = lets.some(({ proof }) => proof.workload?.['spiffe_id'] === clientId);
  return oneOf(lets, isOwnSpiffeId ? undefined : clientId, deps);
}

/** RFC 8705 §2.2: the agent says who it is, and its certificate is of one of its keys. */
async function byOwnCertificate(
  clientId: string,
  certificate: ClientCertificate,
  deps: ApiDeps,
): Promise<ProvenClient | null> {
  const agent = isId('agent', clientId) ? await findAgent(deps.db.query, clientId) : null;
  if (!agent) return null;
  const keys = (await keysOf(deps.db.query, agent.id)).filter(isGoodNow);
  const proof = proveKeyByCertificate(certificate, keys, new Date());
  if (!proof) return null;
  refuseInactive(agent);
  return { agent, proof };
}

async function byKey(assertion: string, form: Form, deps: ApiDeps): Promise<ProvenClient> {
  const agent = await claimedAgent(assertion, deps);
  const clientId = form.get('client_id');
  if (clientId !== undefined && clientId !== agent.id)
    throw new OAuthError('invalid_client', 'client_id and the assertion name different agents.');
  const { key, jti, exp } = await provenKey(assertion, agent, deps);
  // Only now: what state an agent is in is nobody's business but its own.
  refuseInactive(agent);
  const expiresAt = new Date((exp + ASSERTION_GRACE_SECONDS) * 1000).toISOString();
  return {
    agent,
    proof: {
      method: 'private_key_jwt',
      standing: { kind: 'key', key: key.id },
      once: { source: agent.id, jti, expiresAt },
      certificate: null,
      posture: null,
      workload: null,
    },
  };
}

/** Whose keys to try. The claim is not believed until one of them has verified it. */
async function claimedAgent(assertion: string, deps: ApiDeps): Promise<AgentRow> {
  const { sub } = readUnverified(assertion);
  const agent =
    sub !== undefined && isId('agent', sub) ? await findAgent(deps.db.query, sub) : null;
  if (!agent) throw new OAuthError('invalid_client', 'The assertion names no agent known here.');
  return agent;
}

async function provenKey(
  assertion: string,
  agent: AgentRow,
  deps: ApiDeps,
): Promise<{ key: KeyRow; jti: string; exp: number }> {
  const keys = (await keysOf(deps.db.query, agent.id)).filter(isGoodNow);
  const audience = audiencesOf(deps);
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

/** A key that is being retired is one until its overlap is over. */
const isGoodNow = ({ state, retireAt }: KeyRow): boolean =>
  state === 'active' && (retireAt === null || Date.parse(retireAt) > Date.now());
