// What one statement that is to be run does, as its text tells.
import { Refusal } from '../../domain/refusal.ts';
import { readSql, STATEMENT_EFFECTS, type RunEffect } from '../../domain/sql-effect.ts';
import type { RoleDefinition } from '../access/kinds.ts';

/** The strongest thing that a statement does; what cannot be read is opaque. Refuses what is no single statement. */
export function effectOf(statement: string, definition: RoleDefinition): RunEffect {
  if (definition.issuer !== 'postgres')
    throw new Refusal(
      'statement_refused',
      `This role is ${definition.issuer}: statements run with roles of a PostgreSQL target.`,
    );
  const { effects, isSingle } = readSql(statement);
  const found = effects.map(({ effect }) => effect);
  const does = STATEMENT_EFFECTS.toReversed().find((effect) => found.includes(effect));
  // A transaction is ours to begin and to end, and settings would end with it.
  if (does === undefined)
    throw new Refusal(
      'statement_refused',
      'Send a statement that reads or changes something: transactions and settings are ours.',
    );
  if (!isSingle && does !== 'opaque')
    throw new Refusal('statement_refused', 'Send one statement: each is run by itself.');
  return does;
}
