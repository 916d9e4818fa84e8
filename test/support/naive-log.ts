// A log as RFC 6962 §2.1 words it, computed from all of its leaves with node:crypto: no tiles, no code of the product.
import { createHash, createPublicKey, verify } from 'node:crypto';

const sha256 = (...parts: Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};

/** MTH(D[n]) of RFC 6962 §2.1, by its recursive definition. */
export function naiveRoot(leaves: readonly Uint8Array[]): Uint8Array {
  const [only] = leaves;
  if (only === undefined) return sha256(new Uint8Array());
  if (leaves.length === 1) return sha256(Buffer.from([0]), only);
  const split = 2 ** (Math.ceil(Math.log2(leaves.length)) - 1);
  return sha256(
    Buffer.from([1]),
    naiveRoot(leaves.slice(0, split)),
    naiveRoot(leaves.slice(split)),
  );
}

/** Reads a checkpoint signed by one Ed25519 verifier key; throws unless all of it is as C2SP says. */
export function naiveCheckpoint(note: string, vkey: string): { size: number; root: Buffer } {
  const [text = '', signatures = ''] = note.split('\n\n');
  // Only the first two plus signs divide: the key itself is base64, and may hold more.
  const [, name = '', material = ''] = /^([^+]+)\+[0-9a-f]{8}\+(.+)$/.exec(vkey.trim()) ?? [];
  const raw = Buffer.from(material, 'base64').subarray(1);
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]);
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  const signature = Buffer.from(signatures.trim().split(' ')[2] ?? '', 'base64').subarray(4);
  if (!verify(null, Buffer.from(`${text}\n`), key, signature)) throw new Error('not signed');
  const [origin, size, root = ''] = text.split('\n');
  if (origin !== name) throw new Error(`the origin is ${origin}`);
  return { size: Number(size), root: Buffer.from(root, 'base64') };
}
