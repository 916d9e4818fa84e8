// As much of CBOR (RFC 8949) as authenticators write: definite lengths, integers, byte and text strings, lists and
// maps, true and false. Whatever is written in more than one way is refused.

/** What a map of an authenticator can hold. */
export type CborValue = number | string | boolean | Uint8Array | CborValue[] | CborMap;
export type CborMap = ReadonlyMap<number | string, CborValue>;

class CborError extends Error {}

const DEPTH_MAX = 6;

interface Reader {
  bytes: Uint8Array;
  at: number;
}

/** One item at the beginning of some bytes, and how many bytes it takes; null for what is no such item. */
export function readCbor(bytes: Uint8Array): { value: CborValue; length: number } | null {
  const reader = { bytes, at: 0 };
  try {
    const value = readItem(reader, 0);
    return { value, length: reader.at };
  } catch (error) {
    if (error instanceof CborError) return null;
    throw error;
  }
}

/** A map that takes up all of the bytes; null for anything else. */
export function readCborMap(bytes: Uint8Array): CborMap | null {
  const found = readCbor(bytes);
  return found && found.length === bytes.length && found.value instanceof Map ? found.value : null;
}

function readItem(reader: Reader, depth: number): CborValue {
  if (depth > DEPTH_MAX) throw new CborError('too deep');
  const [initial = 0] = take(reader, 1);
  const major = initial >> 5;
  if (major === 7) return readSimple(initial & 31);
  const length = readLength(reader, initial & 31);
  switch (major) {
    case 0:
      return length;
    case 1:
      return -1 - length;
    case 2:
      return take(reader, length).slice();
    case 3:
      return readText(take(reader, length));
    case 4:
      return Array.from({ length: atMostLeft(reader, length) }, () => readItem(reader, depth + 1));
    case 5:
      return readMap(reader, atMostLeft(reader, length), depth);
    default:
      throw new CborError('an item of a kind that is not read here');
  }
}

function readSimple(info: number): boolean {
  if (info === 20) return false;
  if (info === 21) return true;
  throw new CborError('neither true nor false');
}

/** RFC 8949 §4.2.1: a number has its shortest form. Eight bytes are more than anything here counts. */
function readLength(reader: Reader, info: number): number {
  if (info < 24) return info;
  if (info > 26) throw new CborError('a length that is not definite, or is beyond reason');
  const width = 1 << (info - 24);
  const value = take(reader, width).reduce((sum, byte) => sum * 256 + byte, 0);
  if (value < (width === 1 ? 24 : 256 ** (width / 2)))
    throw new CborError('a longer form than needed');
  return value;
}

/** Each entry takes a byte at least: a count beyond what is left is not believed. */
function atMostLeft(reader: Reader, count: number): number {
  if (count > reader.bytes.length - reader.at) throw new CborError('more than there is');
  return count;
}

function take(reader: Reader, length: number): Uint8Array {
  const end = reader.at + length;
  if (end > reader.bytes.length) throw new CborError('cut short');
  const taken = reader.bytes.subarray(reader.at, end);
  reader.at = end;
  return taken;
}

/** Names and formats are ASCII: anything else has no place in what is read here. */
function readText(bytes: Uint8Array): string {
  if (bytes.some((byte) => byte < 0x20 || byte > 0x7e)) throw new CborError('not plain text');
  return String.fromCodePoint(...bytes);
}

function readMap(reader: Reader, count: number, depth: number): CborMap {
  const map = new Map<number | string, CborValue>();
  for (let left = count; left > 0; left -= 1) {
    const key = readItem(reader, depth + 1);
    if (typeof key !== 'number' && typeof key !== 'string') throw new CborError('a key of no use');
    if (map.has(key)) throw new CborError('a key twice');
    map.set(key, readItem(reader, depth + 1));
  }
  return map;
}
