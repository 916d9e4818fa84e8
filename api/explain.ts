// Says what is wrong with an input in plain words, taken from the schema it was held against.
import { z } from 'zod';
import type { JsonObject, JsonValue } from '../domain/json.ts';

/** One mistake: where it is (RFC 6901), what that place is called, and what has to change. */
export interface Explained {
  pointer: string;
  name: string;
  detail: string;
}

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** Every issue as a place and a sentence about it. */
export function explainIssues(
  schema: z.ZodType,
  issues: readonly Issue[],
  value: unknown,
): Explained[] {
  const shape = asObject(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }));
  return issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => at([...issue.path, key], 'is not a member of this'));
    return [at(issue.path, detailOf(issue, nodeAt(shape, issue.path), valueAt(value, issue.path)))];
  });
}

const at = (path: Path, detail: string): Explained => ({
  pointer: path.map((step) => `/${escaped(String(step))}`).join(''),
  name: path.length === 0 ? 'it' : path.map(String).join('.'),
  detail,
});

const escaped = (step: string): string => step.replaceAll('~', '~0').replaceAll('/', '~1');

function detailOf(issue: Issue, node: JsonObject | null, value: unknown): string {
  if (value === undefined) return 'is missing';
  // What a pattern means is said beside it, where it was written; the pattern itself is no sentence.
  if (issue.code === 'invalid_format' && issue.format === 'regex' && !isStock(issue.message))
    return `must be ${issue.message}`;
  const wanted = node && wantedBy(node);
  return wanted === null ? `is wrong: ${issue.message}` : `must be ${wanted}`;
}

const isStock = (message: string): boolean => message.startsWith('Invalid ');

/** What a place of a JSON Schema takes, as a noun phrase; null when that cannot be said in short. */
function wantedBy(node: JsonObject): string | null {
  const { type, enum: choices, const: only } = node;
  if (Array.isArray(choices)) return `one of ${choices.map(plain).join(', ')}`;
  if (only !== undefined) return plain(only);
  switch (type) {
    case 'integer':
      return `a whole number${range(node, 'minimum', 'maximum', '')}`;
    case 'number':
      return `a number${range(node, 'minimum', 'maximum', '')}`;
    case 'string':
      return `${textKind(node)}${range(node, 'minLength', 'maxLength', ' characters')}`;
    case 'array':
      return `a list${range(node, 'minItems', 'maxItems', ' items')}`;
    case 'object':
      return 'an object';
    case 'boolean':
      return 'true or false';
    default:
      return null;
  }
}

const plain = (value: JsonValue): string =>
  typeof value === 'string' ? value : JSON.stringify(value);

const KINDS: Record<string, string> = {
  email: 'an e-mail address',
  uri: 'a URL',
  'date-time': 'a time as in RFC 3339',
};

function textKind({ format, pattern }: JsonObject): string {
  const kind = typeof format === 'string' ? KINDS[format] : undefined;
  if (kind !== undefined) return kind;
  return typeof pattern === 'string' ? `a text that matches ${pattern}` : 'a text';
}

/** Bounds in words. Those that every number or length has by itself are not worth saying. */
function range(node: JsonObject, least: string, most: string, unit: string): string {
  const from = node[least];
  const to = node[most];
  const low = typeof from === 'number' && from > Number.MIN_SAFE_INTEGER ? from : null;
  const high = typeof to === 'number' && to < Number.MAX_SAFE_INTEGER ? to : null;
  if (low !== null && high !== null)
    return unit === '' ? ` from ${low} to ${high}` : ` of ${low} to ${high}${unit}`;
  if (low !== null) return unit === '' ? ` from ${low}` : ` of at least ${low}${unit}`;
  if (high !== null) return unit === '' ? ` up to ${high}` : ` of at most ${high}${unit}`;
  return '';
}

function nodeAt(shape: JsonObject, path: Path): JsonObject | null {
  let node: JsonObject | null = shape;
  for (const step of path) {
    if (node === null) return null;
    const below = typeof step === 'number' ? node['items'] : memberOf(node, String(step));
    node = asObjectOrNull(below);
  }
  return node && withoutNull(node);
}

const memberOf = (node: JsonObject, name: string): JsonValue | undefined => {
  const properties = asObjectOrNull(node['properties']);
  return properties !== null && Object.hasOwn(properties, name)
    ? properties[name]
    : node['additionalProperties'];
};

/** Of something that may also be null, the part that says more. */
function withoutNull(node: JsonObject): JsonObject {
  const { anyOf } = node;
  if (!Array.isArray(anyOf)) return node;
  const objects = anyOf.map((each) => asObjectOrNull(each)).filter((each) => each !== null);
  const rest = objects.filter((each) => each['type'] !== 'null');
  return rest.length === 1 ? (rest[0] ?? node) : node;
}

function valueAt(value: unknown, path: Path): unknown {
  let found: unknown = value;
  for (const step of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, step))
      return undefined;
    found = Reflect.get(found, step);
  }
  return found;
}

const asObjectOrNull = (value: JsonValue | undefined): JsonObject | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;

/** `toJSONSchema` returns plain JSON. */
const asObject = (schema: unknown): JsonObject => schema as JsonObject;
