// C2SP signed notes and tlog checkpoints: small texts that carry signatures and survive being copied by hand.
import { base64, concat, fromBase64, fromHex, hex, sha256, utf8 } from './bytes.ts';
import { sameBytes } from './bytes.ts';
import type { Hash } from './merkle.ts';

/** Signs bytes with an Ed25519 key the caller holds. */
export type Sign = (message: Uint8Array) => Uint8Array;
/** Checks an Ed25519 signature; given by the runtime (Node or a browser). */
export type Verify = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean;

export interface VerifierKey {
  name: string;
  id: Uint8Array;
  publicKey: Uint8Array;
}

export interface Checkpoint {
  origin: string;
  size: number;
  root: Hash;
}

const ED25519 = 0x01;
const NOTE_BYTES_MAX = 64 * 1024;

/** The key id of a note signature: it ties a signature line to one name and one key. */
function keyId(name: string, publicKey: Uint8Array): Uint8Array {
  return sha256(concat(utf8(`${name}\n`), new Uint8Array([ED25519]), publicKey)).slice(0, 4);
}

/** `name+hash+key`, the form in which a verifier is told whom to trust. */
export function formatVerifierKey(name: string, publicKey: Uint8Array): string {
  const material = base64(concat(new Uint8Array([ED25519]), publicKey));
  return `${name}+${hex(keyId(name, publicKey))}+${material}`;
}

export function parseVerifierKey(text: string): VerifierKey | null {
  const parts = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text);
  if (!parts) return null;
  const [, name = '', id = '', material = ''] = parts;
  const bytes = fromBase64(material);
  if (!bytes || bytes.length !== 33 || bytes[0] !== ED25519) return null;
  const publicKey = bytes.slice(1);
  return sameBytes(fromHex(id), keyId(name, publicKey))
    ? { name, id: fromHex(id), publicKey }
    : null;
}

/** Signs a checkpoint and prints it as a note. */
export function signCheckpoint(checkpoint: Checkpoint, publicKey: Uint8Array, sign: Sign): string {
  const text = formatCheckpoint(checkpoint);
  const signature = concat(keyId(checkpoint.origin, publicKey), sign(utf8(text)));
  return `${text}\n— ${checkpoint.origin} ${base64(signature)}\n`;
}

function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${base64(root)}\n`;
}

/**
 * Reads a checkpoint that this key signed. Null means it does not verify, whatever the reason:
 * another log, another key, a changed byte, or a spelling we would not have printed.
 */
export function openCheckpoint(note: string, key: VerifierKey, verify: Verify): Checkpoint | null {
  if (note.length > NOTE_BYTES_MAX) return null;
  const split = note.lastIndexOf('\n\n');
  if (split < 0) return null;
  const text = note.slice(0, split + 1);
  const lines = note.slice(split + 2).split('\n');
  if (lines.pop() !== '' || lines.length === 0) return null;
  const checkpoint = parseCheckpoint(text);
  if (!checkpoint || checkpoint.origin !== key.name) return null;
  return lines.some((line) => isSignatureBy(line, key, utf8(text), verify)) ? checkpoint : null;
}

function parseCheckpoint(text: string): Checkpoint | null {
  const [origin = '', sizeText = '', rootText = ''] = text.split('\n');
  const size = Number(sizeText);
  const root = fromBase64(rootText);
  if (origin === '' || !/^(?:0|[1-9]\d*)$/.test(sizeText) || !Number.isSafeInteger(size))
    return null;
  if (!root || root.length !== 32) return null;
  const checkpoint = { origin, size, root };
  return formatCheckpoint(checkpoint) === text ? checkpoint : null;
}

function isSignatureBy(line: string, key: VerifierKey, text: Uint8Array, verify: Verify): boolean {
  const parts = /^— (\S+) (\S+)$/.exec(line);
  const bytes = parts?.[1] === key.name ? fromBase64(parts[2] ?? '') : null;
  if (!bytes || bytes.length !== 68 || !sameBytes(bytes.slice(0, 4), key.id)) return false;
  return verify(key.publicKey, text, bytes.slice(4));
}
