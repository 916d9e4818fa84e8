// SQL text as tokens, read once from left to right as a PostgreSQL server reads it: what stands in a comment or
// a literal is no statement, and no statement hides behind one. Time is linear in the text, whatever it holds.

export interface Token {
  /** Escaped names are those whose spelling is not their name (`U&"…"`). */
  kind: 'word' | 'name' | 'symbol' | 'literal' | 'escaped';
  /** Words in lower case, names as they were quoted; literals have none. */
  text: string;
}

/** Counts the characters and tokens that were looked at, so that tests can bound the work. */
export interface Meter {
  steps: number;
}

/** A statement with more tokens than this is not read; nobody writes one by hand. */
const TOKENS_MAX = 200_000;

/** The tokens of a text; null where there are too many. `escapes` says whether a backslash escapes in plain strings. */
export function tokenize(sql: string, escapes: boolean, meter: Meter): Token[] | null {
  const tokens: Token[] = [];
  for (let at = 0; at < sql.length;) {
    const { end, token } = readAt(sql, at, escapes);
    meter.steps += end - at;
    at = end;
    if (!token) continue;
    if (tokens.length === TOKENS_MAX) return null;
    tokens.push(token);
  }
  return tokens;
}

interface Piece {
  end: number;
  token: Token | null;
}

const LITERAL: Token = { kind: 'literal', text: '' };
const ESCAPED: Token = { kind: 'escaped', text: '' };

const SPACE = /[ \t\n\r\f\v]+|--[^\n\r]*/y;
const WORD = /[A-Za-z_\u0080-\u{10ffff}][\w$\u0080-\u{10ffff}]*/uy;
const DOLLAR = /\$(?:[A-Za-z_\u0080-\u{10ffff}][\w\u0080-\u{10ffff}]*)?\$/uy;
const STRING_START = /(?:[eEbBxXnN]|[uU]&)?'/y;
const NUMBER = /\d[\d_]*(?:\.[\d_]+)?/y;

function readAt(sql: string, at: number, escapes: boolean): Piece {
  const spaces = lengthOf(SPACE, sql, at);
  if (spaces > 0) return { end: at + spaces, token: null };
  if (sql.startsWith('/*', at)) return { end: commentEnd(sql, at), token: null };
  const start = lengthOf(STRING_START, sql, at);
  if (start > 0) {
    const isEscape = /e/i.test(sql.charAt(at));
    const hasEscapes =
      isEscape || (escapes && start === 1) || (escapes && /n/i.test(sql[at] ?? ''));
    return { end: stringEnd(sql, at + start, hasEscapes), token: LITERAL };
  }
  const tag = lengthOf(DOLLAR, sql, at);
  if (tag > 0) return { end: dollarEnd(sql, at, tag), token: LITERAL };
  if (/^u&"/i.test(sql.slice(at, at + 3))) return { end: nameEnd(sql, at + 3), token: ESCAPED };
  if (sql.charAt(at) === '"') {
    const end = nameEnd(sql, at + 1);
    const text = sql
      .slice(at + 1, end)
      .replace(/"$/, '')
      .replaceAll('""', '"');
    return { end, token: { kind: 'name', text } };
  }
  const word = lengthOf(WORD, sql, at);
  if (word > 0) {
    const text = sql.slice(at, at + word).toLowerCase();
    return { end: at + word, token: { kind: 'word', text } };
  }
  const digits = lengthOf(NUMBER, sql, at);
  if (digits > 0) return { end: at + digits, token: LITERAL };
  const text = sql.charAt(at);
  return { end: at + 1, token: { kind: 'symbol', text } };
}

function lengthOf(pattern: RegExp, sql: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.exec(sql)?.[0].length ?? 0;
}

/** Block comments nest in PostgreSQL. */
function commentEnd(sql: string, from: number): number {
  let depth = 0;
  for (let at = from; at < sql.length; at += 1) {
    if (sql.startsWith('/*', at)) depth += 1;
    else if (sql.startsWith('*/', at)) depth -= 1;
    else continue;
    at += 1;
    if (depth === 0) return at + 1;
  }
  return sql.length;
}

const CONTINUED = /[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*'/y;

/** Where a string ends: one that goes on after a line break goes on by the rules of its first part. */
function stringEnd(sql: string, from: number, escapes: boolean): number {
  for (let at = from; at < sql.length; at += 1) {
    const char = sql.charAt(at);
    if (char === '\\' && escapes) at += 1;
    if (char !== "'") continue;
    if (sql.charAt(at + 1) === "'") {
      at += 1;
      continue;
    }
    const more = lengthOf(CONTINUED, sql, at + 1);
    if (more === 0) return at + 1;
    at += more;
  }
  return sql.length;
}

function nameEnd(sql: string, from: number): number {
  for (let at = sql.indexOf('"', from); at >= 0; at = sql.indexOf('"', at + 2))
    if (sql.charAt(at + 1) !== '"') return at + 1;
  return sql.length;
}

function dollarEnd(sql: string, from: number, tag: number): number {
  const end = sql.indexOf(sql.slice(from, from + tag), from + tag);
  return end < 0 ? sql.length : end + tag;
}

/** The unquoted word at a place, or nothing: a quoted name is never a keyword. */
export function wordAt(tokens: readonly Token[], at: number): string {
  const token = tokens[at];
  return token?.kind === 'word' ? token.text : '';
}

export function isSymbol(tokens: readonly Token[], at: number, text: string): boolean {
  const token = tokens[at];
  return token?.kind === 'symbol' && token.text === text;
}

export interface NameAt {
  /** With its schema where that is written: see `nameOf`. */
  name: string;
  end: number;
}

/** A possibly qualified name that begins at a place, and where it ends; null where none begins. */
export function nameAt(tokens: readonly Token[], from: number): NameAt | null {
  let schema: string | null = null;
  for (let at = from; ; at += 2) {
    const token = tokens[at];
    if (token?.kind !== 'word' && token?.kind !== 'name') return null;
    if (!isSymbol(tokens, at + 1, '.')) return { name: nameOf(schema, token.text), end: at + 1 };
    schema = token.text;
  }
}

/** One spelling for each name: parts are quoted only where a dot or a quote in them could mislead. */
export const nameOf = (schema: string | null, name: string): string =>
  schema === null ? quoted(name) : `${quoted(schema)}.${quoted(name)}`;

const quoted = (part: string): string =>
  /[."]/.test(part) ? `"${part.replaceAll('"', '""')}"` : part;

/** Whether a schema stands in a name as `nameOf` spells it. */
export const hasSchema = (name: string): boolean => /^(?:[^".]*|"(?:[^"]|"")*")\./.test(name);
