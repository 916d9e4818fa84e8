// People and their sessions.
import { asc, eq, gt } from 'drizzle-orm';
import { deleteCookie, getCookie } from 'hono/cookie';
import { z } from 'zod';
import { findAgent } from '../commands/agents/agents.ts';
import { changeOwningPerson } from '../commands/agents/owners.ts';
import { TRIGGER_PROOF, TRIGGER_PROOF_SECONDS } from '../commands/agents/triggers.ts';
import { answerOnce } from '../commands/once.ts';
import {
  asPersonId,
  lockPerson,
  invitePerson,
  makeSignInLink,
  signIn,
  signOut,
  tokenHash,
  type SignInLink,
} from '../commands/people/people.ts';
import type { PersonPrincipal, Principal } from '../commands/principal.ts';
import { transact } from '../commands/unit.ts';
import type { PersonRow } from '../db/rows.ts';
import { person, session } from '../db/schema/index.ts';
import type { JsonObject } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import { csrfToken, SESSION_COOKIE } from './auth.ts';
import { pageOf, readCursor } from './cursor.ts';
import { presentPerson } from './present.ts';
import { created, defineRoute, noContent, ok, type ApiDeps, type AppContext } from './route.ts';
import * as shape from './schemas.ts';

const linkOf = (deps: ApiDeps, link: SignInLink): JsonObject => ({
  sign_in_url: `${deps.publicUrl}/sign-in/${link.token}`,
  sign_in_expires_at: link.expiresAt,
});

const invite = defineRoute({
  method: 'post',
  path: '/v1/people',
  tag: 'People',
  summary: 'Invite a person; the answer carries a link that lets them in once',
  allow: ['admin'],
  body: shape.personBody,
  answers: {
    201: { description: 'The person and their sign-in link', schema: shape.invitedPerson },
  },
  refusals: ['name_taken', 'slack_user_taken'],
  events: ['person.invited', 'person.link_made'],
  handle: ({ call, once, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const row = await invitePerson(unit, body);
      const link = await makeSignInLink(unit, row.id);
      return created({ ...presentPerson(row), ...linkOf(deps, link) });
    }),
});

const list = defineRoute({
  method: 'get',
  path: '/v1/people',
  tag: 'People',
  summary: 'List people',
  allow: ['auditor'],
  query: z.strictObject(shape.listQuery),
  answers: { 200: { description: 'A page of people', schema: shape.listOf(shape.person) } },
  refusals: [],
  events: [],
  handle: async ({ query }, deps) => {
    const after = readCursor(deps.keys.cursors, 'people', query.cursor);
    const rows = await deps.db.query
      .select()
      .from(person)
      .where(after === null ? undefined : gt(person.id, asPersonId(after)))
      .orderBy(asc(person.id))
      .limit(query.limit + 1);
    const page = pageOf(rows, query.limit, (row) => row.id, deps.keys.cursors, 'people');
    return ok({ data: page.rows.map(presentPerson), next_cursor: page.next });
  },
});

const change = defineRoute({
  method: 'patch',
  path: '/v1/people/{id}',
  tag: 'People',
  summary: 'Change a person’s roles, groups or Slack user, or deactivate them',
  allow: ['admin'],
  body: shape.personChange,
  answers: { 200: { description: 'The person as they are now', schema: shape.person } },
  refusals: ['not_found', 'slack_user_taken'],
  events: ['person.changed', 'agent.orphaned', 'agent.owner_changed'],
  handle: ({ call, once, params, body }, deps) =>
    answerOnce(deps, call, once, async (unit) =>
      ok(presentPerson(await changeOwningPerson(unit, deps, params['id'] ?? '', body))),
    ),
});

const newLink = defineRoute({
  method: 'post',
  path: '/v1/people/{id}/links',
  tag: 'People',
  summary: 'Make a new sign-in link; earlier unused ones stop working',
  allow: ['admin'],
  body: shape.emptyBody,
  answers: { 201: { description: 'The person and their link', schema: shape.invitedPerson } },
  refusals: ['not_found'],
  events: ['person.link_made'],
  handle: ({ call, once, params }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const row = await lockPerson(unit, params['id'] ?? '');
      const link = await makeSignInLink(unit, row.id);
      return created({ ...presentPerson(row), ...linkOf(deps, link) });
    }),
});

export const sessionCookie = (deps: ApiDeps, token: string, expiresAt: string): string =>
  [
    `${SESSION_COOKIE}=${token}`,
    'Path=/',
    'HttpOnly',
    'SameSite=Lax',
    `Expires=${new Date(expiresAt).toUTCString()}`,
    ...(deps.publicUrl.startsWith('https:') ? ['Secure'] : []),
  ].join('; ');

/** A session as its person gets it. */
export const sessionBody = (who: PersonRow, token: string, expiresAt: string): JsonObject => ({
  person: presentPerson(who),
  csrf_token: csrfToken(token),
  expires_at: expiresAt,
});

const open = defineRoute({
  method: 'post',
  path: '/v1/sessions',
  tag: 'People',
  summary: 'Sign in with the token of a link; the link is used up',
  description:
    'With an Idempotency-Key, made at random for this one call, a repeat after a lost answer gets the same session and cookie again.',
  keyedBy: ({ token }) => `link:${tokenHash(token)}`,
  allow: ['anyone'],
  body: shape.sessionBody,
  answers: {
    201: {
      description: 'The session; its cookie is set',
      schema: shape.session,
      headers: { 'Set-Cookie': 'The cookie of the session' },
    },
  },
  refusals: ['link_used', 'link_expired', 'not_found', 'forbidden'],
  events: ['person.signed_in'],
  handle: ({ call, once, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const opened = await signIn(unit, body.token);
      const { expiresAt } = opened.session;
      return created(sessionBody(opened.person, opened.token, expiresAt), {
        'set-cookie': sessionCookie(deps, opened.token, expiresAt),
      });
    }),
});

const show = defineRoute({
  method: 'get',
  path: '/v1/session',
  tag: 'People',
  summary: 'The session you are in',
  allow: ['person'],
  answers: { 200: { description: 'The session', schema: shape.session } },
  refusals: [],
  events: [],
  handle: async ({ principal, context }, deps) => {
    const who = asPerson(principal);
    const [row] = await deps.db.query.select().from(person).where(eq(person.id, who.id));
    if (!row || !who.session)
      throw new Refusal('unauthenticated', 'This session is over: sign in again.');
    const [current] = await deps.db.query.select().from(session).where(eq(session.id, who.session));
    return ok(sessionBody(row, cookieOf(context), current?.expiresAt ?? ''));
  },
});

const cookieOf = (context: AppContext): string => getCookie(context, SESSION_COOKIE) ?? '';

const close = defineRoute({
  method: 'delete',
  path: '/v1/session',
  tag: 'People',
  summary: 'Sign out',
  allow: ['person'],
  answers: { 204: { description: 'Signed out' } },
  refusals: [],
  events: ['person.signed_out'],
  handle: async ({ principal, call, context }, deps) => {
    const who = asPerson(principal);
    if (who.session) {
      const id = who.session;
      await transact(deps, call, (unit) => signOut(unit, id));
    }
    deleteCookie(context, SESSION_COOKIE);
    return noContent();
  },
});

const prove = defineRoute({
  method: 'post',
  path: '/v1/session/trigger-proof',
  tag: 'People',
  summary: 'Say that you set off a task of this agent; it sends the proof with its task',
  allow: ['member'],
  body: shape.proofBody,
  answers: { 201: { description: 'A proof, good once', schema: shape.proof } },
  refusals: ['not_found'],
  // Nothing changes until an agent uses the proof, which is then part of task.started.
  events: [],
  handle: ({ principal, call, once, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const agent = await findAgent(unit.sql, body.agent);
      if (!agent) throw new Refusal('not_found', 'There is no such agent.');
      const exp = Math.floor(Date.now() / 1000) + TRIGGER_PROOF_SECONDS;
      const token = await deps.tokens.sign(TRIGGER_PROOF, {
        iss: deps.installation.issuer,
        sub: asPerson(principal).id,
        aud: agent.id,
        exp,
      });
      return created({ trigger_proof: token, expires_at: new Date(exp * 1000).toISOString() });
    }),
});

/** The route table has let only people through. */
export function asPerson(principal: Principal | null): PersonPrincipal {
  if (principal?.kind !== 'person')
    throw new Refusal(
      'forbidden',
      'This is for people: sign in, as a token speaks for nobody here.',
    );
  return principal;
}

export const peopleRoutes = [invite, list, change, newLink, open, show, close, prove];
