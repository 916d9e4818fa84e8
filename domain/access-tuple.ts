// @spec AuthZEN-1.0#section-5
// What an enforcement point asks about: may this subject do this to that resource, in this context? Kept as one
// action of ours, so that whatever waits for people goes the one way, and its digest covers all that was asked.
import type { Action, Party } from './action.ts';
import { canonicalJson, sameJson, type JsonObject, type JsonValue } from './json.ts';
import type { RequestState } from './lifecycle.ts';

/** Somebody or something by its type and id, with what the caller says of it. */
export interface Named {
  type: string;
  id: string;
  /** Claims of whoever asks. */
  properties: JsonObject;
}

/** One question of an enforcement point. */
export interface Tuple {
  subject: Named;
  action: { name: string; properties: JsonObject };
  resource: Named;
  /** Only what the policy's schema declares for the action: whatever else was sent decides nothing. */
  context: JsonObject;
}

/** The one action under which questions of others are judged, asked and approved. */
export const ACCESS_ACTION = 'access:evaluate';

/** What was asked besides. */
export function wishOf({ context }: Pick<Action, 'context'>): Wish {
  const { justification, requested_until: until, emergency, client } = context;
  const word = (value: JsonValue | undefined): string | null =>
    typeof value === 'string' ? value : null;
  return {
    justification: word(justification),
    requested_until: word(until),
    emergency: emergency === true,
    client: word(client),
  };
}

/** What is asked besides, shown to people as claims, and no part of what is compared later. */
export interface Wish {
  justification: string | null;
  requested_until: string | null;
  emergency: boolean;
  client: string | null;
}

const NO_WISH: Wish = {
  justification: null,
  requested_until: null,
  emergency: false,
  client: null,
};

/** A question as an action. `kind` is what the public log may say of it: names that the policy itself declares. */
export const accessAction = (
  by: Party,
  tuple: Tuple,
  kind: string,
  wish: Wish = NO_WISH,
): Action => ({
  subject: by,
  actor_chain: [by],
  action: ACCESS_ACTION,
  resource: { type: 'access', id: kind },
  parameters: tupleAsJson(tuple),
  data_class: null,
  destination: null,
  context: {
    justification: wish.justification,
    requested_until: wish.requested_until,
    emergency: wish.emergency ? true : null,
    client: wish.client,
  },
});

/** A question as JSON, member by member. */
export function tupleAsJson({ subject, action, resource, context }: Tuple): JsonObject {
  const named = ({ type, id, properties }: Named): JsonObject => ({ type, id, properties });
  return {
    subject: named(subject),
    action: { name: action.name, properties: action.properties },
    resource: named(resource),
    context,
  };
}

/** The question that an action of this kind is about. */
export const tupleOf = ({ parameters }: Pick<Action, 'parameters'>): Tuple => asTuple(parameters);

/** Sound because only `accessAction` makes the parameters of such an action. */
const asTuple = (parameters: JsonObject): Tuple => parameters as unknown as Tuple;

/** Whether two actions are the same question by the same caller, down to the last byte. */
export const isSameQuestion = (one: Action, other: Action): boolean =>
  one.action === other.action &&
  sameJson(one.parameters, other.parameters) &&
  one.subject.type === other.subject.type &&
  one.subject.id === other.subject.id;

/** Members of a context that are machinery of the access request profile, and never input to a policy. */
const MACHINERY = ['approval', 'access_request', 'evaluation_id', 'evaluated_at', 'reason'];

/** The part of a context that counts: what is declared, without machinery and without what is null. */
export function relevantContext(context: JsonObject, declared: ReadonlySet<string>): JsonObject {
  const counts = (name: string, value: JsonValue): boolean =>
    value !== null && declared.has(name) && !MACHINERY.includes(name);
  return Object.fromEntries(Object.entries(context).filter(([name, value]) => counts(name, value)));
}

/** Members that two objects both have, with different values: nobody can say which of them is meant. */
export const contradictions = (one: JsonObject, other: JsonObject): string[] =>
  Object.keys(one).filter(
    (name) =>
      Object.hasOwn(other, name) &&
      canonicalJson(one[name] ?? null) !== canonicalJson(other[name] ?? null),
  );

/** What a request that came from a denial is called in the profile: what was decided, whatever became of it since. */
export function taskStatus({
  state,
  approvedUntil,
}: {
  state: RequestState;
  approvedUntil: string | null;
}): string {
  if (state === 'superseded') return 'cancelled';
  if (state === 'failed') return 'failed';
  return approvedUntil === null ? state : 'approved';
}
