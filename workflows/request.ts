// A request that waits for people: tell them, remind them, widen the circle, give up in time; then carry out
// what they decided and say so. Votes are database transactions; this owns the time between them.
import {
  allHandlersFinished,
  ApplicationFailure,
  condition,
  continueAsNew,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { act, fromNow, hangBell, isPast, send, type Bell } from './bell.ts';
import {
  remindNow,
  REMINDER_GAP_SECONDS,
  TOO_SOON,
  type RequestView,
  type RequestWorkflow,
} from './contract.ts';
import { pauseSeconds } from './pace.ts';

export const request: RequestWorkflow = async (id) => {
  const bell = hangBell();
  const cards = postOffice();
  const reminders = acceptReminders(id, cards);
  const view = await act.lookAtRequest(id);
  if (!view) return 'unknown';
  if (view.state === 'pending') cards.send(() => send.announceRequest(id));
  const questions = postOffice();
  const decided = await waitForDecision(id, view, bell, { cards, questions });
  reminders.close();
  // Not behind the cards: where those go may be down while the requester is not.
  const calls = postOffice();
  calls.send(() => send.tellRequester(id));
  cards.send(() => send.refreshCards(id));
  if (decided.state === 'approved') {
    // Not awaited where there is nothing to wait for: that too is a step, which earlier histories do not have.
    if (decided.startsAt) await waitForStart(id, decided.startsAt, bell);
    await carryOut(id, decided.approvedUntil, bell);
  } else await act.closeRequest(id);
  const ended = await waitForUse(id, bell);
  cards.send(() => send.refreshCards(id));
  await Promise.all([calls.delivered(), cards.delivered(), questions.delivered()]);
  await condition(allHandlersFinished);
  return ended;
};

/** A new run begins without messages under way, or a little later. */
const CARDS_WAIT_MS = 5_000;

/** Until people, the clock or the requester end it. */
async function waitForDecision(
  id: string,
  seen: RequestView,
  bell: Bell,
  { cards, questions }: { cards: PostOffice; questions: PostOffice },
): Promise<RequestView> {
  let view = seen;
  const done = new Set(view.notices.filter(({ at }) => isPast(at)).map(nameOf));
  const told = new Set<string>();
  while (view.state === 'pending') {
    for (const question of (view.untold ?? []).filter((each) => !told.has(each))) {
      told.add(question);
      questions.send(() => send.tellAsked(id, question));
    }
    const waiting = view.notices.filter((notice) => !done.has(nameOf(notice)));
    const answerBy = view.answerBy ?? null;
    const woken = await bell.until(view.expiresAt, answerBy, ...waiting.map(({ at }) => at));
    if (woken) cards.send(() => send.refreshCards(id));
    for (const notice of waiting.filter(({ at }) => isPast(at))) {
      done.add(nameOf(notice));
      const isWider = notice.kind === 'escalate';
      if (isWider) await act.escalateRequest(id, notice.step);
      cards.send(() => send.remindApprovers(id, isWider ? 0 : notice.step));
    }
    if (answerBy !== null && isPast(answerBy)) await act.lapseQuestions(id);
    if (isPast(view.expiresAt)) await act.expireRequest(id);
    const before = view.stage ?? 0;
    view = (await act.lookAtRequest(id)) ?? view;
    // Those who come next were not asked until now. Requests without stages, and from before, have none.
    if (view.state === 'pending' && (view.stage ?? 0) > before)
      cards.send(() => send.announceStage(id));
    const isLong = view.state === 'pending' && workflowInfo().continueAsNewSuggested;
    // A card that cannot be delivered now must not keep the clock waiting.
    const isQuiet = (): boolean => cards.isEmpty() && questions.isEmpty();
    if (isLong && (await condition(isQuiet, CARDS_WAIT_MS))) {
      await condition(allHandlersFinished);
      await continueAsNew<RequestWorkflow>(id);
    }
  }
  return view;
}

const nameOf = ({ kind, step }: { kind: string; step: number }): string => `${kind} ${step}`;

/** What was approved for later begins then, unless it ends before: its task may. */
async function waitForStart(id: string, startsAt: string, bell: Bell): Promise<void> {
  while (!isPast(startsAt)) {
    await bell.until(startsAt);
    const view = await act.lookAtRequest(id);
    if (view?.state !== 'approved') return;
  }
}

/** Carries out what was approved, for as long as the approval is good. */
async function carryOut(id: string, approvedUntil: string | null, bell: Bell): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    const { outcome } = await act.fulfilRequest(id);
    if (outcome !== 'later') return;
    if (approvedUntil !== null && isPast(approvedUntil)) return;
    await bell.until(fromNow(pauseSeconds(tries)), approvedUntil);
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

/** Lets people ask for a reminder now, but not all the time. They are not kept until it has arrived. */
function acceptReminders(id: string, cards: PostOffice): { close: () => void } {
  let open = true;
  let last = Date.now();
  setHandler(
    remindNow,
    () => {
      last = Date.now();
      cards.send(() => send.remindApprovers(id, 0));
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
  isEmpty: () => boolean;
}

/** Messages go out one after the other beside the work; one that cannot be delivered is given up in the end. */
function postOffice(): PostOffice {
  let last: Promise<void> = Promise.resolve();
  let waiting = 0;
  return {
    send: (message) => {
      waiting += 1;
      last = last
        .then(message)
        .catch(() => undefined)
        .then(() => {
          waiting -= 1;
        });
    },
    delivered: () => last,
    isEmpty: () => waiting === 0,
  };
}
