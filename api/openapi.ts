// The OpenAPI 3.1 document, made from the route table.
import { z } from 'zod';
import type { JsonObject, JsonValue } from '../domain/json.ts';
import type { RefusalCode } from '../domain/refusal.ts';
import { RETRY_AFTER_SECONDS, STATUS } from './problem.ts';
import { takesKey, type AnswerShape, type Route } from './route.ts';
import * as shape from './schemas.ts';

const PROBLEM = '#/components/schemas/Problem';

export function openApiDocument(
  routes: readonly Route[],
  publicUrl: string,
  version: string,
): JsonObject {
  const components: Record<string, JsonObject> = {};
  const schemaOf = (schema: z.ZodType, io: 'input' | 'output'): JsonObject =>
    named(asJsonObject(z.toJSONSchema(schema, { io, unrepresentable: 'any' })), components);
  schemaOf(shape.problem, 'output');
  components['Problem'] ??= withoutMeta(
    asJsonObject(z.toJSONSchema(shape.problem, { io: 'output', unrepresentable: 'any' })),
  );
  const paths: Record<string, Record<string, JsonObject>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method] = operation(route, schemaOf);
  return {
    openapi: '3.1.0',
    info: {
      title: 'Countersign',
      version,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description:
        'Identities, short-lived credentials and human approvals for AI agents. Errors are RFC 9457 problem documents with a stable `code`.',
    },
    servers: [{ url: publicUrl }],
    tags: [...new Set(routes.map((route) => route.tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: components,
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'The access token of an agent, or the admin token.',
        },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: 'cs_session',
          description: 'The session of a person; writes also carry X-CSRF-Token.',
        },
      },
    },
  };
}

/** `toJSONSchema` returns plain JSON. */
const asJsonObject = (schema: unknown): JsonObject => schema as JsonObject;

type SchemaOf = (schema: z.ZodType, io: 'input' | 'output') => JsonObject;

/** Moves definitions that zod inlines under `$defs` to the components, and points to them there. */
function named(schema: JsonObject, components: Record<string, JsonObject>): JsonObject {
  const definitions = schema['$defs'];
  const plain = withoutMeta(schema);
  if (typeof definitions === 'object' && definitions !== null && !Array.isArray(definitions))
    for (const [name, definition] of Object.entries(definitions))
      components[name] = redirect(withoutMeta(asJsonObject(definition)));
  const { id } = plain;
  const redirected = redirect(plain);
  if (typeof id !== 'string') return redirected;
  const { id: _id, ...component } = redirected;
  components[id] = component;
  return { $ref: `#/components/schemas/${id}` };
}

function withoutMeta({ $schema: _schema, $defs: _defs, ...rest }: JsonObject): JsonObject {
  return rest;
}

function redirect(value: JsonObject): JsonObject {
  const walk = (node: JsonValue): JsonValue => {
    if (Array.isArray(node)) return node.map(walk);
    if (typeof node !== 'object' || node === null) return node;
    return Object.fromEntries(
      Object.entries(node).map(([name, member]) => [
        name,
        name === '$ref' && typeof member === 'string'
          ? member.replace('#/$defs/', '#/components/schemas/')
          : walk(member),
      ]),
    );
  };
  return asJsonObject(walk(value));
}

function operation(route: Route, schemaOf: SchemaOf): JsonObject {
  return {
    operationId: operationId(route),
    tags: [route.tag],
    summary: route.summary,
    description: describe(route),
    ...(route.allow.includes('anyone') ? { security: [] } : { security: security(route) }),
    parameters: [...pathParameters(route), ...queryParameters(route, schemaOf), ...headers(route)],
    ...requestBody(route, schemaOf),
    responses: merged(answers(route, schemaOf), refusals(route)),
  };
}

const operationId = ({ method, path }: Route): string =>
  `${method}${path.replaceAll(/[{}]/g, '').replaceAll(/[^A-Za-z0-9]+([A-Za-z0-9])/g, (_all, next: string) => next.toUpperCase())}`;

function describe(route: Route): string {
  const events = route.events.length > 0 ? ` Events: ${route.events.join(', ')}.` : '';
  const more = route.description === undefined ? '' : `${route.description}\n\n`;
  return `${more}For: ${route.allow.join(', ')}.${events}`;
}

function security(route: Route): JsonValue {
  const people = route.allow.some(
    (who) => who === 'person' || who === 'member' || who === 'admin' || who === 'auditor',
  );
  const bearers = route.allow.some((who) => who !== 'person' && who !== 'member');
  return [...(bearers ? [{ bearer: [] }] : []), ...(people ? [{ session: [] }] : [])];
}

const pathParameters = ({ path }: Route): JsonObject[] =>
  [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));

function queryParameters(route: Route, schemaOf: SchemaOf): JsonObject[] {
  if (!route.query) return [];
  const { properties, required } = schemaOf(route.query, 'input');
  if (typeof properties !== 'object' || properties === null || Array.isArray(properties)) return [];
  const needed = Array.isArray(required) ? required : [];
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: needed.includes(name),
    schema,
  }));
}

function headers(route: Route): JsonObject[] {
  const string = { type: 'string' };
  const once = {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    description: 'Same key and body: one effect, and the same answer for a day',
    schema: { ...string, pattern: '^[\\x21-\\x7e]{1,255}$' },
  };
  return takesKey(route) ? [once] : [];
}

function requestBody(route: Route, schemaOf: SchemaOf): JsonObject {
  const content = route.body
    ? { 'application/json': { schema: schemaOf(route.body, 'input') } }
    : route.form
      ? { 'application/x-www-form-urlencoded': { schema: schemaOf(route.form, 'input') } }
      : null;
  return content ? { requestBody: { required: true, content } } : {};
}

/** Both by status. Where an answer and a refusal share one, it comes in either type. */
function merged(
  found: Record<string, JsonObject>,
  refused: Record<string, JsonObject>,
): Record<string, JsonObject> {
  const both = Object.entries(refused).map(([status, refusal]) => {
    const answer = found[status];
    if (!answer) return [status, refusal] as const;
    const content = { ...contentOf(answer), ...contentOf(refusal) };
    const carried = { ...headersOf(answer), ...headersOf(refusal) };
    const description = `${text(answer['description'])}; ${text(refusal['description'])}`;
    return [status, { description, ...withHeaders(carried), content }] as const;
  });
  return { ...found, ...Object.fromEntries(both) };
}

const contentOf = ({ content }: JsonObject): JsonObject => asJsonObject(content ?? {});
const headersOf = ({ headers: carried }: JsonObject): JsonObject => asJsonObject(carried ?? {});
const withHeaders = (carried: JsonObject): JsonObject =>
  Object.keys(carried).length > 0 ? { headers: carried } : {};
const text = (value: JsonValue | undefined): string => (typeof value === 'string' ? value : '');

function answers(route: Route, schemaOf: SchemaOf): Record<string, JsonObject> {
  return Object.fromEntries(
    Object.entries(route.answers).map(([status, answer]) => [
      status,
      {
        ...answerObject(answer, schemaOf),
        ...withHeaders(answerHeaders(route, Number(status), answer)),
      },
    ]),
  );
}

function answerHeaders(route: Route, status: number, answer: AnswerShape): JsonObject {
  const replays = takesKey(route) && status < 300;
  return {
    ...(replays && { 'Idempotent-Replayed': REPLAYED }),
    ...Object.fromEntries(
      Object.entries(answer.headers ?? {}).map(([name, description]) => [
        name,
        { description, schema: { type: 'string' } },
      ]),
    ),
  };
}

const REPLAYED = {
  description: 'There when this is the stored answer of an earlier call with the same key',
  schema: { type: 'string', const: 'true' },
};

const RETRY_AFTER = {
  description: 'Seconds after which it is worth trying again',
  schema: { type: 'integer', minimum: 1 },
};

function answerObject(answer: AnswerShape, schemaOf: SchemaOf): JsonObject {
  if (answer.schema)
    return {
      description: answer.description,
      content: {
        'application/json': { schema: schemaOf(answer.schema, 'output') },
        ...(answer.otherType !== undefined && { [answer.otherType]: {} }),
      },
    };
  if (answer.contentType)
    return { description: answer.description, content: { [answer.contentType]: {} } };
  return { description: answer.description };
}

/** What any route of this kind can refuse. A credential that is sent is judged even where none is needed. */
export const generalRefusals = (route: Route): RefusalCode[] => [
  'invalid_request',
  'unauthenticated',
  'forbidden',
  'agent_not_active',
  ...(route.body || route.form ? (['too_large'] as const) : []),
  ...(takesKey(route) ? (['idempotency_in_progress', 'idempotency_mismatch'] as const) : []),
  'unavailable',
  'internal_error',
];

/** Every route can refuse its caller or its input; the rest is what the route says. */
function refusals(route: Route): Record<string, JsonObject> {
  // What has a form of its own is among the answers.
  const codes = route.refuse ? [] : [...generalRefusals(route), ...route.refusals];
  const byStatus = new Map<number, Set<RefusalCode>>();
  for (const code of codes) {
    const known = byStatus.get(STATUS[code]) ?? new Set();
    byStatus.set(STATUS[code], known.add(code));
  }
  return Object.fromEntries(
    [...byStatus].map(([status, found]) => [
      String(status),
      {
        description: [...found].join(', '),
        ...withHeaders(refusalHeaders(status, [...found])),
        content: { 'application/problem+json': { schema: { $ref: PROBLEM } } },
      },
    ]),
  );
}

function refusalHeaders(status: number, codes: readonly RefusalCode[]): JsonObject {
  const retries = codes.some((code) => RETRY_AFTER_SECONDS[code] !== undefined);
  return {
    ...(retries && { 'Retry-After': RETRY_AFTER }),
    ...(status === 401 && {
      'WWW-Authenticate': { description: 'How to say who calls', schema: { type: 'string' } },
    }),
  };
}
