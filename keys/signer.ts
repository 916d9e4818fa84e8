// A key that signs for us, wherever its private part is. What signs never needs to know which.
import { createHash, type KeyObject } from 'node:crypto';
import type {
  KeyDriverName,
  KeyUse,
  PublicJwk,
  SigningAlgorithm,
  SigningKeyState,
} from '../domain/signing-key.ts';

export interface Signer {
  kid: string;
  algorithm: SigningAlgorithm;
  jwk: PublicJwk;
  /** A raw signature: r ‖ s for ES256 (RFC 7518 §3.4), 64 bytes for either. */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** A key that was made and that nobody uses yet. */
export interface NewKey {
  /** RFC 7638: the thumbprint of the public part, so that the name says which key it is. */
  kid: string;
  use: KeyUse;
  algorithm: SigningAlgorithm;
  driver: KeyDriverName;
  /** What the driver finds it by. */
  reference: string;
  jwk: PublicJwk;
  /** The private part, encrypted; null where it is elsewhere. */
  sealed: Uint8Array | null;
}

/** A key in the table. Its private part is gone once it does not sign any more. */
export interface StoredKey extends NewKey {
  state: SigningKeyState;
}

/** A place for private parts. */
export interface KeyDriver {
  name: KeyDriverName;
  /** Makes a key. `taken` are the references of the keys of this use that are known already. */
  make(use: KeyUse, algorithm: SigningAlgorithm, taken: readonly string[]): Promise<NewKey>;
  open(key: StoredKey): Signer;
}

/** Reads a public key of ours; anything but the two kinds that we sign with is refused. */
export function publicJwk(key: KeyObject): PublicJwk {
  const { kty, crv, x = '', y = '' } = key.export({ format: 'jwk' });
  if (kty === 'EC' && crv === 'P-256') return { kty, crv, x, y };
  if (kty === 'OKP' && crv === 'Ed25519') return { kty, crv, x };
  throw new TypeError('a signing key is on P-256 or Ed25519');
}

/** RFC 7638 §3.2: the required members in order, without spaces. */
export function thumbprint(jwk: PublicJwk): string {
  const { crv, kty, x } = jwk;
  const members = jwk.kty === 'EC' ? { crv, kty, x, y: jwk.y } : { crv, kty, x };
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url');
}
