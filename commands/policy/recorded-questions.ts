// What the engine was asked, as it is kept with an evaluation: enough to put the same question to another policy
// after agents, people and tasks have changed. What a role or an upstream is, is no fact about who asked: each policy says its own.
import type { EntityJson, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs';
import type { JsonValue } from '../../domain/json.ts';
import { targetOf } from '../access/kinds.ts';
import type { PolicyBundle } from './bundle.ts';
import type { Question } from './evaluate.ts';

/** Questions as they are kept. */
export const recordedQuestions = (asked: readonly Question[]): JsonValue =>
  asJson(
    asked.map((question) => ({
      ...question,
      entities: question.entities.filter((each) => !isOfPolicy(each)),
    })),
  );

/** Questions as they were kept, about the roles and upstreams of this policy. */
export const replayedQuestions = (recorded: JsonValue, bundle: PolicyBundle): Question[] =>
  asQuestions(recorded).map((question) => ({
    ...question,
    entities: [...question.entities, ...resourceEntity(bundle, question.resource)],
  }));

/** A role or an upstream as rules see it; nothing where the policy has none of this name. */
export function resourceEntity(bundle: PolicyBundle, uid: TypeAndId): EntityJson[] {
  const attrs = attributesOf(bundle, uid);
  return attrs ? [{ uid, attrs, parents: [] }] : [];
}

function attributesOf(bundle: PolicyBundle, { type, id }: TypeAndId): EntityJson['attrs'] | null {
  const role = type === 'Role' ? bundle.roles.get(id) : undefined;
  if (role) return { issuer: role.issuer, target: targetOf(role), data_class: role.data_class };
  const upstream = type === 'Upstream' ? bundle.upstreams.get(id) : undefined;
  return upstream
    ? { origin: new URL(upstream.base).origin, data_class: upstream.data_class }
    : null;
}

const isOfPolicy = ({ uid }: EntityJson): boolean =>
  'type' in uid && (uid.type === 'Role' || uid.type === 'Upstream');

/** Questions hold nothing but strings, numbers, booleans, lists and records of them. */
const asJson = (asked: readonly Question[]): JsonValue => asked as unknown as JsonValue;

/** Sound because only `recordedQuestions` writes them, and the log commits to what it wrote. */
const asQuestions = (recorded: JsonValue): Question[] => recorded as unknown as Question[];
