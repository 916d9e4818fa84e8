// Every hash says what it is a hash of, so that one can never be passed off as another.
import { concat, hex, sha256, utf8 } from './bytes.ts';
import { canonicalJson, type JsonValue } from './json.ts';

/** `sha256:` and 64 lower-case hexadecimal digits. */
export type Digest = `sha256:${string}`;

const DIGEST = /^sha256:[0-9a-f]{64}$/;

export const isDigest = (text: string): text is Digest => DIGEST.test(text);

/** SHA-256 over a domain line and the canonical form of a value. */
export function digestOf(domain: string, value: JsonValue): Digest {
  return `sha256:${hex(sha256(utf8(`${domain}\n${canonicalJson(value)}`)))}`;
}

/** A commitment that can be opened with its salt, and by nobody who merely guesses the value. */
export function commitmentTo(domain: string, salt: Uint8Array, value: JsonValue): Digest {
  if (salt.length < 16) throw new RangeError('a salt has at least 16 bytes');
  return `sha256:${hex(sha256(concat(utf8(`${domain}\n`), salt, utf8(canonicalJson(value)))))}`;
}
