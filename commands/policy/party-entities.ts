// Agents and people as rules see them, from the rows as they are now.
import type { EntityJson, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs';
import { eq } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import { agent, person } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';

/** Whatever can read: the database, or a transaction. */
export type Reader = Pick<Query, 'select'>;

/** Adds an agent with who owns it. */
export async function addAgent(
  tx: Reader,
  entities: Map<string, EntityJson>,
  id: string,
): Promise<TypeAndId> {
  const [row] = await tx
    .select()
    .from(agent)
    .where(eq(agent.id, id as Id<'agent'>));
  if (!row) return { type: 'Agent', id };
  const owner = await addPerson(tx, entities, row.owner);
  return addEntity(
    entities,
    { type: 'Agent', id },
    {
      name: row.name,
      kind: row.kind,
      team: row.team,
      owner: { __entity: owner },
    },
  );
}

/** Adds a person. */
export async function addPerson(
  tx: Reader,
  entities: Map<string, EntityJson>,
  id: string,
): Promise<TypeAndId> {
  const [row] = await tx
    .select()
    .from(person)
    .where(eq(person.id, id as Id<'person'>));
  return addEntity(
    entities,
    { type: 'Person', id },
    row && { roles: row.roles, groups: row.groups },
  );
}

/** Without attributes an entity stays unknown to the engine, which then errs, which is a no. */
export function addEntity(
  entities: Map<string, EntityJson>,
  uid: TypeAndId,
  attrs: EntityJson['attrs'] | undefined,
): TypeAndId {
  if (attrs) entities.set(`${uid.type}::${uid.id}`, { uid, attrs, parents: [] });
  return uid;
}
