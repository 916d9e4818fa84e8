// RFC 6749 §5.2: the token endpoint and its neighbours have a shape of error of their own.
import { Refusal } from '../../domain/refusal.ts';
import type { AppContext } from '../route.ts';

/** A no in the words of OAuth. */
export class OAuthError extends Error {
  readonly code: OAuthCode;
  constructor(code: OAuthCode, description: string) {
    super(description);
    this.code = code;
  }
}

/** Codes of RFC 6749 §5.2, 7009 §2.2.1, 8707 §2 and 9449 §5, and of §4.1.2.1 the one for what can be tried again. */
type OAuthCode =
  | 'invalid_client'
  | 'invalid_request'
  | 'invalid_scope'
  | 'invalid_target'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'invalid_dpop_proof'
  | 'use_dpop_nonce'
  | 'temporarily_unavailable';

const statusOf = (code: OAuthCode): 400 | 401 | 503 => {
  if (code === 'temporarily_unavailable') return 503;
  return code === 'invalid_client' ? 401 : 400;
};

/** As soon as others' keys would be looked for again. */
const RETRY_SECONDS = 30;

/** An error in the shape of RFC 6749 §5.2; anything that has none is thrown on. */
export function refuseOAuth(context: AppContext, error: unknown): Response {
  if (error instanceof OAuthError) {
    if (error.code === 'temporarily_unavailable')
      context.header('retry-after', String(RETRY_SECONDS));
    return context.json(
      { error: error.code, error_description: error.message },
      statusOf(error.code),
    );
  }
  if (error instanceof Refusal && error.code === 'stopped')
    return context.json({ error: 'invalid_client', error_description: error.message }, 401);
  if (error instanceof Refusal && error.code === 'invalid_request')
    return context.json({ error: 'invalid_request', error_description: error.message }, 400);
  throw error;
}
