// What another policy would have said to what really happened, as the server tells it and clients read it.

/** What would come out otherwise; the loudest first. */
export const SIMULATED_KINDS = [
  'no_longer_held',
  'no_longer_denied',
  'other_routes',
  'newly_held',
  'newly_denied',
] as const;
export type SimulatedKind = (typeof SIMULATED_KINDS)[number];

/** What a policy says to one action. */
export interface SimulatedSide {
  decision: 'permit' | 'hold' | 'deny';
  reasons: string[];
  routes: string[];
  controls: string[];
  /** Controls that a rule takes out of the way. */
  waived: string[];
}

export interface SimulatedChange {
  kind: SimulatedKind;
  before: SimulatedSide;
  after: SimulatedSide;
  /** Routes that would no longer be asked, or be asked under a rule that changed. */
  lost_routes: string[];
  count: number;
  examples: {
    evaluation: string;
    at: string;
    agent: string | null;
    action: string;
    resource: { type: string; id: string };
  }[];
}

export interface Simulation {
  version: string;
  against: string;
  looked_at: number;
  /** Of those, how many were asked as they were recorded, as things are now, or not at all. */
  as_recorded: number;
  as_now: number;
  not_replayable: number;
  ended: 'all' | 'limit' | 'time';
  /** How many would lose a gate: no longer held, or by fewer routes. */
  lose_a_gate: number;
  changes: SimulatedChange[];
}
