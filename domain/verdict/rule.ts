// The numbers of the decision rule, in one place. Their digest is part of every verdict: another rule is another
// verdict.
import { digestOf, type Digest } from '../digest.ts';

export const RULE = {
  version: 1,
  /** Exceptions of one mechanism that make it reproducible. */
  reproducible_exceptions: 2,
  /** Refused effects that ran, whatever the mechanism. */
  refused_effects: 2,
  /** Cases below which every one of them has to be performed again. */
  cases_min: 25,
  canaries_min: 14,
  canaries_lower_bound: 0.7,
  approvers_min: 3,
  planted_effects_min: 59,
  sensor_silence_seconds: 900,
  /** Of the votes that decided, how many are by a key their human holds; of what is critical, all. */
  votes_by_key_min: 0.9,
  critical_risks: ['high', 'critical'],
  /** How long ending a credential may take before what still runs under it counts as unapproved. */
  revocation_seconds: 10,
  /** After so long the review of an emergency is late. */
  review_seconds: 259_200,
  /** Emergencies that make up so much of all uses are how work is done, once there are a few. */
  break_glass_share_max: 0.2,
  break_glass_uses_min: 5,
  /** From so many on, more than half of them not good is a way past the gate. */
  break_glass_reviews_min: 3,
  /** The share of actions that may pass a control by waiver before what people decide at it says little. */
  waived_share_max: 0.5,
} as const;

export const RULE_SET: Digest = digestOf('countersign/rule-set/v1', {
  ...RULE,
  critical_risks: [...RULE.critical_risks],
});
