// Encryption at rest under a key that is not in the database: AES-256-GCM, the use bound in as associated data.
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';

export interface Vault {
  seal(text: string, use: string): Uint8Array;
  /** Throws when the bytes were altered, or sealed for another use or under another key. */
  open(sealed: Uint8Array, use: string): string;
  /** A keyed digest: equal for equal texts of one use, and worth nothing to whoever lacks the key. */
  mark(text: string, use: string): string;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export function openVault(key: Uint8Array): Vault {
  return {
    seal: (text, use) => encrypt(key, Buffer.from(text, 'utf8'), use),
    open: (sealed, use) => decrypt(key, sealed, use).toString('utf8'),
    mark: (text, use) =>
      createHmac('sha256', markKey(key, use)).update(text, 'utf8').digest('base64url'),
  };
}

/** A key of its own for each use: no digest of one says anything about another, nor about what is encrypted. */
const markKey = (key: Uint8Array, use: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', key, new Uint8Array(0), `countersign/mark/v1/${use}`, 32));

/** nonce ‖ ciphertext ‖ tag. */
export function encrypt(key: Uint8Array, plain: Uint8Array, use: string): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(use, 'utf8'));
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

export function decrypt(key: Uint8Array, sealed: Uint8Array, use: string): Buffer {
  const bytes = Buffer.from(sealed);
  // Without this a short input would be checked against a shortened tag, which can be guessed.
  if (bytes.length < NONCE_BYTES + TAG_BYTES)
    throw new RangeError('the sealed bytes are cut short');
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  })
    .setAAD(Buffer.from(use, 'utf8'))
    .setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
  return Buffer.concat([
    decipher.update(bytes.subarray(NONCE_BYTES, bytes.length - TAG_BYTES)),
    decipher.final(),
  ]);
}
