// Public keys as callers send them: only P-256, only public, and on the curve.
import { createPublicKey } from 'node:crypto';
import { calculateJwkThumbprint, CompactEncrypt, importJWK } from 'jose';
import type { JsonObject } from '../domain/json.ts';
import { Refusal, type RefusalCode } from '../domain/refusal.ts';

export interface PublicKey {
  jwk: { kty: 'EC'; crv: 'P-256'; x: string; y: string };
  thumbprint: string;
}

/** Reads a public EC P-256 JWK; `weak` is the code with which anything else is refused. */
export async function readPublicKey(
  jwk: JsonObject,
  weak: Extract<RefusalCode, 'weak_key' | 'seal_key_invalid'>,
): Promise<PublicKey> {
  if (['d', 'p', 'q', 'k'].some((member) => Object.hasOwn(jwk, member)))
    throw new Refusal(
      weak === 'weak_key' ? 'private_key_sent' : weak,
      'This is a private key. Send only its public part, and make a new key: this one was exposed.',
    );
  const { kty, crv, x, y } = jwk;
  if (kty !== 'EC' || crv !== 'P-256' || typeof x !== 'string' || typeof y !== 'string')
    throw new Refusal(
      weak,
      'Send a public EC key on the curve P-256 as a JWK with kty, crv, x and y.',
    );
  const key = { kty, crv, x, y } as const;
  try {
    const canonical = createPublicKey({ key, format: 'jwk' }).export({ format: 'jwk' });
    if (canonical.x !== x || canonical.y !== y) throw new RangeError('not the canonical form');
  } catch {
    throw new Refusal(weak, 'The coordinates x and y are not a point on the curve P-256.');
  }
  return { jwk: key, thumbprint: await calculateJwkThumbprint(key) };
}

/** Seals a value to a public key as JWE compact, ECDH-ES with A256GCM. Only its holder can open it. */
export async function sealTo(key: PublicKey['jwk'], value: JsonObject): Promise<string> {
  const text = new TextEncoder().encode(JSON.stringify(value));
  return new CompactEncrypt(text)
    .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', cty: 'json' })
    .encrypt(await importJWK(key, 'ECDH-ES'));
}
