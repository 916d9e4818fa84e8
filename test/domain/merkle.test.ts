// The Merkle tree against published proofs and against a tree computed as RFC 6962 words it, from all leaves.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  consistencyProof,
  EMPTY_ROOT,
  inclusionProof,
  largestPowerBelow,
  leafHash,
  rangeHash,
  verifyConsistency,
  verifyInclusion,
  type ReadNode,
} from '../../domain/merkle.ts';
import { naiveRoot } from '../support/naive-log.ts';

const read = (name: string): string =>
  readFileSync(path.join(import.meta.dirname, '../vectors/rfc6962', name), 'utf8');
const hashOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));

interface InclusionVector {
  file: string;
  leafIdx: number;
  treeSize: number;
  root: string;
  leafHash: string;
  proof: string[] | null;
  wantErr: boolean;
}
interface ConsistencyVector {
  file: string;
  size1: number;
  size2: number;
  root1: string;
  root2: string;
  proof: string[] | null;
  wantErr: boolean;
}

/** The vectors have these members: the files are part of this repository. */
const inclusions = JSON.parse(read('inclusion.json')) as InclusionVector[];
const consistencies = JSON.parse(read('consistency.json')) as ConsistencyVector[];

describe('published proofs', () => {
  it('are all there', () => {
    expect([inclusions.length, consistencies.length]).toEqual([98, 98]);
  });

  it.each(inclusions)('$file is judged as its authors judge it', (vector) => {
    const { leafIdx, treeSize, root, leafHash: leaf, proof, wantErr } = vector;
    const hashes = (proof ?? []).map(hashOf);
    expect(verifyInclusion(hashOf(leaf), leafIdx, treeSize, hashes, hashOf(root))).toBe(!wantErr);
  });

  it.each(consistencies)('$file is judged as its authors judge it', (vector) => {
    const { size1, size2, root1, root2, proof, wantErr } = vector;
    const hashes = (proof ?? []).map(hashOf);
    // One vector says "dont care 2" for both roots, which are twelve bytes: no hash, so no tree of ours.
    const expected = !wantErr && hashOf(root1).length === 32;
    expect(verifyConsistency(size1, size2, hashOf(root1), hashOf(root2), hashes)).toBe(expected);
  });
});

const LEAVES = Array.from({ length: 64 }, (_, at) => Buffer.from(`leaf ${at}`));
const rootAt = (size: number): Uint8Array => naiveRoot(LEAVES.slice(0, size));
const node: ReadNode = (level, index) =>
  Promise.resolve(naiveRoot(LEAVES.slice(index * 2 ** level, (index + 1) * 2 ** level)));
const sizes = Array.from({ length: LEAVES.length }, (_, at) => at + 1);

describe('our proofs, for every tree of up to 64 leaves', () => {
  it('the empty tree and a single leaf hash as RFC 6962 §2.1 says', () => {
    const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
    expect(Buffer.from(EMPTY_ROOT).toString('hex')).toBe(sha256(''));
    expect(Buffer.from(leafHash(Buffer.from('x'))).toString('hex')).toBe(sha256('\0x'));
    expect(naiveRoot([])).toEqual(EMPTY_ROOT);
  });

  it('the root over any tree is the one computed from its leaves', async () => {
    for (const size of sizes)
      expect(await rangeHash({ from: 0, to: size }, node)).toEqual(rootAt(size));
  });

  it('every leaf is proved in every tree, at its own place only', async () => {
    for (const size of sizes)
      for (let index = 0; index < size; index += 1) {
        const proof = await inclusionProof(index, size, node);
        const leaf = leafHash(LEAVES[index] ?? new Uint8Array());
        const root = rootAt(size);
        expect(verifyInclusion(leaf, index, size, proof, root)).toBe(true);
        expect(verifyInclusion(leaf, (index + 1) % size, size, proof, root)).toBe(size === 1);
        expect(verifyInclusion(leaf, index, size, [...proof, root], root)).toBe(false);
      }
  });

  it('every tree is proved to begin with every smaller one', async () => {
    for (const newer of sizes)
      for (let older = 0; older <= newer; older += 1) {
        const proof = await consistencyProof(older, newer, node);
        const [a, b] = [rootAt(older), rootAt(newer)];
        expect(verifyConsistency(older, newer, a, b, proof)).toBe(true);
        expect(verifyConsistency(older, newer, b, a, proof)).toBe(older === newer);
        expect(verifyConsistency(older, newer, a, b, [...proof, a])).toBe(false);
        // Either root replaced by that of another tree, the other one being right.
        expect(verifyConsistency(older, newer, leafHash(a), b, proof)).toBe(false);
        expect(verifyConsistency(older, newer, a, leafHash(b), proof)).toBe(
          older === 0 && newer > 0,
        );
        const shorter = verifyConsistency(older, newer, a, b, proof.slice(1));
        expect(shorter).toBe(proof.length === 0);
      }
  });

  it('a proof with any bit changed proves nothing', async () => {
    const places = fc.record({
      size: fc.integer({ min: 2, max: 64 }),
      at: fc.nat(),
      bit: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(places, async ({ size, at, bit }) => {
        const index = at % size;
        const proof = await inclusionProof(index, size, node);
        const leaf = leafHash(LEAVES[index] ?? new Uint8Array());
        const changed = flip(proof, at, bit);
        expect(verifyInclusion(leaf, index, size, changed, rootAt(size))).toBe(false);
        const older = 1 + (at % (size - 1));
        const consistency = await consistencyProof(older, size, node);
        const other = flip(consistency, at, bit);
        expect(verifyConsistency(older, size, rootAt(older), rootAt(size), other)).toBe(false);
      }),
    );
  });

  it('numbers that are no counts, and hashes that are no hashes, prove nothing', () => {
    const leaf = leafHash(Buffer.from('leaf 0'));
    for (const size of [0, -1, 0.5, Number.NaN, Infinity, 2 ** 53]) {
      expect(verifyInclusion(leaf, 0, size, [], leaf)).toBe(false);
      expect(verifyInclusion(leaf, size, 1, [], leaf)).toBe(size === 0);
      expect(verifyConsistency(size, 1, leaf, leaf, [])).toBe(false);
    }
    for (const size of [-1, 0.5, Number.NaN, Infinity, 2 ** 53])
      expect(verifyConsistency(0, size, EMPTY_ROOT, leaf, [])).toBe(false);
    expect(verifyInclusion(leaf.slice(1), 0, 1, [], leaf.slice(1))).toBe(false);
    expect(verifyInclusion(leaf, 0, 2, [new Uint8Array(31)], leaf)).toBe(false);
  });

  it('what is not in the tree has no proof', async () => {
    await expect(inclusionProof(3, 3, node)).rejects.toThrow(RangeError);
    await expect(inclusionProof(-1, 3, node)).rejects.toThrow(RangeError);
    await expect(inclusionProof(Number.NaN, 3, node)).rejects.toThrow(RangeError);
    await expect(consistencyProof(4, 3, node)).rejects.toThrow(RangeError);
    await expect(rangeHash({ from: 2, to: 2 }, node)).rejects.toThrow(RangeError);
  });

  it('a range is split where RFC 6962 splits it, near large powers of two as well', async () => {
    for (const exponent of [1, 8, 31, 32, 40, 49, 52]) {
      const power = 2 ** exponent;
      expect(largestPowerBelow(power)).toBe(power / 2);
      expect(largestPowerBelow(power + 1)).toBe(power);
      const asked: [number, number][] = [];
      const zero: ReadNode = (level, index) => {
        asked.push([level, index]);
        return Promise.resolve(EMPTY_ROOT);
      };
      await rangeHash({ from: 0, to: power + 1 }, zero);
      expect(asked).toEqual([
        [exponent, 0],
        [0, power],
      ]);
    }
  });
});

function flip(proof: readonly Uint8Array[], at: number, bit: number): Uint8Array[] {
  return proof.map((hash, place) => {
    const changed = new Uint8Array(hash);
    if (place === at % proof.length)
      changed[bit % 32] = (changed[bit % 32] ?? 0) ^ (1 << (bit % 8));
    return changed;
  });
}
