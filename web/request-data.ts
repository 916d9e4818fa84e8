// What the page of a request is made from.
import type { Strength } from '../domain/approval.ts';
import type { Card } from '../domain/card.ts';
import type { NarrowOffer } from '../domain/narrow-form.ts';
import type { Addressee } from '../domain/question.ts';

/** One route that has to agree. */
export interface RouteView {
  name: string;
  title: string;
  groups: string[];
  quorum: number;
  approvals: number;
  /** What is needed of whom, one stage after the other. */
  stages: {
    title: string | null;
    state: 'open' | 'waiting' | 'complete';
    seats: { groups: string[]; quorum: number; approvals: number }[];
  }[];
  strength: Strength;
  /** Who may not decide, in words. */
  barred: string[];
}

interface VoteView {
  person: string;
  decision: 'approve' | 'deny';
  channel: string;
  /** How a vote from Slack is known to be its person's. */
  slackBinding: string | null;
  strength: Strength;
  at: string;
  reason: string | null;
  /** Who was away and had them vote. */
  inSteadOf: string | null;
}

/** Whether the reader may decide, and if not, why not and what to do. */
export type Standing =
  /** `signs` where the vote has to be signed with a passkey; `notFor` are routes that want more proof than they bring. */
  | {
      kind: 'may';
      inSteadOf?: string | null;
      signs?: boolean;
      notFor?: { title: string; strength: Strength }[];
    }
  | { kind: 'over' }
  | { kind: 'may_not'; title: string; says: string; link?: { href: string; label: string } };

/** One member of what is decided on, and what would be left of it. */
export interface Change {
  label: string;
  before: string;
  after: string;
}

/** A narrower approval that was put together and not yet given. */
export interface Draft {
  /** The limits, as the form that gives it sends them. */
  narrow: string;
  changes: Change[];
  reason: string;
}

/** A vote that was refused: what was said, what to do, and what its voter had written. */
export interface Refused {
  code: string;
  says: string;
  advice: string;
  reason: string;
}

export interface RequestView {
  id: string;
  state: string;
  card: Card;
  shown: string;
  /** The action as indented JSON. */
  action: string;
  /** What the role gives, by the policy of today; null for what is not a role. */
  role: { title: string; gives: string; seconds: number } | null;
  controls: string[];
  whyHeld: string[];
  policyVersion: string;
  routes: RouteView[];
  votes: VoteView[];
  createdAt: string;
  expiresAt: string;
  decidedAt: string | null;
  decidedBy: string | null;
  approvedUntil: string | null;
  startsAt: string | null;
  denial: { reason: string | null; disposition: string } | null;
  failure: string | null;
  agent: string | null;
  task: { id: string; purpose: string; state: string; trigger: string; proof: string } | null;
  credential: { id: string; state: string; expiresAt: string } | null;
  standing: Standing;
  /** Whom the reader can ask before deciding. */
  asks: Addressee[];
  /** What the reader was asked. */
  toAnswer: { id: string; by: string; text: string }[];
  /** Routes on which the reader decided more within a day than these plan for. */
  attention?: { route: string; votes: number; budget: number }[];
  narrowable: NarrowOffer;
  /** Whether the reader may look at the log. */
  audits: boolean;
}

/** How far a vote from Slack is somebody's, by how its Slack user came to be them. */
export const SLACK_BINDINGS: Readonly<Record<string, string>> = {
  linked: ' (linked by themselves)',
  set_by_admin: ' (set by an administrator)',
  email_match: ' (known by e-mail address only)',
};
