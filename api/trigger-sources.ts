// Sources of signed events: what may set tasks off, shown and not only claimed.
import { z } from 'zod';
import {
  addTriggerSource,
  listTriggerSources,
  removeTriggerSource,
} from '../commands/agents/triggers.ts';
import { answerOnce } from '../commands/once.ts';
import type { TriggerSourceRow } from '../db/rows.ts';
import type { JsonObject } from '../domain/json.ts';
import { readPublicKey } from '../keys/public-key.ts';
import { pageOf, readCursor } from './cursor.ts';
import { asJsonObject } from './json-body.ts';
import { created, defineRoute, noContent, ok } from './route.ts';
import * as shape from './schemas.ts';

/** @public Compared with the SDK’s own type. */
export const source = z
  .object({ id: z.string(), name: z.string(), thumbprint: z.string(), created_at: z.string() })
  .meta({ id: 'TriggerSource' });

const present = (row: TriggerSourceRow): JsonObject => ({
  id: row.id,
  name: row.name,
  thumbprint: row.thumbprint,
  created_at: row.createdAt,
});

const add = defineRoute({
  method: 'post',
  path: '/v1/trigger-sources',
  tag: 'Tasks',
  summary: 'Believe the signed events of a source: what they set off is verified, not claimed',
  description:
    'A source signs a JWS (ES256, `typ` `trigger-event+jwt`, `kid` and `iss` its id, `aud` the agent, `iat`, `exp`, `jti`) with `event: {type, id}` and, where a person is behind it, `human`: their id here. The agent sends it as `trigger_proof`, within five minutes and once.',
  allow: ['admin'],
  body: z.strictObject({
    name: z.string().trim().min(1).max(200),
    key: z.record(z.string(), z.unknown()),
  }),
  answers: { 201: { description: 'The source', schema: source } },
  refusals: ['weak_key', 'private_key_sent'],
  events: ['trigger.source_added'],
  handle: async ({ call, once, body }, deps) => {
    const key = await readPublicKey(asJsonObject(body.key), 'weak_key');
    return answerOnce(deps, call, once, async (unit) =>
      created(present(await addTriggerSource(unit, body.name, key))),
    );
  },
});

const list = defineRoute({
  method: 'get',
  path: '/v1/trigger-sources',
  tag: 'Tasks',
  summary: 'List the sources whose signed events are believed',
  allow: ['auditor'],
  query: z.strictObject(shape.listQuery),
  answers: { 200: { description: 'A page of sources', schema: shape.listOf(source) } },
  refusals: [],
  events: [],
  handle: async ({ query }, deps) => {
    const after = readCursor(deps.keys.cursors, 'trigger-sources', query.cursor);
    const rows = await listTriggerSources(deps.db.query, after, query.limit + 1);
    const page = pageOf(rows, query.limit, ({ id }) => id, deps.keys.cursors, 'trigger-sources');
    return ok({ data: page.rows.map(present), next_cursor: page.next });
  },
});

const remove = defineRoute({
  method: 'delete',
  path: '/v1/trigger-sources/{id}',
  tag: 'Tasks',
  summary: 'Believe a source no more',
  allow: ['admin'],
  answers: { 204: { description: 'Removed' } },
  refusals: ['not_found'],
  events: ['trigger.source_removed'],
  handle: ({ call, once, params }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      await removeTriggerSource(unit, params['id'] ?? '');
      return noContent();
    }),
});

export const triggerSourceRoutes = [add, list, remove];
