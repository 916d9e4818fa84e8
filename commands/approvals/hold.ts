// Making what was asked for wait for people: one request for one thing, however often it is asked for.
import type { AgentRow, RequestRow, TaskRow } from '../../db/rows.ts';
import type { Action } from '../../domain/action.ts';
import type { OptionExtent } from '../../domain/narrowing.ts';
import type { PublicKey } from '../../keys/public-key.ts';
import type { Evaluation } from '../policy/evaluate.ts';
import type { Unit } from '../unit.ts';
import { openRequest, recordEvaluation, resealRequest } from './requests.ts';

/** Something that policy holds. */
export interface Held {
  agent: AgentRow;
  owner: TaskRow;
  action: Action;
  evaluation: Evaluation;
  ask: { reason: string | null; sealTo: PublicKey; callbackUrl: string | null };
  /** What of its options approvers can narrow. */
  extents?: Record<string, OptionExtent>;
}

/** The request that waits: the live one for the same thing, now for the key that was sent last, or a new one. */
export async function holdFor(
  unit: Unit,
  { agent, owner, action, evaluation, ask, extents }: Held,
  live: RequestRow | null,
): Promise<RequestRow> {
  const { reason, callbackUrl } = ask;
  const sealTo = ask.sealTo.jwk;
  if (live) return resealRequest(unit, live, { sealTo, callbackUrl });
  const task = {
    id: owner.id,
    triggeredBy: owner.triggeredBy,
    proof: owner.triggeredByProof,
    deadlineAt: owner.deadlineAt,
  };
  return openRequest(
    unit,
    { action, agent, task, reason, sealTo, callbackUrl, extents },
    recordEvaluation(unit, action, evaluation),
  );
}
