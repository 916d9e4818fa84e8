// The one place where votes are taken, from whichever channel. Eligibility, independence, strength, state and
// time are checked here and nowhere else, in the order the contract gives, and every refusal is an event.
import { and, eq, inArray } from 'drizzle-orm';
import type { Query, Transaction } from '../db/client.ts';
import type { PersonRow, RequestRow, VoteRow } from '../db/rows.ts';
import { permit, person, viewing, vote } from '../db/schema/index.ts';
import { actionDigest } from '../domain/action.ts';
import {
  foldVotes,
  isTakenBy,
  routesFor,
  usesOf,
  whyIneligible,
  type Channel,
  type FrozenRoute,
  type Tally,
  type Voter,
} from '../domain/approval.ts';
import { coversAction, shownDigest } from '../domain/card.ts';
import type { Id } from '../domain/id.ts';
import { addSeconds } from '../domain/instant.ts';
import { Refusal, type RefusalCode } from '../domain/refusal.ts';
import { mayVote, type PersonPrincipal, type Principal } from './principal.ts';
import {
  aboutRequest,
  alreadyDecided,
  cardOf,
  expireLocked,
  findRequest,
  lockRequest,
  moveRequest,
  votesOn,
} from './requests.ts';
import { newId, type Unit } from './unit.ts';

export interface Ballot {
  request: string;
  decision: 'approve' | 'deny';
  /** The digest of the card the voter was looking at. */
  shown: string;
  reason: string | null;
  disposition: 'revise' | 'stop';
  channel: Channel;
}

export interface Decided {
  vote: VoteRow;
  request: RequestRow;
}

/** Takes a vote. A returned refusal is an outcome: its event is kept. */
export async function decide(unit: Unit, ballot: Ballot): Promise<Decided | Refusal> {
  const { principal } = unit.call;
  if (principal.kind !== 'person') {
    const row = await findRequest(unit.sql, ballot.request);
    if (!row) throw new Refusal('not_found', 'There is no such request.');
    const message = principal.kind === 'slack' ? unbound(principal.id) : ONLY_PEOPLE;
    return refuse(unit, row, ballot, 'human_required', message);
  }
  const row = await lockRequest(unit, ballot.request);
  // Lock first, look at the clock second: a vote that waited for the lock may have waited too long.
  const now = await unit.readClock();
  const voter = await currentVoter(unit, principal);
  const refusal = await whyRefused(unit, row, voter, principal, ballot, now);
  if (refusal) return refusal;
  return castVote(unit, row, voter, principal, ballot);
}

const ONLY_PEOPLE = 'Only a signed-in person can decide.';

const unbound = (user: string): string =>
  `Nobody here is known as the Slack user ${user}: an administrator has to set it as the slack_user_id of your person.`;

const CODE_MESSAGES = {
  self_approval: 'You asked for this, own the agent, or set it off: somebody else has to decide.',
  not_eligible:
    'You are not among the approvers of this request: that takes the role approver and a group of its route.',
} as const;

async function whyRefused(
  unit: Unit,
  row: RequestRow,
  voter: Voter,
  principal: PersonPrincipal,
  ballot: Ballot,
  now: string,
): Promise<Refusal | null> {
  const elapsed = elapsedSeconds(row, now);
  const why = whyIneligible(voter, row.routes, row.involved, elapsed);
  if (why) return refuse(unit, row, ballot, why, CODE_MESSAGES[why]);
  const cast = { channel: ballot.channel, strength: principal.strength };
  const mine = routesFor(voter, row.routes, row.involved, elapsed);
  if (!mine.some((route) => isTakenBy(route, cast)))
    return refuse(unit, row, ballot, 'stronger_auth_required', whyNotTaken(mine, ballot.channel));
  const late = await whyTooLate(unit, row, ballot, now);
  if (late) return late;
  const [earlier] = await unit.sql
    .select()
    .from(vote)
    .where(and(eq(vote.request, row.id), eq(vote.person, principal.id)));
  if (earlier) return refuse(unit, row, ballot, 'already_voted', 'You have already voted on this.');
  const card = cardOf(row);
  if (ballot.shown !== shownDigest(card) || !coversAction(card, row.action))
    return refuse(
      unit,
      row,
      ballot,
      'shown_mismatch',
      'What you were shown is not what would run now: look at the request again.',
    );
  return null;
}

/** A vote that came another way than its route takes, or with less proof of presence than it wants. */
function whyNotTaken(routes: readonly FrozenRoute[], channel: Channel): string {
  const taken = [...new Set(routes.flatMap(({ rule }) => rule.channels))];
  if (taken.includes(channel))
    return 'This request needs a stronger proof that you are here: open it on the web and sign in again.';
  return `Votes on this request are taken by ${taken.join(' or ')} only, and this one came by ${channel}.`;
}

async function whyTooLate(
  unit: Unit,
  row: RequestRow,
  ballot: Ballot,
  now: string,
): Promise<Refusal | null> {
  if (row.state === 'expired' && row.approvedUntil !== null) return lapsed(unit, row, ballot);
  if (row.state === 'expired') return expired(unit, row, ballot);
  if (row.state !== 'pending') {
    const refusal = alreadyDecided(row);
    emitRefused(unit, row, ballot, refusal.code);
    return refusal;
  }
  if (now < row.expiresAt) return null;
  return expired(unit, await expireLocked(unit, row), ballot);
}

/** It was decided, and what was decided is over: no vote came too late. */
async function lapsed(unit: Unit, row: RequestRow, ballot: Ballot): Promise<Refusal> {
  emitRefused(unit, row, ballot, 'already_decided');
  const by = row.decidedBy;
  const [who] = by === null ? [] : await unit.sql.select().from(person).where(eq(person.id, by));
  return new Refusal(
    'already_decided',
    `This request was approved by ${who?.name ?? 'its approvers'}, and the approval lapsed unused.`,
    { state: row.state, decided_by: by },
  );
}

const expired = (unit: Unit, row: RequestRow, ballot: Ballot): Refusal =>
  refuse(unit, row, ballot, 'request_expired', 'This request expired without a decision.');

async function castVote(
  unit: Unit,
  row: RequestRow,
  voter: Voter,
  principal: PersonPrincipal,
  ballot: Ballot,
): Promise<Decided> {
  const at = unit.at;
  const cast: VoteRow = {
    id: newId('vote'),
    request: row.id,
    person: principal.id,
    decision: ballot.decision,
    channel: ballot.channel,
    strength: principal.strength,
    shown: shownDigest(cardOf(row)),
    reason: ballot.reason,
    at,
  };
  await unit.sql.insert(vote).values(cast);
  await emitCast(unit, row, voter, cast);
  unit.changed(row.id);
  unit.wake('request', row.id, row.agent);
  const tally = await tallyOf(unit.sql, row, at, 'share');
  if (tally.outcome === 'denied')
    return { vote: cast, request: await deny(unit, row, cast, ballot) };
  if (tally.outcome === 'approved')
    return { vote: cast, request: await approve(unit, row, cast, tally.approvers) };
  return { vote: cast, request: row };
}

async function emitCast(unit: Unit, row: RequestRow, voter: Voter, cast: VoteRow): Promise<void> {
  const elapsed = elapsedSeconds(row, cast.at);
  const [who] = await unit.sql.select().from(person).where(eq(person.id, cast.person));
  const [opened] = await unit.sql
    .select()
    .from(viewing)
    .where(and(eq(viewing.request, row.id), eq(viewing.person, cast.person)));
  unit.emit('vote.cast', {
    ...aboutRequest(row),
    decision: cast.decision,
    detail: {
      vote: cast.id,
      person: cast.person,
      decision: cast.decision,
      channel: cast.channel,
      strength: cast.strength,
      groups: [...voter.groups],
      // Those on which it counts: a route that wants more proof than was given is not among them.
      routes: routesFor(voter, row.routes, row.involved, elapsed)
        .filter((route) => isTakenBy(route, cast))
        .map((route) => route.name),
      shown: cast.shown,
      // Compared here, while both the card and the action exist; later the leaf is all there is.
      shown_covers_action: coversAction(cardOf(row), row.action),
      invited_by: who ? { type: who.invitedBy.type, id: who.invitedBy.id } : null,
      opened_at: opened?.openedAt ?? null,
    },
    private: { reason: cast.reason },
  });
}

/** Counts the votes as their people stand now: who lost a group or was deactivated counts no more. */
export async function tallyOf(
  query: Query | Transaction,
  row: RequestRow,
  at: string,
  lock: 'share' | null = null,
): Promise<Tally> {
  const votes = await votesOn(query, row.id);
  const read = query
    .select()
    .from(person)
    .where(
      inArray(
        person.id,
        votes.map((each) => each.person),
      ),
    )
    .orderBy(person.id);
  const people = await (lock ? read.for(lock) : read);
  const voters = new Map<string, Voter>(people.map((who) => [who.id, asVoter(who)]));
  const elapsed = elapsedSeconds(row, at);
  const isEligible = (id: string, route: FrozenRoute): boolean => {
    const who = voters.get(id);
    return who !== undefined && routesFor(who, [route], row.involved, elapsed).length > 0;
  };
  return foldVotes(row.routes, votes, isEligible);
}

async function approve(
  unit: Unit,
  row: RequestRow,
  deciding: VoteRow,
  approvers: string[],
): Promise<RequestRow> {
  const valid = Math.min(...row.routes.map(({ rule }) => rule.valid_seconds));
  const approvedUntil = addSeconds(unit.at, valid);
  const moved = await moveRequest(unit, row, 'approved', {
    decidedAt: unit.at,
    decidedBy: deciding.person,
    approvedUntil,
  });
  unit.emit('request.approved', {
    ...aboutRequest(row),
    decision: 'approved',
    detail: {
      deciding_vote: deciding.id,
      approved_by: approvers,
      approved_until: approvedUntil,
    },
    private: {},
  });
  const id = newId('permit');
  // What we carry out ourselves is carried out once.
  const uses = row.audience === null ? 1 : usesOf(row.routes);
  await unit.sql.insert(permit).values({
    id,
    request: row.id,
    digest: actionDigest(row.action),
    state: 'live',
    createdAt: unit.at,
    expiresAt: approvedUntil,
    uses,
  });
  unit.emit('permit.issued', {
    ...aboutRequest(row),
    detail: { permit: id, expires_at: approvedUntil, uses },
    private: {},
  });
  return moved;
}

async function deny(
  unit: Unit,
  row: RequestRow,
  deciding: VoteRow,
  { reason, disposition }: Ballot,
): Promise<RequestRow> {
  const moved = await moveRequest(unit, row, 'denied', {
    decidedAt: unit.at,
    decidedBy: deciding.person,
    denial: { reason, disposition },
  });
  unit.emit('request.denied', {
    ...aboutRequest(row),
    decision: 'denied',
    detail: { deciding_vote: deciding.id, denied_by: deciding.person, disposition },
    private: { reason },
  });
  return moved;
}

/** The voter as the tables know them now, which may be less than their session remembers. */
async function currentVoter(unit: Unit, principal: PersonPrincipal): Promise<Voter> {
  const [who] = await unit.sql
    .select()
    .from(person)
    .where(eq(person.id, principal.id))
    .for('share');
  return who ? asVoter(who) : { id: principal.id, groups: [], active: false };
}

/** A group alone makes nobody an approver: it says of what, and the role says whether. */
const asVoter = (who: PersonRow): Voter => ({
  id: who.id,
  groups: who.groups,
  active: who.state === 'active' && mayVote(who.roles),
});

const elapsedSeconds = (row: RequestRow, at: string): number =>
  (Date.parse(at) - Date.parse(row.createdAt)) / 1000;

function refuse(
  unit: Unit,
  row: RequestRow,
  ballot: Pick<Ballot, 'decision' | 'channel'>,
  code: RefusalCode,
  message: string,
): Refusal {
  emitRefused(unit, row, ballot, code);
  return new Refusal(code, message);
}

function emitRefused(
  unit: Unit,
  row: RequestRow,
  ballot: Pick<Ballot, 'decision' | 'channel'>,
  code: RefusalCode,
): void {
  unit.emit('vote.refused', {
    ...aboutRequest(row),
    decision: 'refused',
    detail: {
      code,
      person: personOf(unit.call.principal),
      principal: unit.call.principal.kind,
      channel: ballot.channel,
      decision: ballot.decision,
    },
    private: {},
  });
}

const personOf = (principal: Principal): string | null =>
  principal.kind === 'person' ? principal.id : null;

/** Notes when somebody first looked at a request. */
export async function recordViewing(unit: Unit, id: Id<'request'>): Promise<void> {
  const { principal } = unit.call;
  if (principal.kind !== 'person') return;
  await unit.sql
    .insert(viewing)
    .values({ request: id, person: principal.id, openedAt: unit.at })
    .onConflictDoNothing();
}
