// One exchange with the server: a request out, an answer or an error with a stable code back.
import type { JsonObject } from '../domain/json.ts';
import { CountersignError, type ErrorCode } from './error.ts';
import type { Attempt } from './retry.ts';

export interface Exchange {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  url: URL;
  headers: Record<string, string>;
  body: string | null;
  /** How long the answer may take. */
  timeoutMs: number;
  signal: AbortSignal | undefined;
  /** Told the headers of the answer; true makes a refusal worth repeating at once. */
  onHeaders?: ((headers: Headers) => boolean) | undefined;
}

/** `fetch`, or what stands in for it: a proxy, a test. */
export type Fetch = (url: URL, init: RequestInit) => Promise<Response>;

/** Sends once and reads the answer to its end. */
export async function exchange(fetch: Fetch, message: Exchange): Promise<Attempt<string>> {
  const { method, url, headers, body, timeoutMs, signal } = message;
  const patience = AbortSignal.timeout(timeoutMs);
  let status: number;
  let answer: Response;
  let text: string;
  try {
    answer = await fetch(url, {
      method,
      headers,
      body,
      // A token must not follow a redirect to somebody else.
      redirect: 'manual',
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
    status = answer.status;
    text = await answer.text();
  } catch (cause) {
    return { done: false, error: unreachable(url, cause), retryAfterMs: 'soon' };
  }
  const mayRepeat = message.onHeaders?.(answer.headers) ?? false;
  if (status >= 200 && status < 300) return { done: true, value: text };
  const error = errorOf(url, answer, text);
  if (mayRepeat && asksForNonce(answer, error)) return { done: false, error, retryAfterMs: 0 };
  return { done: false, error, retryAfterMs: retryAfterMs(error, answer.headers) };
}

/** RFC 9449 §8 and §9: the same call with the nonce that came along. */
const asksForNonce = ({ headers }: Response, { code }: CountersignError): boolean =>
  code === 'use_dpop_nonce' ||
  (headers.get('www-authenticate') ?? '').includes('error="use_dpop_nonce"');

function unreachable(url: URL, cause: unknown): CountersignError {
  return new CountersignError(
    'unreachable',
    `${url.origin} gave no answer (${reasonOf(cause)}): check that the server runs and that this is its address.`,
    { cause },
  );
}

/** fetch says only "fetch failed"; what happened is underneath. */
function reasonOf(error: unknown): string {
  let root = error;
  while (root instanceof Error && root.cause instanceof Error) root = root.cause;
  if (root instanceof Error && 'code' in root && typeof root.code === 'string') return root.code;
  return root instanceof Error ? root.message : 'unknown';
}

/** Statuses of proxies and of servers that are just not there. */
const GATEWAY_STATUSES = [502, 503, 504];

function retryAfterMs(error: CountersignError, headers: Headers): number | 'soon' | null {
  const isPassing =
    GATEWAY_STATUSES.includes(error.status ?? 0) || error.code === 'idempotency_in_progress';
  if (!isPassing) return null;
  const seconds = headers.get('retry-after') ?? '';
  return /^\d{1,6}$/.test(seconds) ? Number(seconds) * 1000 : 'soon';
}

function errorOf(url: URL, { status, headers }: Response, text: string): CountersignError {
  const body = readObject(text);
  const requestId = headers.get('x-request-id');
  const { code, detail } = body;
  if (typeof code === 'string' && typeof detail === 'string')
    return new CountersignError(asErrorCode(code), detail, {
      status,
      requestId,
      members: furtherMembers(body),
    });
  // RFC 6749 §5.2: the token endpoint has its own shape.
  const { error, error_description: description } = body;
  if (typeof error === 'string')
    return new CountersignError(
      asErrorCode(error),
      typeof description === 'string' ? description : `The token endpoint refused: ${error}.`,
      { status, requestId },
    );
  return new CountersignError(
    'bad_answer',
    `${url.origin} answered ${status} in no form of Countersign's: check that this is its address.`,
    { status, requestId },
  );
}

/** The members that every problem document has, and that the error carries by other names. */
const COMMON_MEMBERS = ['type', 'title', 'status', 'code', 'detail', 'request_id'];

const furtherMembers = (body: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(body).filter(([name]) => !COMMON_MEMBERS.includes(name)));

/** Codes are API and only ever added: one that is not known yet is compared with none and shown as it is. */
const asErrorCode = (code: string): ErrorCode => code as ErrorCode;

/** The members of a JSON object, or none. */
function readObject(text: string): JsonObject {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? (parsed as JsonObject) : {};
  } catch {
    return {};
  }
}
