// Which names a session has given a new meaning: a temporary table stands before every other of its name.
import { SQL_LENGTH_MAX } from './sql-effect.ts';
import { isSymbol, nameAt, tokenize, wordAt, type Token } from './sql-tokens.ts';

/** Names, without their schema, that may mean something new from this statement on. */
export type Shadowed = ReadonlySet<string> | 'all';

/** The names of what a text makes or renames: which schema it goes into, a setting of the session may say. */
function shadowedBy(sql: string): ReadonlySet<string> {
  // A text that is not read has no names that could be mistaken for others.
  if (sql.length > SQL_LENGTH_MAX) return new Set();
  const names = new Set<string>();
  for (const escapes of sql.includes('\\') ? [false, true] : [false]) {
    const tokens = tokenize(sql, escapes, { steps: 0 }) ?? [];
    for (const at of tokens.keys()) {
      const place = placeOfName(tokens, at);
      const last = place === null ? null : lastPartAt(tokens, place);
      if (last !== null) names.add(last);
    }
  }
  return names;
}

const BEFORE_NAME = ['table', 'view', 'recursive', 'if', 'not', 'exists'];
const BEFORE_KIND = ['or', 'replace', 'global', 'local', 'temp', 'temporary', 'unlogged'];

/** Where the name stands that a keyword here introduces. */
function placeOfName(tokens: readonly Token[], at: number): number | null {
  const word = wordAt(tokens, at);
  let place = at + 1;
  if (word === 'create') {
    while (BEFORE_KIND.includes(wordAt(tokens, place))) place += 1;
    if (!['table', 'view', 'recursive'].includes(wordAt(tokens, place))) return null;
    while (BEFORE_NAME.includes(wordAt(tokens, place))) place += 1;
    return place;
  }
  if (word === 'rename') return wordAt(tokens, place) === 'to' ? place + 1 : null;
  // `insert into` and `merge into` make nothing.
  if (word !== 'into' || ['insert', 'merge'].includes(wordAt(tokens, at - 1))) return null;
  while ([...BEFORE_KIND, 'table'].includes(wordAt(tokens, place))) place += 1;
  return place;
}

function lastPartAt(tokens: readonly Token[], from: number): string | null {
  let at = from;
  while (isSymbol(tokens, at + 1, '.')) at += 2;
  return nameAt(tokens, at)?.name ?? null;
}

export interface Shadows {
  /** The names that may mean something else in this session, once it has run this text. */
  after(session: string, sql: string): Shadowed;
  left(session: string): void;
}

/** More than this is not kept in mind; what is beyond it may mean anything. */
const SESSIONS_MAX = 10_000;
const NAMES_MAX = 1_000;

/** Keeps in mind what each session gave a new meaning, until it leaves. */
export function openShadows(): Shadows {
  const sessions = new Map<string, Shadowed>();
  return {
    after: (session, sql) => {
      const before = sessions.get(session) ?? new Set<string>();
      const more = shadowedBy(sql);
      if (before === 'all' || more.size === 0)
        return sessions.size >= SESSIONS_MAX && !sessions.has(session) ? 'all' : before;
      const both = new Set([...before, ...more]);
      const now = both.size > NAMES_MAX ? 'all' : both;
      if (sessions.size < SESSIONS_MAX || sessions.has(session)) sessions.set(session, now);
      return sessions.has(session) ? now : 'all';
    },
    left: (session) => void sessions.delete(session),
  };
}
