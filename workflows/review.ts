// A review campaign: open until everything is decided or its time is over, then closed with what came of it.
import { allHandlersFinished, condition, continueAsNew, workflowInfo } from '@temporalio/workflow';
import { act, hangBell, isPast } from './bell.ts';
import type { ReviewWorkflow } from './contract.ts';

export const review: ReviewWorkflow = async (id) => {
  const bell = hangBell();
  let view = await act.lookAtReview(id);
  if (!view) return 'unknown';
  while (view?.state === 'open') {
    await bell.until(view.dueAt);
    view = isPast(view.dueAt) ? await act.closeReview(id) : await act.lookAtReview(id);
    // Each decision rings the bell, and a campaign may have thousands.
    if (view?.state === 'open' && workflowInfo().continueAsNewSuggested) {
      await condition(allHandlersFinished);
      await continueAsNew<ReviewWorkflow>(id);
    }
  }
  await condition(allHandlersFinished);
  return 'closed';
};
