// What one line of a target's log says about the controls in front of it: whose session, which effect, how it ended.
import type { LoginKind, Seen } from '../../commands/record/observe.ts';
import type { LogLine } from '../../domain/postgres-log.ts';
import { readSql, type SqlReading, type StatementEffect } from '../../domain/sql-effect.ts';
import type { Shadowed } from '../../domain/sql-shadows.ts';
import { hasSchema } from '../../domain/sql-tokens.ts';
import { kitOfLogin, leaseOfLogin } from '../issuers/login.ts';
import { ISSUER_STATEMENTS } from '../issuers/postgres-blocks.ts';

/** What a control stands in front of, in one target: tables by their names with their schemas. */
export interface Coverage {
  control: string;
  writes: ReadonlySet<string>;
  /** Tables that the control's roles may only read: reading them is then the effect. */
  reads: ReadonlySet<string>;
}

export interface Surroundings {
  coverage: readonly Coverage[];
  /** Tables, writes to which reach nothing else that the catalog tells of. */
  plainTables: ReadonlySet<string>;
  /** What a name without a schema can stand for; where it can be several things, nobody knows which. */
  names: ReadonlyMap<string, readonly string[]>;
  /** By login what it may write of all that is covered; a login that is not known may do anything. */
  writable: ReadonlyMap<string, ReadonlySet<string>>;
  ours: OwnLogins;
}

/** The logins of ours in a target, and those of the applications that own the data. */
export interface OwnLogins {
  issuer: string | null;
  observer: string | null;
  applications: readonly string[];
}

type StatementLine = Extract<LogLine, { kind: 'statement' }>;

/** What a line says; the next line of the same session says how a statement ended. */
export function seenOf(
  line: LogLine,
  next: LogLine | null,
  surroundings: Surroundings,
  shadowed: Shadowed = new Set(),
): Seen[] {
  const { ours } = surroundings;
  const login = loginKind(line.user, ours);
  if (line.user === ours.observer || login === 'application') return [];
  const facts = {
    session: line.session,
    at: line.at,
    loginName: line.user,
    login,
    credential: leaseOfLogin(line.user),
    kit: kitOfLogin(line.user),
  };
  switch (line.kind) {
    case 'error':
      return [];
    case 'login':
      return login === 'issuer' ? [] : [{ ...facts, kind: 'session_opened' }];
    case 'logout':
      return login === 'issuer' ? [] : [{ ...facts, kind: 'session_closed' }];
    case 'statement': {
      if (isIssuing(line, login)) return [];
      const reading = readStatement(line);
      const outcome = outcomeOf(line, reading, next);
      const effects = effectsOn(surroundings, reading, login, {
        user: line.user,
        shadowed,
        isDone: outcome === 'ran',
      });
      if (effects.length === 0) return login === 'issuer' ? [] : [{ ...facts, kind: 'harmless' }];
      return effects.map((effect) => ({
        ...facts,
        kind: 'effect' as const,
        ...effect,
        outcome,
        statement: line.text,
      }));
    }
  }
}

/** Whether a statement is the issuer doing what a lease says it does. */
export const isIssuing = (line: StatementLine, login: LoginKind): boolean =>
  login === 'issuer' && ISSUER_STATEMENTS.has(line.text.trim());

export function loginKind(user: string, ours: OwnLogins): LoginKind {
  if (user === ours.issuer) return 'issuer';
  if (ours.applications.includes(user)) return 'application';
  if (kitOfLogin(user) !== null) return 'kit';
  return leaseOfLogin(user) === null ? 'other' : 'credential';
}

const UNREADABLE: SqlReading = { effects: [{ effect: 'opaque', tables: [] }], isSingle: false };

/** A text that is not certain, or that cannot be judged, could have done anything. */
export function readStatement(line: StatementLine): SqlReading {
  if (!line.isSure) return UNREADABLE;
  try {
    return readSql(line.text);
  } catch {
    // The log goes on behind a statement that nobody foresaw.
    return UNREADABLE;
  }
}

type CoveredEffect = StatementEffect & { controls: string[] };

/** Who ran a statement, and which names did not mean in that session what they mean elsewhere. */
interface Circumstances {
  user: string;
  shadowed: Shadowed;
  isDone: boolean;
}

/** The effects that controls stand in front of, the most telling first, each control once. */
function effectsOn(
  surroundings: Surroundings,
  reading: SqlReading,
  login: LoginKind,
  circumstances: Circumstances,
): CoveredEffect[] {
  const { coverage } = surroundings;
  const told = new Set<string>();
  const doubtful = new Set<string>();
  const named = reading.effects.flatMap((each): CoveredEffect[] => {
    if (each.effect === 'opaque') return [];
    const { certain, possible } = coveredBy(each, surroundings, circumstances);
    const controls = certain.filter((control) => !told.has(control));
    for (const control of controls) told.add(control);
    for (const control of possible) doubtful.add(control);
    return controls.length > 0 || each.effect === 'access' ? [{ ...each, controls }] : [];
  });
  const isReadable = !reading.effects.some(({ effect }) => effect === 'opaque');
  const reachesOn = writesBeyond(reading, surroundings, circumstances.shadowed);
  // What a lease's statement reaches beyond the table that it names is bounded by what the lease was for.
  const isBounded = isReadable && (!reachesOn || (login === 'credential' && told.size > 0));
  const reached = coverage.map(({ control }) => control);
  const left = new Set(
    (isBounded || login === 'issuer' ? [...doubtful] : reached).filter((each) => !told.has(each)),
  );
  return left.size === 0
    ? named
    : [...named, { effect: 'opaque', tables: [], controls: [...left] }];
}

/** The controls over what an effect names for certain, and those over what it may have named instead. */
function coveredBy(
  { effect, tables }: StatementEffect,
  { coverage, names, writable }: Surroundings,
  { user, shadowed, isDone }: Circumstances,
): { certain: string[]; possible: string[] } {
  const mine = writable.get(user);
  const certain = new Set<string>();
  const possible = new Set<string>();
  for (const table of tables) {
    const meanings = meaningsOf(table, names);
    for (const { control, writes, reads } of coverage) {
      const covered = effect === 'read' ? reads : writes;
      const touched = meanings.filter((each) => covered.has(each));
      if (touched.length === 0) continue;
      // Who may not write there and was not refused wrote to something else of that name.
      const isAble = !isDone || !mine || touched.some((each) => mine.has(each));
      const isSure = meanings.length === 1 && !isShadowed(table, shadowed);
      (isSure && (effect !== 'write' || isAble) ? certain : possible).add(control);
    }
  }
  return { certain: [...certain], possible: [...possible] };
}

const meaningsOf = (table: string, names: Surroundings['names']): readonly string[] =>
  hasSchema(table) ? [table] : (names.get(table) ?? []);

const isShadowed = (table: string, shadowed: Shadowed): boolean =>
  !hasSchema(table) && (shadowed === 'all' || shadowed.has(table));

/** Whether a statement writes to a name that is no plain table: a view, a parent of others, one just made. */
export function writesBeyond(
  { effects }: SqlReading,
  { coverage, plainTables, names }: Surroundings,
  shadowed: Shadowed = new Set(),
): boolean {
  const isKnown = (table: string): boolean =>
    plainTables.has(table) || coverage.some(({ writes }) => writes.has(table));
  return effects
    .filter(({ effect }) => effect === 'write')
    .flatMap(({ tables }) => tables)
    .some((table) => {
      const meanings = meaningsOf(table, names);
      return isShadowed(table, shadowed) || meanings.length === 0 || !meanings.every(isKnown);
    });
}

/**
 * An error excuses only the very text that stands in its own line, in the same transaction, if that text is one
 * statement: anything else may have been committed before. Blocks can commit and fail later, so nothing excuses
 * them; neither are we told how they ended if their text is not certain.
 */
function outcomeOf(
  line: StatementLine,
  { effects, isSingle }: SqlReading,
  next: LogLine | null,
): 'ran' | 'failed' | 'refused' {
  const isBlock = effects.length === 1 && effects[0]?.effect === 'opaque';
  const isItsOwn =
    next?.kind === 'error' &&
    next.statement === line.text &&
    next.transaction === line.transaction &&
    line.transaction !== '';
  if (!isItsOwn || !isSingle || isBlock) return 'ran';
  return next.refused ? 'refused' : 'failed';
}
