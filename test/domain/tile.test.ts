// Tiles as C2SP tlog-tiles has them: paths, partial tiles, entry bundles, and the tree that they add up to.
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { inclusionProof, leafHash, rangeHash, verifyInclusion } from '../../domain/merkle.ts';
import {
  appendLeaves,
  decodeEntries,
  decodeTile,
  encodeEntries,
  encodeTile,
  LEAF_BYTES_MAX,
  nodeReader,
  parseTilePath,
  tilePath,
  tileWidth,
  TILE_WIDTH,
  type TileName,
} from '../../domain/tile.ts';
import { naiveRoot } from '../support/naive-log.ts';

describe('the path of a tile', () => {
  // The examples of the specification, and the places where a digit group or a level begins.
  it.each([
    [0, 0, 256, 'tile/0/000'],
    [0, 67, 256, 'tile/0/067'],
    [0, 999, 256, 'tile/0/999'],
    [0, 1000, 256, 'tile/0/x001/000'],
    [1, 1067, 256, 'tile/1/x001/067'],
    [0, 1234067, 256, 'tile/0/x001/x234/067'],
    [0, 1000000, 256, 'tile/0/x001/x000/000'],
    [63, 5, 1, 'tile/63/005.p/1'],
    [0, 273, 112, 'tile/0/273.p/112'],
    [1, 1, 17, 'tile/1/001.p/17'],
    ['entries', 1234067, 255, 'tile/entries/x001/x234/067.p/255'],
  ] as const)('level %s, index %i, width %i is %s', (level, index, width, text) => {
    expect(tilePath(level, index, width)).toBe(text);
    expect(parseTilePath(text.slice('tile/'.length))).toEqual({ level, index, width });
  });

  it('reads back as what it was written from', () => {
    const places = fc.tuple(
      fc.oneof(fc.constant('entries' as const), fc.nat(63)),
      fc.nat(2 ** 40),
      fc.integer({ min: 1, max: TILE_WIDTH }),
    );
    fc.assert(
      fc.property(places, ([level, index, width]) => {
        const text = tilePath(level, index, width).slice('tile/'.length);
        expect(parseTilePath(text)).toEqual({ level, index, width });
      }),
    );
  });

  it('has one spelling', () => {
    for (const text of [
      '',
      '0',
      '0/',
      '0/67',
      '0/0067',
      '0/x067',
      '0/x000/067',
      '0/001/067',
      '0/x001/x067',
      '0/x01/067',
      '0/X001/067',
      '0/067/',
      '/0/067',
      '00/067',
      '-1/067',
      '64/067',
      '100/067',
      'entry/067',
      'Entries/067',
      '0/067.p/0',
      '0/067.p/00',
      '0/067.p/01',
      '0/067.p/256',
      '0/067.p/257',
      '0/067.p/',
      '0/067.p',
      '0/067.p/1/',
      '0/067.p/1.5',
      '0/067?x',
      '0/../067',
      '0/%3067',
      '0/x999/x999/x999/x999/x999/x999/999',
      '0/067\n',
      '0/٠٦٧',
    ])
      expect([text, parseTilePath(text)]).toEqual([text, null]);
  });
});

describe('the width of a tile', () => {
  it('is what the size of the tree leaves for it', () => {
    // The example of the specification: a tree of 70,000 entries.
    expect(tileWidth(70_000, 0, 272)).toBe(256);
    expect(tileWidth(70_000, 0, 273)).toBe(112);
    expect(tileWidth(70_000, 0, 274)).toBe(0);
    expect(tileWidth(70_000, 1, 0)).toBe(256);
    expect(tileWidth(70_000, 1, 1)).toBe(17);
    expect(tileWidth(70_000, 2, 0)).toBe(1);
    expect(tileWidth(70_000, 3, 0)).toBe(0);
    expect(tileWidth(0, 0, 0)).toBe(0);
  });
});

describe('appending', () => {
  const leaf = (at: number): Uint8Array => Buffer.from(`entry ${at}`);
  const leaves = Array.from({ length: 600 }, (_, at) => leaf(at));
  const hashes = leaves.map((bytes) => leafHash(bytes));
  const places = fc.uniqueArray(fc.nat(600), { maxLength: 8 });

  it('in any pieces gives the root that all leaves together have', () => {
    fc.assert(
      fc.property(places, (cuts) => {
        let edge: Uint8Array[][] = [];
        let size = 0;
        for (const end of [...cuts.toSorted((a, b) => a - b), 600]) {
          const grown = appendLeaves(edge, size, hashes.slice(size, end));
          edge = grown.edge;
          size = end;
          expect(grown.root).toEqual(naiveRoot(leaves.slice(0, end)));
        }
      }),
      { numRuns: 10 },
    );
  });

  it('changes no tile that was full, and keeps every narrower state as a beginning', () => {
    fc.assert(
      fc.property(places, (cuts) => {
        const tiles = new Map<string, Uint8Array[]>();
        let edge: Uint8Array[][] = [];
        let size = 0;
        for (const end of [...cuts.toSorted((a, b) => a - b), 600]) {
          const grown = appendLeaves(edge, size, hashes.slice(size, end));
          for (const tile of grown.tiles) {
            const name = `${tile.level}/${tile.index}`;
            const before = tiles.get(name) ?? [];
            expect(tile.hashes.slice(0, before.length)).toEqual(before);
            expect(before.length).toBeLessThan(TILE_WIDTH);
            expect(tile.hashes).toHaveLength(tileWidth(end, tile.level, tile.index));
            tiles.set(name, tile.hashes);
          }
          edge = grown.edge;
          size = end;
        }
      }),
      { numRuns: 20 },
    );
  });

  it('leaves the given edge alone', () => {
    const { edge } = appendLeaves([], 0, hashes.slice(0, 10));
    const before = structuredClone(edge);
    appendLeaves(edge, 10, hashes.slice(10, 20));
    expect(edge).toEqual(before);
  });
});

describe('three levels of tiles', () => {
  const size = 66_000;
  const hash = (at: number): Uint8Array => leafHash(Buffer.from(String(at)));
  const stored = new Map<string, Uint8Array[]>();
  let root = new Uint8Array();

  beforeAll(() => {
    const leaves = Array.from({ length: size }, (_, at) => hash(at));
    const grown = appendLeaves([], 0, leaves);
    root = new Uint8Array(grown.root);
    for (const { level, index, hashes } of grown.tiles) stored.set(`${level}/${index}`, hashes);
  });

  const fromTiles = nodeReader(size, ({ level, index, width }: TileName) => {
    const tile = stored.get(`${level}/${index}`) ?? [];
    if (tile.length !== width) throw new Error(`${level}/${index} is not ${width} wide`);
    return Promise.resolve(tile);
  });

  it('hold the whole tree: its root and every proof come out of them', async () => {
    expect(await rangeHash({ from: 0, to: size }, fromTiles)).toEqual(root);
    for (const index of [0, 255, 256, 65_535, 65_536, 65_791, 65_999]) {
      const proof = await inclusionProof(index, size, fromTiles);
      expect(verifyInclusion(hash(index), index, size, proof, root)).toBe(true);
    }
  });

  it('one changed hash in any tile changes the root', async () => {
    for (const name of ['0/0', '0/257', '1/0', '1/1', '2/0']) {
      const tile = stored.get(name) ?? [];
      const level = Number(name.charAt(0));
      const read = nodeReader(size, (asked) => {
        const hashes = stored.get(`${asked.level}/${asked.index}`) ?? [];
        if (`${asked.level}/${asked.index}` !== name) return Promise.resolve(hashes);
        return Promise.resolve([leafHash(hashes[0] ?? root), ...hashes.slice(1)]);
      });
      expect(tile.length).toBeGreaterThan(0);
      const width = 2 ** (8 * level);
      const from = Number(name.split('/')[1]) * 256 * width;
      expect(await rangeHash({ from, to: from + width }, read)).not.toEqual(
        await rangeHash({ from, to: from + width }, fromTiles),
      );
    }
  });
});

describe('the bytes of tiles and bundles', () => {
  it('a tile is its hashes in a row, and nothing else', () => {
    const row = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
    expect(decodeTile(encodeTile(row))).toEqual(row);
    expect(encodeTile(row)).toHaveLength(64);
    for (const length of [1, 31, 33, 63])
      expect(() => decodeTile(new Uint8Array(length))).toThrow(RangeError);
  });

  it('a bundle is each entry behind its 16-bit big-endian length', () => {
    const bytes = encodeEntries([Buffer.from('ab'), Buffer.from(''), Buffer.alloc(258, 'x')]);
    expect(Buffer.from(bytes).toString('hex')).toBe(`0002616200000102${'78'.repeat(258)}`);
    expect(() => encodeEntries([new Uint8Array(LEAF_BYTES_MAX + 1)])).toThrow(RangeError);
    const longest = [new Uint8Array(LEAF_BYTES_MAX)];
    expect(decodeEntries(encodeEntries(longest))).toEqual(longest);
  });

  it('a bundle reads back, and one that was cut anywhere inside an entry does not', () => {
    const entries = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { minLength: 1 });
    fc.assert(
      fc.property(entries, fc.nat(), (list, at) => {
        const bytes = encodeEntries(list);
        expect(decodeEntries(bytes)).toEqual(list);
        const cut = decodeEntries(bytes.slice(0, at % bytes.length));
        expect([null, list.slice(0, cut?.length)]).toContainEqual(cut);
      }),
    );
    expect(decodeEntries(new Uint8Array([0]))).toBeNull();
    expect(decodeEntries(new Uint8Array([0, 2, 1]))).toBeNull();
  });
});
