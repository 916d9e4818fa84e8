// What the issuers that call the APIs of others are given.
import type { Egress } from '../egress.ts';
import type { Secrets } from './login.ts';

export interface World {
  egress: Egress;
  secrets: Secrets;
  /** The time in milliseconds; the targets' own clocks are told apart from it by a margin. */
  now: () => number;
}
