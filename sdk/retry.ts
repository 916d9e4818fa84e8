// Repeats what can safely be repeated, for a bounded time. Whether it is safe is the caller's to say: every
// call that changes something carries an idempotency key.
import { CountersignError } from './error.ts';

/** How one attempt came out. */
export type Attempt<T> =
  | { done: true; value: T }
  /** `retryAfterMs` is null when repeating would not help, and 'soon' when the server did not say when. */
  | { done: false; error: CountersignError; retryAfterMs: number | 'soon' | null };

export interface Bound {
  /** No attempt begins later than this after the first one. */
  retrySeconds: number;
  signal: AbortSignal | undefined;
}

const FIRST_PAUSE_MS = 100;
const PAUSE_MS_MAX = 5_000;
/** A pause that a server asks for is kept, but never longer than this. */
const ASKED_PAUSE_MS_MAX = 30_000;

export async function retrying<T>(attempt: () => Promise<Attempt<T>>, bound: Bound): Promise<T> {
  const deadline = Date.now() + bound.retrySeconds * 1000;
  for (let tries = 0; ; tries += 1) {
    refuseAborted(bound.signal);
    const outcome = await attempt();
    if (outcome.done) return outcome.value;
    refuseAborted(bound.signal);
    const { error, retryAfterMs } = outcome;
    if (retryAfterMs === null) throw error;
    const pauseMs =
      retryAfterMs === 'soon' ? backoffMs(tries) : Math.min(retryAfterMs, ASKED_PAUSE_MS_MAX);
    if (Date.now() + pauseMs > deadline) throw error;
    await pause(pauseMs, bound.signal);
  }
}

/** Doubles, with a random half: callers that failed together do not come back together. */
function backoffMs(tries: number): number {
  const most = Math.min(FIRST_PAUSE_MS * 2 ** tries, PAUSE_MS_MAX);
  return most / 2 + (Math.random() * most) / 2;
}

/** Waits, or rejects as soon as the signal is aborted. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(abortedBy(signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', abort, { once: true });
  });
}

function refuseAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedBy(signal);
}

const abortedBy = (signal: AbortSignal | undefined): CountersignError =>
  new CountersignError('aborted', 'The call was aborted by its AbortSignal.', {
    cause: signal?.reason,
  });
