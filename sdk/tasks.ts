// Tasks: everything an agent is given hangs off one, and ends with it.
import { CountersignError } from './error.ts';
import type { ListOptions } from './lists.ts';
import { path } from './path.ts';
import type { CallOptions, Subject, Transport } from './transport.ts';
import type { Delegation, Page, Task } from './types.ts';

/** A task to start. */
export interface TaskOrder {
  purpose: string;
  /** 1 to 86,400; when it is over, the task ends by itself. */
  ttlSeconds: number;
  /** The person behind the task: `psn_…`. Without a proof this is only a claim. */
  triggeredBy?: string | undefined;
  /** That person's own word, from `POST /v1/session/trigger-proof`. */
  triggerProof?: string | undefined;
  /** What another agent handed on: the task is then part of that agent's, and ends with it. */
  parent?: Delegation | string | undefined;
  /** A person's own token of an issuer that policy names: they are shown to have set the task off. */
  onBehalf?: string | undefined;
}

/** Part of a task, to be handed on. */
export interface DelegationOrder {
  /** The agent that it is for, and for no other: `agt_…`. */
  agent: string;
  /** The roles that it may ask for; all that the task has if it is not said. */
  roles?: string[] | undefined;
  /** How long that agent may take to begin; 300 if it is not said. */
  ttlSeconds?: number | undefined;
}

/** With `waitSeconds`, the answer comes when everything is seen gone, or when that time is over. */
export interface EndOptions extends CallOptions {
  waitSeconds?: number | undefined;
}

/** Which tasks to list. */
export interface TaskFilter extends ListOptions {
  agent?: string | undefined;
  state?: Task['state'] | undefined;
}

/** Whoever works on a part of another agent's task works for whoever set that off. */
function subjectOf(parent: TaskOrder['parent'], onBehalf: string | undefined): Subject | undefined {
  if (parent !== undefined && onBehalf !== undefined)
    throw new CountersignError(
      'invalid_request',
      'A task is part of another agent’s or set off by a person: give parent or onBehalf, not both.',
    );
  if (onBehalf !== undefined) return { token: onBehalf, of: 'person' };
  if (parent === undefined) return undefined;
  return { token: typeof parent === 'object' ? parent.subject_token : parent, of: 'agent' };
}

export const taskCalls = (transport: Transport) => ({
  start: (
    { purpose, ttlSeconds, triggeredBy, triggerProof, parent, onBehalf }: TaskOrder,
    options?: CallOptions,
  ) =>
    transport.post<Task>('/v1/tasks', {
      ...options,
      subject: subjectOf(parent, onBehalf),
      body: {
        purpose,
        ttl_seconds: ttlSeconds,
        triggered_by: triggeredBy,
        trigger_proof: triggerProof,
      },
    }),

  get: (id: string, options?: CallOptions) => transport.get<Task>(path`/v1/tasks/${id}`, options),

  /** Gives a running task another purpose: what it may not have for that is revoked. */
  changePurpose: (id: string, purpose: string, reason: string, options?: CallOptions) =>
    transport.post<Task>(path`/v1/tasks/${id}/purpose`, { ...options, body: { purpose, reason } }),

  /** Hands part of a task on to another agent, which starts a task under it with `parent`. */
  delegate: (id: string, { agent, roles, ttlSeconds }: DelegationOrder, options?: CallOptions) =>
    transport.post<Delegation>(path`/v1/tasks/${id}/delegations`, {
      ...options,
      body: { agent, roles, ttl_seconds: ttlSeconds },
    }),

  /** An agent sees its own tasks. */
  list: ({ agent, state, limit, cursor }: TaskFilter = {}) =>
    transport.get<Page<Task>>('/v1/tasks', { query: { agent, state, limit, cursor } }),

  /** Ends a task that succeeded: everything under it is revoked. Repeating it changes nothing. */
  complete: (id: string, options?: EndOptions) =>
    transport.post<Task>(path`/v1/tasks/${id}/complete`, { ...options, body: {} }),

  /** Ends a task that did not succeed: everything under it is revoked. */
  fail: (id: string, reason: string, options?: EndOptions) =>
    transport.post<Task>(path`/v1/tasks/${id}/fail`, { ...options, body: { reason } }),
});
