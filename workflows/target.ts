// The only reaper of a target: whatever is due there, abandoned or orphaned is ended here, until seen gone.
import { continueAsNew, workflowInfo } from '@temporalio/workflow';
import { act, fromNow, hangBell, isPast } from './bell.ts';
import type { TargetWorkflow } from './contract.ts';

/** Leases that end sooner than this wake the reaper; all others it finds by looking. */
const LOOK_SECONDS = 20;
/** How often the target's logins are compared with the leases, both ways. */
const SWEEP_SECONDS = 60;
/** History is cut long before the server would ask for it: this workflow never ends. */
const HISTORY_EVENTS_MAX = 4_000;

export const target: TargetWorkflow = async (name) => {
  const bell = hangBell();
  let sweepAt = fromNow(0);
  for (;;) {
    const { nextDueAt, more } = await act.reapTarget(name);
    if (isPast(sweepAt)) {
      await act.sweepTarget(name);
      sweepAt = fromNow(SWEEP_SECONDS);
    }
    const { historyLength, continueAsNewSuggested } = workflowInfo();
    if (continueAsNewSuggested || historyLength > HISTORY_EVENTS_MAX)
      await continueAsNew<TargetWorkflow>(name);
    if (!more) await bell.until(nextDueAt, fromNow(LOOK_SECONDS));
  }
};
