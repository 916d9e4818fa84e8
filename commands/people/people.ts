// People: invited by an administrator, let in by a link that works once, known afterwards by a session.
import { createHash, randomBytes } from 'node:crypto';
import { and, arrayContains, eq, isNull, sql } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { PersonRow, SessionRow } from '../../db/rows.ts';
import { person, session, signInLink, type PersonRole } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import { partyOf } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';

export interface Invitation {
  name: string;
  email?: string | undefined;
  roles: PersonRole[];
  groups: string[];
  slack_user_id?: string | undefined;
}

export interface SignInLink {
  token: string;
  expiresAt: string;
}

const LINK_HOURS = 24;
const SESSION_HOURS = 12;

/** Tokens are 256 random bits, so a plain hash is enough to store them by. */
export const tokenHash = (token: string): string =>
  createHash('sha256').update(token).digest('hex');
const newToken = (): string => randomBytes(32).toString('base64url');
const later = (at: string, hours: number): string => addSeconds(at, hours * 3600);

export async function invitePerson(unit: Unit, invitation: Invitation): Promise<PersonRow> {
  const row: PersonRow = {
    id: newId('person'),
    name: invitation.name,
    email: invitation.email ?? null,
    roles: invitation.roles,
    groups: invitation.groups,
    slackUserId: invitation.slack_user_id ?? null,
    slackBinding: invitation.slack_user_id === undefined ? null : 'set_by_admin',
    state: 'active',
    invitedBy: partyOf(unit.call.principal),
    createdAt: unit.at,
  };
  await refuseTakenSlackUser(unit, row);
  await refuseTakenEmail(unit, row);
  await unit.sql.insert(person).values(row);
  unit.emit('person.invited', {
    subject: row.id,
    detail: { roles: row.roles, groups: row.groups, invited_by: asJson(row.invitedBy) },
    private: { name: row.name, email: row.email, slack_user_id: row.slackUserId },
  });
  return row;
}

const asJson = ({ type, id }: { type: string; id: string }) => ({ type, id });

export interface PersonChange {
  roles?: PersonRole[] | undefined;
  groups?: string[] | undefined;
  slack_user_id?: string | null | undefined;
  state?: 'active' | 'deactivated' | undefined;
}

/** A person as they are now. */
export async function knownPerson(query: Query, id: string): Promise<PersonRow> {
  const [row] = await query
    .select()
    .from(person)
    .where(eq(person.id, asPersonId(id)));
  if (!row) throw new Refusal('not_found', 'There is no such person.');
  return row;
}

/** A person, held as they are until the transaction ends. */
export async function lockPerson(unit: Unit, id: string): Promise<PersonRow> {
  const [row] = await unit.sql
    .select()
    .from(person)
    .where(eq(person.id, asPersonId(id)))
    .for('update');
  if (!row) throw new Refusal('not_found', 'There is no such person.');
  return row;
}

/** Changes what a person may do. Votes not yet counted are judged by what is true then, not when cast. */
export async function changePerson(
  unit: Unit,
  id: string,
  change: PersonChange,
): Promise<PersonRow> {
  const before = await lockPerson(unit, id);
  const row: PersonRow = {
    ...before,
    roles: change.roles ?? before.roles,
    groups: change.groups ?? before.groups,
    ...slackUserAfter(before, change),
    state: change.state ?? before.state,
  };
  await refuseTakenSlackUser(unit, row);
  await unit.sql.update(person).set(row).where(eq(person.id, row.id));
  if (row.state === 'deactivated') await endSessions(unit, row.id);
  unit.emit('person.changed', {
    subject: row.id,
    detail: {
      roles: row.roles,
      groups: row.groups,
      state: row.state,
      slack_changed: row.slackUserId !== before.slackUserId,
      changed_by: asJson(partyOf(unit.call.principal)),
    },
    private: { name: row.name, email: row.email, slack_user_id: row.slackUserId },
  });
  return row;
}

/** A Slack user who is named again, and is theirs already, stays theirs as before. */
function slackUserAfter(
  { slackUserId, slackBinding }: PersonRow,
  { slack_user_id: named }: PersonChange,
): Pick<PersonRow, 'slackUserId' | 'slackBinding'> {
  if (named === undefined || named === slackUserId) return { slackUserId, slackBinding };
  return { slackUserId: named, slackBinding: named === null ? null : 'set_by_admin' };
}

/** Two people behind one Slack user could both vote with one click. */
export async function refuseTakenSlackUser(unit: Unit, row: PersonRow): Promise<void> {
  if (row.slackUserId === null) return;
  await lockNames(unit);
  const [other] = await unit.sql
    .select({ id: person.id })
    .from(person)
    .where(eq(person.slackUserId, row.slackUserId));
  if (other && other.id !== row.id)
    throw new Refusal(
      'slack_user_taken',
      `Another person already has the Slack user ${row.slackUserId}: take it from them first.`,
    );
}

/** Two people behind one address would be one human who counts twice. */
async function refuseTakenEmail(unit: Unit, row: PersonRow): Promise<void> {
  if (row.email === null) return;
  await lockNames(unit);
  const [other] = await unit.sql
    .select({ id: person.id })
    .from(person)
    .where(sql`lower(${person.email}) = lower(${row.email})`);
  if (other)
    throw new Refusal(
      'name_taken',
      `The person ${other.id} already has this e-mail address: change that person, or use another address.`,
      { person: other.id },
    );
}

/** Whoever takes a name that is unique among people takes it after everybody before has theirs. */
const lockNames = (unit: Unit): Promise<unknown> =>
  unit.sql.execute(sql`select pg_advisory_xact_lock(hashtextextended('person/names', 0))`);

async function endSessions(unit: Unit, id: Id<'person'>): Promise<void> {
  await unit.sql
    .update(session)
    .set({ endedAt: unit.at })
    .where(and(eq(session.person, id), isNull(session.endedAt)));
}

/** A new sign-in link. Earlier ones that were not used stop working. */
export async function makeSignInLink(unit: Unit, id: Id<'person'>): Promise<SignInLink> {
  const token = newToken();
  const expiresAt = later(unit.at, LINK_HOURS);
  await unit.sql
    .update(signInLink)
    .set({ expiresAt: unit.at })
    .where(and(eq(signInLink.person, id), isNull(signInLink.usedAt)));
  await unit.sql
    .insert(signInLink)
    .values({ tokenHash: tokenHash(token), person: id, createdAt: unit.at, expiresAt });
  // Whoever makes a link could use it: the log says who that was.
  unit.emit('person.link_made', {
    subject: id,
    detail: { made_by: asJson(partyOf(unit.call.principal)), expires_at: expiresAt },
    private: {},
  });
  return { token, expiresAt };
}

/** Whether a link could be used now; looking consumes nothing. */
export async function isLinkUsable(query: Query, token: string, now: string): Promise<boolean> {
  const [link] = await query
    .select()
    .from(signInLink)
    .where(eq(signInLink.tokenHash, tokenHash(token)));
  return link !== undefined && link.usedAt === null && link.expiresAt > now;
}

/** A session that was just opened; its token is told to nobody but its person. */
export interface OpenedSession {
  person: PersonRow;
  session: SessionRow;
  token: string;
}

/** Turns a link into a session: one row, compared and set, so that a second use finds it used. */
export async function signIn(unit: Unit, token: string): Promise<OpenedSession> {
  const [link] = await unit.sql
    .select()
    .from(signInLink)
    .where(eq(signInLink.tokenHash, tokenHash(token)))
    .for('update');
  const now = await unit.readClock();
  if (!link)
    throw new Refusal('not_found', 'This sign-in link is not one of ours. Ask for a new one.');
  if (link.usedAt !== null)
    throw new Refusal('link_used', 'This sign-in link was already used. Ask for a new one.');
  if (!(now < link.expiresAt))
    throw new Refusal('link_expired', 'This sign-in link is too old. Ask for a new one.');
  await unit.sql
    .update(signInLink)
    .set({ usedAt: now })
    .where(eq(signInLink.tokenHash, link.tokenHash));
  return openSession(unit, link.person, { method: 'link', passkey: null });
}

/** Opens a session for somebody who proved who they are. */
export async function openSession(
  unit: Unit,
  id: Id<'person'>,
  { method, passkey }: { method: SessionRow['method']; passkey: Id<'passkey'> | null },
): Promise<OpenedSession> {
  const [who] = await unit.sql.select().from(person).where(eq(person.id, id));
  if (!who || who.state !== 'active')
    throw new Refusal('forbidden', 'This person was deactivated. Ask an administrator.');
  const now = unit.at;
  const sessionToken = newToken();
  const row: SessionRow = {
    id: newId('session'),
    tokenHash: tokenHash(sessionToken),
    person: who.id,
    method,
    createdAt: now,
    expiresAt: later(now, SESSION_HOURS),
    endedAt: null,
  };
  await unit.sql.insert(session).values(row);
  unit.emit('person.signed_in', {
    subject: who.id,
    actor_chain: [{ type: 'person', id: who.id }],
    human: who.id,
    session: row.id,
    detail: { method, passkey },
    private: {},
  });
  return { person: who, session: row, token: sessionToken };
}

export async function signOut(unit: Unit, id: Id<'session'>): Promise<void> {
  const [ended] = await unit.sql
    .update(session)
    .set({ endedAt: unit.at })
    .where(and(eq(session.id, id), isNull(session.endedAt)))
    .returning();
  if (ended) unit.emit('person.signed_out', { subject: ended.person, detail: {}, private: {} });
}

/** The person and session behind a cookie, if both are still good. */
export async function findSession(
  query: Query,
  token: string,
  now: string,
): Promise<{ person: PersonRow; session: SessionRow } | null> {
  const [found] = await query
    .select({ person, session })
    .from(session)
    .innerJoin(person, eq(session.person, person.id))
    .where(eq(session.tokenHash, tokenHash(token)));
  if (!found || found.session.endedAt !== null || !(now < found.session.expiresAt)) return null;
  return found.person.state === 'active' ? found : null;
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
export const asPersonId = (id: string): Id<'person'> => id as Id<'person'>;

/** The first administrator, made when an installation has none. */
export async function ensureFirstAdmin(unit: Unit): Promise<Id<'person'>> {
  const [first] = await unit.sql
    .select({ id: person.id })
    .from(person)
    .where(and(arrayContains(person.roles, ['admin']), eq(person.state, 'active')))
    .orderBy(person.id)
    .limit(1);
  if (first) return first.id;
  const admin = await invitePerson(unit, { name: 'Admin', roles: ['admin'], groups: ['admins'] });
  return admin.id;
}
