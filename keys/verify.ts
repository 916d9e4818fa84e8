// The one place where a signed token is judged: ours, those of agents, and those of issuers that people configured.
import { constants, verify, type KeyObject } from 'node:crypto';
import { JsonError, parseJson, type JsonObject } from '../domain/json.ts';
import { ALGORITHMS, fromBase64url, isAlgorithm, keyFor, type Algorithm } from './jwk.ts';

/** Why a token is refused: for logs and tests, and `key_unknown` for whoever can fetch newer keys. */
export type TokenFault =
  | 'too_large'
  | 'malformed'
  | 'header_refused'
  | 'algorithm_refused'
  | 'type_refused'
  | 'key_unknown'
  | 'key_refused'
  | 'signature_wrong'
  | 'claims_refused'
  | 'issuer_wrong'
  | 'audience_wrong'
  | 'expired'
  | 'not_yet';

/** Claims whose shape was checked; whatever else the token carries is there as it came. */
export interface Claims extends JsonObject {
  sub: string;
  aud: string | string[];
  exp: number;
}

export type TokenVerdict =
  | { claims: Claims; header: JsonObject; jwk: JsonObject; fault: null }
  | { claims: null; fault: TokenFault };

export interface TokenRules {
  /** Public keys of the issuer, from wherever its configuration says; never from the token. */
  keys: readonly JsonObject[];
  /** What this issuer signs with. */
  algorithms: readonly Algorithm[];
  /** Compared byte for byte; null for kinds of tokens that name no issuer, whose keys say whose they are. */
  issuer: string | null;
  /** Those of us that a token may be for; one of them must be named. */
  audience: string | readonly string[];
  /** Values of `typ` that this kind of token carries; null where it carries none. */
  types: readonly (string | null)[];
  now: Date;
  /** Values of `use` that its keys may carry; by default `sig`. */
  uses?: readonly string[];
}

/** Tokens are short. A longer text is refused before anything of it is read. */
const TOKEN_CHARACTERS_MAX = 16_384;
/** How far two clocks may be apart. */
const SKEW_SECONDS = 30;
const FOREIGN_RSA_BITS_MIN = 2048;
/** A set with more keys than this, all of which would be tried, is no set of keys. */
const KEYS_MAX = 100;

/** Verifies a token of an issuer that somebody else runs. */
export const verifyForeign = (token: string, rules: TokenRules): TokenVerdict =>
  verifyToken(token, {
    ...rules,
    rsaBitsMin: FOREIGN_RSA_BITS_MIN,
    graceSeconds: SKEW_SECONDS,
    required: [],
  });

export interface StrictRules extends Omit<TokenRules, 'audience'> {
  /** null: any, but the token must name one. */
  audience: string | readonly string[] | null;
  rsaBitsMin: number;
  /** How long after its expiry a token is still taken, for clocks that differ. */
  graceSeconds: number;
  /** Claims that have to be there besides iss, sub, aud and exp. */
  required: readonly string[];
}

/** Judges a token. Claims are read only once its signature holds, from the very bytes that were signed. */
export function verifyToken(token: string, rules: StrictRules): TokenVerdict {
  const signed = verifySigned(token, rules);
  if (signed.fault !== null) return signed;
  const fault = faultIn(signed.claims, rules);
  return fault === null ? { ...signed, claims: asClaims(signed.claims) } : refused(fault);
}

/** Stands in the place of keys for what is signed by whatever key it brings along: a proof that somebody has that key. */
export const KEY_IN_HEADER = 'in its header';

export interface SignedRules extends Pick<TokenRules, 'algorithms' | 'types' | 'uses'> {
  keys: readonly JsonObject[] | typeof KEY_IN_HEADER;
  rsaBitsMin: number;
}

export type SignedVerdict =
  | { claims: JsonObject; header: JsonObject; jwk: JsonObject; fault: null }
  | { claims: null; fault: TokenFault };

/** Judges form, type and signature of what somebody signed, whose claims are then for the caller to judge. */
export function verifySigned(token: string, rules: SignedRules): SignedVerdict {
  const parts = split(token);
  if ('fault' in parts) return refused(parts.fault);
  const header = readObject(parts.header);
  if (!header) return refused('malformed');
  const keys = keysFor(header, rules.keys);
  if (!keys) return refused('header_refused');
  const { alg } = header;
  if (typeof alg !== 'string' || !isAlgorithm(alg) || !rules.algorithms.includes(alg))
    return refused('algorithm_refused');
  if (!isOneOfTypes(header['typ'], rules.types)) return refused('type_refused');
  const signer = signerOf(parts, header, alg, { ...rules, keys });
  if ('fault' in signer) return refused(signer.fault);
  const claims = readObject(parts.payload);
  return claims ? { claims, header, jwk: signer.jwk, fault: null } : refused('malformed');
}

/** What a token says of itself: enough to find out whose keys to try, and not to be believed before that. */
export function unverifiedClaims(token: string): JsonObject | null {
  const parts = split(token);
  return 'fault' in parts ? null : readObject(parts.payload);
}

const refused = (fault: TokenFault): { claims: null; fault: TokenFault } => ({
  claims: null,
  fault,
});

/** `faultIn` found each of these to be of this type. */
const asClaims = (claims: JsonObject): Claims => claims as Claims;

/**
 * Extensions that would change what a signature means (RFC 7515 §4.1.11, RFC 7797), and keys that a token brings
 * along or tells us to fetch: no issuer we trust needs them, and every forger does.
 */
const REFUSED_HEADERS = ['crit', 'b64', 'zip', 'enc', 'jwk', 'jku', 'x5u', 'x5c'];

/** The keys that may have signed; null for a header with which nothing is taken. */
function keysFor(header: JsonObject, keys: SignedRules['keys']): readonly JsonObject[] | null {
  const { jwk, ...others } = header;
  if (REFUSED_HEADERS.some((name) => Object.hasOwn(others, name))) return null;
  if (keys !== KEY_IN_HEADER) return jwk === undefined ? keys : null;
  if (typeof jwk !== 'object' || jwk === null || Array.isArray(jwk)) return null;
  // Nobody else's key could be meant, whatever its name.
  const { kid, ...named } = jwk;
  return [kid === undefined || kid === header['kid'] ? jwk : named];
}

interface Parts {
  header: Buffer;
  payload: Buffer;
  signature: Buffer;
  signed: Buffer;
}

/** One token has one spelling: every part is base64url as we would print it. */
function split(token: string): Parts | { fault: TokenFault } {
  if (token.length > TOKEN_CHARACTERS_MAX) return { fault: 'too_large' };
  const parts = token.split('.');
  if (parts.length !== 3) return { fault: 'malformed' };
  const [header, payload, signature] = parts.map(fromBase64url);
  if (!header?.length || !payload?.length || !signature?.length) return { fault: 'malformed' };
  const signed = Buffer.from(token.slice(0, token.lastIndexOf('.')), 'ascii');
  return { header, payload, signature, signed };
}

/** A JSON object in which nothing can be read in two ways. */
function readObject(bytes: Buffer): JsonObject | null {
  try {
    const value = parseJson(
      new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes),
    );
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
  } catch (error) {
    if (error instanceof JsonError || error instanceof TypeError) return null;
    throw error;
  }
}

/** RFC 7515 §4.1.9: a media type, whose `application/` may be left out. */
const normalizedType = (type: string): string => type.toLowerCase().replace(/^application\//, '');

const isOneOfTypes = (typ: unknown, types: readonly (string | null)[]): boolean =>
  types.some((type) =>
    type === null
      ? typ === undefined
      : typeof typ === 'string' && normalizedType(typ) === normalizedType(type),
  );

function signerOf(
  parts: Parts,
  header: JsonObject,
  algorithm: Algorithm,
  rules: Omit<SignedRules, 'keys'> & { keys: readonly JsonObject[] },
): { jwk: JsonObject } | { fault: TokenFault } {
  const { kid } = header;
  if (kid !== undefined && typeof kid !== 'string') return { fault: 'malformed' };
  const named = rules.keys
    .slice(0, KEYS_MAX)
    // A key without a name may be the one that any name means: whether it is, its signature says.
    .filter((jwk) => [undefined, jwk['kid']].includes(kid) || jwk['kid'] === undefined);
  if (named.length === 0) return { fault: 'key_unknown' };
  let usable = 0;
  for (const jwk of named) {
    const key = keyFor(jwk, algorithm, { uses: ['sig'], ...rules });
    if (!key) continue;
    usable += 1;
    if (isSignedBy(key, algorithm, parts)) return { jwk };
  }
  return { fault: usable === 0 ? 'key_refused' : 'signature_wrong' };
}

function isSignedBy(key: KeyObject, algorithm: Algorithm, { signed, signature }: Parts): boolean {
  const scheme = ALGORITHMS[algorithm];
  switch (scheme.kty) {
    case 'EC':
      return verify(scheme.hash, signed, { key, dsaEncoding: 'ieee-p1363' }, signature);
    case 'OKP':
      return verify(null, signed, key, signature);
    case 'RSA':
      return verify(scheme.hash, signed, { key, ...PADDING[scheme.padding] }, signature);
  }
}

const PADDING = {
  pkcs1: { padding: constants.RSA_PKCS1_PADDING },
  // RFC 7518 §3.5: the salt is as long as the digest.
  pss: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
} as const;

function faultIn(claims: JsonObject, rules: StrictRules): TokenFault | null {
  const { iss, aud, sub, jti } = claims;
  const audiences = typeof aud === 'string' ? [aud] : aud;
  if (rules.required.some((name) => !Object.hasOwn(claims, name))) return 'claims_refused';
  if (typeof sub !== 'string' || sub === '') return 'claims_refused';
  if (jti !== undefined && typeof jti !== 'string') return 'claims_refused';
  if (iss !== undefined && typeof iss !== 'string') return 'issuer_wrong';
  if (rules.issuer !== null && iss !== rules.issuer) return 'issuer_wrong';
  if (!Array.isArray(audiences) || audiences.length === 0) return 'audience_wrong';
  if (!audiences.every((each) => typeof each === 'string')) return 'audience_wrong';
  const wanted = typeof rules.audience === 'string' ? [rules.audience] : rules.audience;
  if (wanted !== null && !wanted.some((each) => audiences.includes(each))) return 'audience_wrong';
  return faultOfTime(claims, rules);
}

/** Every comparison is written so that a time that is no number fails it. */
function faultOfTime(claims: JsonObject, { now, graceSeconds }: StrictRules): TokenFault | null {
  const { exp = null, nbf = 0, iat = 0 } = claims;
  const seconds = now.getTime() / 1000;
  if (![exp, nbf, iat].every(Number.isFinite)) return 'claims_refused';
  if (!(seconds < Number(exp) + graceSeconds)) return 'expired';
  const hasBegun = [nbf, iat].every((start) => Number(start) <= seconds + SKEW_SECONDS);
  return hasBegun ? null : 'not_yet';
}
