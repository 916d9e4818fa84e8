// What a logged SQL text does, as far as its text can tell: read, write, define, grant, or too opaque to say.
// It decides what counts as an effect on a target, so what it cannot read it calls opaque, never harmless.
import { effectsOfQuery, relationAt } from './sql-query.ts';
import { isSymbol, tokenize, wordAt, type Meter, type Token } from './sql-tokens.ts';

export type SqlEffect = 'session' | 'read' | 'write' | 'define' | 'access' | 'opaque';

export interface StatementEffect {
  effect: SqlEffect;
  /** Tables it names: written, changed or read ones; with a schema where one is written, unquoted in lower case. */
  tables: string[];
}

export interface SqlReading {
  /** Everything that a text of one or more statements does: each effect once, the most telling first. */
  effects: StatementEffect[];
  /** One statement for certain: an error then speaks of all that the text did. */
  isSingle: boolean;
}

/** What one statement that is to be run may do, as its text tells; the strongest counts. */
export const STATEMENT_EFFECTS = ['read', 'write', 'define', 'access', 'opaque'] as const;
export type RunEffect = (typeof STATEMENT_EFFECTS)[number];

/** Longer texts are not read. */
export const SQL_LENGTH_MAX = 1024 * 1024;

const STRENGTH: readonly SqlEffect[] = ['write', 'access', 'opaque', 'define', 'read', 'session'];
const OPAQUE: StatementEffect = { effect: 'opaque', tables: [] };

/** Judges a whole query string, in time linear in its length. */
export function readSql(sql: string, meter: Meter = { steps: 0 }): SqlReading {
  if (sql.length > SQL_LENGTH_MAX) return { effects: [OPAQUE], isSingle: false };
  // What a backslash means in a string is a setting of the session, so both readings count.
  const readings = (sql.includes('\\') ? [false, true] : [false]).map((escapes) =>
    tokenize(sql, escapes, meter),
  );
  const texts = readings.map((tokens) => (tokens === null ? null : statementsIn(tokens)));
  // A reading that could not be SQL is not how the server read it, if another could.
  const possible = texts.filter((statements) => statements === null || statements.every(canBegin));
  const judged = possible.length > 0 ? possible : texts;
  const found = judged.flatMap((statements) => {
    if (statements === null) return [OPAQUE];
    return statements.flatMap((statement) => {
      meter.steps += statement.length;
      return effectsOfStatement(statement);
    });
  });
  return {
    effects: merged(found),
    isSingle: judged.every((statements) => statements?.length === 1),
  };
}

function merged(found: readonly StatementEffect[]): StatementEffect[] {
  const effects = STRENGTH.flatMap((effect) => {
    const those = found.filter((each) => each.effect === effect);
    if (those.length === 0) return [];
    return [{ effect, tables: [...new Set(those.flatMap((each) => each.tables))] }];
  });
  return effects.length > 0 ? effects : [{ effect: 'session', tables: [] }];
}

function statementsIn(tokens: readonly Token[]): Token[][] {
  const statements: Token[][] = [[]];
  for (const [at, token] of tokens.entries())
    if (isSymbol(tokens, at, ';')) statements.push([]);
    else statements.at(-1)?.push(token);
  return statements.filter((statement) => statement.length > 0);
}

/** Every statement of the grammar begins with a word or a bracket. */
const canBegin = (statement: readonly Token[]): boolean =>
  statement[0]?.kind === 'word' || isSymbol(statement, 0, '(');

type Judge = (tokens: readonly Token[]) => StatementEffect[];

const onlySession: Judge = () => [{ effect: 'session', tables: [] }];
const onlyAccess: Judge = () => [{ effect: 'access', tables: [] }];
const onlyDefine: Judge = () => [{ effect: 'define', tables: [] }];
const onlyRead: Judge = () => [{ effect: 'read', tables: [] }];

const each = (words: string, judge: Judge): [string, Judge][] =>
  words.split(' ').map((word) => [word, judge]);

/** By first word. DO, CALL, EXECUTE, LOAD and whatever a later version brings are not here, and so opaque. */
const JUDGES: ReadonlyMap<string, Judge> = new Map([
  ...each('begin start commit end rollback abort savepoint release discard', onlySession),
  ...each('listen unlisten notify lock deallocate checkpoint analyze analyse vacuum', onlySession),
  ...each('set reset', effectsOfSetting),
  ...each('show fetch move close', onlyRead),
  ...each('grant revoke reassign', onlyAccess),
  ...each('comment security refresh reindex cluster import', onlyDefine),
  ...each('select values table with insert update delete merge declare', effectsOfQuery),
  ...each('copy', effectsOfCopy),
  ...each('truncate', effectsOfTruncate),
  ...each('create', effectsOfCreate),
  ...each('alter drop', effectsOfChange),
]);

function effectsOfStatement(tokens: readonly Token[]): StatementEffect[] {
  const whole = wordAt(tokens, 0);
  if (whole === 'explain') return effectsOfExplain(tokens);
  if (whole === 'prepare' && wordAt(tokens, 1) !== 'transaction')
    return effectsOfBody(tokens.slice(tokens.findIndex(isWord('as')) + 1));
  return whole === 'prepare' ? onlySession(tokens) : effectsOfBody(tokens);
}

function effectsOfBody(tokens: readonly Token[]): StatementEffect[] {
  if (tokens.some(({ kind }) => kind === 'escaped')) return [OPAQUE];
  if (isSymbol(tokens, 0, '(')) return effectsOfQuery(tokens);
  return JUDGES.get(wordAt(tokens, 0))?.(tokens) ?? [OPAQUE];
}

const isWord =
  (text: string) =>
  (token: Token): boolean =>
    token.kind === 'word' && token.text === text;

/** What is only planned is not run, but for functions that planning folds; what is analyzed runs. */
function effectsOfExplain(tokens: readonly Token[]): StatementEffect[] {
  let at = 1;
  while (['analyze', 'analyse', 'verbose'].includes(wordAt(tokens, at))) at += 1;
  const isOptions =
    isSymbol(tokens, at, '(') &&
    !isSymbol(tokens, at + 1, '(') &&
    !QUERY.includes(wordAt(tokens, at + 1));
  if (isOptions) at = tokens.findIndex((_token, place) => isSymbol(tokens, place, ')')) + 1;
  const body = effectsOfBody(tokens.slice(at));
  // Options can be quoted, so their spelling counts, not their kind.
  const runs = tokens.slice(0, at).some(({ text }) => /^analy[sz]e$/i.test(text));
  if (runs) return body;
  return [{ effect: 'read', tables: [] }, ...body.filter(({ effect }) => effect === 'opaque')];
}

/** Settings of the log decide what we get to see. */
function effectsOfSetting(tokens: readonly Token[]): StatementEffect[] {
  return isAboutLog(tokens) ? [OPAQUE] : onlySession(tokens);
}

const isAboutLog = (tokens: readonly Token[]): boolean =>
  tokens.some(({ text }) => /^log_/i.test(text));

function effectsOfCopy(tokens: readonly Token[]): StatementEffect[] {
  // Programs run on the server, as the server.
  const runs = tokens.some(isWord('program')) ? [OPAQUE] : [];
  const body = effectsOfQuery(tokens);
  if (isSymbol(tokens, 1, '(')) return [...runs, ...body];
  const isOldForm = wordAt(tokens, 1) === 'binary' && !isSymbol(tokens, 2, '.');
  const table = relationAt(tokens, isOldForm && wordAt(tokens, 2) !== 'from' ? 2 : 1);
  const opaque = body.filter(({ effect }) => effect === 'opaque');
  if (table === null) return [OPAQUE];
  const effect = tokens.some(isWord('from')) ? 'write' : 'read';
  return [...runs, ...opaque, { effect, tables: [table.name] }];
}

function effectsOfTruncate(tokens: readonly Token[]): StatementEffect[] {
  const tables = tablesFrom(tokens, wordAt(tokens, 1) === 'table' ? 2 : 1);
  if (tables === null) return [OPAQUE];
  // What refers to the tables is emptied with them.
  const more = tokens.some(isWord('cascade')) ? [OPAQUE] : [];
  return [{ effect: 'write', tables }, ...more];
}

/** A list of tables, to the first thing that is none; null if it begins with none. */
function tablesFrom(tokens: readonly Token[], from: number): string[] | null {
  const tables: string[] = [];
  for (let at = from; ;) {
    const relation = relationAt(tokens, at);
    if (!relation) return tables.length > 0 ? tables : null;
    tables.push(relation.name);
    at = relation.end;
    while (isSymbol(tokens, at, ')') || isSymbol(tokens, at, '*')) at += 1;
    if (!isSymbol(tokens, at, ',')) return tables;
    at += 1;
  }
}

const isAboutRoles = (tokens: readonly Token[]): boolean => {
  const about = wordAt(tokens, 1);
  if (about === 'owned') return wordAt(tokens, 0) === 'drop';
  return ['role', 'user', 'group', 'default', 'system'].includes(about);
};

const BEFORE_KIND = ['temp', 'temporary', 'unlogged', 'global', 'local', 'unique'];
/** What runs nothing of its own. Functions, views, rules, triggers and the rest can hide anything. */
const PLAIN_KINDS = [
  'index',
  'sequence',
  'type',
  'collation',
  'statistics',
  'database',
  'tablespace',
];

function effectsOfCreate(tokens: readonly Token[]): StatementEffect[] {
  if (isAboutRoles(tokens)) return onlyAccess(tokens);
  let at = 1;
  while (BEFORE_KIND.includes(wordAt(tokens, at))) at += 1;
  const kind = wordAt(tokens, at);
  if (kind === 'table') return effectsOfCreateTable(tokens.slice(at + 1));
  const isPlain =
    PLAIN_KINDS.includes(kind) ||
    // A schema can be made together with what goes into it.
    (kind === 'schema' &&
      !tokens.some((token, place) => place > 1 && /^(?:create|grant)$/.test(token.text)));
  return isPlain ? onlyDefine(tokens) : [OPAQUE];
}

const QUERY = ['select', 'values', 'table', 'with'];

/** A table made of a query does what the query does. */
function effectsOfCreateTable(tokens: readonly Token[]): StatementEffect[] {
  let depth = 0;
  for (const [at, token] of tokens.entries()) {
    if (isSymbol(tokens, at, '(')) depth += 1;
    if (isSymbol(tokens, at, ')')) depth -= 1;
    if (depth !== 0 || !isWord('as')(token)) continue;
    const query = tokens.slice(at + 1);
    const isQuery = isSymbol(query, 0, '(') || QUERY.includes(wordAt(query, 0));
    return isQuery ? [...onlyDefine(tokens), ...effectsOfQuery(query)] : [OPAQUE];
  }
  return onlyDefine(tokens);
}

/** Who changes or drops a table changes what is in it. */
function effectsOfChange(tokens: readonly Token[]): StatementEffect[] {
  // Whole schemas, and whatever somebody owns, go with all that is in them.
  const isWide = wordAt(tokens, 0) === 'drop' && ['schema', 'owned'].includes(wordAt(tokens, 1));
  if (isAboutRoles(tokens)) return [...onlyAccess(tokens), ...(isWide ? [OPAQUE] : [])];
  if (isWide || (wordAt(tokens, 1) === 'database' && isAboutLog(tokens))) return [OPAQUE];
  const isForeign = wordAt(tokens, 1) === 'foreign';
  const kind = wordAt(tokens, isForeign ? 2 : 1);
  if (kind !== 'table') return onlyDefine(tokens);
  const from = isForeign ? 3 : 2;
  const isCautious = wordAt(tokens, from) === 'if' && wordAt(tokens, from + 1) === 'exists';
  const tables = tablesFrom(tokens, isCautious ? from + 2 : from);
  return tables === null ? [OPAQUE] : [{ effect: 'define', tables }];
}
