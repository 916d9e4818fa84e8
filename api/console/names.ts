// Names of people and agents for pages that refer to them.
import { inArray } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import { agent, person } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';

/** Says a name for each id, or the id itself where there is none. */
export async function personNames(
  query: Query,
  ids: readonly (Id<'person'> | null)[],
): Promise<(id: string) => string> {
  const wanted = [...new Set(ids.filter((id) => id !== null))];
  if (wanted.length === 0) return (id) => id;
  const rows = await query
    .select({ id: person.id, name: person.name })
    .from(person)
    .where(inArray(person.id, wanted));
  const names = new Map<string, string>(rows.map((row) => [row.id, row.name]));
  return (id) => names.get(id) ?? id;
}

/** The same for agents. */
export async function agentNames(
  query: Query,
  ids: readonly Id<'agent'>[],
): Promise<(id: string) => string> {
  const wanted = [...new Set(ids)];
  if (wanted.length === 0) return (id) => id;
  const rows = await query
    .select({ id: agent.id, name: agent.name })
    .from(agent)
    .where(inArray(agent.id, wanted));
  const names = new Map<string, string>(rows.map((row) => [row.id, row.name]));
  return (id) => names.get(id) ?? id;
}
