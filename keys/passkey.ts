// Signatures by the keys of authenticators. The key says which algorithm it is for; nothing else is asked.
import { verify } from 'node:crypto';
import { base64url } from '../domain/bytes.ts';
import type { JsonObject } from '../domain/json.ts';
import type { PasskeyKey, VerifyPasskey } from '../domain/webauthn.ts';
import { keyFor } from './jwk.ts';

const RULES = { rsaBitsMin: 2048, uses: [] };

const keyOf = (key: PasskeyKey) => keyFor(jwkOf(key), key.alg, RULES);

function jwkOf(key: PasskeyKey): JsonObject {
  switch (key.alg) {
    case 'ES256':
      return { kty: 'EC', crv: 'P-256', x: base64url(key.x), y: base64url(key.y) };
    case 'EdDSA':
      return { kty: 'OKP', crv: 'Ed25519', x: base64url(key.x) };
    case 'RS256':
      return { kty: 'RSA', n: base64url(key.n), e: base64url(key.e) };
  }
}

/** Whether a key is one that can be trusted to sign: on its curve, of no small order, long enough. */
export const isUsablePasskey = (key: PasskeyKey): boolean => keyOf(key) !== null;

/** WebAuthn §6.5.5: ECDSA signatures are in DER, the others are as in JOSE. */
export const verifyPasskey: VerifyPasskey = (key, signed, signature) => {
  const publicKey = keyOf(key);
  if (!publicKey) return false;
  if (key.alg === 'EdDSA') return verify(null, signed, publicKey, signature);
  return verify('sha256', signed, { key: publicKey, dsaEncoding: 'der' }, signature);
};
