// What a verdict says. Members are API: added, never renamed.
import type { Digest } from '../digest.ts';

/** Whether exact bytes were approved, or a credential that was then used freely. */
export type Grain = 'action' | 'session';
export type Judgement = 'real' | 'decorative' | 'insufficient_evidence';
export type LayerState = 'effective' | 'deficient' | 'insufficient_data';

export const LAYERS = ['design', 'operation', 'deliberation', 'evidence'] as const;
export type LayerName = (typeof LAYERS)[number];

/** One case a test rests on: an exception, or what could not be classified. */
export interface VerdictCase {
  request: string | null;
  events: string[];
  says: string;
}

export interface VerdictTest {
  id: string;
  state: LayerState;
  population: number;
  exceptions: number;
  threshold: string;
  says: string;
  cases: VerdictCase[];
}

export interface VerdictLayer {
  state: LayerState;
  tests: VerdictTest[];
}

export interface Verdict {
  control: string;
  grain: Grain;
  period: { from: string; to: string };
  /** True when every case was played by agents of the kind `demo`: never a production verdict. */
  simulated: boolean;
  /** True until an outside witness has cosigned a checkpoint after the period. */
  interim: boolean;
  log: { size: number; root: string };
  /** Digest of the decision rule and its numbers. */
  rule_set: Digest;
  verdict: Judgement;
  layers: Record<LayerName, VerdictLayer>;
  /** Unmet lines, each with its cheapest remedy. */
  needed: string[];
}
