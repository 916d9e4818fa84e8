// What the engine was asked, as it is kept with an evaluation: enough to put the same question to another policy
// after agents, people and tasks have changed. What a role is, is no fact about who asked: each policy says its own.
import type { EntityJson } from '@cedar-policy/cedar-wasm/nodejs';
import type { JsonValue } from '../domain/json.ts';
import { targetOf } from './access/kinds.ts';
import type { Question } from './evaluate.ts';
import type { PolicyBundle } from './policy-bundle.ts';

/** Questions as they are kept. */
export const recordedQuestions = (asked: readonly Question[]): JsonValue =>
  asJson(asked.map((question) => ({ ...question, entities: question.entities.filter(isNoRole) })));

/** Questions as they were kept, about the roles of this policy. */
export const replayedQuestions = (recorded: JsonValue, bundle: PolicyBundle): Question[] =>
  asQuestions(recorded).map((question) => ({
    ...question,
    entities: [
      ...question.entities,
      ...(question.resource.type === 'Role' ? roleEntity(bundle, question.resource.id) : []),
    ],
  }));

/** A role as rules see it; nothing where the policy has no such role. */
export function roleEntity(bundle: PolicyBundle, id: string): EntityJson[] {
  const role = bundle.roles.get(id);
  if (!role) return [];
  const { issuer, data_class } = role;
  return [
    {
      uid: { type: 'Role', id },
      attrs: { issuer, target: targetOf(role), data_class },
      parents: [],
    },
  ];
}

const isNoRole = ({ uid }: EntityJson): boolean => !('type' in uid) || uid.type !== 'Role';

/** Questions hold nothing but strings, numbers, booleans, lists and records of them. */
const asJson = (asked: readonly Question[]): JsonValue => asked as unknown as JsonValue;

/** Sound because only `recordedQuestions` writes them, and the log commits to what it wrote. */
const asQuestions = (recorded: JsonValue): Question[] => recorded as unknown as Question[];
