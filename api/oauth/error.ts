// RFC 6749 §5.2: the token endpoint and its neighbours have a shape of error of their own.
import type { JsonObject } from '../../domain/json.ts';
import { Refusal, type RefusalCode } from '../../domain/refusal.ts';
import type { AppContext } from '../route.ts';

/** A no in the words of OAuth. */
export class OAuthError extends Error {
  readonly code: OAuthCode;
  /** Members that go along, such as the code to poll with. */
  readonly members: JsonObject;
  constructor(code: OAuthCode, description: string, members: JsonObject = {}) {
    super(description);
    this.code = code;
    this.members = members;
  }
}

/**
 * Codes of RFC 6749 §5.2, 7009 §2.2.1, 8707 §2 and 9449 §5, of §4.1.2.1 the one for what can be tried again, and of
 * RFC 8628 §3.5 those of a client that polls.
 */
type OAuthCode =
  | 'invalid_client'
  | 'invalid_request'
  | 'invalid_scope'
  | 'invalid_target'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'invalid_dpop_proof'
  | 'use_dpop_nonce'
  | 'invalid_grant'
  | 'authorization_pending'
  | 'slow_down'
  | 'access_denied'
  | 'expired_token'
  | 'temporarily_unavailable';

const statusOf = (code: OAuthCode): 400 | 401 | 503 => {
  if (code === 'temporarily_unavailable') return 503;
  return code === 'invalid_client' ? 401 : 400;
};

/** As soon as others' keys would be looked for again. */
const RETRY_SECONDS = 30;

/** What a refusal of the pipeline is called here. Who may not act at all is no client, and what is asked of it is mended by it. */
const OAUTH_CODES: Partial<Record<RefusalCode, OAuthCode>> = {
  denied: 'access_denied',
  delegation_refused: 'access_denied',
  no_approver: 'access_denied',
  not_found: 'invalid_request',
  task_not_running: 'invalid_request',
  reason_required: 'invalid_request',
  binding_required: 'invalid_request',
  option_refused: 'invalid_request',
  role_unknown: 'invalid_target',
  agent_not_active: 'invalid_client',
  stopped: 'invalid_client',
  owner_not_ready: 'temporarily_unavailable',
  target_unavailable: 'temporarily_unavailable',
  log_unavailable: 'temporarily_unavailable',
  sensor_silent: 'temporarily_unavailable',
  not_started: 'invalid_request',
  purpose_unknown: 'invalid_request',
};

/** A refusal of the pipeline in the words of OAuth; one that has none there stays what it is. */
export function inOAuth(refusal: Refusal): OAuthError | Refusal {
  const code = OAUTH_CODES[refusal.code];
  return code === undefined ? refusal : new OAuthError(code, refusal.message);
}

/** An error in the shape of RFC 6749 §5.2; anything that has none is thrown on. */
export function refuseOAuth(context: AppContext, error: unknown): Response {
  if (error instanceof OAuthError) {
    if (error.code === 'temporarily_unavailable')
      context.header('retry-after', String(RETRY_SECONDS));
    return context.json(
      { error: error.code, error_description: error.message, ...error.members },
      statusOf(error.code),
    );
  }
  if (error instanceof Refusal && error.code === 'stopped')
    return context.json({ error: 'invalid_client', error_description: error.message }, 401);
  if (error instanceof Refusal && error.code === 'invalid_request')
    return context.json({ error: 'invalid_request', error_description: error.message }, 400);
  throw error;
}
