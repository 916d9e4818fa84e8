// Identifiers: UUIDv7 in Crockford digits, one spelling each, ordered by time.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bodyOf, isId, isNoun, makeId, timeDigits } from '../../domain/id.ts';

const DIGITS = '0123456789abcdefghjkmnpqrstvwxyz';
const random = (): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: 10, maxLength: 10 });
const time = (): fc.Arbitrary<number> => fc.integer({ min: 0, max: 2 ** 48 - 1 });

/** An independent reading: 26 digits of five bits as one number. */
const numberOf = (id: string): bigint =>
  Array.from(id.slice(4)).reduce((sum, digit) => (sum << 5n) | BigInt(DIGITS.indexOf(digit)), 0n);

describe('an id', () => {
  it('is the UUIDv7 of RFC 9562 appendix A.6, written in Crockford digits', () => {
    // 017F22E2-79B0-7CC3-98C4-DC0C0C07398F: Tuesday, 22 February 2022 19:22:22.000 GMT.
    const bytes = Buffer.from('0cc318c4dc0c0c07398f', 'hex');
    const id = makeId('event', 0x017f22e279b0, bytes);
    expect(numberOf(id).toString(16)).toBe('17f22e279b07cc398c4dc0c0c07398f');
    expect(id).toBe('evt_01fwhe4ydgfk1shh6w1g60eecf');
  });

  it('always carries its time, version 7 and variant 0b10, and is taken for what it is', () => {
    fc.assert(
      fc.property(time(), random(), (at, bytes) => {
        const id = makeId('task', at, bytes);
        const value = numberOf(id);
        expect(Number(value >> 80n)).toBe(at);
        expect((value >> 76n) & 0xfn).toBe(7n);
        expect((value >> 62n) & 0x3n).toBe(2n);
        expect(isId('task', id)).toBe(true);
        expect(isId('event', id)).toBe(false);
        expect(isNoun('task', id) && !isNoun('person', id)).toBe(true);
        expect(bodyOf(id).slice(0, 10)).toBe(timeDigits(at));
      }),
    );
  });

  it('sorts byte by byte as its time does', () => {
    fc.assert(
      fc.property(time(), time(), random(), random(), (a, b, one, other) => {
        fc.pre(a < b);
        expect(makeId('event', a, one) < makeId('event', b, other)).toBe(true);
        expect(timeDigits(a) < timeDigits(b)).toBe(true);
      }),
    );
  });

  it('has one spelling: no other length, alphabet, case or bit pattern is an id', () => {
    const id = makeId('agent', 1_700_000_000_000, new Uint8Array(10).fill(1));
    expect(isId('agent', id)).toBe(true);
    for (const text of [
      '',
      'agt_',
      id.slice(0, -1),
      `${id}0`,
      `${id}\n`,
      ` ${id}`,
      id.toUpperCase(),
      id.replace('agt_', 'AGT_'),
      id.replace('agt_', 'agt-'),
      id.slice(4),
      `agt_${id}`,
      ...['i', 'l', 'o', 'u', '-', 'é', '０'].map((digit) => id.slice(0, -1) + digit),
      // More than 128 bits.
      ...['8', 'a', 'z'].map((digit) => `agt_${digit}${id.slice(5)}`),
      // Another version, another variant.
      ...['0', 'd', 'g'].map((digit) => id.slice(0, 14) + digit + id.slice(15)),
      ...['0', '7', 'c', 'q', 'w'].map((digit) => id.slice(0, 17) + digit + id.slice(18)),
    ])
      expect([text, isId('agent', text)]).toEqual([text, false]);
  });

  it('is only made of a time and ten bytes that fit', () => {
    const bytes = new Uint8Array(10);
    for (const at of [-1, 0.5, Number.NaN, Infinity, 2 ** 48])
      expect(() => makeId('event', at, bytes)).toThrow(RangeError);
    for (const length of [0, 9, 11])
      expect(() => makeId('event', 0, new Uint8Array(length))).toThrow(RangeError);
  });
});
