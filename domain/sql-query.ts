// What one query does: the tables it writes and reads, wherever in it that stands. A writing keyword is a write
// unless its place in the grammar proves that it is something else.
import type { StatementEffect } from './sql-effect.ts';
import { callsOnlyHarmless } from './sql-functions.ts';
import { isSymbol, nameAt, wordAt, type NameAt, type Token } from './sql-tokens.ts';

/** The effects of a query, or of any statement that has one in it. */
export function effectsOfQuery(tokens: readonly Token[]): StatementEffect[] {
  const { named, isUnreadable } = writesIn(tokens);
  const effects: StatementEffect[] = [{ effect: 'read', tables: readsIn(tokens) }];
  if (named.length > 0) effects.push({ effect: 'write', tables: named });
  if (isUnreadable || !callsOnlyHarmless(tokens)) effects.push({ effect: 'opaque', tables: [] });
  return effects;
}

function writesIn(tokens: readonly Token[]): { named: string[]; isUnreadable: boolean } {
  const named: string[] = [];
  let isUnreadable = false;
  const lastSet = tokens.findLastIndex((token) => token.kind === 'word' && token.text === 'set');
  for (let at = 0; at < tokens.length; at += 1) {
    const target = targetAt(tokens, at, lastSet);
    if (target === null) continue;
    const name = relationAt(tokens, target)?.name ?? null;
    if (name === null) isUnreadable = true;
    else named.push(name);
  }
  return { named, isUnreadable };
}

/** Reserved words cannot name a table, so a keyword before one is no `UPDATE` statement. */
const RESERVED = new Set(
  `all and any array as asc asymmetric between both case cast check collate column constraint create default
  deferrable desc distinct do else end except false fetch for foreign from grant group having ilike in initially
  intersect into is isnull lateral leading like limit not notnull null offset on or order placing primary
  references returning select similar some symmetric table then to trailing true union unique user using
  variadic when where window with`.split(/\s+/),
);

/** Where the target of a writing keyword stands; null if there is no such keyword here, or it is inert. */
function targetAt(tokens: readonly Token[], at: number, lastSet: number): number | null {
  // A column of that name.
  if (isSymbol(tokens, at - 1, '.')) return null;
  switch (wordAt(tokens, at)) {
    case 'insert':
    case 'merge':
      return wordAt(tokens, at + 1) === 'into' ? at + 2 : null;
    case 'delete':
      return wordAt(tokens, at + 1) === 'from' ? at + 2 : null;
    case 'update':
      return isUpdate(tokens, at, lastSet) ? at + 1 : null;
    default:
      return null;
  }
}

function isUpdate(tokens: readonly Token[], at: number, lastSet: number): boolean {
  const before = wordAt(tokens, at - 1);
  const next = tokens[at + 1];
  const isLock =
    before === 'for' ||
    (before === 'key' && wordAt(tokens, at - 2) === 'no' && wordAt(tokens, at - 3) === 'for');
  // `on conflict do update set`, and the branches of a merge or a case: what they act on was named before.
  const isBranch = (before === 'do' && wordAt(tokens, at + 1) === 'set') || before === 'then';
  if (isLock || isBranch || lastSet <= at || !next) return false;
  if (next.kind === 'word') return next.text === 'only' || !RESERVED.has(next.text);
  return next.kind === 'name' || next.kind === 'escaped';
}

/** A table as the grammar lets it stand: `[ONLY] name [*]` or `ONLY (name)`. */
export function relationAt(tokens: readonly Token[], from: number): NameAt | null {
  let at = from;
  if (wordAt(tokens, at) === 'only') at += 1;
  if (isSymbol(tokens, at, '(')) at += 1;
  return nameAt(tokens, at);
}

/** Words that end a list of tables. */
const AFTER_TABLES = new Set(
  'where group having order limit offset window union intersect except returning set select fetch for'.split(
    ' ',
  ),
);

function readsIn(tokens: readonly Token[]): string[] {
  const found: string[] = [];
  // For each open bracket, whether a comma in it goes on with tables.
  const lists: boolean[] = [false];
  let expects = false;
  for (let at = 0; at < tokens.length; at += 1) {
    const word = isSymbol(tokens, at - 1, '.') ? '' : wordAt(tokens, at);
    if (isSymbol(tokens, at, '(')) lists.push(expects);
    else if (isSymbol(tokens, at, ')')) {
      if (lists.length > 1) lists.pop();
      expects = false;
    } else if (isSymbol(tokens, at, ',')) expects = lists.at(-1) ?? false;
    else if (opensTables(tokens, at, word)) {
      lists[lists.length - 1] = true;
      expects = true;
    } else if (AFTER_TABLES.has(word)) {
      lists[lists.length - 1] = false;
      expects = false;
    } else if (expects && word !== 'only' && word !== 'lateral') {
      const relation = nameAt(tokens, at);
      expects = false;
      if (!relation) continue;
      if (!isSymbol(tokens, relation.end, '(')) found.push(relation.name);
      at = relation.end - 1;
    }
  }
  return found;
}

function opensTables(tokens: readonly Token[], at: number, word: string): boolean {
  if (word === 'from') return wordAt(tokens, at - 1) !== 'distinct';
  if (word === 'using') return !isSymbol(tokens, at + 1, '(');
  return word === 'join' || word === 'table';
}
