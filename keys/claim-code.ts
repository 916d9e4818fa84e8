// A code in place of a key, for callers that can make none: the key pair follows from it, what is sealed to that key is
// kept as for everybody, and whoever has the code can have it opened.
import { createECDH, hkdfSync } from 'node:crypto';
import { compactDecrypt, importJWK } from 'jose';
import { parseJson, type JsonObject, type JsonValue } from '../domain/json.ts';

/** FIPS 186-5, P-256: the number of points, of which a private key is less. */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** The public key of a code, to seal to. */
export function publicKeyOfCode(code: string): JsonObject {
  const { kty, crv, x, y } = privateKeyOf(code);
  return { kty, crv, x, y };
}

/** Opens what was sealed to the key of a code. */
export async function openWithCode(code: string, sealed: string): Promise<JsonValue> {
  const key = await importJWK(privateKeyOf(code), 'ECDH-ES');
  const { plaintext } = await compactDecrypt(sealed, key, {
    keyManagementAlgorithms: ['ECDH-ES'],
    contentEncryptionAlgorithms: ['A256GCM'],
  });
  return parseJson(new TextDecoder().decode(plaintext));
}

/** 384 bits, so that what is left after the division by the order says nothing (FIPS 186-5, A.2.1). */
function privateKeyOf(code: string) {
  const bytes = hkdfSync(
    'sha256',
    Buffer.from(code, 'base64url'),
    new Uint8Array(0),
    'countersign/claim/v1',
    48,
  );
  const scalar = (BigInt(`0x${Buffer.from(bytes).toString('hex')}`) % (ORDER - 1n)) + 1n;
  const pair = createECDH('prime256v1');
  const d = Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex');
  pair.setPrivateKey(d);
  const point = pair.getPublicKey();
  const part = (from: number, to: number): string => point.subarray(from, to).toString('base64url');
  return { kty: 'EC', crv: 'P-256', x: part(1, 33), y: part(33, 65), d: d.toString('base64url') };
}
