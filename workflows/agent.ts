// An agent from registration to retirement: what is due, and a retirement that waits until nothing is alive.
import { allHandlersFinished, condition, continueAsNew, workflowInfo } from '@temporalio/workflow';
import { act, fromNow, hangBell, isPast } from './bell.ts';
import type { AgentWorkflow } from './contract.ts';

/** While something of a retiring agent is alive, look this often even if nobody wakes us. */
const LOOK_SECONDS = 30;

export const agent: AgentWorkflow = async (id, noted = null) => {
  const bell = hangBell();
  let lastNoted = noted;
  for (;;) {
    const view = await act.lookAtAgent(id);
    if (!view) return 'unknown';
    if (view.state === 'rejected' || view.state === 'retired') break;
    if (view.retiring) {
      if ((await act.finishRetirement(id)) === 'retired') break;
      await bell.until(fromNow(LOOK_SECONDS));
    } else {
      const due = view.reviewDueAt === lastNoted ? null : view.reviewDueAt;
      const careAt = view.careAt ?? null;
      await bell.until(due, careAt);
      if (due !== null && isPast(due)) {
        await act.noteReviewDue(id);
        lastNoted = due;
      }
      if (careAt !== null && isPast(careAt)) await act.careForAgent(id);
    }
    if (workflowInfo().continueAsNewSuggested) {
      await condition(allHandlersFinished);
      await continueAsNew<AgentWorkflow>(id, lastNoted);
    }
  }
  await condition(allHandlersFinished);
  return (await act.lookAtAgent(id))?.state ?? 'unknown';
};
