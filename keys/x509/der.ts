// DER, the one encoding of ASN.1 in which a value has one spelling (X.690 §10). Reading refuses every other.

/** Bytes that are not DER, or not what was expected there. */
export class DerError extends Error {}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The tag of a context-specific element: `[0]`, `[1]` …, constructed where it wraps other elements. */
export const context = (number: number, constructed: boolean): number =>
  0x80 | (constructed ? 0x20 : 0) | number;

export function encode(tag: number, ...contents: Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content]);
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  const short = bytes.subarray(bytes.findIndex((byte) => byte !== 0));
  return Buffer.concat([Buffer.from([0x80 | short.length]), short]);
}

export const sequence = (...contents: Uint8Array[]): Buffer => encode(TAG.sequence, ...contents);

/** A whole number that is not negative, from its bytes. */
export function integer(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const short = first === -1 ? Buffer.from([0]) : Buffer.from(bytes.subarray(first));
  const sign = (short[0] ?? 0) >= 0x80 ? Buffer.from([0]) : Buffer.alloc(0);
  return encode(TAG.integer, sign, short);
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return encode(TAG.oid, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function base128(value: number): number[] {
  const digits = [value & 0x7f];
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) digits.unshift(0x80 | (rest & 0x7f));
  return digits;
}

export const bitString = (bytes: Uint8Array, unused = 0): Buffer =>
  encode(TAG.bitString, Buffer.from([unused]), bytes);

export const octetString = (...contents: Uint8Array[]): Buffer =>
  encode(TAG.octetString, ...contents);

export const TRUE = encode(TAG.boolean, Buffer.from([0xff]));

/** RFC 5280 §4.1.2.5: two digits for the year until 2049, four from then on. */
export function time(at: Date): Buffer {
  const digits = at.toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  const isShort = at.getUTCFullYear() < 2050;
  return encode(
    isShort ? TAG.utcTime : TAG.generalizedTime,
    Buffer.from(isShort ? digits.slice(2) : digits, 'ascii'),
  );
}

/** One element as it was read. `raw` is all of it, for what is compared or signed byte for byte. */
export interface Element {
  tag: number;
  content: Buffer;
  raw: Buffer;
}

/** Reads bytes that are one element and nothing else. */
export function decode(bytes: Buffer, tag?: number): Element {
  const [element, rest] = next(bytes);
  if (rest.length > 0) throw new DerError('there are bytes behind the end');
  return tag === undefined ? element : expectTag(element, tag);
}

/** The elements inside one that is constructed. */
export function children(element: Element): Element[] {
  const found: Element[] = [];
  for (let rest = element.content; rest.length > 0;) {
    const [child, after] = next(rest);
    found.push(child);
    rest = after;
  }
  return found;
}

/** The element, if it is what has to be there. */
export function expectTag(element: Element | undefined, tag: number): Element {
  if (element?.tag !== tag) throw new DerError(`an element with the tag ${tag} is missing`);
  return element;
}

function next(bytes: Buffer): [Element, Buffer] {
  const [tag, first] = bytes;
  if (tag === undefined || first === undefined) throw new DerError('the bytes end early');
  // Tags of more than one byte occur in nothing that is read here.
  if ((tag & 0x1f) === 0x1f) throw new DerError('the tag is too long');
  const [length, start] = first < 0x80 ? [first, 2] : longLength(bytes, first & 0x7f);
  const end = start + length;
  if (end > bytes.length) throw new DerError('the bytes end early');
  const raw = bytes.subarray(0, end);
  return [{ tag, content: raw.subarray(start), raw }, bytes.subarray(end)];
}

function longLength(bytes: Buffer, count: number): [number, number] {
  if (count === 0 || count > 4 || bytes.length < 2 + count)
    throw new DerError('the length is not definite, or too long');
  const length = bytes.readUIntBE(2, count);
  if (length < 0x80 || bytes[2] === 0) throw new DerError('the length is not the shortest form');
  return [length, 2 + count];
}

export function readOid(element: Element | undefined): string {
  const { content } = expectTag(element, TAG.oid);
  const numbers: number[] = [];
  let value = 0;
  let started = false;
  for (const byte of content) {
    if (!started && byte === 0x80) throw new DerError('an object identifier is padded');
    value = value * 128 + (byte & 0x7f);
    started = byte >= 0x80;
    if (started) continue;
    numbers.push(value);
    value = 0;
  }
  const [first] = numbers;
  if (started || first === undefined) throw new DerError('an object identifier ends early');
  const root = Math.min(Math.floor(first / 40), 2);
  return [root, first - root * 40, ...numbers.slice(1)].join('.');
}

/** The bytes of a whole number, in the shortest form and not negative. */
export function readInteger(element: Element | undefined, tag: number = TAG.integer): Buffer {
  const { content } = expectTag(element, tag);
  const [first, second = 0] = content;
  if (first === undefined || first >= 0x80) throw new DerError('a number is negative or empty');
  if (first === 0 && content.length > 1 && second < 0x80)
    throw new DerError('a number is not the shortest form');
  return first === 0 && content.length > 1 ? content.subarray(1) : content;
}

/** A whole number that is small: versions and lengths. */
export function readCount(element: Element | undefined): number {
  const bytes = readInteger(element);
  if (bytes.length > 4) throw new DerError('a number is too large');
  return bytes.readUIntBE(0, bytes.length);
}

export function readBoolean(element: Element | undefined): boolean {
  const { content } = expectTag(element, TAG.boolean);
  const [value] = content;
  if (content.length !== 1 || (value !== 0 && value !== 0xff))
    throw new DerError('a truth value is neither');
  return value === 0xff;
}

/** The bytes of a bit string whose bits fill them. */
export function readBytes(element: Element | undefined): Buffer {
  const { content } = expectTag(element, TAG.bitString);
  if (content[0] !== 0) throw new DerError('a bit string does not end with a byte');
  return content.subarray(1);
}

/** The positions of the bits that are set, as named bit lists number them. */
export function readBits(element: Element | undefined): Set<number> {
  const { content } = expectTag(element, TAG.bitString);
  const [unused = 8, ...bytes] = content;
  const last = bytes.at(-1) ?? 0;
  if (unused > 7 || (bytes.length === 0 && unused > 0) || (last & ((1 << unused) - 1)) !== 0)
    throw new DerError('a bit string has bits behind its end');
  return new Set(
    bytes.flatMap((byte, index) =>
      [0, 1, 2, 3, 4, 5, 6, 7]
        .filter((bit) => (byte & (0x80 >> bit)) !== 0)
        .map((bit) => index * 8 + bit),
    ),
  );
}

export function readTime(element: Element | undefined): Date {
  const text = element?.content.toString('latin1') ?? '';
  const isShort = element?.tag === TAG.utcTime && /^\d{12}Z$/.test(text);
  const isLong = element?.tag === TAG.generalizedTime && /^\d{14}Z$/.test(text);
  if (!isShort && !isLong) throw new DerError('a time is not in UTC with seconds');
  // RFC 5280 §4.1.2.5.1: a year of two digits is one from 1950 to 2049.
  const digits = isShort ? `${text < '5' ? '20' : '19'}${text}` : text;
  const iso = digits.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6.000Z');
  const at = new Date(iso);
  if (Number.isNaN(at.getTime()) || at.toISOString() !== iso)
    throw new DerError('a time is not on the calendar');
  return at;
}
