// What the API says about signals and leaks, as it sends it.
import type { SignalName } from '../domain/signal.ts';
import type { Credential } from './types.ts';

/** Somebody who is told when access ends. */
export interface Receiver {
  id: string;
  kind: 'ssf' | 'webhook';
  url: string;
  audience: string;
  signals: SignalName[];
  state: 'enabled' | 'paused' | 'disabled';
  because: 'asked' | 'gone' | 'failing' | null;
  wise: boolean;
  reasons: boolean;
  has_token: boolean;
  failing_since: string | null;
  created_at: string;
}

/** One message for one receiver. */
export interface SignalDelivery {
  id: string;
  event: string | null;
  signal: string;
  /** The event type of a SET, or the type of a webhook. */
  form: string;
  state: 'pending' | 'delivered' | 'failed';
  attempts: number;
  next_try_at: string | null;
  tries: { at: string; status: number | null; code: string; ms: number }[];
  created_at: string;
  ended_at: string | null;
}

/** What a report of a leak led to. */
export interface LeakMatch {
  proof: 'secret' | 'name';
  outcome: 'revoked' | 'dead_before' | 'named_only';
  agent_suspended: boolean;
  agent: { id: string; name: string; owner: string; state: string };
  /** Null where it was an access token of the agent itself. */
  credential: {
    id: string;
    task: string;
    role: string;
    issuer: string;
    state: Credential['state'];
    issued_at: string | null;
    expires_at: string;
    last_used_at: string | null;
    ended_at: string | null;
  } | null;
}

/** A report that a secret was found where it does not belong. */
export interface LeakLine {
  id: string;
  state: 'not_ours' | 'named' | 'dead_before' | 'dying' | 'dead';
  source: string;
  scanner: string | null;
  where: string | null;
  seen_at: string | null;
  reported_at: string;
  closed_at: string | null;
  seconds_to_dead: number | null;
  looked_for: Record<string, number>;
  matches: LeakMatch[];
}

/** A match, with what observers of the target saw done with it. */
export interface SeenMatch extends LeakMatch {
  seen: {
    at: string | null;
    kind: string | null;
    effect: string | null;
    outcome: string | null;
    session: string | null;
  }[];
}

/** A report, with what observers saw done with each credential. */
export interface Leak extends Omit<LeakLine, 'matches'> {
  matches: SeenMatch[];
}

/** Where a secret was put. */
export interface Placement {
  id: string;
  credential: string;
  kind: 'file' | 'env' | 'socket';
  path: string;
  host: string | null;
  at: string;
}

/** Somebody who reports leaks by themselves. */
export interface LeakScanner {
  id: string;
  name: string;
  kind: 'github' | 'webhook';
  policy: 'revoke' | 'suspend';
  key_identifiers: string[];
  /** Where it reports. */
  url: string;
  created_at: string;
}

/** A scanner that was just added. */
export interface NewLeakScanner extends LeakScanner {
  /** With which a webhook signs; told this once. */
  secret: string | null;
}

/** A source whose signed events show what set a task off. */
export interface TriggerSource {
  id: string;
  name: string;
  thumbprint: string;
  created_at: string;
}
