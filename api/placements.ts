// Where an agent put a secret, told so that somebody can watch it.
import { z } from 'zod';
import { placeCredential, placementsOf } from '../commands/credentials/placements.ts';
import { answerOnce } from '../commands/once.ts';
import { mayAudit } from '../commands/principal.ts';
import type { PlacementRow } from '../db/rows.ts';
import type { JsonObject } from '../domain/json.ts';
import { created, defineRoute, ok } from './route.ts';
import * as shape from './schemas.ts';
import { refuseStrangers, visibleCredential } from './tasks.ts';

const KINDS = ['file', 'env', 'socket'] as const;

/** An absolute path without steps back, or `@` and the name of an abstract socket. */
const PATH = /^(?:@|\/|[A-Za-z]:\\)(?!.*(?:^|[/\\])\.\.(?:[/\\]|$))[^\p{Cc}]*$/u;
const ENV = /^[A-Za-z_][A-Za-z0-9_]*$/;

const placementBody = z
  .strictObject({
    kind: z.enum(KINDS),
    path: z.string().min(1).max(1024),
    host: z
      .string()
      .regex(/^[A-Za-z0-9._:-]{1,253}$/)
      .optional(),
  })
  .refine(({ kind, path }) => (kind === 'env' ? ENV : PATH).test(path), {
    path: ['path'],
    message: 'it must be an absolute path, or the name of a variable',
  });

/** @public Compared with the SDK’s own type. */
export const placement = z
  .object({
    id: z.string(),
    credential: z.string(),
    kind: z.enum(KINDS),
    path: z.string(),
    host: z.string().nullable(),
    at: z.string(),
  })
  .meta({ id: 'Placement' });

const presentPlacement = (row: PlacementRow): JsonObject => ({
  id: row.id,
  credential: row.credential,
  kind: row.kind,
  path: row.path,
  host: row.host,
  at: row.at,
});

const place = defineRoute({
  method: 'post',
  path: '/v1/credentials/{id}/deliveries',
  tag: 'Credentials',
  summary: 'Say where you put a secret, so that sensors can watch who reads it there',
  allow: ['agent'],
  body: placementBody,
  answers: { 201: { description: 'Noted', schema: placement } },
  refusals: ['not_found', 'wrong_state'],
  events: ['credential.delivered'],
  handle: async ({ principal, call, once, params, body }, deps) => {
    const { id } = await visibleCredential(deps, principal, params['id']);
    return answerOnce(deps, call, once, async (unit) =>
      created(
        presentPlacement(await placeCredential(unit, id, { ...body, host: body.host ?? null })),
      ),
    );
  },
});

const list = defineRoute({
  method: 'get',
  path: '/v1/credentials/{id}/deliveries',
  tag: 'Credentials',
  summary: 'Where a secret was put, as its agent said',
  allow: ['agent', 'person', 'service'],
  answers: { 200: { description: 'All places', schema: shape.listOf(placement) } },
  refusals: ['not_found', 'forbidden'],
  events: [],
  handle: async ({ principal, params }, deps) => {
    const { id, agent } = await visibleCredential(deps, principal, params['id']);
    if (!principal || !mayAudit(principal)) await refuseStrangers(deps, principal, agent);
    const rows = await placementsOf(deps.db.query, id);
    return ok({ data: rows.map(presentPlacement), next_cursor: null });
  },
});

export const placementRoutes = [place, list];
