// entities.yaml: things that are not ours and that a bundle knows by itself, with what is true of them. What a
// policy says of an entity counts, whatever an enforcement point claims.
import {
  checkParseEntities,
  type EntityJson,
  type TypeAndId,
} from '@cedar-policy/cedar-wasm/nodejs';
import { z } from 'zod';
import type { JsonObject } from '../../domain/json.ts';
import { placeOf, readYaml, type PolicyProblem } from './yaml.ts';

export const ENTITIES_FILE = 'entities.yaml';

/** Types whose facts are in our own tables or in other files of the bundle. */
export const OWN_TYPES: ReadonlySet<string> = new Set([
  'Agent',
  'Person',
  'Service',
  'Role',
  'Upstream',
  'Policy',
  'Stop',
]);

const reference = z.strictObject({
  type: z.string().min(1).max(200),
  id: z.string().min(1).max(200),
});
const entitiesFile = z
  .array(
    reference.extend({
      attributes: z.record(z.string(), z.json()).default({}),
      parents: z.array(reference).max(50).default([]),
    }),
  )
  .max(10_000);

/** One thing that a bundle declares. */
export interface DeclaredEntity {
  uid: TypeAndId;
  attributes: JsonObject;
  parents: TypeAndId[];
}

/** How an entity is called in maps. A type holds no blank, so no two share a key. */
export const entityKey = ({ type, id }: TypeAndId): string => `${type} ${id}`;

/** Reads entities.yaml, which a bundle may leave out, and holds it against the schema. */
export function readEntities(
  files: Record<string, string>,
  schema: string,
  problems: PolicyProblem[],
): Map<string, DeclaredEntity> {
  const found = new Map<string, DeclaredEntity>();
  if (files[ENTITIES_FILE] === undefined) return found;
  const read = readYaml(ENTITIES_FILE, files, entitiesFile, problems) ?? [];
  const complain = (uid: TypeAndId, message: string): void =>
    void problems.push({ ...placeIn(files, uid), message: `${uid.type} "${uid.id}": ${message}` });
  for (const { type, id, attributes, parents } of read) {
    const uid = { type, id };
    if (OWN_TYPES.has(type)) complain(uid, 'what is true of this type is known here: leave it out');
    if (found.has(entityKey(uid))) complain(uid, 'is declared twice');
    found.set(entityKey(uid), { uid, attributes: asJsonObject(attributes), parents });
  }
  for (const { uid, parents } of found.values())
    for (const parent of parents)
      if (!found.has(entityKey(parent)))
        complain(uid, `its parent ${parent.type} "${parent.id}" is not declared here`);
  if (schema === '' || problems.length > 0) return found;
  const checked = checkParseEntities({ entities: [...found.values()].map(asEntity), schema });
  if (checked.type === 'failure')
    problems.push(
      ...checked.errors.map(({ message, help }) => ({
        ...namedIn(files, found, message),
        message: help ? `${message} (${help})` : message,
      })),
    );
  return found;
}

/** As the engine takes it. */
export const asEntity = ({ uid, attributes, parents }: DeclaredEntity): EntityJson => ({
  uid,
  attrs: attributes,
  parents,
});

/** What was read by `z.json` is JSON. */
const asJsonObject = (read: object): JsonObject => read as JsonObject;

type Place = Pick<PolicyProblem, 'file' | 'line'>;

const placeIn = (files: Record<string, string>, { id }: TypeAndId): Place =>
  placeOf({ [ENTITIES_FILE]: files[ENTITIES_FILE] ?? '' }, id);

/** The engine names the entity in its message, and nowhere else. */
function namedIn(
  files: Record<string, string>,
  found: ReadonlyMap<string, DeclaredEntity>,
  message: string,
): Place {
  const named = [...found.values()].find(({ uid }) => message.includes(`::"${uid.id}"`));
  return named ? placeIn(files, named.uid) : { file: ENTITIES_FILE, line: null };
}
