// Every refusal as an RFC 9457 problem document. The map is exhaustive: a new code does not compile without a status.
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { JsonObject } from '../domain/json.ts';
import { Refusal, type RefusalCode } from '../domain/refusal.ts';

export const STATUS: Record<RefusalCode, ContentfulStatusCode> = {
  invalid_request: 400,
  unauthenticated: 401,
  bad_signature: 401,
  stale_timestamp: 401,
  forbidden: 403,
  denied: 403,
  human_required: 403,
  self_approval: 403,
  not_eligible: 403,
  stronger_auth_required: 403,
  passkey_refused: 403,
  agent_not_active: 403,
  agent_orphaned: 403,
  stopped: 403,
  not_found: 404,
  method_not_allowed: 405,
  name_taken: 409,
  slack_user_taken: 409,
  slack_user_differs: 409,
  passkey_taken: 409,
  passkeys_full: 409,
  key_in_use: 409,
  task_not_running: 409,
  not_renewable: 409,
  renewal_capped: 409,
  not_approved: 409,
  join_not_approved: 409,
  not_your_turn: 409,
  already_decided: 409,
  already_voted: 409,
  shown_mismatch: 409,
  not_started: 409,
  already_collected: 409,
  permit_used: 409,
  receipt_conflict: 409,
  already_claimed: 409,
  claim_refused: 403,
  digest_mismatch: 409,
  policy_changed: 409,
  wrong_state: 409,
  no_approver: 409,
  standing_refused: 403,
  break_glass_refused: 403,
  review_open: 409,
  secret_not_put: 409,
  secret_in_use: 409,
  secret_tainted: 409,
  idempotency_in_progress: 409,
  not_requestable: 400,
  invalid_denial_binding: 400,
  expired_denial: 410,
  link_used: 410,
  link_expired: 410,
  join_token_used: 410,
  join_token_expired: 410,
  request_expired: 410,
  approval_lapsed: 410,
  too_large: 413,
  idempotency_mismatch: 422,
  weak_key: 422,
  private_key_sent: 422,
  person_unknown: 422,
  parent_unknown: 422,
  delegation_refused: 403,
  binding_required: 422,
  trigger_unproven: 422,
  role_unknown: 422,
  confirmation_required: 422,
  reason_required: 422,
  ttl_too_long: 422,
  option_refused: 422,
  narrowing_refused: 422,
  question_refused: 422,
  start_refused: 422,
  statement_refused: 422,
  statement_failed: 422,
  upstream_unknown: 422,
  call_refused: 422,
  call_failed: 422,
  seal_key_invalid: 422,
  csr_invalid: 422,
  callback_refused: 422,
  policy_invalid: 422,
  purpose_unknown: 422,
  too_soon: 429,
  target_unavailable: 503,
  sensor_silent: 503,
  owner_not_ready: 503,
  log_unavailable: 503,
  unavailable: 503,
  internal_error: 500,
};

/** A 401 that says how else to come (RFC 9110 §11.6.1). */
export class ChallengeRefusal extends Refusal {
  readonly challenge: string;
  constructor(detail: string, challenge: string) {
    super('unauthenticated', detail);
    this.challenge = challenge;
  }
}

/** Seconds after which a 503 or 429 is worth trying again. */
export const RETRY_AFTER_SECONDS: Partial<Record<RefusalCode, number>> = {
  too_soon: 60,
  target_unavailable: 5,
  owner_not_ready: 1,
  log_unavailable: 5,
  sensor_silent: 5,
  unavailable: 2,
  idempotency_in_progress: 2,
};

const problemType = (code: RefusalCode): string => `urn:countersign:problem:${code}`;

const titleOf = (code: RefusalCode): string => {
  const words = code.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
};

export function problemBody(refusal: Refusal, requestId: string): JsonObject {
  return {
    type: problemType(refusal.code),
    title: titleOf(refusal.code),
    status: STATUS[refusal.code],
    code: refusal.code,
    detail: refusal.message,
    request_id: requestId,
    ...refusal.members,
  };
}

export function problemHeaders(refusal: Refusal): Record<string, string> {
  const seconds = RETRY_AFTER_SECONDS[refusal.code];
  return {
    'content-type': 'application/problem+json',
    ...(seconds !== undefined && { 'retry-after': String(seconds) }),
    ...(STATUS[refusal.code] === 401 && {
      'www-authenticate': refusal instanceof ChallengeRefusal ? refusal.challenge : 'Bearer',
    }),
  };
}
