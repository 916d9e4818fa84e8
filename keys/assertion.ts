// What a client signs to say that it is itself (private_key_jwt: RFC 7523 §3).
import type { JsonObject } from '../domain/json.ts';
import { verifyToken, type TokenFault } from './verify.ts';

export interface AssertionRules<K> {
  /** Who it has to be by and about. */
  client: string;
  /** Its registered keys that are good now. */
  keys: readonly K[];
  /** Names under which we may be the audience. */
  audience: readonly string[];
  now: Date;
}

export type AssertionVerdict<K> =
  | { key: K; jti: string; exp: number; fault: null }
  | { key: null; fault: TokenFault };

/** RFC 7523 gives an assertion no type of its own, its revision does; what has another type is another kind of token. */
const TYPES = [null, 'JWT', 'client-authentication+jwt'];
/** How long after its expiry an assertion is still taken, for clocks that differ. */
export const ASSERTION_GRACE_SECONDS = 30;

/** Judges a client assertion, and says which of the client's keys signed it. */
export function verifyAssertion<K extends { jwk: JsonObject }>(
  assertion: string,
  { client, keys, audience, now }: AssertionRules<K>,
): AssertionVerdict<K> {
  const verdict = verifyToken(assertion, {
    keys: keys.map(({ jwk }) => jwk),
    algorithms: ['ES256'],
    types: TYPES,
    issuer: client,
    audience,
    now,
    rsaBitsMin: Number.POSITIVE_INFINITY,
    graceSeconds: ASSERTION_GRACE_SECONDS,
    required: [],
  });
  if (verdict.fault !== null) return { key: null, fault: verdict.fault };
  const { sub, aud, jti, exp } = verdict.claims;
  // Whoever else it is for could bring it here first; several names of ours are one audience.
  if (![aud].flat().every((each) => audience.includes(each)))
    return { key: null, fault: 'audience_wrong' };
  const key = keys.find(({ jwk }) => jwk === verdict.jwk);
  if (!key || sub !== client || typeof jti !== 'string')
    return { key: null, fault: 'claims_refused' };
  return { key, jti, exp, fault: null };
}
