// The record, for those who may read it.
import { z } from 'zod';
import { mayAudit } from '../commands/principal.ts';
import { readEvents } from '../commands/record/events.ts';
import { EVENTS } from '../domain/event-types.ts';
import { Refusal } from '../domain/refusal.ts';
import { pageOf, readCursor } from './cursor.ts';
import { defineRoute, ok } from './route.ts';
import * as shape from './schemas.ts';

const list = defineRoute({
  method: 'get',
  path: '/v1/events',
  tag: 'Events',
  summary: 'Events, oldest first; an agent sees those of its own tasks',
  allow: ['auditor', 'agent'],
  query: z.strictObject({
    ...shape.listQuery,
    task: z.string().optional(),
    request: z.string().optional(),
    agent: z.string().optional(),
    control: z.string().optional(),
    type: z.string().optional(),
  }),
  answers: { 200: { description: 'A page of events', schema: shape.listOf(shape.event) } },
  refusals: ['forbidden'],
  events: [],
  handle: async ({ principal, query }, deps) => {
    const { limit, cursor, type, ...about } = query;
    const name = `events/${JSON.stringify({ ...about, type })}`;
    const after = readCursor(deps.keys.cursors, name, cursor);
    const found = await readEvents(
      deps.db.query,
      {
        ...about,
        type: type === undefined ? undefined : fullType(type),
        tasksOf: principal?.kind === 'agent' ? principal.id : undefined,
        after,
        limit: limit + 1,
      },
      principal !== null && mayAudit(principal),
    );
    const page = pageOf(found, limit, (row) => row.id, deps.keys.cursors, name);
    const data = page.rows.map((row) => ({
      ...row.event,
      log_index: row.logIndex,
      disclosed: row.disclosed,
    }));
    return ok({ data, next_cursor: page.next });
  },
});

/** Types may be named in full or by their short name. */
export function fullType(type: string): string {
  if (Object.hasOwn(EVENTS, type)) return `dev.countersign.${type}.v1`;
  if (type.startsWith('dev.countersign.')) return type;
  throw new Refusal('invalid_request', `There is no event type "${type}": see /docs#events.`);
}

export const eventRoutes = [list];
