// What the rest of the service knows of the workflows: names, inputs, messages, and the port to the outside.
// Names here are on the wire for as long as a history lives: they are added, never changed.
import { defineSignal, defineUpdate } from '@temporalio/workflow';
import type { AgentState, RequestState, TaskState } from '../domain/lifecycle.ts';

export const TASK_QUEUE = 'countersign';

/** Look at your rows again. A workflow holds no facts: it reads them, so a lost or doubled wake is harmless. */
export const wake = defineSignal('wake');

/** Remind the approvers now; refused when they were reminded a moment ago or there is nothing to decide. */
export const remindNow = defineUpdate<{ reminded: true }>('remindNow');

/** Refusal code of `remindNow`, carried as the type of an ApplicationFailure. */
export const TOO_SOON = 'too_soon';

/** Reminders on request are at least this far apart. */
export const REMINDER_GAP_SECONDS = 300;

interface TaskView {
  state: TaskState;
  deadlineAt: string;
}

/** Something a request's workflow does at a point in time while nobody has decided. */
export interface Notice {
  at: string;
  kind: 'remind' | 'escalate';
  step: number;
}

export interface RequestView {
  state: RequestState;
  expiresAt: string;
  approvedUntil: string | null;
  notices: Notice[];
  /** How many stages are behind it, over all routes; only where one has several. */
  stage?: number;
  /** When what was approved may begin. Histories from before have none, nor any of what follows. */
  startsAt?: string | null;
  /** When the next open question stops waiting. */
  answerBy?: string | null;
  /** Questions that nobody was told of yet. */
  untold?: string[];
}

export interface AgentView {
  state: AgentState;
  retiring: boolean;
  reviewDueAt: string | null;
  /** When something else is due: a key to retire, a rotation to remember. Histories from before have none. */
  careAt?: string | null;
}

export interface ReviewView {
  state: 'open' | 'closed';
  dueAt: string;
}

export type Fulfilment =
  | { outcome: 'done' }
  | { outcome: 'failed'; code: string }
  | { outcome: 'later'; code: string };

export interface Reaped {
  /** When the target next has something due, as far as is known now. */
  nextDueAt: string | null;
  /** More was due than one batch takes. */
  more: boolean;
}

/** The only hands the workflows have. Each is idempotent; ids go in, states come out, and never a secret. */
export interface Activities {
  ownTask(id: string): Promise<TaskView | null>;
  expireTask(id: string): Promise<void>;
  closeTask(id: string): Promise<TaskState>;

  lookAtRequest(id: string): Promise<RequestView | null>;
  announceRequest(id: string): Promise<void>;
  remindApprovers(id: string, step: number): Promise<void>;
  announceStage(id: string): Promise<void>;
  escalateRequest(id: string, step: number): Promise<void>;
  expireRequest(id: string): Promise<void>;
  tellAsked(id: string, question: string): Promise<void>;
  lapseQuestions(id: string): Promise<void>;
  fulfilRequest(id: string): Promise<Fulfilment>;
  closeRequest(id: string): Promise<void>;
  refreshCards(id: string): Promise<void>;
  tellRequester(id: string): Promise<void>;

  lookAtAgent(id: string): Promise<AgentView | null>;
  noteReviewDue(id: string): Promise<void>;
  careForAgent(id: string): Promise<void>;
  finishRetirement(id: string): Promise<AgentState>;

  reapTarget(target: string): Promise<Reaped>;
  sweepTarget(target: string): Promise<void>;

  /** When the target is to be asked next; null where nobody can be asked. */
  discoverTarget(target: string): Promise<{ nextAt: string | null }>;

  lookAtReview(id: string): Promise<ReviewView | null>;
  closeReview(id: string): Promise<ReviewView>;
}

/** Workflow types by the kind of thing they care for; their ids are the ids of those things. */
export type TaskWorkflow = (id: string) => Promise<TaskState | 'unknown'>;
export type RequestWorkflow = (id: string) => Promise<RequestState | 'unknown'>;
export type AgentWorkflow = (id: string, noted?: string | null) => Promise<AgentState | 'unknown'>;
export type TargetWorkflow = (target: string) => Promise<never>;
export type ReviewWorkflow = (id: string) => Promise<'closed' | 'unknown'>;
export type DiscoveryWorkflow = (target: string) => Promise<'unknown'>;
