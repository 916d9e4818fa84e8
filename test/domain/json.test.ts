// The strict reader and the canonical writer: what two programs could read differently is not read at all.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  canonicalJson,
  JSON_DEPTH_MAX,
  JsonError,
  parseJson,
  sameJson,
  type JsonValue,
} from '../../domain/json.ts';

const VECTORS = path.join(import.meta.dirname, '../vectors/rfc8785');
const vector = (name: string): string => readFileSync(path.join(VECTORS, name), 'utf8');
const NAMES = ['arrays', 'french', 'structures', 'unicode', 'values', 'weird'];

/** fast-check makes JSON values of every shape that JSON has. */
const json = (): fc.Arbitrary<JsonValue> => fc.jsonValue() as fc.Arbitrary<JsonValue>;

/** Whether the reader refuses a text; any other failure is a fault. */
const refuses = (text: string): boolean => {
  try {
    parseJson(text);
    return false;
  } catch (error) {
    if (error instanceof JsonError) return true;
    throw error;
  }
};
/** Every one of these texts is refused. */
const expectRefused = (texts: readonly string[]): void => {
  expect(texts.filter((text) => !refuses(text))).toEqual([]);
};

describe('the canonical writer', () => {
  it.each(NAMES)('writes the RFC 8785 vector "%s" byte for byte', (name) => {
    const written = Buffer.from(canonicalJson(parseJson(vector(`${name}.input.json`))), 'utf8');
    const bytes = vector(`${name}.outhex.txt`).trim().split(/\s+/).join('');
    expect(written.toString('hex')).toBe(bytes);
    expect(written.toString('utf8')).toBe(vector(`${name}.output.json`));
  });

  // RFC 8785 appendix B, by the bits of the double.
  it.each([
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['8000000000000001', '-5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['ffefffffffffffff', '-1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['c340000000000000', '-9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['44b52d02c7e14af7', '1.0000000000000001e+23'],
    ['444b1ae4d6e2ef4e', '999999999999999700000'],
    ['444b1ae4d6e2ef4f', '999999999999999900000'],
    ['444b1ae4d6e2ef50', '1e+21'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['41b3de4355555557', '333333333.33333343'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['43143ff3c1cb0959', '1424953923781206.2'],
  ])('writes the double %s of RFC 8785 appendix B as %s', (bits, text) => {
    expect(canonicalJson(Buffer.from(bits, 'hex').readDoubleBE())).toBe(text);
  });

  it('refuses what has no canonical form: NaN, infinities, half a surrogate pair', () => {
    for (const value of [Number.NaN, Infinity, -Infinity, '\ud800', 'a\udc00b', { '\udfff': 1 }])
      expect(() => canonicalJson(value)).toThrow(JsonError);
  });

  it('writes the same bytes whatever the order of the members, and reads back what it wrote', () => {
    fc.assert(
      fc.property(json(), (value) => {
        const written = canonicalJson(value);
        expect(canonicalJson(parseJson(written))).toBe(written);
        expect(sameJson(value, reversed(value))).toBe(true);
      }),
    );
  });
});

function reversed(value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(reversed);
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([name, member]) => [name, reversed(member)]),
  );
}

describe('the reader', () => {
  it('refuses a member that is there twice, however it is spelled and wherever it is', () => {
    expectRefused([
      '{"a":1,"a":2}',
      '{"a":1,"\\u0061":2}',
      '{"a" \n:1,"b":[{"x":1}],"a"\t: 2}',
      '[{"a":{"b":1,"c":{},"b":1}}]',
      '{"__proto__":1,"__proto__":2}',
      '{"":1,"":2}',
      '{"\\\\":1,"\\u005c":2}',
    ]);
  });

  it('takes the same name in different objects, and names that only look alike', () => {
    for (const text of [
      '{"a":{"a":1},"b":{"a":[{"a":1},{"a":2}]}}',
      '{"a":"a","b":"a","c":"\\"a\\":1,\\"a\\":2"}',
      '{"a":1,"A":2,"a ":3,"\\u00e4":4,"a\\u0308":5}',
      '["a","a",{"a":":"},"}","{",{"b":"]"}]',
    ])
      expect(parseJson(text)).toEqual(JSON.parse(text));
  });

  it('keeps a member named __proto__ as a member', () => {
    const value = parseJson('{"__proto__":{"admin":true}}');
    expect(canonicalJson(value)).toBe('{"__proto__":{"admin":true}}');
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
  });

  it('refuses half a surrogate pair, which others read as U+FFFD', () => {
    expectRefused(['"\\ud800"', '{"\\udc00":1}', '["x\\ud83dx"]', '"\\udc00\\ud800"', '"\ud800"']);
    expect(parseJson('"\\ud83d\\ude02"')).toBe('😂');
  });

  it('refuses a number that a double cannot hold', () => {
    const numbers = [
      '1e400',
      '-1e400',
      '1e-400',
      '-0.0e0001e',
      '9007199254740993',
      '-9007199254740993',
      '9007199254740993.0',
      '9007199254740993e0',
      '90071992547409930e-1',
      '123456789012345678901234567890',
      '0.1000000000000000055511151231257827',
      '1.00000000000000000001',
      '36028797018963969',
    ];
    expectRefused(numbers);
    expectRefused(numbers.map((number) => `{"ttl":[${number}]}`));
  });

  it('takes every way of writing a number that a double holds', () => {
    for (const [text, value] of [
      ['9007199254740991', 9007199254740991],
      ['9007199254740992', 9007199254740992],
      ['1e30', 1e30],
      ['1000000000000000000000000000000', 1e30],
      ['1E+2', 100],
      ['0.10', 0.1],
      ['0.10000000000000001', 0.1],
      ['333333333.33333329', 333333333.3333333],
      ['5e-324', 5e-324],
      ['0e999', 0],
      ['0.000', 0],
      ['12.5e1', 125],
    ] as const)
      expect([text, parseJson(text)]).toEqual([text, value]);
  });

  it('reads minus zero as the zero that it is written as', () => {
    expect(canonicalJson(parseJson('-0'))).toBe('0');
    expect(canonicalJson(parseJson('[-0.0,-0e5]'))).toBe('[0,0]');
  });

  it('takes every number that a program prints', () => {
    fc.assert(
      fc.property(fc.double({ noDefaultInfinity: true, noNaN: true }), (number) => {
        expect(parseJson(JSON.stringify(number))).toBe(number === 0 ? 0 : number);
      }),
    );
    // All digits of a fraction, as C prints it.
    fc.assert(
      fc.property(fc.double({ min: -1, max: 1, noNaN: true, minExcluded: true }), (number) => {
        fc.pre(!Number.isInteger(number));
        expect(parseJson(number.toExponential(16))).toBe(number);
      }),
    );
  });

  it('refuses what is not JSON', () => {
    expectRefused([
      '',
      ' ',
      '{',
      '{"a":1,}',
      '[1,]',
      "{'a':1}",
      '{a:1}',
      '01',
      '+1',
      '.5',
      '5.',
      '0x10',
      'NaN',
      'Infinity',
      'undefined',
      '"\t"',
      '"\\x41"',
      '// a\n1',
      '1 2',
      '\ufeff{}',
      '{}\u00a0',
      '"unfinished',
    ]);
  });

  it(`nests ${JSON_DEPTH_MAX} levels and no deeper`, () => {
    const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
    expect(parseJson(nested(JSON_DEPTH_MAX))).toBeInstanceOf(Array);
    const objects = `${'{"a":'.repeat(JSON_DEPTH_MAX + 1)}1${'}'.repeat(JSON_DEPTH_MAX + 1)}`;
    expectRefused([nested(JSON_DEPTH_MAX + 1), objects, '['.repeat(200_000), nested(200_000)]);
    expect(parseJson(`[${'[],'.repeat(1000)}[]]`)).toHaveLength(1001);
  });

  it('takes time in proportion to the text, whatever the text is', () => {
    const size = 200_000;
    for (const text of [
      '"\\'.repeat(size),
      `"${'\\"'.repeat(size)}`,
      `["${'"'.repeat(size)}`,
      `[${'"a" ,'.repeat(size)}`,
      `["a"${' '.repeat(size)}${',"a"'.repeat(size)}]`,
      `[1${'0'.repeat(size)}]`,
      `[0.${'0'.repeat(size)}1]`,
      `{${Array.from({ length: size / 4 }, (_, at) => `"${at}":1`).join(',')}}`,
    ]) {
      const started = performance.now();
      refuses(text);
      expect(performance.now() - started).toBeLessThan(2_000);
    }
  });

  it('reads whatever JSON.parse reads from text that a program wrote', () => {
    fc.assert(
      fc.property(json(), (value) => {
        const text = JSON.stringify(value);
        expect(canonicalJson(parseJson(text))).toBe(canonicalJson(JSON.parse(text) as JsonValue));
      }),
    );
  });
});
