// The one event: what each type says in public, what it only commits to, and the bytes that become a log leaf.
import type { Party } from './action.ts';
import { commitmentTo, type Digest } from './digest.ts';
import { EVENTS } from './event-types.ts';
import type { Id } from './id.ts';
import { canonicalJson, type JsonObject, type JsonValue } from './json.ts';

type Catalogue = typeof EVENTS;
export type EventName = keyof Catalogue;
export type EventType<N extends EventName = EventName> = `dev.countersign.${N}.v1`;
export type PublicField<N extends EventName> = Catalogue[N]['public'][number];
export type PrivateField<N extends EventName> = Catalogue[N]['private'][number];

/** What every event is about: each member is stated, and null says "explicitly none". */
export interface EventFacts {
  actor_chain: Party[];
  human: string | null;
  task: Id<'task'> | null;
  session: string | null;
  agent: Id<'agent'> | null;
  policy_version: Digest | null;
  control: string | null;
  request: Id<'request'> | null;
  action_ref: Digest | null;
  decision: string | null;
  posture: JsonObject | null;
  cause: string | null;
  trace_id: string | null;
}

export interface EventData extends EventFacts {
  detail: JsonObject;
  private: Record<string, Digest>;
}

/** An event as it is logged: the leaf is exactly the canonical form of this. */
export interface LoggedEvent {
  specversion: '1.0';
  id: Id<'event'>;
  source: string;
  type: EventType;
  time: string;
  subject: string;
  data: EventData;
}

export const eventType = <N extends EventName>(name: N): EventType<N> =>
  `dev.countersign.${name}.v1`;

export function eventName(type: string): EventName | null {
  const name = /^dev\.countersign\.(.+)\.v1$/.exec(type)?.[1];
  return name !== undefined && Object.hasOwn(EVENTS, name) ? asEventName(name) : null;
}

/** Only called with a name found among the catalogue's own keys. */
const asEventName = (name: string): EventName => name as EventName;

/** The commitment that stands in the leaf for one private field. */
export function privateCommitment(salt: Uint8Array, field: string, value: JsonValue): Digest {
  return commitmentTo(`countersign/private/v1/${field}`, salt, value);
}

/** The bytes of the leaf, as text. Stored as written and never serialised again. */
export function leafText(event: LoggedEvent): string {
  return canonicalJson({
    specversion: event.specversion,
    id: event.id,
    source: event.source,
    type: event.type,
    time: event.time,
    subject: event.subject,
    data: dataAsJson(event.data),
  });
}

function dataAsJson({ actor_chain, ...rest }: EventData): JsonObject {
  return { ...rest, actor_chain: actor_chain.map(({ type, id }) => ({ type, id })) };
}
