// Parts of what the server says about requests that wait for people.

/** One step of a route: its people decide when the steps before are complete. */
export interface RouteStage {
  title: string | null;
  state: 'open' | 'waiting' | 'complete';
  quorum: number;
  approvals: number;
  /** How many are needed of whom, and how many there are. */
  seats: { groups: string[]; quorum: number; approvals: number }[];
}

/** What an approver asked before deciding. */
export interface RequestQuestion {
  id: string;
  by: string;
  to: 'agent' | 'owner' | 'triggerer';
  text: string;
  state: 'open' | 'answered' | 'lapsed';
  asked_at: string;
  /** When it stops waiting for an answer. */
  answer_by: string;
  answer: { by: { type: string; id: string }; text: string; at: string } | null;
}
