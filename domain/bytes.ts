// Text forms of bytes, without Node's Buffer: this code also runs inside workflows and in a browser.
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';

export const utf8 = (text: string): Uint8Array => utf8ToBytes(text);
export const hex = (bytes: Uint8Array): string => bytesToHex(bytes);
export const fromHex = (text: string): Uint8Array => hexToBytes(text);
export const concat = (...parts: Uint8Array[]): Uint8Array => concatBytes(...parts);
export const sha256 = (bytes: Uint8Array): Uint8Array => nobleSha256(bytes);

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** RFC 4648 §4, padded. */
export function base64(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 3) {
    const [a = 0, b, c] = bytes.subarray(at, at + 3);
    const word = (a << 16) | ((b ?? 0) << 8) | (c ?? 0);
    text += ALPHABET.charAt(word >> 18) + ALPHABET.charAt((word >> 12) & 63);
    text += b === undefined ? '=' : ALPHABET.charAt((word >> 6) & 63);
    text += c === undefined ? '=' : ALPHABET.charAt(word & 63);
  }
  return text;
}

/** Reads padded base64, or returns null unless the text is exactly what `base64` would print. */
export function fromBase64(text: string): Uint8Array | null {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
  const digits = text.replace(/=+$/, '');
  const bytes = new Uint8Array(Math.floor((digits.length * 6) / 8));
  let word = 0;
  let bits = 0;
  let length = 0;
  for (const digit of digits) {
    word = ((word << 6) | ALPHABET.indexOf(digit)) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[length] = (word >> bits) & 0xff;
      length += 1;
    }
  }
  return base64(bytes) === text ? bytes : null;
}

/** RFC 4648 §5, without padding. */
export const base64url = (bytes: Uint8Array): string =>
  base64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

/** Reads base64url, or returns null unless the text is exactly what `base64url` would print. */
export function fromBase64url(text: string): Uint8Array | null {
  if (!/^[\w-]*$/.test(text)) return null;
  const padding = '='.repeat((4 - (text.length % 4)) % 4);
  return fromBase64(text.replaceAll('-', '+').replaceAll('_', '/') + padding);
}

/** Whether two byte strings are equal. Not constant time: never for secrets. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
