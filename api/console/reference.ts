// Turns our own OpenAPI document into what the reference page shows.
import { EVENTS } from '../../domain/event-types.ts';
import { canonicalJson, type JsonObject, type JsonValue } from '../../domain/json.ts';
import { REFUSAL_CODES } from '../../domain/refusal.ts';
import {
  ReferencePage,
  type Member,
  type Operation,
  type Reference,
  type Shape,
} from '../../web/reference.tsx';
import { STATUS } from '../problem.ts';
import { page, type ConsoleRoute } from './console.ts';

const object = (value: JsonValue | undefined): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};

const list = (value: JsonValue | undefined): JsonValue[] => (Array.isArray(value) ? value : []);

const text = (value: JsonValue | undefined): string => (typeof value === 'string' ? value : '');

/** The name of the component that a schema points to. */
function refers(schema: JsonObject): string | null {
  const direct = text(schema['$ref']).split('/').at(-1) ?? '';
  if (direct !== '') return direct;
  if (schema['type'] === 'array') return refers(object(schema['items']));
  const [only, ...others] = alternatives(schema);
  return only && others.length === 0 ? refers(only) : null;
}

/** What an `anyOf` allows besides null. */
const alternatives = (schema: JsonObject): JsonObject[] =>
  list(schema['anyOf'])
    .map(object)
    .filter((each) => each['type'] !== 'null');

/** A type in words: `text or null`, `list of Agent`. */
function typeText(schema: JsonObject): string {
  const name = text(schema['$ref']).split('/').at(-1) ?? '';
  if (name !== '') return name;
  if (schema['const'] !== undefined) return canonicalJson(schema['const']);
  const any = list(schema['anyOf']).map(object);
  if (any.length > 0) return any.map(typeText).join(' or ');
  const values = list(schema['enum']);
  if (values.length > 0) return values.map((value) => text(value) || 'null').join(' | ');
  const { type } = schema;
  if (Array.isArray(type)) return type.map((each) => WORDS[text(each)] ?? text(each)).join(' or ');
  if (type === 'array') return `list of ${typeText(object(schema['items']))}`;
  return WORDS[text(type)] ?? 'anything';
}

const WORDS: Record<string, string> = { string: 'text', integer: 'whole number', object: 'object' };

const LIMITS: readonly [string, (value: string) => string][] = [
  ['minLength', (value) => `at least ${value} characters`],
  ['maxLength', (value) => `at most ${value} characters`],
  ['minimum', (value) => `from ${value}`],
  ['maximum', (value) => `to ${value}`],
  ['minItems', (value) => `at least ${value}`],
  ['maxItems', (value) => `at most ${value}`],
  ['default', (value) => `default ${value}`],
  ['pattern', (value) => `matches ${value}`],
];

/** zod writes the largest safe integers where there is no limit. */
const isLimit = (value: JsonValue | undefined): boolean =>
  value !== undefined && Math.abs(Number(value)) !== Number.MAX_SAFE_INTEGER;

function saysOf(schema: JsonObject): string {
  const [only] = alternatives(schema);
  const own = text(schema['description']) || text(only?.['description']);
  const limits = LIMITS.filter(([name]) => isLimit(schema[name])).map(([name, say]) =>
    say(
      typeof schema[name] === 'string' ? text(schema[name]) : canonicalJson(schema[name] ?? null),
    ),
  );
  return [own, ...limits].filter((part) => part !== '').join('; ');
}

/** Members of nested objects come after the one they are in, named with their path. */
function membersOf(schema: JsonObject, prefix = ''): Member[] {
  const required = list(schema['required']);
  return Object.entries(object(schema['properties'])).flatMap(([name, value]) => {
    const member = object(value);
    const inner = member['type'] === 'array' ? object(member['items']) : member;
    const path = `${prefix}${name}${member['type'] === 'array' ? '[]' : ''}`;
    return [
      {
        name: path,
        type: typeText(member),
        refers: refers(member),
        required: required.includes(name),
        says: saysOf(member),
      },
      ...(refers(member) === null ? membersOf(inner, `${path}.`) : []),
    ];
  });
}

const shapeOf = (schema: JsonObject): Shape => ({
  refers: refers(schema),
  type: typeText(schema),
  members: membersOf(schema),
});

const parameterOf = (value: JsonValue): Member => {
  const parameter = object(value);
  const schema = object(parameter['schema']);
  return {
    name: text(parameter['name']),
    type: typeText(schema),
    refers: null,
    required: parameter['required'] === true,
    says: [`in the ${text(parameter['in'])}`, saysOf(schema)].filter((part) => part).join('; '),
  };
};

/** `For: agent. Events: a, b.`, as the document describes each operation. */
const DESCRIPTION = /^For: ([^.]*)\.(?: Events: (.*)\.)?$/;

function operationOf(method: string, path: string, value: JsonObject): Operation {
  const [, who = '', events = ''] = DESCRIPTION.exec(text(value['description'])) ?? [];
  const [bodyType, body] = contentOf(object(value['requestBody']));
  const responses = Object.entries(object(value['responses'])).map(
    ([status, answer]) => [status, object(answer)] as const,
  );
  const isRefusal = (answer: JsonObject): boolean =>
    Object.hasOwn(object(answer['content']), 'application/problem+json');
  return {
    id: text(value['operationId']),
    method: method.toUpperCase(),
    path,
    summary: text(value['summary']),
    who,
    events: events === '' ? [] : events.split(', '),
    parameters: list(value['parameters']).map(parameterOf),
    body: bodyType === null ? null : { contentType: bodyType, shape: shapeOf(body) },
    answers: responses
      .filter(([, answer]) => !isRefusal(answer))
      .map(([status, answer]) => {
        const [contentType, schema] = contentOf(answer);
        const isEmpty = Object.keys(schema).length === 0;
        return {
          status,
          says: text(answer['description']),
          contentType,
          shape: isEmpty ? null : shapeOf(schema),
        };
      }),
    refusals: responses
      .filter(([, answer]) => isRefusal(answer))
      .map(([status, answer]) => ({ status, codes: text(answer['description']).split(', ') })),
  };
}

function contentOf(holder: JsonObject): [string | null, JsonObject] {
  const [first] = Object.entries(object(holder['content']));
  if (!first) return [null, {}];
  return [first[0], object(object(first[1])['schema'])];
}

/** The page's data. */
function referenceOf(document: JsonObject, publicUrl: string): Reference {
  const operations = Object.entries(object(document['paths'])).flatMap(([path, methods]) =>
    Object.entries(object(methods)).map(([method, value]) => ({
      tag: text(list(object(value)['tags'])[0]),
      operation: operationOf(method, path, object(value)),
    })),
  );
  return {
    groups: list(document['tags']).map((tag) => {
      const name = text(object(tag)['name']);
      return {
        name,
        operations: operations
          .filter((each) => each.tag === name)
          .map(({ operation }) => operation),
      };
    }),
    schemas: Object.entries(object(object(document['components'])['schemas'])).map(
      ([name, schema]) => ({ name, shape: shapeOf(object(schema)) }),
    ),
    refusalCodes: REFUSAL_CODES.map((code) => ({ code, status: STATUS[code] })),
    eventTypes: Object.entries(EVENTS).map(([name, fields]) => ({
      name,
      open: fields.public,
      committed: fields.private,
    })),
    publicUrl,
  };
}

const docs: ConsoleRoute = {
  method: 'get',
  path: '/docs',
  who: 'anyone',
  handle: ({ shell }, deps) =>
    Promise.resolve(
      page(ReferencePage({ shell, reference: referenceOf(deps.document, deps.publicUrl) })),
    ),
};

export const referencePages = [docs];
