// Which rows the counts of a target may hold because of one statement in its log.
import type { LogLine } from '../../domain/postgres-log.ts';
import type { Explains } from '../../domain/write-witness.ts';
import { isIssuing, loginKind, readStatement, writesBeyond, type Surroundings } from './seen.ts';

/** The tables that the groups of a role may write, by role. */
export type Rights = ReadonlyMap<string, ReadonlySet<string>>;

/**
 * The tables that a statement can have written. `own` are those that the lease it ran under was for: what it did
 * where it cannot be read is taken to have been there, so rows that appear elsewhere stay unexplained.
 */
export function explainedBy(
  line: Extract<LogLine, { kind: 'statement' }>,
  surroundings: Surroundings,
  own: ReadonlySet<string> | null,
): Explains {
  const login = loginKind(line.user, surroundings.ours);
  if (isIssuing(line, login)) return [];
  const reading = readStatement(line);
  const isOpaque =
    reading.effects.some(({ effect }) => effect === 'opaque') ||
    writesBeyond(reading, surroundings);
  const changes = reading.effects.filter(({ effect }) => effect === 'write' || effect === 'define');
  // Applications own triggers and cascades of their own, which are their work as well.
  const isAny = isOpaque || (login === 'application' && changes.length > 0);
  const named = changes.flatMap(({ tables }) => tables);
  if (!isAny) return named;
  return own === null ? 'any' : [...named, ...own];
}
