// RFC 6749 §5.2: the token endpoint and its neighbours have a shape of error of their own.
import { Refusal } from '../../domain/refusal.ts';
import type { AppContext } from '../route.ts';

/** A no in the words of OAuth. */
export class OAuthError extends Error {
  readonly code:
    | 'invalid_client'
    | 'invalid_request'
    | 'unsupported_grant_type'
    | 'temporarily_unavailable';
  constructor(code: OAuthError['code'], description: string) {
    super(description);
    this.code = code;
  }
}

const STATUS = {
  invalid_client: 401,
  invalid_request: 400,
  unsupported_grant_type: 400,
  temporarily_unavailable: 503,
} as const;

/** As soon as others' keys would be looked for again. */
const RETRY_SECONDS = 30;

/** An error in the shape of RFC 6749 §5.2; anything that has none is thrown on. */
export function refuseOAuth(context: AppContext, error: unknown): Response {
  if (error instanceof OAuthError) {
    if (error.code === 'temporarily_unavailable')
      context.header('retry-after', String(RETRY_SECONDS));
    return context.json(
      { error: error.code, error_description: error.message },
      STATUS[error.code],
    );
  }
  if (error instanceof Refusal && error.code === 'invalid_request')
    return context.json({ error: 'invalid_request', error_description: error.message }, 400);
  throw error;
}
