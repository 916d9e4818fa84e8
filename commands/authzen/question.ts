// @spec AuthZEN-1.0#section-5
// Puts the question of an enforcement point to the engine in the words of the bundle's own schema. What the schema
// does not declare is dropped, and what is known here counts whatever the caller claims.
import type { EntityJson, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs';
import {
  contradictions,
  relevantContext,
  type Named,
  type Tuple,
} from '../../domain/access-tuple.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { schemaOf } from '../policy/bundle-schema.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { asEntity, entityKey } from '../policy/entities.ts';
import type { Question } from '../policy/evaluate.ts';

/** Why there is nothing to ask the engine; stable words that the public log may hold. */
export const NO_QUESTION = {
  unknown_action: 'No policy here knows this action.',
  unknown_type: 'No policy here knows a subject or resource of this type.',
  not_applicable: 'This action is not one that such a subject does to such a resource.',
  unknown_subject: 'There is no such subject here.',
  unknown_resource: 'There is no such resource here.',
  subject_not_active: 'This subject is not active.',
  ambiguous_context: 'The context and the properties of the action contradict each other.',
  properties_do_not_fit:
    'The properties and the context are not what the schema of the policy takes.',
  own_action: 'This is done by Countersign itself, and judged where it is asked for.',
  unknown_task: 'There is no such running task of this agent.',
} as const;

/** One of those words. */
export type NoQuestion = keyof typeof NO_QUESTION;

/** Facts from our own tables, by side; null where a side is nothing of ours. */
export interface OwnFacts {
  subject: EntityJson[] | null;
  resource: EntityJson[] | null;
}

/** The names in a question that a policy declares, for the public log; nothing that a caller made up. */
export function kindOf(bundle: PolicyBundle, { action, resource }: Tuple): string {
  const { actions, types } = schemaOf(bundle);
  return actions.has(action.name) && types.has(resource.type)
    ? `${resource.type}.${action.name}`
    : 'unknown';
}

/** A question with only that part of its context that the schema declares for its action. */
export function withRelevantContext(bundle: PolicyBundle, tuple: Tuple): Tuple {
  const declared = schemaOf(bundle).actions.get(tuple.action.name)?.context ?? new Set<string>();
  return { ...tuple, context: relevantContext(tuple.context, declared) };
}

/** Whether the schema has this action for such a subject and such a resource. */
export function whyNotApplicable(bundle: PolicyBundle, tuple: Tuple): NoQuestion | null {
  const { types, actions } = schemaOf(bundle);
  const action = actions.get(tuple.action.name);
  if (!action) return 'unknown_action';
  const { subject, resource } = tuple;
  if (!types.has(subject.type) || !types.has(resource.type)) return 'unknown_type';
  return action.principals.includes(subject.type) && action.resources.includes(resource.type)
    ? null
    : 'not_applicable';
}

/** The question for the engine, or why there is none. */
export function questionAbout(
  bundle: PolicyBundle,
  tuple: Tuple,
  known: OwnFacts,
): Question | NoQuestion {
  const refusal = whyNotApplicable(bundle, tuple);
  if (refusal) return refusal;
  const { subject, action, resource } = tuple;
  const declared = schemaOf(bundle).actions.get(action.name)?.context ?? new Set<string>();
  const fromAction = relevantContext(action.properties, declared);
  const fromContext = relevantContext(tuple.context, declared);
  if (contradictions(fromAction, fromContext).length > 0) return 'ambiguous_context';
  const entities = new Map<string, EntityJson>();
  for (const [named, facts] of [
    [subject, known.subject],
    [resource, known.resource],
  ] as const)
    for (const entity of facts ?? foreignEntities(bundle, named))
      entities.set(entityKey(asUid(entity)), entity);
  return {
    principal: uidOf(subject),
    action: action.name,
    resource: uidOf(resource),
    context: { ...fromAction, ...fromContext },
    entities: [...entities.values()],
  };
}

const uidOf = ({ type, id }: TypeAndId): TypeAndId => ({ type, id });

/** Every entity is made in this folder and its neighbours, in the short form of a reference. */
const asUid = ({ uid }: EntityJson): TypeAndId => uid as TypeAndId;

/** Something that is not ours: as the bundle declares it, and beyond that as the caller says. */
function foreignEntities(bundle: PolicyBundle, named: Named): EntityJson[] {
  const declared = bundle.entities.get(entityKey(named));
  const attributes = schemaOf(bundle).types.get(named.type)?.attributes ?? new Set<string>();
  const claimed = Object.entries(named.properties).filter(
    ([name, value]) => attributes.has(name) && value !== null,
  );
  const own: EntityJson = {
    uid: uidOf(named),
    attrs: { ...Object.fromEntries(claimed), ...declared?.attributes },
    parents: declared?.parents ?? [],
  };
  return [own, ...around(bundle, own)];
}

/** What the bundle declares of everything that an entity leads to. */
function around(bundle: PolicyBundle, start: EntityJson): EntityJson[] {
  const found = new Map<string, EntityJson>([[entityKey(asUid(start)), start]]);
  const queue = [start];
  for (let next = queue.shift(); next; next = queue.shift())
    for (const uid of [
      ...next.parents.map((each) => asUid({ ...next, uid: each })),
      ...refsIn(asJson(next.attrs)),
    ]) {
      const declared = bundle.entities.get(entityKey(uid));
      if (!declared || found.has(entityKey(uid))) continue;
      const entity = asEntity(declared);
      found.set(entityKey(uid), entity);
      queue.push(entity);
    }
  found.delete(entityKey(asUid(start)));
  return [...found.values()];
}

/** Attributes came from JSON, or from YAML that was read as JSON. */
const asJson = (attributes: EntityJson['attrs']): JsonObject => attributes as JsonObject;

/** Every reference to an entity inside a value, in either of the forms that the engine takes. */
function refsIn(value: JsonValue): TypeAndId[] {
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap(refsIn);
  const { type, id } = value;
  const here = typeof type === 'string' && typeof id === 'string' ? [{ type, id }] : [];
  return [...here, ...Object.values(value).flatMap(refsIn)];
}
