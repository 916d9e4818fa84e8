// The one place where votes are taken, from whichever channel. Eligibility, independence, strength, state and
// time are checked here and nowhere else, in the order the contract gives, and every refusal is an event.
import { and, eq } from 'drizzle-orm';
import type { RequestRow, VoteRow } from '../../db/rows.ts';
import { person, viewing, vote } from '../../db/schema/index.ts';
import {
  headsOf,
  isTakenBy,
  routesFor,
  whyIneligible,
  type Channel,
  type FrozenRoute,
  type OpenStages,
  type Strength,
  type Tally,
  type Voter,
} from '../../domain/approval.ts';
import { coversAction, shownDigest } from '../../domain/card.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { isWithin, limitsAsJson, type Limits } from '../../domain/narrowing.ts';
import { Refusal, type RefusalCode } from '../../domain/refusal.ts';
import { stagesOf } from '../../domain/seats.ts';
import { queueNotices } from '../channels/notices.ts';
import type { Deps } from '../deps.ts';
import { activeBundle } from '../policy/policies.ts';
import type { PersonPrincipal, Principal } from '../principal.ts';
import type { UsedPasskey } from '../sign-in/passkeys.ts';
import { newId, type Unit } from '../unit.ts';
import { standingsOf, type Lock, type Standing } from './approvers.ts';
import { noteBudget } from './attention-budget.ts';
import { approve, deny } from './conclude.ts';
import {
  effectiveAction,
  effectiveRef,
  narrowingOf,
  narrowRequest,
  withNarrowing,
} from './narrow.ts';
import { standingUnder } from './permits.ts';
import { alreadyDecided, expireLocked } from './request-ends.ts';
import { aboutRequest, cardOf, findRequest, lockRequest } from './requests.ts';
import { checkStepUp, type StepUp } from './step-up.ts';
import { countVotes, elapsedSeconds, tallyOf, type Count } from './tally.ts';

export interface Ballot {
  request: string;
  decision: 'approve' | 'deny';
  /** The digest of the card the voter was looking at. */
  shown: string;
  reason: string | null;
  disposition: 'revise' | 'stop';
  channel: Channel;
  /** For whom they vote, where they say so; otherwise for themselves, or whoever they have to stand in for. */
  inSteadOf?: string | null;
  /** What the voter approves less of than was shown; null for all of it. */
  narrow: Limits | null;
  /** What a passkey signed for this vote, if one did. */
  passkey?: UsedPasskey | null;
}

/** A ballot that nothing speaks against, with how strongly its voter proved to be there. */
interface TakenBallot extends Ballot {
  by: PersonPrincipal;
  strength: Strength;
  signed: StepUp | null;
}

export interface Decided {
  vote: VoteRow;
  request: RequestRow;
}

/** Takes a vote. A returned refusal is an outcome: its event is kept. */
export async function decide(
  unit: Unit,
  deps: Pick<Deps, 'policies'>,
  ballot: Ballot,
): Promise<Decided | Refusal> {
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
  const { hearing, voter } = await hear(unit, row, principal, ballot, 'share');
  if (!voter) return refuse(unit, row, ballot, 'not_eligible', notStandingIn(ballot));
  const why = whyIneligible(voter, row.routes, row.involved, hearing.elapsed, hearing.open);
  if (why) return refuse(unit, row, ballot, why, INELIGIBLE[why]);
  const signed = await signatureOn(unit, row, voter, ballot);
  if (signed instanceof Refusal) return refuse(unit, row, ballot, signed.code, signed.message);
  const strength = signed ? 'passkey' : principal.strength;
  const taken: TakenBallot = { ...ballot, signed, strength, by: principal };
  const refusal =
    (await whyRefused(unit, hearing, voter, taken, now)) ??
    (await whyNotNarrowed(unit, deps, row, taken));
  if (refusal) return refusal;
  return castVote(unit, hearing, voter, taken);
}

/** A request as it stands for somebody who comes to vote on it, and as whom they would; nobody where they may not. */
export async function hear(
  unit: Unit,
  row: RequestRow,
  who: PersonPrincipal,
  ballot: Pick<Ballot, 'inSteadOf'>,
  lock: Lock,
): Promise<{ hearing: Hearing; voter: Standing | null }> {
  // People before votes, as everywhere: whoever changes a person waits for one vote, and not for two.
  const standings = await standingsOf(unit.sql, who.id, unit.at, lock);
  const count = await countVotes(unit.sql, row, unit.at, lock);
  const hearing: Hearing = {
    row,
    count,
    // What is decided already was decided for everybody who was ever to be asked.
    open: row.state === 'pending' ? count.tally.open : null,
    elapsed: elapsedSeconds(row, unit.at),
  };
  return { hearing, voter: chooseStanding(hearing, await standings(row.routes), ballot) };
}

/** A request as it stands when somebody comes to vote on it. */
interface Hearing {
  row: RequestRow;
  count: Count;
  open: OpenStages | null;
  elapsed: number;
}

/** Why somebody may not decide on a locked request now, whatever they would say; null where they may. */
export async function whyNotTheirs(
  unit: Unit,
  row: RequestRow,
  who: PersonPrincipal,
): Promise<keyof typeof INELIGIBLE | null> {
  const { hearing, voter } = await hear(unit, row, who, {}, 'share');
  if (!voter) return 'not_eligible';
  return whyIneligible(voter, row.routes, row.involved, hearing.elapsed, hearing.open);
}

const routesNow = ({ row, open, elapsed }: Hearing, voter: Voter): FrozenRoute[] =>
  routesFor(voter, row.routes, row.involved, elapsed, open);

/** As whom they vote: as they say, or else as themselves before anybody they stand in for. */
function chooseStanding(
  hearing: Hearing,
  standings: readonly Standing[],
  { inSteadOf = null }: Pick<Ballot, 'inSteadOf'>,
): Standing | null {
  const own = standings.filter((each) => inSteadOf === null || each.inSteadOf === inSteadOf);
  const able = own.filter((each) => routesNow(hearing, each).length > 0);
  const { row, elapsed } = hearing;
  return (
    able.find((each) => whyHeard(hearing.count, each) === null) ??
    able[0] ??
    own.find((each) => routesFor(each, row.routes, row.involved, elapsed).length > 0) ??
    own[0] ??
    null
  );
}

/** Why this vote would be a second one of the same human, or null (I4). */
function whyHeard({ votes, isGood }: Count, voter: Standing): string | null {
  if (votes.some((each) => each.person === voter.id)) return 'You have already voted on this.';
  const earlier = votes.find(
    (each) => isGood(each) && headsOf(each).some((head) => headsOf(asCast(voter)).includes(head)),
  );
  if (!earlier) return null;
  return earlier.inSteadOf === voter.id
    ? 'While you were away somebody voted in your stead: that is your vote.'
    : 'Whoever you stand in for has voted already, themselves or through somebody else.';
}

const asCast = ({ id, inSteadOf }: Standing) => ({ person: id, inSteadOf });

const notStandingIn = ({ inSteadOf }: Ballot): string =>
  `You do not stand in for ${inSteadOf ?? 'anybody'} now: leave in_stead_of out to vote for yourself.`;

const ONLY_PEOPLE = 'Only a signed-in person can decide.';

const unbound = (user: string): string =>
  `Nobody here is known as the Slack user ${user}: use /countersign link, or ask an administrator to set it as the slack_user_id of your person.`;

/** What somebody is told who may not decide. */
export const INELIGIBLE = {
  self_approval: 'You asked for this, own the agent, or set it off: somebody else has to decide.',
  not_eligible:
    'You are not among the approvers of this request: that takes the role approver and a group of its route.',
  not_your_turn:
    'Another stage of this request is open now, and its people decide first: you are told when it is your turn.',
} as const;

/** What a passkey signed, if one did: checked whether the route asks for it or not, for it is kept either way. */
const signatureOn = async (
  unit: Unit,
  row: RequestRow,
  voter: Standing,
  { passkey = null, ...ballot }: Ballot,
): Promise<StepUp | Refusal | null> =>
  passkey &&
  checkStepUp(
    unit,
    row,
    voter.id,
    {
      ...ballot,
      limits: ballot.narrow && limitsAsJson(ballot.narrow),
      inSteadOf: voter.inSteadOf,
    },
    passkey,
  );

async function whyRefused(
  unit: Unit,
  hearing: Hearing,
  voter: Standing,
  ballot: TakenBallot,
  now: string,
): Promise<Refusal | null> {
  const { row } = hearing;
  const mine = routesNow(hearing, voter);
  if (!mine.some((route) => isTakenBy(route, ballot)))
    return refuse(unit, row, ballot, 'stronger_auth_required', whyNotTaken(mine, ballot.channel));
  const late = await whyTooLate(unit, row, ballot, now);
  if (late) return late;
  const heard = whyHeard(hearing.count, voter);
  if (heard !== null) return refuse(unit, row, ballot, 'already_voted', heard);
  const card = cardOf(row);
  if (ballot.shown !== shownDigest(card) || !coversAction(card, effectiveAction(row)))
    return refuse(
      unit,
      row,
      ballot,
      'shown_mismatch',
      'What you were shown is not what would run now: look at the request again.',
    );
  return null;
}

/**
 * Why the limits of a vote are none: an approver takes away, never adds, and leaves nothing that policy would ask
 * somebody else about. The policy is not held in place for it: whoever uses the approval asks it again.
 */
async function whyNotNarrowed(
  unit: Unit,
  deps: Pick<Deps, 'policies'>,
  row: RequestRow,
  ballot: TakenBallot,
): Promise<Refusal | null> {
  if (ballot.narrow === null) return null;
  const no = (says: string, details?: JsonObject): Refusal =>
    refuse(unit, row, ballot, 'narrowing_refused', says, details);
  if (ballot.decision === 'deny') return no('A denial leaves nothing that could be narrowed.');
  const narrowing = narrowingOf(row, ballot.narrow);
  if (narrowing.kind === 'refused') {
    const { limit, says } = narrowing;
    return no(`This is no narrowing: ${limit} ${says}.`, { limit });
  }
  const bundle = await activeBundle(unit, deps.policies);
  const left = withNarrowing(row, ballot.by, ballot.narrow);
  return (await standingUnder(unit, deps, bundle, left)) === 'changed'
    ? no(
        'Today’s policy would not let through what these limits leave, or would ask other people about it: choose other limits, approve all of it, or deny.',
      )
    : null;
}

/** A vote that came another way than its route takes, or with less proof of presence than it wants. */
function whyNotTaken(routes: readonly FrozenRoute[], channel: Channel): string {
  const taken = [...new Set(routes.flatMap(({ rule }) => rule.channels))];
  if (taken.includes(channel))
    return routes.some(({ rule }) => rule.strength !== 'passkey')
      ? 'This request needs a stronger proof that you are here: open it on the web and sign in again.'
      : 'This request takes votes that are signed with a passkey only: open it on the web, where you are asked for yours.';
  return `Votes on this request are taken by ${taken.join(' or ')} only, and this one came by ${channel}.`;
}

async function whyTooLate(
  unit: Unit,
  row: RequestRow,
  ballot: Ballot,
  now: string,
): Promise<Refusal | null> {
  if (row.state === 'expired' && row.approvedUntil === null) return expired(unit, row, ballot);
  if (row.state !== 'pending') {
    const refusal = await alreadyDecided(unit.sql, row);
    emitRefused(unit, row, ballot, refusal.code);
    return refusal;
  }
  if (now < row.expiresAt) return null;
  return expired(unit, await expireLocked(unit, row), ballot);
}

const expired = (unit: Unit, row: RequestRow, ballot: Ballot): Refusal =>
  refuse(unit, row, ballot, 'request_expired', 'This request expired without a decision.');

async function castVote(
  unit: Unit,
  hearing: Hearing,
  voter: Standing,
  ballot: TakenBallot,
): Promise<Decided> {
  const { row: shown, count } = hearing;
  const at = unit.at;
  const row = ballot.narrow ? await narrowRequest(unit, shown, ballot.by, ballot.narrow) : shown;
  const cast: VoteRow = {
    id: newId('vote'),
    request: row.id,
    person: voter.id,
    decision: ballot.decision,
    channel: ballot.channel,
    strength: ballot.strength,
    shown: shownDigest(cardOf(shown)),
    narrow: ballot.narrow,
    limits: row.narrowed?.limits ?? null,
    reason: ballot.reason,
    at,
    inSteadOf: voter.inSteadOf,
    absence: voter.absence,
    stages: stagesNow(hearing, voter),
    slackBinding: ballot.by.slackBinding ?? null,
  };
  await unit.sql.insert(vote).values(cast);
  await emitCast(unit, hearing, row, voter, cast, ballot.signed);
  await noteBudget(unit, row, cast.person);
  unit.changed(row.id);
  unit.wake('request', row.id, row.agent);
  const tally = await tallyOf(unit.sql, row, at, 'share');
  if (tally.outcome === 'denied')
    return { vote: cast, request: await deny(unit, row, cast, ballot) };
  if (tally.outcome === 'approved')
    return { vote: cast, request: await approve(unit, row, cast, tally.approvers) };
  emitOpenedStages(unit, row, count.tally, tally);
  await queueNotices(unit, row, 'changed', cast.id);
  return { vote: cast, request: row };
}

/** The stage that is open on each route they vote on; null where no route has more than one. */
function stagesNow(hearing: Hearing, voter: Voter): Record<string, number> | null {
  const staged = routesNow(hearing, voter).filter(({ rule }) => rule.stages !== undefined);
  if (staged.length === 0) return null;
  return Object.fromEntries(staged.map(({ name }) => [name, hearing.open?.[name] ?? 0]));
}

/** Says which people come next. */
function emitOpenedStages(unit: Unit, row: RequestRow, before: Tally, after: Tally): void {
  for (const { name, rule } of row.routes) {
    const at = after.open[name] ?? 0;
    if (at <= (before.open[name] ?? 0)) continue;
    unit.emit('request.stage_opened', {
      ...aboutRequest(row),
      detail: { route: name, stage: at + 1, groups: stagesOf(rule)[at]?.groups ?? [] },
      private: {},
    });
  }
}

/** `row` is the request as the vote left it; what the voter was shown is the one of the hearing. */
async function emitCast(
  unit: Unit,
  hearing: Hearing,
  row: RequestRow,
  voter: Standing,
  cast: VoteRow,
  signed: StepUp | null,
): Promise<void> {
  const { row: shown } = hearing;
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
      routes: routesNow(hearing, voter)
        .filter((route) => isTakenBy(route, cast))
        .map((route) => route.name),
      stages: cast.stages,
      in_stead_of: cast.inSteadOf,
      absence: cast.absence,
      shown: cast.shown,
      // Compared here, while both the card and the action exist; later the leaf is all there is.
      shown_covers_action: coversAction(cardOf(shown), effectiveAction(shown)),
      invited_by: who ? { type: who.invitedBy.type, id: who.invitedBy.id } : null,
      opened_at: opened?.openedAt ?? null,
      slack_binding: cast.slackBinding,
      narrows: cast.narrow !== null,
      approves_ref: effectiveRef(row),
      within_shown: isWithin(effectiveAction(row), effectiveAction(shown), row.narrowable),
      step_up: signed?.proof ?? null,
    },
    private: {
      reason: cast.reason,
      limits: cast.narrow && limitsAsJson(cast.narrow),
      step_up_salt: signed?.salt ?? null,
    },
  });
}

function refuse(
  unit: Unit,
  row: RequestRow,
  ballot: Pick<Ballot, 'decision' | 'channel'>,
  code: RefusalCode,
  message: string,
  members: JsonObject = {},
): Refusal {
  emitRefused(unit, row, ballot, code);
  return new Refusal(code, message, members);
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
