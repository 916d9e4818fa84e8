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
const SIGNATURES_MAX = 100;
/** A key id and at least one byte of signature. */
const SIGNATURE_BYTES_MIN = 5;
/** U+0085 is a space for everybody but JavaScript. */
const NAME = /^[^+\s\u0085]+$/;

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
  const parts = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text);
  const [, name = '', id = '', material = ''] = parts ?? [];
  if (!NAME.test(name)) return null;
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
 * Reads a checkpoint that this key signed. Null means it does not verify, whatever the reason: another log,
 * another key, a changed byte, or a spelling we would not have printed. Other keys may have signed as well.
 */
export function openCheckpoint(note: string, key: VerifierKey, verify: Verify): Checkpoint | null {
  if (note.length > NOTE_BYTES_MAX) return null;
  const split = note.lastIndexOf('\n\n');
  if (split < 0) return null;
  const text = note.slice(0, split + 1);
  const lines = note.slice(split + 2).split('\n');
  if (lines.pop() !== '' || lines.length > SIGNATURES_MAX) return null;
  const checkpoint = parseCheckpoint(text);
  if (!checkpoint || checkpoint.origin !== key.name) return null;
  const signatures = lines.map(parseSignature).filter((signature) => signature !== null);
  // A malformed line makes the whole note malformed (C2SP signed-note §Format).
  if (signatures.length !== lines.length) return null;
  const own = signatures.filter(({ name, id }) => name === key.name && sameBytes(id, key.id));
  const holds = ({ bytes }: NoteSignature): boolean =>
    bytes.length === 64 && verify(key.publicKey, utf8(text), bytes);
  return own.length > 0 && own.every(holds) ? checkpoint : null;
}

interface NoteSignature {
  name: string;
  id: Uint8Array;
  bytes: Uint8Array;
}

/** `— name base64(key id ‖ signature)`, with single spaces and nothing after it. */
function parseSignature(line: string): NoteSignature | null {
  const [dash, name = '', encoded = '', ...more] = line.split(' ');
  if (dash !== '—' || more.length > 0 || !NAME.test(name)) return null;
  const bytes = fromBase64(encoded);
  if (!bytes || bytes.length < SIGNATURE_BYTES_MIN) return null;
  return { name, id: bytes.slice(0, 4), bytes: bytes.slice(4) };
}

/** No control characters: they are not allowed in a note, nor any half of a surrogate pair. */
const ORIGIN = /^[^\p{Cc}\p{Surrogate}]+$/u;

function parseCheckpoint(text: string): Checkpoint | null {
  const [origin = '', sizeText = '', rootText = ''] = text.split('\n');
  const size = Number(sizeText);
  const root = fromBase64(rootText);
  if (!ORIGIN.test(origin) || !/^(?:0|[1-9]\d*)$/.test(sizeText) || !Number.isSafeInteger(size))
    return null;
  if (!root || root.length !== 32) return null;
  const checkpoint = { origin, size, root };
  return formatCheckpoint(checkpoint) === text ? checkpoint : null;
}
