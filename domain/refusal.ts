// Every way the product says no. Codes are API: added, never renamed.
import type { JsonObject } from './json.ts';

export const REFUSAL_CODES = [
  'invalid_request',
  'too_large',
  'unauthenticated',
  'bad_signature',
  'stale_timestamp',
  'forbidden',
  'denied',
  'human_required',
  'self_approval',
  'not_eligible',
  'not_your_turn',
  'stronger_auth_required',
  'passkey_refused',
  'passkey_taken',
  'passkeys_full',
  'not_found',
  'not_requestable',
  'invalid_denial_binding',
  'expired_denial',
  'method_not_allowed',
  'name_taken',
  'slack_user_taken',
  'slack_user_differs',
  'key_in_use',
  'task_not_running',
  'agent_not_active',
  'agent_orphaned',
  'stopped',
  'confirmation_required',
  'not_renewable',
  'renewal_capped',
  'not_approved',
  'join_not_approved',
  'already_decided',
  'already_voted',
  'shown_mismatch',
  'narrowing_refused',
  'question_refused',
  'not_started',
  'start_refused',
  'already_collected',
  'permit_used',
  'receipt_conflict',
  'already_claimed',
  'claim_refused',
  'digest_mismatch',
  'policy_changed',
  'wrong_state',
  'too_soon',
  'no_approver',
  'standing_refused',
  'break_glass_refused',
  'review_open',
  'idempotency_in_progress',
  'link_used',
  'link_expired',
  'join_token_used',
  'join_token_expired',
  'request_expired',
  'approval_lapsed',
  'idempotency_mismatch',
  'weak_key',
  'private_key_sent',
  'person_unknown',
  'parent_unknown',
  'delegation_refused',
  'binding_required',
  'trigger_unproven',
  'role_unknown',
  'reason_required',
  'ttl_too_long',
  'option_refused',
  'secret_not_put',
  'secret_in_use',
  'secret_tainted',
  'statement_refused',
  'statement_failed',
  'upstream_unknown',
  'call_refused',
  'call_failed',
  'seal_key_invalid',
  'csr_invalid',
  'callback_refused',
  'policy_invalid',
  'purpose_unknown',
  'target_unavailable',
  'sensor_silent',
  'owner_not_ready',
  'log_unavailable',
  'unavailable',
  'internal_error',
] as const;

export type RefusalCode = (typeof REFUSAL_CODES)[number];

/**
 * A no with a stable code and a sentence that says what to do. Thrown, it undoes the transaction it
 * happened in; returned by a command, it is an outcome whose events are kept.
 */
export class Refusal extends Error {
  readonly code: RefusalCode;
  /** Members that join the problem document, such as the state a request is already in. */
  readonly members: JsonObject;

  constructor(code: RefusalCode, message: string, members: JsonObject = {}) {
    super(message);
    this.name = 'Refusal';
    this.code = code;
    this.members = members;
  }
}
