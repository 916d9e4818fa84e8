// JSON as the product reads and signs it: one strict reader, one canonical writer (RFC 8785).

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export interface JsonObject {
  [member: string]: JsonValue;
}

/** Nesting deeper than this is refused: whoever walks the value may do so by recursion. */
export const JSON_DEPTH_MAX = 32;

const LONE_SURROGATE = /\p{Surrogate}/u;

/** Text that is not JSON, can be read in two ways, or nests too deeply. */
export class JsonError extends Error {}

/**
 * Reads JSON and refuses what two readers could understand differently: a repeated member, half a
 * surrogate pair, and a number that a double cannot hold.
 */
export function parseJson(text: string): JsonValue {
  const value = parsed(text);
  // Only text that is JSON is walked, so the walk needs no way back and takes linear time.
  refuseAmbiguity(text);
  return value;
}

function parsed(text: string): JsonValue {
  try {
    return asJson(JSON.parse(text));
  } catch (cause) {
    throw new JsonError(cause instanceof Error ? cause.message : 'not JSON', { cause });
  }
}

/** `JSON.parse` returns nothing but JSON values. */
function asJson(parsed: unknown): JsonValue {
  return parsed as JsonValue;
}

/** RFC 8785: the one byte sequence that stands for a value, used wherever something is signed or hashed. */
export function canonicalJson(value: JsonValue): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return canonicalNumber(value);
  if (typeof value === 'string') return canonicalString(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${members.map(([name, member]) => `${canonicalString(name)}:${canonicalJson(member)}`).join(',')}}`;
}

/** Whether two values have the same canonical form. */
export function sameJson(a: JsonValue, b: JsonValue): boolean {
  return canonicalJson(a) === canonicalJson(b);
}

function canonicalNumber(value: number): string {
  if (!Number.isFinite(value)) throw new JsonError('a number must be finite');
  return JSON.stringify(value);
}

function canonicalString(value: string): string {
  // RFC 8785 §3.2.2.2: a lone surrogate has no UTF-8 form, so it cannot be signed.
  if (LONE_SURROGATE.test(value)) throw new JsonError('a string holds a lone surrogate');
  return JSON.stringify(value);
}

/** Walks text that is known to be JSON once, without building anything. */
function refuseAmbiguity(text: string): void {
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < text.length;) {
    const character = text.charAt(at);
    let end = at + 1;
    if (character === '"') {
      end = endOfString(text, at);
      readString(text.slice(at, end), isMemberName(text, end) ? open.at(-1) : null);
    } else if (character === '{' || character === '[') {
      open.push(character === '{' ? new Set() : null);
      if (open.length > JSON_DEPTH_MAX)
        throw new JsonError(`nested deeper than ${JSON_DEPTH_MAX} levels`);
    } else if (character === '}' || character === ']') {
      open.pop();
    } else if (character === '-' || isDigit(character)) {
      end = endOfNumber(text, at);
      refuseRounded(text.slice(at, end));
    }
    at = end;
  }
}

const isDigit = (character: string): boolean => character >= '0' && character <= '9';

function endOfString(text: string, from: number): number {
  let at = from + 1;
  while (text.charAt(at) !== '"') at += text.charAt(at) === '\\' ? 2 : 1;
  return at + 1;
}

function endOfNumber(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length && (isDigit(text.charAt(at)) || '.eE+-'.includes(text.charAt(at))))
    at += 1;
  return at;
}

function isMemberName(text: string, from: number): boolean {
  let at = from;
  while (at < text.length && ' \t\r\n'.includes(text.charAt(at))) at += 1;
  return text.charAt(at) === ':';
}

function readString(lexeme: string, members: Set<string> | null | undefined): void {
  const value: unknown = JSON.parse(lexeme);
  if (typeof value !== 'string') throw new JsonError('a string is not a JSON string');
  // Some readers put U+FFFD in its place, after which two different names are the same.
  if (LONE_SURROGATE.test(value)) throw new JsonError('a string holds a lone surrogate');
  if (!members) return;
  if (members.has(value)) throw new JsonError(`the member ${lexeme} appears twice`);
  members.add(value);
}

/** As many digits as any double needs (IEEE 754-2019 §5.12.2); more of them say what we could not keep. */
const DOUBLE_DIGITS = 17;

/** Refuses a number that somebody with exact arithmetic reads as another one than we do. */
function refuseRounded(lexeme: string): void {
  const value = Number(lexeme);
  const written = decimal(lexeme);
  const kept = Number.isFinite(value) ? decimal(String(value)) : null;
  if (kept && kept.digits === written.digits && kept.exponent === written.exponent) return;
  // A fraction written with all digits of its double is one way to write that double, as C prints it.
  const isFraction = kept !== null && kept.digits !== '' && !Number.isInteger(value);
  if (isFraction && written.digits.length <= DOUBLE_DIGITS) return;
  throw new JsonError(`the number ${lexeme.slice(0, 40)} cannot be held exactly`);
}

/** Significant digits without zeros at either end, and the power of ten of the last of them. */
function decimal(lexeme: string): { digits: string; exponent: number } {
  const [, whole = '', fraction = '', power = '0'] =
    /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(lexeme) ?? [];
  const all = whole + fraction;
  let from = 0;
  let to = all.length;
  while (from < to && all.charAt(from) === '0') from += 1;
  while (to > from && all.charAt(to - 1) === '0') to -= 1;
  if (from === to) return { digits: '', exponent: 0 };
  return {
    digits: all.slice(from, to),
    exponent: Number(power) - fraction.length + all.length - to,
  };
}
