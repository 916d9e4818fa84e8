// Hands for workflows under test: small worlds of rows that behave as the commands do, in the server's time.
import { setTimeout as sleep } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { RequestState, TaskState } from '../../domain/lifecycle.ts';
import type {
  Activities,
  AgentView,
  Fulfilment,
  Notice,
  RequestView,
  ReviewView,
} from '../../workflows/contract.ts';

/** When the running activity was scheduled, by the server's clock. */
export const scheduledAt = (): number => Context.current().info.currentAttemptScheduledTimestampMs;

export const iso = (ms: number): string => new Date(ms).toISOString();

const isDue = (at: string): boolean => scheduledAt() >= Date.parse(at);

/** A failure as a target or a program in between would cause it; its text must not be seen in any history. */
export const SECRET_TEXT = 'hunter2-was-the-password';
export const fault = (): Error => new Error(`connection refused for ${SECRET_TEXT}`);

/** Throws this many times before it does anything. */
export function failing<Input extends unknown[], Output>(
  times: number,
  hand: (...input: Input) => Promise<Output>,
): (...input: Input) => Promise<Output> {
  let left = times;
  return (...input) => {
    if (left <= 0) return hand(...input);
    left -= 1;
    return Promise.reject(fault());
  };
}

/** The first call does its work and then is never heard of again, as when its worker dies. */
export function dyingOnce<Input extends unknown[], Output>(
  hand: (...input: Input) => Promise<Output>,
): (...input: Input) => Promise<Output> {
  let dies = true;
  return async (...input) => {
    const output = await hand(...input);
    if (!dies) return output;
    dies = false;
    await sleep(50_000, undefined, { signal: Context.current().cancellationSignal });
    return output;
  };
}

/** An outage that no retry is meant to outlast. */
export const refuseForGood = (): Promise<never> =>
  Promise.reject(ApplicationFailure.nonRetryable(SECRET_TEXT, 'refused'));

type TaskHands = Pick<Activities, 'ownTask' | 'expireTask' | 'closeTask'>;

export interface TaskRow {
  state: TaskState;
  outcome: 'completed' | 'failed' | 'expired' | 'killed' | null;
  deadlineAt: string;
  /** Credentials not yet seen gone. */
  alive: number;
  /** How many of them are seen gone each time somebody looks. */
  goneEachLook: number;
}

export const taskRow = (now: number, changes: Partial<TaskRow> = {}): TaskRow => ({
  state: 'running',
  outcome: null,
  deadlineAt: iso(now + 3_600_000),
  alive: 0,
  goneEachLook: 1,
  ...changes,
});

export function endTask(row: TaskRow, outcome: TaskRow['outcome']): void {
  if (row.state === 'running') Object.assign(row, { state: 'ending', outcome });
}

export const taskHands = (row: TaskRow): TaskHands => ({
  ownTask: () => Promise.resolve({ state: row.state, deadlineAt: row.deadlineAt }),
  expireTask: () => {
    if (isDue(row.deadlineAt)) endTask(row, 'expired');
    return Promise.resolve();
  },
  closeTask: () => {
    if (row.state === 'ending' && row.outcome !== null && row.alive <= 0) row.state = row.outcome;
    row.alive -= row.goneEachLook;
    return Promise.resolve(row.state);
  },
});

export interface RequestRow {
  state: RequestState;
  expiresAt: string;
  approvedUntil: string | null;
  notices: Notice[];
  /** How many stages are behind it, where its routes have any. */
  stage?: number;
  startsAt?: string;
  answerBy?: string | null;
  untold?: string[];
  /** What carrying it out comes to, attempt by attempt; the last one repeats. */
  fulfilments: Fulfilment['outcome'][];
  /** Effects of carrying it out, by the id they were made under. */
  effects: Set<string>;
}

export const requestRow = (now: number, changes: Partial<RequestRow> = {}): RequestRow => ({
  state: 'pending',
  expiresAt: iso(now + 3_600_000),
  approvedUntil: null,
  notices: [],
  fulfilments: ['done'],
  effects: new Set(),
  ...changes,
});

/** A vote as the database takes it: whatever was decided first stays. */
export function decide(
  row: RequestRow,
  state: 'approved' | 'denied' | 'cancelled',
  approvedUntil: string | null = null,
): boolean {
  if (row.state !== 'pending') return false;
  Object.assign(row, { state, approvedUntil: state === 'approved' ? approvedUntil : null });
  return true;
}

type RequestHands = Pick<
  Activities,
  | 'lookAtRequest'
  | 'announceRequest'
  | 'remindApprovers'
  | 'announceStage'
  | 'escalateRequest'
  | 'tellAsked'
  | 'lapseQuestions'
  | 'expireRequest'
  | 'fulfilRequest'
  | 'closeRequest'
  | 'refreshCards'
  | 'tellRequester'
>;

export const nothing = (): Promise<void> => Promise.resolve();

export const requestHands = (row: RequestRow): RequestHands => ({
  lookAtRequest: () => Promise.resolve(viewOf(row)),
  announceRequest: nothing,
  remindApprovers: nothing,
  announceStage: nothing,
  escalateRequest: nothing,
  tellAsked: (_id, question) => {
    row.untold = (row.untold ?? []).filter((each) => each !== question);
    return Promise.resolve();
  },
  lapseQuestions: () => {
    if (row.answerBy && isDue(row.answerBy)) row.answerBy = null;
    return Promise.resolve();
  },
  expireRequest: () => {
    const due = row.state === 'approved' ? row.approvedUntil : row.expiresAt;
    const canExpire = row.state === 'pending' || row.state === 'approved';
    if (canExpire && due !== null && isDue(due)) row.state = 'expired';
    return Promise.resolve();
  },
  fulfilRequest: (id) => {
    if (row.state !== 'approved') return Promise.resolve({ outcome: 'done' });
    if (row.startsAt && !isDue(row.startsAt))
      return Promise.resolve({ outcome: 'later', code: 'not_started' });
    const [outcome = 'done'] =
      row.fulfilments.length > 1 ? row.fulfilments.splice(0, 1) : row.fulfilments;
    if (outcome === 'later')
      return Promise.resolve({ outcome: 'later', code: 'target_unavailable' });
    row.state = outcome === 'done' ? 'consumed' : 'failed';
    if (outcome === 'done') row.effects.add(id);
    return Promise.resolve(outcome === 'done' ? { outcome } : { outcome, code: 'policy_changed' });
  },
  closeRequest: nothing,
  refreshCards: nothing,
  tellRequester: nothing,
});

const viewOf = (row: RequestRow): RequestView => ({
  state: row.state,
  expiresAt: row.expiresAt,
  approvedUntil: row.approvedUntil,
  notices: row.notices,
  ...(row.stage !== undefined && { stage: row.stage }),
  ...(row.startsAt !== undefined && { startsAt: row.startsAt }),
  ...(row.answerBy !== undefined && { answerBy: row.answerBy }),
  ...(row.untold !== undefined && { untold: row.untold }),
});

type AgentHands = Pick<
  Activities,
  'lookAtAgent' | 'noteReviewDue' | 'careForAgent' | 'finishRetirement'
>;

export interface AgentRow extends AgentView {
  /** Tasks and credentials not yet over. */
  alive: number;
}

export const agentHands = (row: AgentRow): AgentHands => ({
  lookAtAgent: () =>
    Promise.resolve({
      state: row.state,
      retiring: row.retiring,
      reviewDueAt: row.reviewDueAt,
      careAt: row.careAt ?? null,
    }),
  noteReviewDue: nothing,
  careForAgent: () => {
    row.careAt = null;
    return Promise.resolve();
  },
  finishRetirement: () => {
    if (row.alive <= 0) row.state = 'retired';
    row.alive -= 1;
    return Promise.resolve(row.state);
  },
});

type ReviewHands = Pick<Activities, 'lookAtReview' | 'closeReview'>;

export interface ReviewRow extends ReviewView {
  createdAt: string;
  undecided: number;
}

export const reviewHands = (row: ReviewRow): ReviewHands => ({
  lookAtReview: () =>
    Promise.resolve({
      state: row.state,
      // As the activity says it: when everything is decided there is nothing to wait for.
      dueAt: row.state === 'open' && row.undecided === 0 ? row.createdAt : row.dueAt,
    }),
  closeReview: () => {
    row.state = 'closed';
    return Promise.resolve({ state: row.state, dueAt: row.dueAt });
  },
});
