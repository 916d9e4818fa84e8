// @spec AuthZEN-1.0#section-8
// Who may do this? To what? What at all? Each search in pages, whose tokens are good for that search only.
import { z } from 'zod';
import { searchAccess, type Search } from '../../commands/authzen/search.ts';
import { transact } from '../../commands/unit.ts';
import { tupleAsJson, type Tuple } from '../../domain/access-tuple.ts';
import { digestOf } from '../../domain/digest.ts';
import type { JsonObject } from '../../domain/json.ts';
import { makeCursor, readCursor } from '../cursor.ts';
import { defineRoute, ok, type ApiDeps, type Incoming, type Route } from '../route.ts';
import { refuseAsText, TEXT_ANSWERS } from './refuse.ts';
import { readAction, readNamed, searchBodies } from './shapes.ts';

const PAGE_MAX = 100;

const SUMMARIES: Record<Search, string> = {
  subject: 'Which subjects of a type may do this to that resource?',
  resource: 'To which resources of a type may this subject do this?',
  action: 'What may this subject do to that resource?',
};

const result = {
  subject: z.object({ type: z.string(), id: z.string() }),
  resource: z.object({ type: z.string(), id: z.string() }),
  action: z.object({ name: z.string() }),
};

const about = (search: Search) => ({
  method: 'post' as const,
  path: `/access/v1/search/${search}` as const,
  tag: 'AuthZEN',
  summary: SUMMARIES[search],
  description:
    'Looked for among what policy declares (`entities.yaml`, roles, upstreams) and the agents and people that are active. Only what is plainly permitted is a result. `page.limit` is at most 100; a page may be shorter than that and still have a next one.',
  allow: ['agent', 'service'] as const,
  answers: {
    200: {
      description: 'A page of results',
      schema: z.object({
        results: z.array(result[search]),
        page: z.object({ next_token: z.string(), count: z.int() }),
      }),
    },
    ...TEXT_ANSWERS,
  },
  refusals: ['log_unavailable'] as const,
  events: ['access.searched'] as const,
  refuse: refuseAsText,
});

type Paged = { page?: { token?: string | undefined; limit?: number | undefined } | undefined };

async function find(
  search: Search,
  { call, body }: Pick<Incoming<Paged, unknown>, 'call' | 'body'>,
  pattern: Tuple,
  deps: ApiDeps,
) {
  const list = `access/${search}/${digestOf('countersign/search/v1', tupleAsJson(pattern))}`;
  const key = deps.keys.cursors;
  const token = body.page?.token;
  const after = readCursor(key, list, token === '' ? undefined : token);
  const limit = Math.min(body.page?.limit ?? PAGE_MAX, PAGE_MAX);
  const { results, next } = await transact(deps, call, (unit) =>
    searchAccess(unit, deps, { search, pattern, after, limit }),
  );
  const nextToken = next === null ? '' : makeCursor(key, list, next);
  return ok({ results, page: { next_token: nextToken, count: results.length } });
}

export const searchRoutes: Route[] = [
  defineRoute({
    ...about('subject'),
    body: searchBodies.subject,
    handle: (incoming, deps) => {
      const { subject, action, resource, context } = incoming.body;
      const given = { action: readAction(action), resource: readNamed(resource) };
      return find(
        'subject',
        incoming,
        { subject: { ...readNamed(subject), id: '' }, ...given, context: asContext(context) },
        deps,
      );
    },
  }),
  defineRoute({
    ...about('resource'),
    body: searchBodies.resource,
    handle: (incoming, deps) => {
      const { subject, action, resource, context } = incoming.body;
      const given = { subject: readNamed(subject), action: readAction(action) };
      return find(
        'resource',
        incoming,
        { ...given, resource: { ...readNamed(resource), id: '' }, context: asContext(context) },
        deps,
      );
    },
  }),
  defineRoute({
    ...about('action'),
    body: searchBodies.action,
    handle: (incoming, deps) => {
      const { subject, resource, context } = incoming.body;
      const given = { subject: readNamed(subject), resource: readNamed(resource) };
      return find(
        'action',
        incoming,
        { ...given, action: readAction(undefined), context: asContext(context) },
        deps,
      );
    },
  }),
];

/** Bodies are read as JSON. */
const asContext = (context: Record<string, unknown> | undefined): JsonObject =>
  (context ?? {}) as JsonObject;
