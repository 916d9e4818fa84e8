// Requests that wait for people. Nothing here can vote: a vote needs a person, on the page or in Slack.
import { opened } from './credentials.ts';
import { CountersignError } from './error.ts';
import { publicKeyOf, type PrivateJwk } from './keys.ts';
import type { ListOptions } from './lists.ts';
import { path } from './path.ts';
import type { RequestQuestion } from './request-types.ts';
import { pause } from './retry.ts';
import { WAIT_SECONDS_MAX, type CallOptions, type Transport } from './transport.ts';
import type { AccessRequest, Credential, Page } from './types.ts';

/** How long to wait for people. */
export interface WaitOptions extends CallOptions {
  /** How long to wait at most; 900 if it is not said. */
  timeoutSeconds?: number | undefined;
  /**
   * Told each question that approvers put to the agent, once. What it returns is the answer; null leaves it open, for
   * `answer` to say later.
   */
  onQuestion?: OnQuestion | undefined;
}

/** Answers a question, or leaves it open. */
export type OnQuestion = (
  question: RequestQuestion,
  request: AccessRequest,
) => string | null | Promise<string | null>;

const TIMEOUT_SECONDS = 900;

/** A server that does not wait is asked no more often than this. */
const ASK_AGAIN_MS = 1_000;

export const requestCalls = (transport: Transport) => ({
  get: (id: string, options?: CallOptions) =>
    transport.get<AccessRequest>(path`/v1/requests/${id}`, options),

  /** An agent sees its own requests. */
  list: ({
    state,
    limit,
    cursor,
  }: ListOptions & { state?: AccessRequest['state'] | undefined } = {}) =>
    transport.get<Page<AccessRequest>>('/v1/requests', { query: { state, limit, cursor } }),

  /** Waits until the request is no longer pending, or the time is over: look at `state`. */
  wait: async (id: string, options: WaitOptions = {}): Promise<AccessRequest> => {
    const { timeoutSeconds = TIMEOUT_SECONDS, onQuestion, ...call } = options;
    const heard = new Set<string>();
    const deadline = Date.now() + timeoutSeconds * 1000;
    for (;;) {
      const began = Date.now();
      const leftSeconds = Math.max(0, Math.ceil((deadline - began) / 1000));
      const seen = await transport.get<AccessRequest>(path`/v1/requests/${id}`, {
        ...call,
        waitSeconds: Math.min(leftSeconds, WAIT_SECONDS_MAX),
        // A server that is being restarted ends no wait.
        retrySeconds: leftSeconds,
      });
      if (seen.state !== 'pending' || Date.now() >= deadline) return seen;
      if (onQuestion) await answerNew(transport, seen, { onQuestion, heard, call });
      if (Date.now() - began < ASK_AGAIN_MS) await pause(ASK_AGAIN_MS, call.signal);
    }
  },

  /** Takes what was approved: exactly that, once. The key is the one the request was made with. */
  collect: async (id: string, sealKey: PrivateJwk, options?: CallOptions) =>
    opened(
      await transport.post<Credential & { sealed: string }>(path`/v1/requests/${id}/collect`, {
        ...options,
        // Said again so that an approval is not used up by somebody who could not open it.
        body: { seal_to: { ...publicKeyOf(sealKey) } },
      }),
      sealKey,
    ),

  /** Answers a question that was put to the agent; approvers read it as what the agent claims. */
  answer: (id: string, question: string, text: string, options?: CallOptions) =>
    transport.post<Answered>(path`/v1/requests/${id}/questions/${question}/answer`, {
      ...options,
      body: { text },
    }),

  /** Withdraws a request that nobody has decided. */
  cancel: (id: string, options?: CallOptions) =>
    transport.post<AccessRequest>(path`/v1/requests/${id}/cancel`, { ...options, body: {} }),

  /** Reminds the approvers now; refused with `too_soon` when they were told a moment ago. */
  remind: (id: string, options?: CallOptions) =>
    transport.post<AccessRequest>(path`/v1/requests/${id}/remind`, { ...options, body: {} }),
});

/** A question with its answer, and the request as it is now. */
export interface Answered {
  question: RequestQuestion;
  request: AccessRequest;
}

interface Hearing {
  onQuestion: OnQuestion;
  /** Questions that were passed on already. */
  heard: Set<string>;
  call: CallOptions;
}

async function answerNew(
  transport: Transport,
  request: AccessRequest,
  { onQuestion, heard, call }: Hearing,
): Promise<void> {
  const open = request.questions.filter(({ to, state }) => to === 'agent' && state === 'open');
  for (const question of open.filter(({ id }) => !heard.has(id))) {
    heard.add(question.id);
    const text = await onQuestion(question, request);
    if (text === null) continue;
    await transport
      .post<Answered>(path`/v1/requests/${request.id}/questions/${question.id}/answer`, {
        ...call,
        body: { text },
      })
      .catch(unlessOver);
  }
}

/** Decided, or no longer waited for, while the answer was found: that ends no wait. */
function unlessOver(error: unknown): void {
  const over = ['already_decided', 'request_expired', 'wrong_state'];
  if (!(error instanceof CountersignError) || !over.includes(error.code)) throw error;
}
