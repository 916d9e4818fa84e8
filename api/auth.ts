// Finds out who calls. Each kind of principal has its own kind of credential, and none can pass for another.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { getCookie } from 'hono/cookie';
import type { JWTPayload } from 'jose';
import { findSignedIn, readStanding } from '../commands/agent-sign-in.ts';
import { findSession } from '../commands/people.ts';
import type { PersonPrincipal, Principal } from '../commands/principal.ts';
import { databaseTime } from '../commands/unit.ts';
import type { AgentRow, SessionRow } from '../db/rows.ts';
import { Refusal } from '../domain/refusal.ts';
import { ACCESS_TOKEN } from '../keys/tokens.ts';
import type { ApiDeps, AppContext } from './route.ts';

export const SESSION_COOKIE = 'cs_session';

/** A sign-in this recent counts as a fresh proof that its person is there. */
const FRESH_SECONDS = 300;

/** Whoever the request says it is from; null if it says nothing. A wrong credential is refused, not ignored. */
export async function authenticate(context: AppContext, deps: ApiDeps): Promise<Principal | null> {
  const authorization = context.req.header('authorization');
  if (authorization !== undefined) return fromBearer(authorization, deps);
  const cookie = getCookie(context, SESSION_COOKIE);
  return cookie === undefined ? null : fromCookie(context, cookie, deps);
}

async function fromBearer(authorization: string, deps: ApiDeps): Promise<Principal> {
  const token = /^Bearer ([\x21-\x7e]+)$/i.exec(authorization)?.[1];
  if (token === undefined)
    throw unauthenticated('Send the token as: Authorization: Bearer <token>.');
  if (isAdminToken(token, deps.adminTokenHash)) return { kind: 'service', id: 'admin-token' };
  const { issuer } = deps.installation;
  const claims = await deps.tokens.verify(token, ACCESS_TOKEN, issuer, issuer);
  const agent = claims && (await agentOf(claims, deps));
  if (!agent) throw unauthenticated('This token is not one of ours, or is over: sign in again.');
  if (agent.state !== 'active')
    throw new Refusal('agent_not_active', `This agent is ${agent.state}.`, { state: agent.state });
  return { kind: 'agent', id: agent.id };
}

/** The agent whose access token this is, whatever state it is in; null if the token died before its time. */
export async function agentOf(claims: JWTPayload, deps: ApiDeps): Promise<AgentRow | null> {
  const { sub, auth_time: atSeconds } = claims;
  const standing = readStanding(claims);
  if (sub === undefined || standing === null || typeof atSeconds !== 'number') return null;
  return findSignedIn(deps.db.query, deps.policies, { agent: sub, standing, atSeconds });
}

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
    throw new Refusal('forbidden', 'Send the session’s csrf_token as X-CSRF-Token.');
}

const isForm = (context: AppContext): boolean =>
  context.req.header('content-type')?.startsWith('application/x-www-form-urlencoded') ?? false;

export function isCsrfToken(cookie: string, given: string | undefined): boolean {
  const expected = Buffer.from(csrfToken(cookie));
  const bytes = Buffer.from(given ?? '');
  return bytes.length === expected.length && timingSafeEqual(bytes, expected);
}

const unauthenticated = (detail: string): Refusal => new Refusal('unauthenticated', detail);
