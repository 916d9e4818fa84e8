// What one line of a target's log says about the controls in front of it: whose session, which effect, how it ended.
import type { LoginKind, Seen } from '../../commands/observe.ts';
import type { LogLine } from '../../domain/postgres-log.ts';
import { readSql, type SqlReading, type StatementEffect } from '../../domain/sql-effect.ts';
import { ISSUER_STATEMENTS, leaseOfRole } from '../issuers/postgres.ts';

/** What a control stands in front of, in one target. */
export interface Coverage {
  control: string;
  writes: ReadonlySet<string>;
  /** Tables that the control's roles may only read: reading them is then the effect. */
  reads: ReadonlySet<string>;
}

export interface Surroundings {
  coverage: readonly Coverage[];
  /** Names under which there are only tables, writes to which reach nothing else that the catalog tells of. */
  plainTables: ReadonlySet<string>;
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
  { coverage, plainTables, ours }: Surroundings,
): Seen[] {
  const login = loginKind(line.user, ours);
  if (line.user === ours.observer || login === 'application') return [];
  const facts = {
    session: line.session,
    at: line.at,
    loginName: line.user,
    login,
    credential: leaseOfRole(line.user),
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
      const effects = effectsOn(coverage, plainTables, reading, login);
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
  return leaseOfRole(user) === null ? 'other' : 'credential';
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

/** The effects that controls stand in front of, the most telling first, each control once. */
function effectsOn(
  coverage: readonly Coverage[],
  plainTables: ReadonlySet<string>,
  reading: SqlReading,
  login: LoginKind,
): CoveredEffect[] {
  const told = new Set<string>();
  const named = reading.effects.flatMap((each): CoveredEffect[] => {
    if (each.effect === 'opaque') return [];
    const controls = coveredBy(each, coverage).filter((control) => !told.has(control));
    for (const control of controls) told.add(control);
    return controls.length > 0 || each.effect === 'access' ? [{ ...each, controls }] : [];
  });
  if (login === 'issuer') return named;
  const isReadable = !reading.effects.some(({ effect }) => effect === 'opaque');
  const reachesOn = writesBeyond(reading, coverage, plainTables);
  // What a lease's statement reaches beyond the table that it names is bounded by what the lease was for.
  if (isReadable && (!reachesOn || (login === 'credential' && told.size > 0))) return named;
  const left = new Set(coverage.map(({ control }) => control).filter((each) => !told.has(each)));
  return left.size === 0
    ? named
    : [...named, { effect: 'opaque', tables: [], controls: [...left] }];
}

function coveredBy({ effect, tables }: StatementEffect, coverage: readonly Coverage[]): string[] {
  const touches = (covered: ReadonlySet<string>): boolean =>
    tables.some((table) => covered.has(table));
  const found = coverage.filter(({ writes, reads }) => {
    if (effect === 'write' || effect === 'define') return touches(writes);
    return effect === 'read' && touches(reads);
  });
  return [...new Set(found.map(({ control }) => control))];
}

/** Whether a statement writes to a name that is no plain table: a view, a parent of others, one just made. */
export function writesBeyond(
  { effects }: SqlReading,
  coverage: readonly Coverage[],
  plainTables: ReadonlySet<string>,
): boolean {
  return effects
    .filter(({ effect }) => effect === 'write')
    .flatMap(({ tables }) => tables)
    .some((table) => !plainTables.has(table) && !coverage.some(({ writes }) => writes.has(table)));
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
