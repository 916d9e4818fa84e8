// Reading the record: events by what they are about, with what their reader may see of their private parts.
import { and, asc, desc, eq, gt, inArray, lt, type SQL } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import { event, eventPrivate, logEntry, task } from '../../db/schema/index.ts';
import type { Party } from '../../domain/action.ts';
import { eventType, type EventFacts } from '../../domain/event.ts';
import type { Id } from '../../domain/id.ts';
import { parseJson, type JsonObject, type JsonValue } from '../../domain/json.ts';

export interface EventFilter {
  id?: string | undefined;
  task?: string | undefined;
  request?: string | undefined;
  agent?: string | undefined;
  type?: string | undefined;
  control?: string | undefined;
  /** Only events under tasks of this agent. */
  tasksOf?: Id<'agent'> | undefined;
  after: string | null;
  /** Newest first; `after` then goes on to older ones. */
  newestFirst?: boolean;
  limit: number;
}

export interface EventRead {
  id: Id<'event'>;
  /** The leaf, parsed. */
  event: JsonObject;
  logIndex: number | null;
  disclosed: Record<string, JsonValue>;
}

/** Whatever can read: the database, or a transaction. */
export type Reader = Pick<Query, 'select'>;

export async function readEvents(
  query: Reader,
  filter: EventFilter,
  disclose: boolean,
): Promise<EventRead[]> {
  const rows = await query
    .select({ id: event.id, leaf: event.leaf, index: logEntry.index })
    .from(event)
    .leftJoin(logEntry, eq(logEntry.event, event.id))
    .where(and(...conditions(query, filter)))
    .orderBy(filter.newestFirst ? desc(event.id) : asc(event.id))
    .limit(filter.limit);
  const secrets = disclose
    ? await privateOf(
        query,
        rows.map((row) => row.id),
      )
    : new Map<string, Record<string, JsonValue>>();
  return rows.map((row) => ({
    id: row.id,
    event: asObject(parseJson(row.leaf)),
    logIndex: row.index,
    disclosed: secrets.get(row.id) ?? {},
  }));
}

function conditions(query: Reader, filter: EventFilter): (SQL | undefined)[] {
  return [
    filter.id === undefined ? undefined : eq(event.id, filter.id as Id<'event'>),
    filter.task === undefined ? undefined : eq(event.task, filter.task),
    filter.request === undefined ? undefined : eq(event.request, filter.request),
    filter.agent === undefined ? undefined : eq(event.agent, filter.agent),
    filter.type === undefined ? undefined : eq(event.type, filter.type),
    filter.control === undefined ? undefined : eq(event.control, filter.control),
    filter.after === null
      ? undefined
      : (filter.newestFirst ? lt : gt)(event.id, filter.after as Id<'event'>),
    filter.tasksOf === undefined
      ? undefined
      : inArray(
          event.task,
          query.select({ id: task.id }).from(task).where(eq(task.agent, filter.tasksOf)),
        ),
  ];
}

async function privateOf(
  query: Reader,
  ids: Id<'event'>[],
): Promise<Map<string, Record<string, JsonValue>>> {
  const found = new Map<string, Record<string, JsonValue>>();
  if (ids.length === 0) return found;
  const rows = await query.select().from(eventPrivate).where(inArray(eventPrivate.event, ids));
  for (const row of rows)
    found.set(row.event, { ...found.get(row.event), [row.field]: row.value ?? null });
  return found;
}

/** A leaf is always an object: `leafText` wrote it. */
const asObject = (value: JsonValue): JsonObject => value as JsonObject;

/** What an event is about and what readers here take from its details, by its type. */
interface Details {
  'policy.activated': { subject: string; detail: { replaces: string | null; by: Party } };
  'evaluation.decided': {
    subject: Id<'evaluation'>;
    detail: { action: string; resource: Party };
  };
}

/** An event of a type that is known beforehand. */
export interface EventOf<N extends keyof Details> {
  time: string;
  subject: Details[N]['subject'];
  data: EventFacts & { detail: Details[N]['detail'] };
}

/** Reads an event as one of this type; that it is another one is a mistake of the caller. */
export function eventOf<N extends keyof Details>(name: N, { event: leaf }: EventRead): EventOf<N> {
  if (leaf['type'] !== eventType(name)) throw new Error(`this event is no ${name}`);
  return asEventOf<N>(leaf);
}

/** Sound because a leaf is what `leafText` wrote, and each type has one writer, which declares these details. */
const asEventOf = <N extends keyof Details>(leaf: JsonObject): EventOf<N> =>
  leaf as unknown as EventOf<N>;
