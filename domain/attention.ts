// What is asked of people, and what their answers would and would not justify: how much each decides, which rules are the
// noisiest, and changes that somebody may propose. Every share comes with its n and an interval.
import { secondsBetween, toMs } from './instant.ts';
import { lowerBound, upperBound } from './verdict/binomial.ts';

/** Below this many cases a share says nothing worth acting on. */
const ENOUGH = 20;
/** Narrowings of one kind that make a lower ceiling worth proposing. */
const NARROWED_MIN = 5;
const HOUR_MS = 3_600_000;

/** k of n, with one-sided exact bounds at .95 each. */
export interface Share {
  k: number;
  n: number;
  lower: number;
  upper: number;
  /** Whether there are cases enough to act on it. */
  enough: boolean;
}

/** One request, as far as attention goes. */
export interface AttentionCase {
  request: string;
  rules: string[];
  routes: string[];
  /** The role it asked for, where it is one. */
  role: string | null;
  openedAt: string;
  decidedAt: string | null;
  outcome: 'approved' | 'denied' | 'expired' | 'withdrawn' | 'open';
  /** How long approvers let it last, where they shortened it; null where they did not. */
  narrowedTtlSeconds: number | null;
  isNarrowed: boolean;
}

/** What the policy has now, which a proposal would change. */
export interface PolicyNow {
  ttlSecondsMax: ReadonlyMap<string, number>;
  /** Routes that remind nobody and bring nobody in. */
  unreminded: ReadonlySet<string>;
}

/** A change that a person may make and push: never made by itself. */
interface Proposal {
  kind: 'lower_ttl' | 'remind' | 'forbid';
  says: string;
  evidence: { k: number; n: number; lower: number; requests: string[] };
  /** The change as a diff of the policy’s files. */
  diff: string;
}

/** One rule, and what it asked of people. */
export interface RuleLoad {
  rule: string;
  routes: string[];
  requests: number;
  open: number;
  median_seconds_to_decide: number | null;
  denied: Share;
  narrowed: Share;
  expired: Share;
  proposals: Proposal[];
  /** What its numbers do not show. */
  note: string | null;
}

/** A share with its bounds. */
export const shareOf = (k: number, n: number): Share => ({
  k,
  n,
  lower: lowerBound(k, n, 0.95),
  upper: upperBound(k, n, 0.95),
  enough: n >= ENOUGH,
});

/** Each rule with what it asked of people, the noisiest first. */
export function loadsByRule(cases: readonly AttentionCase[], now: PolicyNow): RuleLoad[] {
  const rules = [...new Set(cases.flatMap(({ rules: by }) => by))];
  return rules
    .map((rule) =>
      loadOf(
        rule,
        cases.filter(({ rules: by }) => by.includes(rule)),
        now,
      ),
    )
    .toSorted((one, other) => other.requests - one.requests || (one.rule < other.rule ? -1 : 1));
}

function loadOf(rule: string, cases: readonly AttentionCase[], now: PolicyNow): RuleLoad {
  const decided = cases.filter(({ outcome }) => outcome === 'approved' || outcome === 'denied');
  const over = cases.filter(({ outcome }) => outcome !== 'open' && outcome !== 'withdrawn');
  const denied = decided.filter(({ outcome }) => outcome === 'denied').length;
  const narrowed = decided.filter(({ isNarrowed }) => isNarrowed).length;
  const expired = over.filter(({ outcome }) => outcome === 'expired').length;
  const waits = decided.flatMap(({ openedAt, decidedAt }) =>
    decidedAt === null ? [] : [secondsBetween(openedAt, decidedAt)],
  );
  return {
    rule,
    routes: [...new Set(cases.flatMap(({ routes }) => routes))].toSorted(),
    requests: cases.length,
    open: cases.filter(({ outcome }) => outcome === 'open').length,
    median_seconds_to_decide: medianOf(waits),
    denied: shareOf(denied, decided.length),
    narrowed: shareOf(narrowed, decided.length),
    expired: shareOf(expired, over.length),
    proposals: [...lowerCeilings(cases, now), ...reminders(over, now), ...forbids(rule, decided)],
    note: denied + narrowed === 0 && decided.length > 0 ? unanimous(decided.length) : null,
  };
}

/**
 * Nobody having said no is what a rubber stamp looks like too. It takes seeded requests that should be refused to tell
 * the two apart, so no number of approvals is a reason to ask less.
 */
const unanimous = (n: number): string =>
  `All ${n} were approved as asked; at most ${upperBound(0, n, 0.95)} of all would be refused, with .95 confidence. That is no evidence for removing this gate: nothing here shows whether anybody looked.`;

function medianOf(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  return upper === undefined || lower === undefined ? null : Math.round((upper + lower) / 2);
}

/** Where people keep shortening what is asked for, the role could give no more to begin with. */
function lowerCeilings(cases: readonly AttentionCase[], { ttlSecondsMax }: PolicyNow): Proposal[] {
  const roles = [...new Set(cases.flatMap(({ role }) => role ?? []))];
  return roles.flatMap((role): Proposal[] => {
    const approved = cases.filter((each) => each.role === role && each.outcome === 'approved');
    const cut = approved.filter(({ narrowedTtlSeconds }) => narrowedTtlSeconds !== null);
    const ceiling = Math.max(...cut.map(({ narrowedTtlSeconds }) => narrowedTtlSeconds ?? 0));
    const today = ttlSecondsMax.get(role);
    if (cut.length < NARROWED_MIN || today === undefined || !(ceiling < today)) return [];
    const lower = lowerBound(cut.length, approved.length, 0.95);
    // What most were given in full, most may need in full.
    if (!(lower > 0.5)) return [];
    return [
      {
        kind: 'lower_ttl',
        says: `People shortened ${cut.length} of ${approved.length} approvals of ${role}, each to ${ceiling} s or less: give at most that.`,
        evidence: evidenceOf(cut, approved.length, lower),
        diff: diffOf('roles.yaml', `  ${role}:`, [
          `-    ttl_seconds_max: ${today}`,
          `+    ttl_seconds_max: ${ceiling}`,
        ]),
      },
    ];
  });
}

/** Where most requests run out unseen, people are to be told sooner: more are asked, and nothing is approved by it. */
function reminders(over: readonly AttentionCase[], { unreminded }: PolicyNow): Proposal[] {
  const routes = [...new Set(over.flatMap(({ routes: asked }) => asked))];
  return routes.flatMap((route): Proposal[] => {
    const asked = over.filter(({ routes: of }) => of.includes(route));
    const lapsed = asked.filter(({ outcome }) => outcome === 'expired');
    const lower = lowerBound(lapsed.length, asked.length, 0.95);
    if (!unreminded.has(route) || asked.length < ENOUGH || !(lower > 0.25)) return [];
    return [
      {
        kind: 'remind',
        says: `${lapsed.length} of ${asked.length} requests on ${route} ran out with nobody deciding, and nobody is reminded there.`,
        evidence: evidenceOf(lapsed, asked.length, lower),
        diff: diffOf('routes.yaml', `${route}:`, ['+  remind_at: [0.5, 0.9]']),
      },
    ];
  });
}

/** What people nearly always refuse need not be asked of them: the answer is known, and it is no. */
function forbids(rule: string, decided: readonly AttentionCase[]): Proposal[] {
  const refused = decided.filter(({ outcome }) => outcome === 'denied');
  const lower = lowerBound(refused.length, decided.length, 0.95);
  if (decided.length < ENOUGH || !(lower > 0.75)) return [];
  return [
    {
      kind: 'forbid',
      says: `People refused ${refused.length} of ${decided.length} requests held by ${rule}: say no at once, or narrow what the rule lets be asked.`,
      evidence: evidenceOf(refused, decided.length, lower),
      diff: diffOf('*.cedar', `@id("${rule}")`, [`-@approval("…")`, '-permit (…)', '+forbid (…)']),
    },
  ];
}

const EXAMPLES_MAX = 5;

const evidenceOf = (
  cases: readonly AttentionCase[],
  n: number,
  lower: number,
): Proposal['evidence'] => ({
  k: cases.length,
  n,
  lower,
  requests: cases.slice(0, EXAMPLES_MAX).map(({ request }) => request),
});

const diffOf = (file: string, at: string, lines: readonly string[]): string =>
  [`--- a/${file}`, `+++ b/${file}`, ` ${at}`, ...lines].join('\n');

/** How much one person decides. Without a name for whoever has no business knowing it. */
export interface ApproverLoad {
  alias: string;
  person: string | null;
  name: string | null;
  votes: number;
  most_votes_per_hour: number;
  most_open_at_once: number;
  reminders: number;
  /** Routes on which they decided more within 24 hours than the route plans for. */
  over_budget: { route: string; most_per_day: number; budget: number }[];
}

/** What was asked of people in a period. */
export interface AttentionReport {
  from: string;
  to: string;
  requests: number;
  /** Whether there were more, of which only the newest were looked at. */
  cut: boolean;
  approvers: ApproverLoad[];
  rules: RuleLoad[];
}

/** A span during which something waited for somebody. */
interface Span {
  from: string;
  until: string;
}

/** The most spans that ran at one moment. */
export function mostAtOnce(spans: readonly Span[]): number {
  // Of what ends and begins at one moment, what ends is over first.
  const edges = spans
    .flatMap(({ from, until }): [string, number][] => [
      [from, 1],
      [until, -1],
    ])
    .toSorted(([a, one], [b, other]) => (a === b ? one - other : a < b ? -1 : 1));
  let open = 0;
  let most = 0;
  for (const [, step] of edges) {
    open += step;
    most = Math.max(most, open);
  }
  return most;
}

/** The most votes within any hour. */
export const mostPerHour = (times: readonly string[]): number => mostWithin(times, HOUR_MS);

/** The most votes within any 24 hours. */
export const mostPerDay = (times: readonly string[]): number => mostWithin(times, 24 * HOUR_MS);

function mostWithin(times: readonly string[], windowMs: number): number {
  const at = times.map(toMs).toSorted((a, b) => a - b);
  let first = 0;
  let most = 0;
  at.forEach((time, last) => {
    while (time - (at[first] ?? time) >= windowMs) first += 1;
    most = Math.max(most, last - first + 1);
  });
  return most;
}
