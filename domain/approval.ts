// Who may decide, and what the votes so far amount to. Every channel and every test asks these functions.
import { digestOf, type Digest } from './digest.ts';
import { isNoun } from './id.ts';
import { permitFacts, type PermitRule } from './permit-rule.ts';
import type { AskRule } from './question.ts';
import type { RefusalCode } from './refusal.ts';
import {
  canSit,
  progressOf,
  seatKinds,
  stagesOf,
  type SeatRule,
  type Sitter,
  type StageProgress,
  type StageRule,
} from './seats.ts';

/** How strongly a voter proved to be there, weakest first. */
export const STRENGTHS = ['session', 'fresh', 'passkey'] as const;
export type Strength = (typeof STRENGTHS)[number];

export const CHANNELS = ['web', 'slack', 'api'] as const;
export type Channel = (typeof CHANNELS)[number];

/** A route's rule. Its digest says whether two requests were held under the same one. */
export interface RouteRule extends SeatRule, PermitRule {
  title: string;
  expiry_seconds: number;
  valid_seconds: number;
  strength: Strength;
  /** A stronger one for what a rule of this risk holds. */
  strength_by_risk?: Record<string, Strength>;
  channels: Channel[];
  independence: { owner: 'barred' | 'allowed'; triggerer: 'barred' | 'allowed' };
  /** Fractions of the time to expiry at which approvers are reminded. */
  remind_at: number[];
  /** How long and how often an approval may stand; where it is not there, each use is asked about. */
  standing?: StandingRule | undefined;
  /** Who may go past it in an emergency; where it is not there, nobody may. */
  break_glass?: BreakGlassRule | undefined;
  /** How much one person should have to decide here; measured, and nothing is refused or approved by it. */
  attention_budget?: { per_approver_per_day: number };
  /** How questions of approvers are treated, where it is not as usual. */
  ask?: AskRule | undefined;
  /** Where in Slack its cards go, if not only to the one channel of the settings. Who may decide is not changed by it. */
  slack?: SlackPlaces;
  /** Webhooks that are told of its requests, by name. Who may decide is not changed by it. */
  webhooks?: string[];
  /** Where set, approvers who have an e-mail address are told there. */
  email?: { approvers: true };
}

/** Channels that get the card instead of the usual one, and whether each approver gets it alone, too. */
interface SlackPlaces {
  channels: string[];
  approvers: boolean;
}

/** Emergency access past a gate: whoever declares it counts towards the quorum. */
interface BreakGlassRule {
  groups: string[];
  quorum: number;
  max_seconds: number;
  cooldown_seconds: number;
  /** For when we are down: how long a login may lie ready; where it is not there, none may. */
  offline?: { max_days: number } | undefined;
}

/** The most that people can agree to in one standing grant. */
interface StandingRule {
  max_seconds: number;
  max_uses: number;
}

/** A route as a request froze it. */
export interface FrozenRoute {
  name: string;
  rule: RouteRule;
  rule_digest: Digest;
  /** The owner of what is asked for, an address or a group, where the route asks them. */
  resource_owner?: string | null;
}

/** Whether it is the same route, under the same rule, asking the same owner. */
export const isSameRoute = (one: FrozenRoute, other: FrozenRoute): boolean =>
  one.name === other.name &&
  one.rule_digest === other.rule_digest &&
  (one.resource_owner ?? null) === (other.resource_owner ?? null);

export interface Voter {
  id: string;
  /** The groups that count: their own, or those of the person in whose stead they vote. */
  groups: readonly string[];
  active: boolean;
  /** Who is away and has them vote; then both have to be free to decide. */
  inSteadOf?: string | null;
}

/** The people a request names, against whom independence is judged. */
export interface Involved {
  /** The human who asked, if it was one. */
  requester: string | null;
  owners: readonly string[];
  /** The human behind the task; barred even when merely claimed. */
  triggeredBy: string | null;
  /** People who may not be asked for another reason: an emergency of theirs is not reviewed yet. */
  spent?: readonly string[] | undefined;
}

export interface CastVote {
  person: string;
  decision: 'approve' | 'deny';
  channel: Channel;
  strength: Strength;
  /** Whose vote it is, where somebody who is away has another vote. */
  inSteadOf?: string | null;
  /** The stage it was cast in, by route; the first where it says nothing. */
  stages?: Readonly<Record<string, number>> | null;
}

export function freezeRoute(name: string, rule: RouteRule): FrozenRoute {
  return { name, rule, rule_digest: ruleDigest(rule) };
}

export function ruleDigest(rule: RouteRule): Digest {
  return digestOf('countersign/rule/v1', {
    groups: rule.groups.toSorted(),
    quorum: rule.quorum,
    expiry_seconds: rule.expiry_seconds,
    valid_seconds: rule.valid_seconds,
    strength: rule.strength,
    // Left out where nothing is set, so that routes of before keep their digest.
    ...(rule.strength_by_risk && { strength_by_risk: { ...rule.strength_by_risk } }),
    channels: rule.channels.toSorted(),
    independence: { owner: rule.independence.owner, triggerer: rule.independence.triggerer },
    escalation: rule.escalation.map((step) => ({
      after_seconds: step.after_seconds,
      groups: step.groups.toSorted(),
      ...(step.for !== undefined && { for: step.for }),
    })),
    // What a rule does not say is not in its digest, so that rules from before keep theirs.
    ...(rule.seats && { seats: rule.seats }),
    ...(rule.stages && { stages: rule.stages.map(stageFacts) }),
    ...(rule.same_person && { same_person: rule.same_person }),
    ...(rule.standing && {
      standing: { max_seconds: rule.standing.max_seconds, max_uses: rule.standing.max_uses },
    }),
    ...(rule.break_glass && {
      break_glass: glassFacts(rule.break_glass),
    }),
    ...permitFacts(rule),
    ...(rule.ask && {
      ask: { clock: rule.ask.clock, answer_within_seconds: rule.ask.answer_within_seconds },
    }),
  });
}

const glassFacts = ({ offline, groups, ...numbers }: BreakGlassRule) => ({
  ...numbers,
  groups: groups.toSorted(),
  ...(offline && { offline: { max_days: offline.max_days } }),
});

/** What a stage decides; its title is only words. */
const stageFacts = ({ groups, quorum, seats }: StageRule) => ({
  groups: groups.toSorted(),
  quorum,
  ...(seats && { seats }),
});

/** The groups that may decide once this much time has passed since the request was opened. */
export function groupsAfter(rule: RouteRule, elapsedSeconds: number): string[] {
  const added = rule.escalation
    .filter((step) => elapsedSeconds >= step.after_seconds)
    .flatMap((step) => step.groups);
  return [...new Set([...rule.groups, ...added])];
}

/** The people this route does not let decide, whatever groups they are in (I4). */
export function barredBy(rule: RouteRule, involved: Involved): string[] {
  const barred = new Set<string>(involved.spent);
  if (involved.requester !== null) barred.add(involved.requester);
  if (rule.independence.owner === 'barred') for (const owner of involved.owners) barred.add(owner);
  if (rule.independence.triggerer === 'barred' && involved.triggeredBy !== null)
    barred.add(involved.triggeredBy);
  return [...barred];
}

/** The stage that is open now, by route. */
export type OpenStages = Readonly<Record<string, number>>;

/** The routes on which this person's vote would count: now, where it is said which stages are open, or ever. */
export function routesFor(
  voter: Voter,
  routes: readonly FrozenRoute[],
  involved: Involved,
  elapsedSeconds: number,
  open: OpenStages | null = null,
): FrozenRoute[] {
  return routes.filter(({ name, rule }) => {
    const stages = stagesOf(rule).filter((_, at) => open === null || at === (open[name] ?? 0));
    return (
      groupsOn(voter, rule, involved).length > 0 &&
      stages.some((stage) =>
        canSit(voter.groups, seatKinds(stage, rule.escalation, elapsedSeconds)),
      )
    );
  });
}

/** The groups by which somebody's vote counts under a rule: none for whoever is not active, or barred (I4). */
export function groupsOn(voter: Voter, rule: RouteRule, involved: Involved): readonly string[] {
  const barred = barredBy(rule, involved);
  const isBarred = [voter.id, voter.inSteadOf ?? voter.id].some((id) => barred.includes(id));
  return voter.active && !isBarred ? voter.groups : [];
}

/** Why this person's vote would count on no route, or null. Self-approval is named before anything else. */
export function whyIneligible(
  voter: Voter,
  routes: readonly FrozenRoute[],
  involved: Involved,
  elapsedSeconds: number,
  open: OpenStages | null = null,
): Extract<RefusalCode, 'self_approval' | 'not_eligible' | 'not_your_turn'> | null {
  if (routesFor(voter, routes, involved, elapsedSeconds, open).length > 0) return null;
  if (routesFor(voter, routes, involved, elapsedSeconds).length > 0) return 'not_your_turn';
  const isSelf = routes.some(({ rule }) => barredBy(rule, involved).includes(voter.id));
  return isSelf ? 'self_approval' : 'not_eligible';
}

export const isStrongEnough = (has: Strength, needs: Strength): boolean =>
  STRENGTHS.indexOf(has) >= STRENGTHS.indexOf(needs);

/** Whether a vote came to this route through a channel it takes, with the proof of presence it wants. */
export const isTakenBy = (
  { rule }: FrozenRoute,
  vote: Pick<CastVote, 'channel' | 'strength'>,
): boolean => rule.channels.includes(vote.channel) && isStrongEnough(vote.strength, rule.strength);

/** What a rule asks of a vote on something of this risk: never less than of any other. */
export function strengthAt(
  { strength, strength_by_risk: byRisk = {} }: Pick<RouteRule, 'strength' | 'strength_by_risk'>,
  risk: string | null,
): Strength {
  const wanted = risk !== null && Object.hasOwn(byRisk, risk) ? byRisk[risk] : undefined;
  return wanted !== undefined && isStrongEnough(wanted, strength) ? wanted : strength;
}

/** A route as it is for something of this risk. */
export function atRisk(route: FrozenRoute, risk: string | null): FrozenRoute {
  const strength = strengthAt(route.rule, risk);
  return strength === route.rule.strength
    ? route
    : { ...route, ...freezeRoute(route.name, { ...route.rule, strength }) };
}

/** A route as it is for the riskiest that it is asked about. */
export const atItsStrongest = (route: FrozenRoute): FrozenRoute =>
  strongestOf(
    [null, ...Object.keys(route.rule.strength_by_risk ?? {})].map((risk) => atRisk(route, risk)),
  )[0] ?? route;

/** Each route once: where several rules ask the same one, as the riskiest of them does. */
export function strongestOf(routes: readonly FrozenRoute[]): FrozenRoute[] {
  const found = new Map<string, FrozenRoute>();
  for (const route of routes) {
    const other = found.get(route.name);
    if (!other || !isStrongEnough(other.rule.strength, route.rule.strength))
      found.set(route.name, route);
  }
  return [...found.values()];
}

export interface Tally {
  outcome: 'pending' | 'approved' | 'denied';
  /** Approvals per route: of distinct humans, each in one seat. */
  approvals: Record<string, number>;
  /** Everybody whose approval counted on some route. */
  approvers: string[];
  /** The stages of each route, and how far they are. */
  stages: Record<string, StageProgress[]>;
  /** The stage of each route whose people may vote now; its last one when all are complete. */
  open: Record<string, number>;
}

/**
 * Folds the votes so far. One denial ends a request; approval needs, on every route and in every stage of it, its
 * quorum of distinct humans who are eligible at this moment, each by a vote that this route takes. The order of the
 * votes does not matter. What somebody other than a person said is no vote, and a quorum of nobody is never
 * reached (I4). `groupsOf` says by which groups a vote counts on a route as its people are now.
 */
export function foldVotes(
  routes: readonly FrozenRoute[],
  cast: readonly CastVote[],
  groupsOf: (vote: CastVote, route: FrozenRoute) => readonly string[],
  elapsedSeconds: number,
): Tally {
  const votes = cast.filter((vote) => headsOf(vote).every((head) => isNoun('person', head)));
  const tally: Tally = { outcome: 'pending', approvals: {}, approvers: [], stages: {}, open: {} };
  const counted = new Set<string>();
  for (const route of routes) {
    const approving = votes
      .filter((vote) => vote.decision === 'approve' && isTakenBy(route, vote))
      .map((vote) => ({ vote, groups: groupsOf(vote, route) }))
      .filter(({ groups }) => groups.length > 0);
    const stages = stagesWith(route, oneForEachHuman(approving), elapsedSeconds, counted);
    const unfinished = stages.findIndex(({ isComplete }) => !isComplete);
    tally.stages[route.name] = stages;
    tally.open[route.name] = unfinished < 0 ? stages.length - 1 : unfinished;
    tally.approvals[route.name] = stages.reduce((sum, { approvals }) => sum + approvals, 0);
  }
  tally.approvers = [...counted].toSorted();
  if (votes.some((vote) => vote.decision === 'deny')) return { ...tally, outcome: 'denied' };
  const reached =
    routes.length > 0 &&
    Object.values(tally.stages).every((stages) => stages.every(({ isComplete }) => isComplete));
  return { ...tally, outcome: reached ? 'approved' : 'pending' };
}

interface Eligible {
  vote: CastVote;
  groups: readonly string[];
}

/** The humans behind a vote: whoever cast it, and whoever they cast it for. */
export const headsOf = ({
  person,
  inSteadOf,
}: Pick<CastVote, 'person' | 'inSteadOf'>): readonly string[] =>
  typeof inSteadOf === 'string' ? [person, inSteadOf] : [person];

/** One vote for each human (I4): somebody's own goes before one that another cast for them. */
function oneForEachHuman(votes: readonly Eligible[]): Eligible[] {
  const heard = new Set<string>();
  const order = ({ vote }: Eligible): string => headsOf(vote).length + vote.person;
  return votes
    .toSorted((a, b) => (order(a) < order(b) ? -1 : 1))
    .filter(({ vote }) => {
      const heads = headsOf(vote);
      if (heads.some((head) => heard.has(head))) return false;
      for (const head of heads) heard.add(head);
      return true;
    });
}

function stagesWith(
  { name, rule }: FrozenRoute,
  votes: readonly Eligible[],
  elapsedSeconds: number,
  counted: Set<string>,
): StageProgress[] {
  return stagesOf(rule).map((stage, at) => {
    const kinds = seatKinds(stage, rule.escalation, elapsedSeconds);
    const sitters: Sitter[] = votes
      .filter(({ vote, groups }) => {
        const castIn = vote.stages?.[name] ?? 0;
        const isIn = rule.same_person === 'allowed' ? castIn <= at : castIn === at;
        return isIn && canSit(groups, kinds);
      })
      .map(({ vote, groups }) => ({ id: vote.person, groups }));
    for (const { id } of sitters) counted.add(id);
    return progressOf(stage, kinds, sitters);
  });
}
