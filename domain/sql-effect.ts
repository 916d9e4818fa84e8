// What a logged SQL statement does, as far as its text can tell: read, write, define, grant, or too opaque to
// say. It decides what counts as an effect on a target, so what it cannot read it calls opaque, never harmless.

export type SqlEffect = 'session' | 'read' | 'write' | 'define' | 'access' | 'opaque';

export interface StatementEffect {
  effect: SqlEffect;
  /** Tables it names: written ones for a write, read ones for a read; without schema, unquoted in lower case. */
  tables: string[];
}

/** Most to least telling: a script of several statements does what its strongest statement does. */
const STRENGTH: readonly SqlEffect[] = ['write', 'access', 'opaque', 'define', 'read', 'session'];

/** Judges a whole query string, which may hold several statements. */
export function effectOf(sql: string): StatementEffect {
  // What a backslash means in a string is a setting of the session, so both readings count.
  const readings = sql.includes('\\') ? [false, true] : [false];
  const found = readings.flatMap((escapes) =>
    statementsIn(tokenize(sql, escapes)).map(effectOfStatement),
  );
  for (const effect of STRENGTH) {
    const those = found.filter((each) => each.effect === effect);
    if (those.length > 0)
      return { effect, tables: [...new Set(those.flatMap((each) => each.tables))] };
  }
  return { effect: 'session', tables: [] };
}

interface Token {
  /** Escaped names are those whose spelling is not their name (`U&"…"`). */
  kind: 'word' | 'name' | 'symbol' | 'escaped';
  /** Words in lower case; names as they were quoted. */
  text: string;
}

const SPACE = /\s+|--[^\n\r]*/y;
const ESCAPE_STRING = /[eE]'(?:[^'\\]|''|\\[^])*'?/y;
const STRING = /(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'?/y;
const STRING_WITH_ESCAPES = /(?:[bBxXnN]|[uU]&)?'(?:[^'\\]|''|\\[^])*'?/y;
const DOLLAR = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const ESCAPED_NAME = /[uU]&"(?:[^"]|"")*"?/y;
const NAME = /"((?:[^"]|"")*)"?/y;
const WORD = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;

/** One pass from left to right, as the server reads: nothing hides in a comment or a literal, and no table behind one. */
function tokenize(sql: string, escapes: boolean): Token[] {
  const tokens: Token[] = [];
  const strings = [ESCAPE_STRING, escapes ? STRING_WITH_ESCAPES : STRING];
  for (let at = 0; at < sql.length;) {
    const skipped =
      lengthOf(SPACE, sql, at) ||
      commentLength(sql, at) ||
      dollarLength(sql, at) ||
      Math.max(...strings.map((each) => lengthOf(each, sql, at)));
    if (skipped > 0) {
      at += skipped;
      continue;
    }
    const token = tokenAt(sql, at);
    if (token.token) tokens.push(token.token);
    at += token.length;
  }
  return tokens;
}

function tokenAt(sql: string, at: number): { token: Token | null; length: number } {
  const escaped = lengthOf(ESCAPED_NAME, sql, at);
  if (escaped > 0) return { token: { kind: 'escaped', text: '' }, length: escaped };
  const quoted = lengthOf(NAME, sql, at);
  if (quoted > 0) {
    const text = sql
      .slice(at + 1, at + quoted)
      .replace(/"$/, '')
      .replaceAll('""', '"');
    return { token: { kind: 'name', text }, length: quoted };
  }
  const word = lengthOf(WORD, sql, at);
  if (word > 0)
    return { token: { kind: 'word', text: sql.slice(at, at + word).toLowerCase() }, length: word };
  const text = sql.charAt(at);
  return { token: '();,.'.includes(text) ? { kind: 'symbol', text } : null, length: 1 };
}

function lengthOf(pattern: RegExp, sql: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.exec(sql)?.[0].length ?? 0;
}

/** Block comments nest in PostgreSQL. */
function commentLength(sql: string, from: number): number {
  if (!sql.startsWith('/*', from)) return 0;
  let depth = 0;
  for (let at = from; at < sql.length; at += 1) {
    if (sql.startsWith('/*', at)) depth += 1;
    else if (sql.startsWith('*/', at)) depth -= 1;
    else continue;
    at += 1;
    if (depth === 0) return at + 1 - from;
  }
  return sql.length - from;
}

function dollarLength(sql: string, from: number): number {
  const tag = lengthOf(DOLLAR, sql, from);
  if (tag === 0) return 0;
  const end = sql.indexOf(sql.slice(from, from + tag), from + tag);
  return (end < 0 ? sql.length : end + tag) - from;
}

function statementsIn(tokens: readonly Token[]): Token[][] {
  const statements: Token[][] = [[]];
  for (const token of tokens)
    if (token.text === ';' && token.kind === 'symbol') statements.push([]);
    else statements.at(-1)?.push(token);
  return statements.filter((statement) => statement.length > 0);
}

const READS = ['select', 'values', 'table', 'show', 'explain', 'declare', 'fetch', 'move', 'close'];
const SESSION = [
  ...[
    'begin',
    'start',
    'commit',
    'end',
    'rollback',
    'abort',
    'savepoint',
    'release',
    'set',
    'reset',
  ],
  ...[
    'discard',
    'listen',
    'unlisten',
    'notify',
    'lock',
    'deallocate',
    'checkpoint',
    'analyze',
    'vacuum',
  ],
];
const DEFINES = [
  'create',
  'alter',
  'drop',
  'comment',
  'refresh',
  'reindex',
  'cluster',
  'security',
  'import',
];
const WRITES = ['insert', 'update', 'delete', 'merge', 'truncate'];

function effectOfStatement(tokens: readonly Token[]): StatementEffect {
  const first = tokens[0]?.text ?? '';
  if (tokens.some((token) => token.kind === 'escaped')) return { effect: 'opaque', tables: [] };
  if (first === 'copy') return effectOfCopy(tokens);
  if (first === 'grant' || first === 'revoke' || first === 'reassign')
    return { effect: 'access', tables: [] };
  if (DEFINES.includes(first))
    return { effect: isAboutRoles(tokens) ? 'access' : 'define', tables: [] };
  if (SESSION.includes(first)) return { effect: 'session', tables: [] };
  if (first === 'prepare')
    return effectOfStatement(tokens.slice(tokens.findIndex(isWord('as')) + 1));
  if (first === 'explain' && !tokens.some(isWord('analyze'))) return { effect: 'read', tables: [] };
  if (WRITES.includes(first) || READS.includes(first) || first === 'with' || first === '(')
    return effectOfQuery(tokens);
  // DO, CALL, EXECUTE, and whatever a later version brings.
  return { effect: 'opaque', tables: [] };
}

const isWord =
  (text: string) =>
  (token: Token): boolean =>
    token.kind === 'word' && token.text === text;

const isAboutRoles = (tokens: readonly Token[]): boolean =>
  ['role', 'user', 'group'].includes(tokens[1]?.text ?? '') ||
  (tokens[1]?.text === 'owned' && tokens[0]?.text === 'drop') ||
  tokens[1]?.text === 'default';

function effectOfCopy(tokens: readonly Token[]): StatementEffect {
  if (tokens[1]?.text === '(') return effectOfQuery(tokens.slice(1));
  const table = nameAt(tokens, 1);
  const writes = tokens.some(isWord('from'));
  return { effect: writes ? 'write' : 'read', tables: table === null ? [] : [table] };
}

/** A query writes if any part of it does: a data-modifying WITH hides behind an innocent SELECT. */
function effectOfQuery(tokens: readonly Token[]): StatementEffect {
  const written = tokens.flatMap((token, at) => writtenAt(tokens, token, at));
  if (written.length > 0) return { effect: 'write', tables: written };
  if (tokens[0]?.text === 'select' && tokens.some(isWord('into')))
    return { effect: 'define', tables: [] };
  return { effect: 'read', tables: tokens.flatMap((token, at) => readAt(tokens, token, at)) };
}

/** The tables a writing keyword at this place writes to; the keyword must begin a statement or a part of one. */
function writtenAt(tokens: readonly Token[], token: Token, at: number): string[] {
  if (token.kind !== 'word' || !WRITES.includes(token.text)) return [];
  const before = tokens[at - 1]?.text;
  if (
    before !== undefined &&
    !['(', ')', 'as', 'then', 'materialized', 'analyze', 'explain'].includes(before)
  )
    return [];
  let next = at + 1;
  while (['into', 'from', 'only', 'table'].includes(tokens[next]?.text ?? '')) next += 1;
  const first = nameAt(tokens, next);
  if (token.text !== 'truncate') return first === null ? [] : [first];
  return tokens.flatMap((_each, place) =>
    place === next || (place > next && tokens[place - 1]?.text === ',')
      ? (nameAt(tokens, place) ?? [])
      : [],
  );
}

function readAt(tokens: readonly Token[], token: Token, at: number): string[] {
  if (token.kind !== 'word' || (token.text !== 'from' && token.text !== 'join')) return [];
  let next = at + 1;
  while (['only', 'lateral'].includes(tokens[next]?.text ?? '')) next += 1;
  const table = nameAt(tokens, next);
  return table === null ? [] : [table];
}

/** The name at a place, without its schema. */
function nameAt(tokens: readonly Token[], at: number): string | null {
  const token = tokens[at];
  if (!token || token.kind === 'symbol') return null;
  return tokens[at + 1]?.text === '.' ? nameAt(tokens, at + 2) : token.text;
}
