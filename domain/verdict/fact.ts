// One event, one case and one credential, as the tests of a verdict read them.
import type { EventName } from '../event.ts';
import type { JsonObject, JsonValue } from '../json.ts';

/** One event as the tests read it: only what is public. */
export interface Fact {
  index: number;
  id: string;
  name: EventName;
  time: string;
  subject: string;
  request: string | null;
  actionRef: string | null;
  policyVersion: string | null;
  detail: JsonObject;
}

/** A request under the control, with everything that came of it. */
export interface Case {
  request: string;
  simulated: boolean;
  opened: Fact;
  votes: Fact[];
  /** How the waiting ended, if it did. */
  closed: Fact | null;
  facts: Fact[];
  /** What came of it as a standing grant: its opening, every use with its own permit, its end. */
  standing: Fact[];
}

/** A credential as the log knows it. */
export interface Lease {
  /** The request it carries out. */
  request: string | null;
  /** What policy said, where that was all it took. */
  evaluation: string | null;
  issued: boolean;
  /** From here on it should do nothing: its expiry, or the decision to revoke it. */
  until: string | null;
  /** When its target was seen to know it no more. */
  ended: string | null;
}

/** A member that is a text; null for anything else. */
export function text(value: JsonValue | undefined): string | null {
  return typeof value === 'string' ? value : null;
}
