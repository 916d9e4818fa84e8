// Finds out who calls. Each kind of principal has its own kind of credential, and none can pass for another.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { getCookie } from 'hono/cookie';
import { findSession } from '../commands/people/people.ts';
import type { AgentPrincipal, PersonPrincipal, Principal } from '../commands/principal.ts';
import { databaseTime } from '../commands/unit.ts';
import type { SessionRow } from '../db/rows.ts';
import { rolesOfScope, type Confirmation } from '../domain/delegation.ts';
import { Refusal } from '../domain/refusal.ts';
import { PROOF_ALGORITHMS } from '../keys/proof.ts';
import { readProof, useProof } from './oauth/dpop.ts';
import { OAuthError } from './oauth/error.ts';
import { readOwnToken, type OwnToken } from './oauth/own-token.ts';
import { ChallengeRefusal } from './problem.ts';
import type { ApiDeps, AppContext } from './route.ts';

export const SESSION_COOKIE = 'cs_session';

/** A sign-in this recent counts as a fresh proof that its person is there. */
const FRESH_SECONDS = 300;

/** Whoever the request says it is from; null if it says nothing. A wrong credential is refused, not ignored. */
export async function authenticate(context: AppContext, deps: ApiDeps): Promise<Principal | null> {
  const authorization = context.req.header('authorization');
  if (authorization !== undefined) return fromToken(context, authorization, deps);
  const cookie = getCookie(context, SESSION_COOKIE);
  return cookie === undefined ? null : fromCookie(context, cookie, deps);
}

async function fromToken(
  context: AppContext,
  authorization: string,
  deps: ApiDeps,
): Promise<Principal> {
  const [, scheme = '', token] = /^(Bearer|DPoP) ([\x21-\x7e]+)$/i.exec(authorization) ?? [];
  if (token === undefined)
    throw unauthenticated('Send the token as: Authorization: Bearer <token>.');
  const isDpop = scheme.toLowerCase() === 'dpop';
  if (!isDpop && isAdminToken(token, deps.adminTokenHash))
    return { kind: 'service', id: 'admin-token' };
  const own = await readOwnToken(token, deps);
  const refused = isDpop ? challenge : bearerChallenge;
  if (!own) throw refused('This token is not one of ours, or is over: sign in again.');
  await refuseUnbound(context, deps, { token, isDpop, confirmation: own.confirmation });
  const { agent } = own;
  if (agent.state !== 'active')
    throw new Refusal(
      'agent_not_active',
      `This agent is ${agent.state}: only an active one is let in.`,
      { state: agent.state },
    );
  if (own.mayAct !== null)
    throw refused(
      `This token is for ${own.mayAct} to exchange at the token endpoint, and for nothing else.`,
    );
  return { kind: 'agent', id: agent.id, ...delegationOf(own), token: own };
}

/** What a token narrows its agent to, if it is not one that the agent signed in with. */
function delegationOf(own: OwnToken): Pick<AgentPrincipal, 'delegation' | 'onBehalf'> {
  const { task, chain, person, jti: tokenId, expiresAt } = own;
  const roles = rolesOfScope(own.scope);
  if (person !== null) return { onBehalf: { person, tokenId, expiresAt, roles } };
  return task === null ? {} : { delegation: { task, chain, roles } };
}

/** A bound token is good only together with what it is bound to, and never as if it were not (RFC 9449 §7.2). */
async function refuseUnbound(
  context: AppContext,
  deps: ApiDeps,
  sent: { token: string; isDpop: boolean; confirmation: Confirmation | null },
): Promise<void> {
  const { token, isDpop, confirmation } = sent;
  const jkt = confirmation && 'jkt' in confirmation ? confirmation.jkt : null;
  if (jkt !== null && !isDpop)
    throw challenge('This token is bound to a key: send it as Authorization: DPoP, with a proof.');
  if (jkt === null && isDpop)
    throw challenge('This token is bound to no key: send it as Authorization: Bearer.');
  if (jkt !== null && (await provenKey(context, deps, { token, jkt })) !== jkt)
    throw challenge('The DPoP proof was made by another key than the one of this token.');
  if (confirmation === null || jkt !== null) return;
  const certificate = context.get('clientCertificate')?.thumbprint;
  if (certificate === undefined)
    throw bearerChallenge('This token is bound to a certificate: come over TLS with it.');
  if (!('x5t#S256' in confirmation) || confirmation['x5t#S256'] !== certificate)
    throw bearerChallenge('This token is bound to another certificate than the one you came with.');
}

async function provenKey(
  context: AppContext,
  deps: ApiDeps,
  { token, jkt }: { token: string; jkt: string },
): Promise<string> {
  try {
    const proof = await readProof(context, deps, token);
    // One that was made by another key than the token's is nothing to remember.
    if (proof.thumbprint === jkt) await useProof(deps, proof);
    return proof.thumbprint;
  } catch (error) {
    if (error instanceof OAuthError) throw challenge(error.message, error.code);
    throw error;
  }
}

/** RFC 9449 §7.1: which scheme a token wants, and what was wrong with the proof. */
const challenge = (detail: string, code = 'invalid_token'): ChallengeRefusal =>
  new ChallengeRefusal(detail, `DPoP error="${code}", algs="${PROOF_ALGORITHMS.join(' ')}"`);

/** RFC 8705 §3: a token that is bound to a certificate is a bearer token, and refused as one (RFC 6750 §3.1). */
const bearerChallenge = (detail: string): ChallengeRefusal =>
  new ChallengeRefusal(detail, 'Bearer error="invalid_token"');

/** Compared as hashes of equal length, so that neither length nor content leaks through time. */
function isAdminToken(token: string, expected: Buffer | null): boolean {
  if (expected === null) return false;
  return timingSafeEqual(createHash('sha256').update(token).digest(), expected);
}

async function fromCookie(
  context: AppContext,
  cookie: string,
  deps: ApiDeps,
): Promise<PersonPrincipal | null> {
  const now = await databaseTime(deps.db.query);
  const found = await findSession(deps.db.query, cookie, now);
  // A cookie that is over is how every session ends: the caller is simply nobody.
  if (!found) return null;
  refuseForged(context, cookie);
  const { person, session } = found;
  return {
    kind: 'person',
    id: person.id,
    name: person.name,
    roles: person.roles,
    groups: person.groups,
    session: session.id,
    strength: isFresh(session, now) ? 'fresh' : 'session',
  };
}

const isFresh = (session: SessionRow, now: string): boolean =>
  Date.parse(now) - Date.parse(session.createdAt) <= FRESH_SECONDS * 1000;

/** The token that a page of ours puts into its writes. It follows from the cookie, which scripts cannot read. */
export const csrfToken = (cookie: string): string =>
  createHmac('sha256', cookie).update('countersign/csrf/v1').digest('base64url');

const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS'];

function refuseForged(context: AppContext, cookie: string): void {
  if (SAFE_METHODS.includes(context.req.method)) return;
  // Forms of the console carry the token as a field, which their handler compares. The API has no such forms.
  if (isForm(context) && !context.req.path.startsWith('/v1/')) return;
  if (!isCsrfToken(cookie, context.req.header('x-csrf-token')))
    throw new Refusal(
      'forbidden',
      'A session changes something only with its csrf_token: send it as X-CSRF-Token (GET /v1/session has it).',
    );
}

const isForm = (context: AppContext): boolean =>
  context.req.header('content-type')?.startsWith('application/x-www-form-urlencoded') ?? false;

export function isCsrfToken(cookie: string, given: string | undefined): boolean {
  const expected = Buffer.from(csrfToken(cookie));
  const bytes = Buffer.from(given ?? '');
  return bytes.length === expected.length && timingSafeEqual(bytes, expected);
}

const unauthenticated = (detail: string): Refusal => new Refusal('unauthenticated', detail);
