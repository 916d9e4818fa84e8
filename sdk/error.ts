// The one error of the SDK. Its code is stable; its detail is a sentence that says what to do.
import type { JsonObject } from '../domain/json.ts';
import type { RefusalCode } from '../domain/refusal.ts';

/** What can go wrong on this side of the wire, or as the outcome of waiting. */
type ClientCode =
  /** No answer came, although the call was repeated until its time was over. */
  | 'unreachable'
  /** The caller's AbortSignal ended the call. */
  | 'aborted'
  /** An answer came that Countersign does not give: most likely the URL is another server's. */
  | 'bad_answer'
  /** A key is not what it has to be. */
  | 'invalid_key'
  /** The sealed credential does not open with this key. */
  | 'seal_mismatch'
  /** The role gives another kind of credential than the one asked for. */
  | 'wrong_kind'
  /** Nobody decided within the time the caller was willing to wait. The request stays open. */
  | 'not_decided'
  | 'request_denied'
  | 'request_cancelled'
  /** The policy changed while it waited: ask again. */
  | 'request_superseded'
  | 'request_failed';

/** The token endpoint's own codes (RFC 6749 §5.2, 8707 §2, 9449 §5). */
type OAuthCode =
  | 'invalid_client'
  | 'invalid_request'
  | 'invalid_scope'
  | 'invalid_target'
  | 'unsupported_grant_type'
  | 'invalid_dpop_proof'
  | 'use_dpop_nonce';

/** Every code known today. A newer server may answer others, so compare and do not enumerate. */
export type ErrorCode = RefusalCode | ClientCode | OAuthCode;

export interface ErrorFacts {
  /** The HTTP status; null when no server answered. */
  status?: number | null;
  /** What to quote to the operator of the server. */
  requestId?: string | null;
  /** Further members of the problem document, such as `evaluation` or `errors`. */
  members?: JsonObject;
  cause?: unknown;
}

/** Every failure of the SDK: compare `code`, show `detail`. */
export class CountersignError extends Error {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly status: number | null;
  readonly requestId: string | null;
  readonly members: JsonObject;

  constructor(code: ErrorCode, detail: string, facts: ErrorFacts = {}) {
    super(detail, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = 'CountersignError';
    this.code = code;
    this.detail = detail;
    this.status = facts.status ?? null;
    this.requestId = facts.requestId ?? null;
    this.members = facts.members ?? {};
  }
}
