// Questions that approvers ask before they decide: to whom, how long they wait, and what that does to the clock.
import type { Party } from './action.ts';
import type { RouteRule } from './approval.ts';
import type { Id } from './id.ts';
import { fromMs, toMs } from './instant.ts';

export const ADDRESSEES = ['agent', 'owner', 'triggerer'] as const;
export type Addressee = (typeof ADDRESSEES)[number];

/** One question about a request. Whoever reads it knows who said what. */
export interface Question {
  id: Id<'question'>;
  by: { person: Id<'person'>; name: string };
  to: Addressee;
  text: string;
  state: 'open' | 'answered' | 'lapsed';
  asked_at: string;
  /** When it stops waiting. */
  answer_by: string;
  closed_at: string | null;
  answer: { by: Party; name: string; text: string } | null;
  /** Whether the time to decide stands still while it is open. */
  clock: 'runs' | 'stops';
  /** Whether the agent has read the request since it was asked. */
  seen: boolean;
  /** Whether it was called back about it. */
  told: boolean;
}

/** So many questions a request can be asked in all: each may move its end. */
export const QUESTIONS_MAX = 5;

/** How a route treats questions. */
export interface AskRule {
  clock: 'runs' | 'stops';
  answer_within_seconds: number;
}

/** What holds where a route says nothing. */
export const ASK_DEFAULT: AskRule = { clock: 'runs', answer_within_seconds: 3600 };

/** With several routes the clock stops only if all stop it, and an answer has the least time that any gives. */
export function askRuleOf(rules: readonly Pick<RouteRule, 'ask'>[]): AskRule {
  const said = rules.map(({ ask }) => ask ?? ASK_DEFAULT);
  return {
    clock: said.length > 0 && said.every(({ clock }) => clock === 'stops') ? 'stops' : 'runs',
    answer_within_seconds: Math.min(...said.map((each) => each.answer_within_seconds)),
  };
}

interface Clock {
  createdAt: string;
  /** When it would have ended without any question. */
  firstExpiresAt: string;
  /** What it never outlives, whoever waits for whom; null where nothing bounds it. */
  endsAt: string | null;
}

/**
 * When a request with these questions runs out: as much later as the clock stood still, which is never longer in
 * all than there was time in the first place. An open question counts as far as it may still wait.
 */
export function expiryWith(questions: readonly Question[], clock: Clock): string {
  const first = toMs(clock.firstExpiresAt);
  const most = first - toMs(clock.createdAt);
  const at = first + Math.min(most, stoodStillMs(questions));
  return fromMs(clock.endsAt === null ? at : Math.max(first, Math.min(at, toMs(clock.endsAt))));
}

/** The time in which at least one question stopped the clock; two at once stop it once. */
function stoodStillMs(questions: readonly Question[]): number {
  const spans = questions
    .filter(({ clock }) => clock === 'stops')
    .map(
      ({ asked_at: from, closed_at: to, answer_by: by }) => [toMs(from), toMs(to ?? by)] as const,
    )
    .toSorted(([one], [other]) => one - other);
  let sum = 0;
  let until = -Infinity;
  for (const [from, to] of spans) {
    sum += Math.max(0, to - Math.max(from, until));
    until = Math.max(until, to);
  }
  return sum;
}

/** When the next open question stops waiting; null where none is open. */
export function nextLapseAt(questions: readonly Question[]): string | null {
  const due = questions.filter(({ state }) => state === 'open').map((each) => each.answer_by);
  return due.toSorted()[0] ?? null;
}
