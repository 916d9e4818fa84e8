// The log as C2SP tlog-tiles: 256-wide tiles of hashes and bundles of entries, appended at the right edge.
import { concat } from './bytes.ts';
import { EMPTY_ROOT, nodeHash, type Hash, type ReadNode } from './merkle.ts';

/** Hashes in a full tile, and entries in a full bundle. */
export const TILE_WIDTH = 256;
/** Tree levels that one tile level spans. */
const TILE_HEIGHT = 8;
/** tlog-tiles §Merkle Tree: a level is a number from 0 to 63. */
const LEVEL_MAX = 63;
const HASH_BYTES = 32;
/** An entry bundle carries each entry behind a 16-bit length. */
export const LEAF_BYTES_MAX = 65_535;

export interface Tile {
  level: number;
  index: number;
  hashes: Hash[];
}

/** The hashes of the unfinished tile at each level: all that is needed to append and to compute the root. */
export type Edge = readonly (readonly Hash[])[];

/** Appends leaf hashes and returns the tiles that changed, the new edge and the new root. */
export function appendLeaves(
  edge: Edge,
  size: number,
  leaves: readonly Hash[],
): { tiles: Tile[]; edge: Hash[][]; root: Hash } {
  const levels = edge.map((hashes) => [...hashes]);
  const full: Tile[] = [];
  const counts = levels.map((_, level) => Math.floor(size / TILE_WIDTH ** (level + 1)));
  const push = (level: number, hash: Hash): void => {
    const tile = (levels[level] ??= []);
    tile.push(hash);
    if (tile.length < TILE_WIDTH) return;
    const index = counts[level] ?? 0;
    counts[level] = index + 1;
    levels[level] = [];
    full.push({ level, index, hashes: tile });
    push(level + 1, perfectRoot(tile));
  };
  for (const leaf of leaves) push(0, leaf);
  const partial = levels
    .map((hashes, level) => ({ level, index: counts[level] ?? 0, hashes }))
    .filter((tile) => tile.hashes.length > 0);
  return { tiles: [...full, ...partial], edge: levels, root: edgeRoot(levels) };
}

/** The root of the whole tree, from its right edge alone. */
export function edgeRoot(edge: Edge): Hash {
  const peaks: Hash[] = [];
  for (const hashes of edge.toReversed()) {
    let at = 0;
    for (let width = TILE_WIDTH / 2; width >= 1; width /= 2) {
      if ((hashes.length & width) === 0) continue;
      peaks.push(perfectRoot(hashes.slice(at, at + width)));
      at += width;
    }
  }
  return peaks.length === 0
    ? EMPTY_ROOT
    : peaks.reduceRight((right, left) => nodeHash(left, right));
}

/** Reads tree nodes out of tiles, for proofs about a tree of `size` leaves. */
export function nodeReader(size: number, readTile: (tile: TileName) => Promise<Hash[]>): ReadNode {
  return async (level, index) => {
    const tileLevel = Math.floor(level / TILE_HEIGHT);
    const span = 2 ** (level % TILE_HEIGHT);
    const first = index * span;
    const tileIndex = Math.floor(first / TILE_WIDTH);
    const width = tileWidth(size, tileLevel, tileIndex);
    const hashes = await readTile({ level: tileLevel, index: tileIndex, width });
    const at = first - tileIndex * TILE_WIDTH;
    if (at + span > Math.min(width, hashes.length)) throw new RangeError('the tile is too short');
    return perfectRoot(hashes.slice(at, at + span));
  };
}

export interface TileName {
  level: number;
  index: number;
  width: number;
}

/** How many hashes the tile at this place has in a tree of `size` leaves. */
export function tileWidth(size: number, level: number, index: number): number {
  const hashes = Math.floor(size / TILE_WIDTH ** level);
  return Math.max(0, Math.min(TILE_WIDTH, hashes - index * TILE_WIDTH));
}

/** `x001/x234/067`: three digits a step, every step but the last marked (tlog-tiles §Merkle Tree). */
export function tilePath(level: number | 'entries', index: number, width = TILE_WIDTH): string {
  let path = String(index % 1000).padStart(3, '0');
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000))
    path = `x${String(rest % 1000).padStart(3, '0')}/${path}`;
  return `tile/${level}/${path}${width === TILE_WIDTH ? '' : `.p/${width}`}`;
}

/** Reads a tile path after `tile/`, or returns null unless it is spelled exactly as `tilePath` prints it. */
export function parseTilePath(
  path: string,
): { level: number | 'entries'; index: number; width: number } | null {
  const parts = /^(entries|\d{1,2})\/((?:x\d{3}\/)*\d{3})(?:\.p\/(\d{1,3}))?$/.exec(path);
  if (!parts) return null;
  const [, first = '', digits = '', partial] = parts;
  const level = first === 'entries' ? first : Number(first);
  const index = Number(digits.replaceAll(/[x/]/g, ''));
  const width = partial === undefined ? TILE_WIDTH : Number(partial);
  if (!Number.isSafeInteger(index) || width < 1 || width > TILE_WIDTH) return null;
  if (level !== 'entries' && level > LEVEL_MAX) return null;
  return tilePath(level, index, width) === `tile/${path}` ? { level, index, width } : null;
}

export const encodeTile = (hashes: readonly Hash[]): Uint8Array => concat(...hashes);

export function decodeTile(bytes: Uint8Array): Hash[] {
  if (bytes.length % HASH_BYTES !== 0) throw new RangeError('a tile is a row of 32-byte hashes');
  return Array.from({ length: bytes.length / HASH_BYTES }, (_, at) =>
    bytes.slice(at * HASH_BYTES, (at + 1) * HASH_BYTES),
  );
}

/** An entry bundle: each entry behind its 16-bit big-endian length. */
export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array {
  return concat(
    ...entries.flatMap((entry) => {
      if (entry.length > LEAF_BYTES_MAX) throw new RangeError('an entry has at most 65,535 bytes');
      return [new Uint8Array([entry.length >> 8, entry.length & 0xff]), entry];
    }),
  );
}

/** Reads an entry bundle, or returns null if it does not end where its last entry does. */
export function decodeEntries(bytes: Uint8Array): Uint8Array[] | null {
  const entries: Uint8Array[] = [];
  let at = 0;
  while (at < bytes.length) {
    const [high, low] = bytes.subarray(at, at + 2);
    if (high === undefined || low === undefined) return null;
    const end = at + 2 + ((high << 8) | low);
    if (end > bytes.length) return null;
    entries.push(bytes.slice(at + 2, end));
    at = end;
  }
  return entries;
}

function perfectRoot(hashes: readonly Hash[]): Hash {
  let row = [...hashes];
  while (row.length > 1)
    row = Array.from({ length: row.length / 2 }, (_, at) =>
      nodeHash(hashAt(row, at * 2), hashAt(row, at * 2 + 1)),
    );
  return hashAt(row, 0);
}

function hashAt(row: readonly Hash[], at: number): Hash {
  const hash = row[at];
  if (!hash) throw new RangeError('bad math: no such hash in a perfect row');
  return hash;
}
