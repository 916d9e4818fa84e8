// Binding a Slack user to a person, by that person: Slack hands the user a one-time address, and whoever opens it
// signed in here says that the user is theirs. One Slack user is one person, both ways.
import { createHash, randomBytes } from 'node:crypto';
import { eq } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { PersonRow, SlackLinkRow } from '../../db/rows.ts';
import { person, slackLink } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import { lockPerson, refuseTakenSlackUser } from '../people/people.ts';
import { partyOf, type PersonPrincipal } from '../principal.ts';
import type { Unit } from '../unit.ts';

const LINK_SECONDS = 600;

const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex');

/** What Slack says about one of its users. */
export type SlackProfile = Pick<SlackLinkRow, 'slackName' | 'slackTeam' | 'email'>;

/** A one-time address for a Slack user; earlier ones of theirs stop working. */
export async function offerLink(
  unit: Unit,
  slackUser: string,
  profile: SlackProfile,
): Promise<string> {
  const token = randomBytes(32).toString('base64url');
  await unit.sql.delete(slackLink).where(eq(slackLink.slackUser, slackUser));
  await unit.sql.insert(slackLink).values({
    ...profile,
    slackUser,
    tokenHash: hashOf(token),
    createdAt: unit.at,
    expiresAt: addSeconds(unit.at, LINK_SECONDS),
    usedAt: null,
  });
  return token;
}

/** The offer behind an address, whatever became of it; looking uses nothing up. */
export async function findOffer(query: Query, token: string): Promise<SlackLinkRow | null> {
  const [row] = await query
    .select()
    .from(slackLink)
    .where(eq(slackLink.tokenHash, hashOf(token)));
  return row ?? null;
}

/** Why this person cannot take this offer, or null. */
export function whyNotLinked(
  offer: SlackLinkRow | null,
  who: Pick<PersonRow, 'email' | 'state'>,
  now: string,
): Refusal | null {
  if (!offer)
    return new Refusal('not_found', 'This address is none of ours. Ask Slack for another.');
  if (offer.usedAt !== null)
    return new Refusal('link_used', 'This address was already used. Ask Slack for another.');
  if (!(now < offer.expiresAt))
    return new Refusal('link_expired', 'This address is too old. Ask Slack for another.');
  if (who.state !== 'active')
    return new Refusal('forbidden', 'This person was deactivated. Ask an administrator.');
  // Whoever was talked into opening somebody else's address would hand over their own vote.
  const differs =
    who.email !== null && offer.email !== null && !sameAddress(who.email, offer.email);
  return differs
    ? new Refusal(
        'slack_user_differs',
        'Slack knows this user by another e-mail address than we know you by. If both are yours, ask an administrator to set your Slack user.',
      )
    : null;
}

const sameAddress = (one: string, other: string): boolean =>
  one.toLowerCase() === other.toLowerCase();

/** Binds the Slack user of an offer to the person who took it. */
export async function linkSlack(
  unit: Unit,
  principal: PersonPrincipal,
  token: string,
): Promise<PersonRow> {
  const who = await lockPerson(unit, principal.id);
  const [offer] = await unit.sql
    .select()
    .from(slackLink)
    .where(eq(slackLink.tokenHash, hashOf(token)))
    .for('update');
  const now = await unit.readClock();
  const refusal = whyNotLinked(offer ?? null, who, now);
  if (refusal || !offer) throw refusal ?? new Error('an offer that is not there is refused');
  const row: PersonRow = { ...who, slackUserId: offer.slackUser, slackBinding: 'linked' };
  await refuseTakenSlackUser(unit, row);
  await unit.sql
    .update(slackLink)
    .set({ usedAt: now })
    .where(eq(slackLink.tokenHash, offer.tokenHash));
  await bind(unit, row);
  unit.emit('person.slack_linked', {
    subject: row.id,
    detail: { binding: 'linked' },
    private: { slack_user_id: offer.slackUser },
  });
  return row;
}

/** Takes a person's Slack user away, by themselves or because it is no more. */
export async function unlinkSlack(
  unit: Unit,
  id: Id<'person'>,
  because: 'asked' | 'slack_user_deactivated',
): Promise<PersonRow> {
  const who = await lockPerson(unit, id);
  if (who.slackUserId === null) return who;
  const row: PersonRow = { ...who, slackUserId: null, slackBinding: null };
  await bind(unit, row);
  const { type, id: by } = partyOf(unit.call.principal);
  unit.emit('person.slack_unlinked', {
    subject: row.id,
    detail: { by: { type, id: by }, because },
    private: { slack_user_id: who.slackUserId },
  });
  return row;
}

const bind = (unit: Unit, { id, slackUserId, slackBinding }: PersonRow): Promise<unknown> =>
  unit.sql.update(person).set({ slackUserId, slackBinding }).where(eq(person.id, id));

/** Forgets whose a Slack user was that is deactivated there. */
export async function unlinkDeparted(unit: Unit, slackUser: string): Promise<void> {
  const [row] = await unit.sql.select().from(person).where(eq(person.slackUserId, slackUser));
  if (row) await unlinkSlack(unit, row.id, 'slack_user_deactivated');
}
