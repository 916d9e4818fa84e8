// What a request is, told one call after the other: the model that many calls at once are held against.
import type { Model } from './linearizable.ts';

export type RequestCall =
  | { kind: 'vote'; person: string; decision: 'approve' | 'deny' }
  | { kind: 'cancel' }
  | { kind: 'expire' }
  | { kind: 'fulfil' };

/** What a caller was told: a code, the state that came with it, and whether this call is the one that did it. */
export interface RequestAnswer {
  code: 'done' | 'nothing' | 'already_decided' | 'already_voted' | 'request_expired';
  state: string | null;
}

export interface RequestState {
  phase: 'pending' | 'approved' | 'denied' | 'cancelled' | 'expired' | 'consumed';
  voted: readonly string[];
}

/** Clocks of the caller and of the database are one clock here, read a moment apart. */
const SLACK_MS = 5;

/** A request that takes this many approvals and waits until `deadline`. */
export function requestModel(
  quorum: number,
  deadline: number,
): Model<RequestState, RequestCall, RequestAnswer> {
  const open: RequestState = { phase: 'pending', voted: [] };
  return {
    start: open,
    key: ({ phase, voted }) => `${phase} ${voted.join(' ')}`,
    next: (state, { call, answer, sentAt, answeredAt }) => {
      const mayBeDue = answeredAt >= deadline - SLACK_MS;
      const mayBeOpen = sentAt <= deadline + SLACK_MS;
      const expired: RequestState = { ...state, phase: 'expired' };
      const { phase, voted } = state;
      const isOpen = phase === 'pending';
      switch (call.kind) {
        case 'vote':
          if (answer.code === 'done')
            return isOpen && mayBeOpen ? afterVote(state, call, quorum) : [];
          if (answer.code === 'request_expired')
            return phase === 'expired' ? [state] : isOpen && mayBeDue ? [expired] : [];
          if (answer.code === 'already_voted')
            return isOpen && voted.includes(call.person) ? [state] : [];
          return !isOpen && answer.state === phase ? [state] : [];
        case 'cancel':
          if (answer.code === 'done')
            return isOpen && mayBeOpen ? [{ ...state, phase: 'cancelled' }] : [];
          if (isOpen) return mayBeDue && answer.state === 'expired' ? [expired] : [];
          return answer.state === phase ? [state] : [];
        case 'expire':
          if (answer.code === 'done') return isOpen && mayBeDue ? [expired] : [];
          return (isOpen ? mayBeOpen : true) && answer.state === phase ? [state] : [];
        case 'fulfil':
          if (answer.code === 'done')
            return phase === 'approved' ? [{ ...state, phase: 'consumed' }] : [];
          return phase === 'approved' ? [] : [state];
      }
    },
  };
}

function afterVote(
  { voted }: RequestState,
  { person, decision }: Extract<RequestCall, { kind: 'vote' }>,
  quorum: number,
): RequestState[] {
  if (voted.includes(person)) return [];
  const now = [...voted, person].toSorted();
  if (decision === 'deny') return [{ phase: 'denied', voted: now }];
  return [{ phase: now.length >= quorum ? 'approved' : 'pending', voted: now }];
}
