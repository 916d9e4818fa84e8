// Which public key may verify which algorithm. A key is tied to its algorithm: nothing the token says changes that.
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import type { JsonObject, JsonValue } from '../domain/json.ts';

/** Signature algorithms that exist here. No `none` and no HMAC: both would let a reader of public keys sign. */
export const ALGORITHMS = {
  ES256: { kty: 'EC', curve: 'P-256', hash: 'sha256', bytes: 32 },
  ES384: { kty: 'EC', curve: 'P-384', hash: 'sha384', bytes: 48 },
  ES512: { kty: 'EC', curve: 'P-521', hash: 'sha512', bytes: 66 },
  RS256: { kty: 'RSA', padding: 'pkcs1', hash: 'sha256' },
  RS384: { kty: 'RSA', padding: 'pkcs1', hash: 'sha384' },
  RS512: { kty: 'RSA', padding: 'pkcs1', hash: 'sha512' },
  PS256: { kty: 'RSA', padding: 'pss', hash: 'sha256' },
  PS384: { kty: 'RSA', padding: 'pss', hash: 'sha384' },
  PS512: { kty: 'RSA', padding: 'pss', hash: 'sha512' },
  EdDSA: { kty: 'OKP', curve: 'Ed25519', hash: null, bytes: 32 },
  Ed25519: { kty: 'OKP', curve: 'Ed25519', hash: null, bytes: 32 },
} as const;

export type Algorithm = keyof typeof ALGORITHMS;
type Scheme = (typeof ALGORITHMS)[Algorithm];

export const isAlgorithm = (name: string): name is Algorithm => Object.hasOwn(ALGORITHMS, name);

/** What may be asked of a key beyond its algorithm. */
export interface KeyRules {
  /** The shortest RSA modulus that is still taken. */
  rsaBitsMin: number;
  /** Values of `use` that a key for signatures may carry; a key that states none is taken. */
  uses: readonly string[];
}

/** RSA moduli longer than this cost more to verify than anybody's token is worth. */
const RSA_BITS_MAX = 8192;
const RSA_EXPONENT_MIN = 65_537n;
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/** The key for verifying this algorithm; null when it is of another kind, weak, or says it is for something else. */
export function keyFor(jwk: JsonObject, algorithm: Algorithm, rules: KeyRules): KeyObject | null {
  if (PRIVATE_MEMBERS.some((member) => Object.hasOwn(jwk, member))) return null;
  if (!statesNothingElse(jwk, algorithm, rules)) return null;
  const scheme: Scheme = ALGORITHMS[algorithm];
  const plain = scheme.kty === 'RSA' ? plainRsa(jwk) : plainCurve(jwk, scheme);
  if (!plain) return null;
  try {
    const key = createPublicKey({ key: plain, format: 'jwk' });
    return scheme.kty !== 'RSA' || isStrongRsa(key, rules) ? key : null;
  } catch {
    return null;
  }
}

/** RFC 7517 §4.2 to §4.4: what a key says it is for, it is for alone. */
function statesNothingElse(jwk: JsonObject, algorithm: Algorithm, rules: KeyRules): boolean {
  const { alg, use, key_ops: operations } = jwk;
  if (alg !== undefined && alg !== algorithm) return false;
  if (use !== undefined && !(typeof use === 'string' && rules.uses.includes(use))) return false;
  return operations === undefined || (Array.isArray(operations) && operations.includes('verify'));
}

function plainCurve(
  { kty, crv, x, y }: JsonObject,
  scheme: Exclude<Scheme, { kty: 'RSA' }>,
): JsonWebKey | null {
  if (kty !== scheme.kty || crv !== scheme.curve) return null;
  if (!isOfBytes(x, scheme.bytes)) return null;
  if (scheme.kty === 'OKP') return y === undefined && !isSmallOrder(x) ? { kty, crv, x } : null;
  return isOfBytes(y, scheme.bytes) ? { kty, crv, x, y } : null;
}

/**
 * The points of Ed25519 whose order divides 8, in every form that is read as one of them, without their sign: under
 * such a key anybody can sign anything (RFC 8032 §5.1.7 does not exclude them).
 */
const SMALL_ORDER = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
]);

function isSmallOrder(x: string): boolean {
  const bytes = Buffer.from(x, 'base64url');
  bytes[31] = (bytes[31] ?? 0) & 0x7f;
  return SMALL_ORDER.has(bytes.toString('hex'));
}

function plainRsa({ kty, n, e }: JsonObject): JsonWebKey | null {
  return kty === 'RSA' && isNumber(n) && isNumber(e) ? { kty, n, e } : null;
}

function isStrongRsa(key: KeyObject, { rsaBitsMin }: KeyRules): boolean {
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  return (
    modulusLength >= rsaBitsMin &&
    modulusLength <= RSA_BITS_MAX &&
    publicExponent >= RSA_EXPONENT_MIN &&
    publicExponent % 2n === 1n
  );
}

const isOfBytes = (value: JsonValue | undefined, length: number): value is string =>
  typeof value === 'string' && fromBase64url(value)?.length === length;

/** RFC 7518 §6.3.1.1: a big-endian number without leading zeros. */
const isNumber = (value: JsonValue | undefined): value is string =>
  typeof value === 'string' && (fromBase64url(value)?.[0] ?? 0) !== 0;

/** Reads base64url, or null unless the text is exactly what we would print (RFC 4648 §3.5). */
export function fromBase64url(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : null;
}
