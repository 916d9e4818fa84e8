// The Merkle tree of RFC 6962 §2.1: leaf and node hashes, inclusion and consistency proofs.
import { concat, sameBytes, sha256 } from './bytes.ts';

export type Hash = Uint8Array;

export const EMPTY_ROOT: Hash = sha256(new Uint8Array());

const LEAF = new Uint8Array([0x00]);
const NODE = new Uint8Array([0x01]);

/** RFC 6962 §2.1: the prefix keeps a leaf from being read as a node. */
export const leafHash = (leaf: Uint8Array): Hash => sha256(concat(LEAF, leaf));
export const nodeHash = (left: Hash, right: Hash): Hash => sha256(concat(NODE, left, right));

/** Half-open range of leaves `[from, to)`. */
export interface LeafRange {
  from: number;
  to: number;
}

/** Reads the root of the perfect subtree of 2^level leaves that starts at leaf `index * 2^level`. */
export type ReadNode = (level: number, index: number) => Promise<Hash>;

/** The hash over a range of leaves that begins where a subtree of its size may begin. */
export async function rangeHash(range: LeafRange, read: ReadNode): Promise<Hash> {
  const width = range.to - range.from;
  if (width <= 0) throw new RangeError('a range holds at least one leaf');
  if (isPowerOfTwo(width)) return read(Math.log2(width), range.from / width);
  const split = range.from + largestPowerBelow(width);
  const left = await rangeHash({ from: range.from, to: split }, read);
  const right = await rangeHash({ from: split, to: range.to }, read);
  return nodeHash(left, right);
}

/** RFC 6962 §2.1.1: the siblings from leaf `index` up to the root of a tree of `size` leaves. */
export async function inclusionProof(index: number, size: number, read: ReadNode): Promise<Hash[]> {
  if (!(index >= 0 && index < size)) throw new RangeError('the leaf is not in the tree');
  const siblings: LeafRange[] = [];
  let from = 0;
  let to = size;
  while (to - from > 1) {
    const split = from + largestPowerBelow(to - from);
    if (index < split) {
      siblings.unshift({ from: split, to });
      to = split;
    } else {
      siblings.unshift({ from, to: split });
      from = split;
    }
  }
  return Promise.all(siblings.map((range) => rangeHash(range, read)));
}

/** RFC 6962 §2.1.2: what shows that the tree of `older` leaves is the beginning of the tree of `newer`. */
export async function consistencyProof(
  older: number,
  newer: number,
  read: ReadNode,
): Promise<Hash[]> {
  if (!(older >= 0 && older <= newer)) throw new RangeError('the older tree is the larger one');
  if (older === 0 || older === newer) return [];
  const ranges: LeafRange[] = [];
  let from = 0;
  let to = newer;
  let whole = true;
  while (older !== to) {
    const split = from + largestPowerBelow(to - from);
    if (older <= split) {
      ranges.unshift({ from: split, to });
      to = split;
    } else {
      ranges.unshift({ from, to: split });
      from = split;
      whole = false;
    }
  }
  if (!whole) ranges.unshift({ from, to });
  return Promise.all(ranges.map((range) => rangeHash(range, read)));
}

/** RFC 9162 §2.1.3.2. */
export function verifyInclusion(
  leaf: Hash,
  index: number,
  size: number,
  proof: readonly Hash[],
  root: Hash,
): boolean {
  if (!isCount(index) || !isCount(size) || index >= size || !areHashes([leaf, root, ...proof]))
    return false;
  let fn = BigInt(index);
  let sn = BigInt(size) - 1n;
  let hash = leaf;
  for (const sibling of proof) {
    if (sn === 0n) return false;
    if ((fn & 1n) === 1n || fn === sn) {
      hash = nodeHash(sibling, hash);
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      hash = nodeHash(hash, sibling);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n && sameBytes(hash, root);
}

/** RFC 9162 §2.1.4.2. */
export function verifyConsistency(
  older: number,
  newer: number,
  olderRoot: Hash,
  newerRoot: Hash,
  proof: readonly Hash[],
): boolean {
  if (!isCount(older) || !isCount(newer) || older > newer) return false;
  if (!areHashes([olderRoot, newerRoot, ...proof])) return false;
  if (older === newer) return proof.length === 0 && sameBytes(olderRoot, newerRoot);
  if (older === 0) return proof.length === 0 && sameBytes(olderRoot, EMPTY_ROOT);
  const path = [...(isPowerOfTwo(older) ? [olderRoot] : []), ...proof];
  const [seed, ...rest] = path;
  if (proof.length === 0 || seed === undefined) return false;
  return foldConsistency(older, newer, olderRoot, newerRoot, seed, rest);
}

function foldConsistency(
  older: number,
  newer: number,
  olderRoot: Hash,
  newerRoot: Hash,
  seed: Hash,
  rest: readonly Hash[],
): boolean {
  let fn = BigInt(older) - 1n;
  let sn = BigInt(newer) - 1n;
  while ((fn & 1n) === 1n) {
    fn >>= 1n;
    sn >>= 1n;
  }
  let fr = seed;
  let sr = seed;
  for (const hash of rest) {
    if (sn === 0n) return false;
    if ((fn & 1n) === 1n || fn === sn) {
      fr = nodeHash(hash, fr);
      sr = nodeHash(hash, sr);
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      sr = nodeHash(sr, hash);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n && sameBytes(fr, olderRoot) && sameBytes(sr, newerRoot);
}

/** The largest power of two smaller than n, for n ≥ 2. */
export function largestPowerBelow(n: number): number {
  let power = 1;
  while (power * 2 < n) power *= 2;
  return power;
}

const isCount = (n: number): boolean => Number.isSafeInteger(n) && n >= 0;
/** The logarithm alone is rounded to a whole number near large powers. */
const isPowerOfTwo = (n: number): boolean => n > 0 && 2 ** Math.round(Math.log2(n)) === n;
const areHashes = (hashes: readonly Uint8Array[]): boolean => hashes.every((h) => h.length === 32);
