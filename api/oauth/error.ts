// RFC 6749 §5.2: the token endpoint and its neighbours have a shape of error of their own.
import { Refusal } from '../../domain/refusal.ts';
import type { AppContext } from '../route.ts';

/** A no in the words of OAuth. */
export class OAuthError extends Error {
  readonly code: 'invalid_client' | 'invalid_request' | 'unsupported_grant_type';
  constructor(code: OAuthError['code'], description: string) {
    super(description);
    this.code = code;
  }
}

/** An error in the shape of RFC 6749 §5.2; anything that has none is thrown on. */
export function refuseOAuth(context: AppContext, error: unknown): Response {
  if (error instanceof OAuthError)
    return context.json(
      { error: error.code, error_description: error.message },
      error.code === 'invalid_client' ? 401 : 400,
    );
  if (error instanceof Refusal && error.code === 'stopped')
    return context.json({ error: 'invalid_client', error_description: error.message }, 401);
  if (error instanceof Refusal && error.code === 'invalid_request')
    return context.json({ error: 'invalid_request', error_description: error.message }, 400);
  throw error;
}
