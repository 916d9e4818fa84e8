// Our own tokens: ES256, one `typ` per kind, one key id per key.
import { randomUUID } from 'node:crypto';
import {
  calculateJwkThumbprint,
  createLocalJWKSet,
  exportJWK,
  generateKeyPair,
  importJWK,
  jwtVerify,
  SignJWT,
  type CryptoKey,
  type JWK,
  type JWTPayload,
} from 'jose';

export interface TokenKeys {
  /** Signs claims as a token of this type. What has no end tells of an event, and gives nobody anything (RFC 8417). */
  sign(type: string, claims: JWTPayload & ({ exp: number } | { events: object })): Promise<string>;
  /** The claims of one of our tokens of this type for this audience, or null. */
  verify(
    token: string,
    type: string,
    issuer: string,
    audience: string | null,
  ): Promise<JWTPayload | null>;
  /** Public keys, newest first. */
  jwks: { keys: JWK[] };
}

export interface StoredTokenKey {
  kid: string;
  jwk: JWK;
  created_at: string;
}

/** RFC 9068: the type of an access token. */
export const ACCESS_TOKEN = 'at+jwt';

export async function makeTokenKey(createdAt: string): Promise<StoredTokenKey> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = await exportJWK(privateKey);
  return { kid: await calculateJwkThumbprint(jwk), jwk, created_at: createdAt };
}

/** The first key signs; all of them verify. */
export async function openTokenKeys(stored: readonly StoredTokenKey[]): Promise<TokenKeys> {
  const [newest] = stored;
  if (!newest) throw new RangeError('there is no key to sign tokens with');
  const privateKey = await asPrivateKey(newest.jwk);
  const jwks = { keys: stored.map(({ kid, jwk }) => publicJwk(kid, jwk)) };
  const keySet = createLocalJWKSet(jwks);
  return {
    jwks,
    sign: (type, claims) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', typ: type, kid: newest.kid })
        .setIssuedAt(claims.iat)
        .setJti(claims.jti ?? randomUUID())
        .sign(privateKey),
    verify: async (token, type, issuer, audience) => {
      if (!isCanonical(token)) return null;
      try {
        const { payload } = await jwtVerify(token, keySet, {
          algorithms: ['ES256'],
          typ: type,
          issuer,
          ...(audience !== null && { audience }),
          requiredClaims: ['sub', 'aud', 'exp', 'iat', 'jti'],
        });
        return payload;
      } catch {
        return null;
      }
    },
  };
}

/** One token has one spelling: base64url readers skip spaces and spare bits (RFC 4648 §3.5). */
const isCanonical = (token: string): boolean =>
  token.split('.').every((part) => Buffer.from(part, 'base64url').toString('base64url') === part);

async function asPrivateKey(jwk: JWK): Promise<CryptoKey> {
  const key = await importJWK(jwk, 'ES256');
  if (key instanceof Uint8Array) throw new TypeError('the token key is not an EC key');
  return key;
}

function publicJwk(kid: string, { kty = 'EC', crv = 'P-256', x = '', y = '' }: JWK): JWK {
  return { kty, crv, x, y, kid, alg: 'ES256', use: 'sig' };
}
