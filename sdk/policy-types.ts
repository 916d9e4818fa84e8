// What the server says about policies.
/** A policy that became the active one. */
export interface PolicyActivation {
  version: string;
  replaces: string | null;
  activated_at: string;
  by: { type: string; id: string };
  request: string | null;
  active: boolean;
}

/** What a policy says to one action. */
export interface SimulatedSide {
  decision: 'permit' | 'hold' | 'deny';
  reasons: string[];
  routes: string[];
  controls: string[];
}

/** What another policy would have said to what really happened. */
export interface Simulation {
  version: string;
  against: string;
  looked_at: number;
  as_recorded: number;
  as_now: number;
  not_replayable: number;
  ended: 'all' | 'limit' | 'time';
  /** How many would no longer be asked about, or by fewer routes. */
  lose_a_gate: number;
  changes: {
    kind: 'no_longer_held' | 'no_longer_denied' | 'other_routes' | 'newly_held' | 'newly_denied';
    before: SimulatedSide;
    after: SimulatedSide;
    lost_routes: string[];
    count: number;
    examples: {
      evaluation: string;
      at: string;
      agent: string | null;
      action: string;
      resource: { type: string; id: string };
    }[];
  }[];
}
