// One HTTP call, built from a template and values: whatever the values are, it is a call of that template and of no
// other. Values never bring structure with them: no separator, no dot segment, no escape, no header.
import { canonicalJson, type JsonObject, type JsonValue } from './json.ts';

export const CALL_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
type CallMethod = (typeof CALL_METHODS)[number];

/** What a call does, as the policy says: for policies to judge and for people to read. */
export const CALL_EFFECTS = ['read', 'write', 'delete', 'access'] as const;

/** Whether a call of which no answer came may be sent again. */
export const CALL_RETRIES = ['safe', 'idempotency-key', 'never'] as const;
export type CallRetry = (typeof CALL_RETRIES)[number];

/** A call as a policy allows it. */
export interface CallShape {
  method: CallMethod;
  path: string;
  query: readonly string[];
  body: 'json' | 'none';
}

/** What a caller fills in. */
export interface CallValues {
  params: JsonObject;
  query: JsonObject;
  headers: JsonObject;
  /** Left out where there is none: null is a body. */
  body?: JsonValue | undefined;
}

/** What goes out, byte for byte, but for how we sign in. */
export interface BuiltCall {
  url: string;
  headers: Record<string, string>;
  body: string | null;
}

/** A value that a call does not take, with what it would take. */
export class CallError extends Error {}

/** Longer values are no names of things. */
const VALUE_LENGTH_MAX = 500;
/** Of a body as it is sent. */
const BODY_LENGTH_MAX = 60_000;
const URL_LENGTH_MAX = 8_000;

/** A part of a path: text of the policy, with at most one value in it. */
const SEGMENT =
  /^[A-Za-z0-9._~!$&'()*+,;=:@-]*(?:\{[a-z][a-z0-9_]{0,62}\}[A-Za-z0-9._~!$&'()*+,;=:@-]*)?$/;
const DOTS = /^\.{1,2}$/;

/** What is wrong with the template of a path; null for one that is good. */
export function pathMistake(path: string): string | null {
  if (!path.startsWith('/')) return 'a path begins with /';
  const segments = path.slice(1).split('/');
  if (segments.some((segment) => !SEGMENT.test(segment)))
    return 'parts of letters, digits and - . _ ~, or a {name} in lower case, one to a part';
  if (segments.some((segment) => DOTS.test(segment))) return 'no . or .. as a part';
  // A slash at the end is another resource for many servers; elsewhere an empty part is a mistake.
  if (segments.slice(0, -1).includes('')) return 'no empty parts';
  const names = paramsIn(path);
  if (new Set(names).size < names.length) return 'a {name} stands in it twice';
  return null;
}

/** The names of the values in the template of a path, in their order. */
export const paramsIn = (path: string): string[] =>
  [...path.matchAll(/\{([a-z0-9_]+)\}/g)].map(([, name = '']) => name);

/** Builds the call, or throws a CallError that says what it takes. */
export function buildCall(
  base: string,
  shape: CallShape,
  headerNames: readonly string[],
  values: CallValues,
): BuiltCall {
  const url = `${base}${pathOf(shape.path, values.params)}${queryOf(shape.query, values.query)}`;
  if (url.length > URL_LENGTH_MAX)
    throw new CallError(`the address may have ${URL_LENGTH_MAX} characters`);
  return { url, headers: headersOf(headerNames, values.headers), body: bodyOf(shape, values) };
}

function pathOf(path: string, params: JsonObject): string {
  const names = paramsIn(path);
  refuseOthers('params', params, names);
  return path
    .split('/')
    .map((segment) => {
      const filled = segment.replaceAll(/\{([a-z0-9_]+)\}/g, (_all, name: string) =>
        encoded(paramOf(params, name)),
      );
      // Neither may a value become one of these together with what stands beside it.
      if (DOTS.test(filled)) throw new CallError('params: a part of the path cannot be . or ..');
      return filled;
    })
    .join('/');
}

/** Everything but letters, digits and - . _ ~ (RFC 3986 §2.3). */
const encoded = (text: string): string =>
  encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );

function paramOf(params: JsonObject, name: string): string {
  const text = textOf('params', name, params[name]);
  const complain = (says: string): never => {
    throw new CallError(`params.${name}: ${says}`);
  };
  if (text === '') return complain('must not be empty');
  if (text.length > VALUE_LENGTH_MAX) return complain(`has at most ${VALUE_LENGTH_MAX} characters`);
  if (/[/\\]/.test(text)) return complain('must not contain / or \\: it is one part of the path');
  if (DOTS.test(text)) return complain('must not be . or ..');
  if (/\p{Cc}|\p{Surrogate}/u.test(text)) return complain('must not contain control characters');
  // Some servers decode twice, and would find there what we refuse here.
  if (/%[0-9a-f]{2}/i.test(text)) return complain('must not be percent-encoded: we do that');
  return text;
}

function queryOf(names: readonly string[], query: JsonObject): string {
  refuseOthers('query', query, names);
  const pairs = Object.keys(query)
    .toSorted((a, b) => (a < b ? -1 : 1))
    .map((name) => {
      const text = textOf('query', name, query[name]);
      if (/\p{Surrogate}/u.test(text)) throw new CallError(`query.${name}: is not Unicode text`);
      return `${encoded(name)}=${encoded(text)}`;
    });
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}

/** Visible ASCII, with blanks inside: nothing that ends a line or begins another header. */
const HEADER_VALUE = /^[\x21-\x7e](?:[\x20-\x7e]{0,498}[\x21-\x7e])?$/;

/** Whether a text can be the value of a header. */
export const isHeaderValue = (text: string): boolean => HEADER_VALUE.test(text);

function headersOf(names: readonly string[], headers: JsonObject): Record<string, string> {
  const given = Object.entries(headers).map(
    ([name, value]) => [name.toLowerCase(), value] as const,
  );
  const lower = Object.fromEntries(given);
  if (Object.keys(lower).length < given.length)
    throw new CallError('headers: a name stands there twice');
  refuseOthers('headers', lower, names);
  return Object.fromEntries(
    given
      .map(([name, value]) => {
        const text = textOf('headers', name, value);
        if (!isHeaderValue(text)) throw new CallError(`headers.${name}: visible ASCII characters`);
        return [name, text] as const;
      })
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}

function bodyOf({ body: takes }: CallShape, { body }: CallValues): string | null {
  if (takes === 'none') {
    if (body !== undefined) throw new CallError('body: this call takes none');
    return null;
  }
  if (body === undefined) throw new CallError('body: this call takes a JSON body');
  const text = canonicalJson(body);
  if (text.length > BODY_LENGTH_MAX)
    throw new CallError(`body: has at most ${BODY_LENGTH_MAX} characters`);
  return text;
}

/** Numbers and truth values are written as JSON writes them. */
function textOf(group: string, name: string, value: JsonValue | undefined): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return canonicalJson(value);
  throw new CallError(`${group}.${name}: ${value === undefined ? 'is missing' : 'must be text'}`);
}

function refuseOthers(group: string, given: JsonObject, names: readonly string[]): void {
  const other = Object.keys(given).find((name) => !names.includes(name));
  if (other !== undefined)
    throw new CallError(
      `${group}: it takes no ${other.slice(0, 100)}; it takes: ${names.join(', ') || 'none'}`,
    );
}
