// A request that waits for people: tell them, remind them, widen the circle, give up in time; then carry out
// what they decided and say so. Votes are database transactions; this owns the time between them.
import {
  allHandlersFinished,
  ApplicationFailure,
  condition,
  continueAsNew,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import { act, hangBell, isPast, send, type Bell } from './bell.ts';
import {
  remindNow,
  REMINDER_GAP_SECONDS,
  TOO_SOON,
  type RequestView,
  type RequestWorkflow,
} from './contract.ts';

export const request: RequestWorkflow = async (id) => {
  const bell = hangBell();
  const post = postOffice();
  const reminders = acceptReminders(id);
  const view = await act.lookAtRequest(id);
  if (!view) return 'unknown';
  if (view.state === 'pending') post.send(() => send.announceRequest(id));
  const decided = await waitForDecision(id, view, bell, post);
  reminders.close();
  post.send(() => send.tellRequester(id));
  post.send(() => send.refreshCards(id));
  if (decided.state === 'approved') await carryOut(id, decided.approvedUntil);
  else await act.closeRequest(id);
  const ended = await waitForUse(id, bell);
  post.send(() => send.refreshCards(id));
  await post.delivered();
  await condition(allHandlersFinished);
  return ended;
};

/** Until people, the clock or the requester end it. */
async function waitForDecision(
  id: string,
  seen: RequestView,
  bell: Bell,
  post: PostOffice,
): Promise<RequestView> {
  let view = seen;
  const done = new Set(view.notices.filter(({ at }) => isPast(at)).map(nameOf));
  while (view.state === 'pending') {
    const waiting = view.notices.filter((notice) => !done.has(nameOf(notice)));
    const woken = await bell.until(view.expiresAt, ...waiting.map(({ at }) => at));
    if (woken) post.send(() => send.refreshCards(id));
    for (const notice of waiting.filter(({ at }) => isPast(at))) {
      done.add(nameOf(notice));
      if (notice.kind === 'escalate') await act.escalateRequest(id, notice.step);
      else post.send(() => send.remindApprovers(id, notice.step));
    }
    if (isPast(view.expiresAt)) await act.expireRequest(id);
    view = (await act.lookAtRequest(id)) ?? view;
    if (view.state === 'pending' && workflowInfo().continueAsNewSuggested) {
      await post.delivered();
      await condition(allHandlersFinished);
      await continueAsNew<RequestWorkflow>(id);
    }
  }
  return view;
}

const nameOf = ({ kind, step }: { kind: string; step: number }): string => `${kind} ${step}`;

const RETRY_SECONDS_MAX = 30;

/** Carries out what was approved, for as long as the approval is good. */
async function carryOut(id: string, approvedUntil: string | null): Promise<void> {
  for (let seconds = 1; ; seconds = Math.min(seconds * 2, RETRY_SECONDS_MAX)) {
    const { outcome } = await act.fulfilRequest(id);
    if (outcome !== 'later') return;
    if (approvedUntil !== null && isPast(approvedUntil)) return;
    await sleep(seconds * 1000);
  }
}

/** An approval that nobody uses ends when its time is over. */
async function waitForUse(id: string, bell: Bell): Promise<RequestView['state']> {
  for (;;) {
    const view = await act.lookAtRequest(id);
    if (view?.state !== 'approved' || view.approvedUntil === null) return view?.state ?? 'failed';
    await bell.until(view.approvedUntil);
    if (isPast(view.approvedUntil)) await act.expireRequest(id);
  }
}

/** Lets people ask for a reminder now, but not all the time. */
function acceptReminders(id: string): { close: () => void } {
  let open = true;
  let last = Date.now();
  setHandler(
    remindNow,
    async () => {
      last = Date.now();
      await act.remindApprovers(id, 0);
      return { reminded: true as const };
    },
    {
      validator: () => {
        if (!open)
          throw ApplicationFailure.nonRetryable('the request is decided', 'already_decided');
        if (Date.now() - last < REMINDER_GAP_SECONDS * 1000)
          throw ApplicationFailure.nonRetryable('the approvers were just told', TOO_SOON);
      },
    },
  );
  return { close: () => (open = false) };
}

interface PostOffice {
  send(message: () => Promise<void>): void;
  delivered(): Promise<void>;
}

/** Messages go out one after the other beside the work; one that cannot be delivered is given up in the end. */
function postOffice(): PostOffice {
  let last: Promise<void> = Promise.resolve();
  return {
    send: (message) => {
      last = last.then(message).catch(() => undefined);
    },
    delivered: () => last,
  };
}
