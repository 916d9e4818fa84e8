// JSON as the product reads and signs it: one strict reader, one canonical writer (RFC 8785).

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export interface JsonObject {
  [member: string]: JsonValue;
}

/** Nesting deeper than this is refused before it is parsed into a tree. */
export const JSON_DEPTH_MAX = 32;

/** Text that is not JSON, repeats a member, or nests too deeply. */
export class JsonError extends Error {}

/** Reads JSON and refuses what two readers could understand differently: a repeated member. */
export function parseJson(text: string): JsonValue {
  refuseAmbiguity(text);
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
  if (/\p{Surrogate}/u.test(value)) throw new JsonError('a string holds a lone surrogate');
  return JSON.stringify(value);
}

/** Walks the text once, without building anything, and stops at a repeated member or at too deep a nesting. */
function refuseAmbiguity(text: string): void {
  const open: (Set<string> | null)[] = [];
  const token = /"(?:[^"\\]|\\.)*"|[{}[\]]/gsu;
  for (let found = token.exec(text); found !== null; found = token.exec(text)) {
    const [lexeme] = found;
    if (lexeme === '}' || lexeme === ']') {
      open.pop();
    } else if (lexeme === '{' || lexeme === '[') {
      open.push(lexeme === '{' ? new Set() : null);
      if (open.length > JSON_DEPTH_MAX)
        throw new JsonError(`nested deeper than ${JSON_DEPTH_MAX} levels`);
    } else {
      const members = open.at(-1);
      if (members && isMemberName(text, token.lastIndex)) rememberMember(members, lexeme);
    }
  }
}

function isMemberName(text: string, from: number): boolean {
  let at = from;
  while (at < text.length && ' \t\r\n'.includes(text.charAt(at))) at += 1;
  return text.charAt(at) === ':';
}

function rememberMember(members: Set<string>, lexeme: string): void {
  let name: unknown;
  try {
    name = JSON.parse(lexeme);
  } catch (cause) {
    throw new JsonError('a member name is not a JSON string', { cause });
  }
  if (typeof name !== 'string') throw new JsonError('a member name is not a JSON string');
  if (members.has(name)) throw new JsonError(`the member ${lexeme} appears twice`);
  members.add(name);
}
