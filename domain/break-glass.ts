// Breaking the glass: emergency access past a gate, by two people at least, to be reviewed before the next time.
import { freezeRoute, STRENGTHS, type FrozenRoute, type Strength } from './approval.ts';

/** What emergency access to a role is called as an action. */
export const BREAK_GLASS = 'credential:break_glass';

/** Whether an approved action of this name ends in a credential that somebody collects. */
export const givesCredential = (action: string): boolean =>
  action === 'credential:request' || action === BREAK_GLASS;

/** How long the others have to confirm. An emergency that waits longer is none. */
const CONFIRM_SECONDS = 900;

/** How long after its use the review may stay open until it is late. */
export const REVIEW_SECONDS = 72 * 3600;

const atLeast = (one: Strength, other: Strength): Strength =>
  STRENGTHS.indexOf(one) >= STRENGTHS.indexOf(other) ? one : other;

/**
 * The route past a gate: whoever declares the emergency and those who confirm it make its quorum together. Null where
 * the gate has none.
 */
export function routePast({ name, rule }: FrozenRoute): FrozenRoute | null {
  const { break_glass: glass } = rule;
  if (!glass) return null;
  return freezeRoute(`${name}/break-glass`, {
    title: `Break-glass: ${rule.title}`,
    groups: glass.groups,
    quorum: glass.quorum - 1,
    expiry_seconds: CONFIRM_SECONDS,
    valid_seconds: glass.max_seconds,
    strength: atLeast(rule.strength, 'fresh'),
    channels: ['web', 'api'],
    independence: rule.independence,
    remind_at: [],
    escalation: [],
    // Its approvers hear of it where they hear of what they decide.
    ...(rule.slack && { slack: rule.slack }),
    ...(rule.webhooks && { webhooks: rule.webhooks }),
    ...(rule.email && { email: rule.email }),
  });
}

/** A use of emergency access, declared or past. */
export interface Emergency {
  /** Null where it is no agent's: a login that lay ready for when we are down. */
  agent: string | null;
  /** The gates that it goes past, by their routes. */
  gates: readonly string[];
  people: readonly string[];
  /** What happened, by the id that an incident has elsewhere. */
  incident: string | null;
}

const share = (some: readonly string[], others: readonly string[]): boolean =>
  some.some((each) => others.includes(each));

/**
 * Whether uses that nobody has reviewed yet stand in the way of another: any of the same agent, gate or people does.
 * Only one continuing incident may go on, with people who were not in it before.
 */
export function isBlocked(wanted: Emergency, unreviewed: readonly Emergency[]): boolean {
  return unreviewed
    .filter(
      (each) =>
        (each.agent !== null && each.agent === wanted.agent) ||
        share(each.gates, wanted.gates) ||
        share(each.people, wanted.people),
    )
    .some(
      (each) =>
        wanted.incident === null ||
        each.incident !== wanted.incident ||
        share(each.people, wanted.people),
    );
}
