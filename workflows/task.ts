// The durable owner of everything issued under a task. It runs before anything is issued, and ends only when
// everything is seen gone.
import { allHandlersFinished, condition, continueAsNew, workflowInfo } from '@temporalio/workflow';
import { act, fromNow, hangBell, isPast } from './bell.ts';
import type { TaskWorkflow } from './contract.ts';

/** While something under an ending task cannot be revoked, look this often even if nobody wakes us. */
const LOOK_SECONDS = 30;

export const task: TaskWorkflow = async (id) => {
  const bell = hangBell();
  let view = await act.ownTask(id);
  if (!view) return 'unknown';
  while (view?.state === 'running') {
    await bell.until(view.deadlineAt);
    if (isPast(view.deadlineAt)) await act.expireTask(id);
    if (workflowInfo().continueAsNewSuggested) await startAfresh(id);
    view = await act.ownTask(id);
  }
  let state = await act.closeTask(id);
  while (state === 'ending') {
    await bell.until(fromNow(LOOK_SECONDS));
    if (workflowInfo().continueAsNewSuggested) await startAfresh(id);
    state = await act.closeTask(id);
  }
  await condition(allHandlersFinished);
  return state;
};

async function startAfresh(id: string): Promise<void> {
  await condition(allHandlersFinished);
  await continueAsNew<TaskWorkflow>(id);
}
