// Who may decide, and what the votes so far amount to. Every channel and every test asks these functions.
import { digestOf, type Digest } from './digest.ts';
import { isNoun } from './id.ts';
import type { RefusalCode } from './refusal.ts';

/** How strongly a voter proved to be there, weakest first. */
export const STRENGTHS = ['session', 'fresh', 'passkey'] as const;
export type Strength = (typeof STRENGTHS)[number];

export const CHANNELS = ['web', 'slack', 'api'] as const;
export type Channel = (typeof CHANNELS)[number];

/** A route's rule. Its digest says whether two requests were held under the same one. */
export interface RouteRule {
  title: string;
  groups: string[];
  quorum: number;
  expiry_seconds: number;
  valid_seconds: number;
  strength: Strength;
  channels: Channel[];
  independence: { owner: 'barred' | 'allowed'; triggerer: 'barred' | 'allowed' };
  /** Fractions of the time to expiry at which approvers are reminded. */
  remind_at: number[];
  /** Groups that join the approvers when time has passed. Escalation adds people, never an approval. */
  escalation: { after_seconds: number; groups: string[] }[];
  /** How often an enforcement point may use an approval; once where it says nothing. */
  uses?: number | undefined;
  /** How soon an enforcement point says what came of a use; `RECEIPT_SECONDS` where it says nothing. */
  receipt_within_seconds?: number | undefined;
}

/** A route as a request froze it. */
export interface FrozenRoute {
  name: string;
  rule: RouteRule;
  rule_digest: Digest;
}

/** Whether it is the same route, under the same rule. */
export const isSameRoute = (one: FrozenRoute, other: FrozenRoute): boolean =>
  one.name === other.name && one.rule_digest === other.rule_digest;

export interface Voter {
  id: string;
  groups: readonly string[];
  active: boolean;
}

/** The people a request names, against whom independence is judged. */
export interface Involved {
  /** The human who asked, if it was one. */
  requester: string | null;
  owners: readonly string[];
  /** The human behind the task; barred even when merely claimed. */
  triggeredBy: string | null;
}

export interface CastVote {
  person: string;
  decision: 'approve' | 'deny';
  channel: Channel;
  strength: Strength;
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
    channels: rule.channels.toSorted(),
    independence: { owner: rule.independence.owner, triggerer: rule.independence.triggerer },
    escalation: rule.escalation.map((step) => ({
      after_seconds: step.after_seconds,
      groups: step.groups.toSorted(),
    })),
    // Left out where nothing is said, so that rules from before them keep their digests.
    ...(rule.uses !== undefined && { uses: rule.uses }),
    ...(rule.receipt_within_seconds !== undefined && {
      receipt_within_seconds: rule.receipt_within_seconds,
    }),
  });
}

/** How soon a receipt is due where no route says. */
const RECEIPT_SECONDS = 300;

/** How often an approval under all of these routes may be used. */
export const usesOf = (routes: readonly FrozenRoute[]): number =>
  Math.min(...routes.map(({ rule }) => rule.uses ?? 1));

/** How soon after a use its receipt is due under a rule. */
export const receiptWithin = (rule: RouteRule): number =>
  rule.receipt_within_seconds ?? RECEIPT_SECONDS;

/** How soon it is due under all of these routes. */
export const receiptSeconds = (routes: readonly FrozenRoute[]): number =>
  Math.min(...routes.map(({ rule }) => receiptWithin(rule)));

/** The groups that may decide once this much time has passed since the request was opened. */
export function groupsAfter(rule: RouteRule, elapsedSeconds: number): string[] {
  const added = rule.escalation
    .filter((step) => elapsedSeconds >= step.after_seconds)
    .flatMap((step) => step.groups);
  return [...new Set([...rule.groups, ...added])];
}

/** The people this route does not let decide, whatever groups they are in (I4). */
export function barredBy(rule: RouteRule, involved: Involved): string[] {
  const barred = new Set<string>();
  if (involved.requester !== null) barred.add(involved.requester);
  if (rule.independence.owner === 'barred') for (const owner of involved.owners) barred.add(owner);
  if (rule.independence.triggerer === 'barred' && involved.triggeredBy !== null)
    barred.add(involved.triggeredBy);
  return [...barred];
}

/** The routes on which this person's vote would count. */
export function routesFor(
  voter: Voter,
  routes: readonly FrozenRoute[],
  involved: Involved,
  elapsedSeconds: number,
): FrozenRoute[] {
  return routes.filter(({ rule }) => {
    const groups = groupsAfter(rule, elapsedSeconds);
    return (
      voter.active &&
      voter.groups.some((group) => groups.includes(group)) &&
      !barredBy(rule, involved).includes(voter.id)
    );
  });
}

/** Why this person's vote would count on no route, or null. Self-approval is named before anything else. */
export function whyIneligible(
  voter: Voter,
  routes: readonly FrozenRoute[],
  involved: Involved,
  elapsedSeconds: number,
): Extract<RefusalCode, 'self_approval' | 'not_eligible'> | null {
  if (routesFor(voter, routes, involved, elapsedSeconds).length > 0) return null;
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

export interface Tally {
  outcome: 'pending' | 'approved' | 'denied';
  /** Distinct approving humans per route. */
  approvals: Record<string, number>;
  /** Everybody whose approval counted on some route. */
  approvers: string[];
}

/**
 * Folds the votes so far. One denial ends a request; approval needs, on every route, its quorum of
 * distinct humans who are eligible at this moment, each by a vote that this route takes. The order of the
 * votes does not matter. What somebody other than a person said is no vote, and a quorum of nobody is never
 * reached (I4).
 */
export function foldVotes(
  routes: readonly FrozenRoute[],
  cast: readonly CastVote[],
  isEligible: (person: string, route: FrozenRoute) => boolean,
): Tally {
  const votes = cast.filter((vote) => isNoun('person', vote.person));
  const approvals: Record<string, number> = {};
  const counted = new Set<string>();
  for (const route of routes) {
    const people = new Set(
      votes
        .filter(
          (vote) =>
            vote.decision === 'approve' && isTakenBy(route, vote) && isEligible(vote.person, route),
        )
        .map((vote) => vote.person),
    );
    approvals[route.name] = people.size;
    for (const person of people) counted.add(person);
  }
  const approvers = [...counted].toSorted();
  if (votes.some((vote) => vote.decision === 'deny'))
    return { outcome: 'denied', approvals, approvers };
  const reached =
    routes.length > 0 &&
    routes.every(({ name, rule }) => (approvals[name] ?? 0) >= Math.max(1, rule.quorum));
  return { outcome: reached ? 'approved' : 'pending', approvals, approvers };
}
