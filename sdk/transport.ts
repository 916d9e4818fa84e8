// How calls travel: signed in, with an idempotency key where they change something, repeated while that helps.
import type { JsonValue } from '../domain/json.ts';
import { CountersignError } from './error.ts';
import { exchange, type Exchange, type Fetch } from './http.ts';
import { retrying, type Attempt } from './retry.ts';
import type { Bearer } from './sign-in.ts';

/** What every method takes as its last argument. */
export interface CallOptions {
  /** A key of your own makes a call safe to repeat even after your process died; else one is made per call. */
  idempotencyKey?: string | undefined;
  /** Ends the call, and its retries, when aborted. */
  signal?: AbortSignal | undefined;
}

interface Call extends CallOptions {
  query?: Record<string, string | number | undefined>;
  /** Members that are undefined are not sent. */
  body?: Record<string, JsonValue | undefined>;
  form?: Record<string, string>;
  /** How long the server may take to wait for what is asked about (`Prefer: wait`). */
  waitSeconds?: number | undefined;
  /** Instead of the client's own bound. */
  retrySeconds?: number;
  /** For what anybody may read: asked without a token. */
  anonymous?: boolean;
  /** What another agent handed on, or a person's token: the call is made under it instead of the client's own. */
  subject?: Subject | undefined;
}

/** A token to exchange (RFC 8693), by whom it is about. */
export interface Subject {
  token: string;
  of: 'agent' | 'person';
}

export interface Transport {
  get<T>(path: string, call?: Call): Promise<T>;
  getText(path: string, call?: Call): Promise<string>;
  post<T>(path: string, call?: Call): Promise<T>;
  put<T>(path: string, call?: Call): Promise<T>;
  patch<T>(path: string, call?: Call): Promise<T>;
  delete<T>(path: string, call?: Call): Promise<T>;
}

export interface TransportOptions {
  url: URL;
  fetch: Fetch;
  bearer: Bearer;
  retrySeconds: number;
}

/** The server answers a waiting call when this much time is over, if not before. */
export const WAIT_SECONDS_MAX = 60;
const TIMEOUT_MS = 30_000;

export function openTransport(options: TransportOptions): Transport {
  const send = (method: Exchange['method'], path: string, call: Call = {}): Promise<string> =>
    sendCall(options, method, path, call);
  // The server's route table answers a success in the shape it documents; a test compares those with our types.
  const json =
    (method: Exchange['method']) =>
    async <T>(path: string, call?: Call): Promise<T> =>
      readAnswer(options.url, await send(method, path, call)) as T;
  return {
    get: json('GET'),
    getText: (path, call) => send('GET', path, call),
    post: json('POST'),
    put: json('PUT'),
    patch: json('PATCH'),
    delete: json('DELETE'),
  };
}

function sendCall(
  options: TransportOptions,
  method: Exchange['method'],
  path: string,
  call: Call,
): Promise<string> {
  const { bearer } = options;
  const message = messageOf(options.url, method, path, call);
  const retrySeconds = call.retrySeconds ?? options.retrySeconds;
  const bound = { retrySeconds, signal: call.signal };
  if (call.anonymous) return retrying(() => exchange(options.fetch, message), bound);
  const { subject } = call;
  let renewed = false;
  // Exchanged once for all attempts: what was handed on is good for one exchange.
  const exchanged = subject === undefined ? null : bearer.exchange(subject);
  const attempt = async (): Promise<Attempt<string>> => {
    const token = await (exchanged ?? bearer.token());
    const proven = await bearer.prover.headers(method, message.url, token);
    const outcome = await exchange(options.fetch, {
      ...message,
      headers: { ...message.headers, ...proven },
      onHeaders: (headers) => bearer.prover.learn(headers),
    });
    if (!outcome.done && outcome.retryAfterMs === 0) return outcome;
    // The token may have ended early, or the server may have new keys: one other token is worth trying.
    const isOver = !outcome.done && outcome.error.code === 'unauthenticated';
    if (!isOver || renewed || exchanged !== null || !bearer.renew(token)) return outcome;
    renewed = true;
    return { ...outcome, retryAfterMs: 0 };
  };
  return retrying(attempt, bound);
}

/** Made once per call: what is repeated is the same call under the same key. */
function messageOf(base: URL, method: Exchange['method'], path: string, call: Call): Exchange {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(call.query ?? {}))
    if (value !== undefined) url.searchParams.set(name, String(value));
  const { form, body, waitSeconds = 0 } = call;
  const headers: Record<string, string> = { accept: 'application/json' };
  if (method !== 'GET') headers['idempotency-key'] = call.idempotencyKey ?? crypto.randomUUID();
  if (waitSeconds > 0) headers['prefer'] = `wait=${Math.min(waitSeconds, WAIT_SECONDS_MAX)}`;
  if (form) headers['content-type'] = 'application/x-www-form-urlencoded';
  if (body) headers['content-type'] = 'application/json';
  return {
    method,
    url,
    headers,
    body: body ? JSON.stringify(body) : form ? new URLSearchParams(form).toString() : null,
    timeoutMs: TIMEOUT_MS + Math.min(waitSeconds, WAIT_SECONDS_MAX) * 1000,
    signal: call.signal,
  };
}

function readAnswer(url: URL, text: string): unknown {
  // 204: done, and nothing to say.
  if (text === '') return null;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CountersignError(
      'bad_answer',
      `${url.origin} answered with something that is not JSON: check that this is Countersign's address.`,
      { cause },
    );
  }
}
