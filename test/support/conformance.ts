// Holds every answer that a test gets against what the route table promises: a route that lies fails the test that
// happened to call it.
import { isDeepStrictEqual } from 'node:util';
import { ROUTES } from '../../api/app.ts';
import { generalRefusals } from '../../api/openapi.ts';
import { STATUS } from '../../api/problem.ts';
import { patternOf, type AnswerShape, type Route } from '../../api/route.ts';
import * as shape from '../../api/schemas.ts';

/** What there is to hold against the table. */
export interface Seen {
  method: string;
  path: string;
  status: number;
  headers: Headers;
  text: string;
}

const patterns = ROUTES.map((route) => ({
  route,
  pattern: patternOf(route.path),
}));

/** The route a call goes to; undefined for pages and for what is not there. */
export function routeFor(method: string, path: string): Route | undefined {
  const [bare = ''] = path.split('?');
  return patterns.find(
    ({ route, pattern }) => route.method === method.toLowerCase() && pattern.test(bare),
  )?.route;
}

/** Throws if an answer is not one that its route promises. */
export function holdAgainstTable(seen: Seen): void {
  const fault = faultOf(seen);
  if (fault !== null)
    throw new Error(`${seen.method} ${seen.path} answered ${seen.status}: ${fault}\n${seen.text}`);
}

const REQUIRED_HEADERS = [
  'x-request-id',
  'content-security-policy',
  'x-content-type-options',
  'referrer-policy',
  'cache-control',
];

function faultOf(seen: Seen): string | null {
  const missing = REQUIRED_HEADERS.find((name) => !seen.headers.has(name));
  if (missing !== undefined) return `the header ${missing} is missing`;
  const route = routeFor(seen.method, seen.path);
  const type = seen.headers.get('content-type') ?? '';
  // A standard's own form of a no is one of the promised answers.
  if (type.startsWith('application/problem+json') && !route?.refuse)
    return faultOfProblem(seen, route);
  if (!route) return null;
  const promised = route.answers[seen.status];
  if (!promised) return `the table promises ${Object.keys(route.answers).join(', ')}`;
  return faultOfAnswer(seen, type, promised);
}

function faultOfAnswer(seen: Seen, type: string, promised: AnswerShape): string | null {
  if (promised.otherType !== undefined && type.startsWith(promised.otherType)) return null;
  if (promised.schema) {
    if (!type.startsWith('application/json')) return `the type is ${type}`;
    const body: unknown = JSON.parse(seen.text);
    const parsed = promised.schema.safeParse(body);
    if (!parsed.success) return parsed.error.message;
    // Members that the schema does not know are dropped by parsing, and so seen here.
    return isDeepStrictEqual(parsed.data, body) ? null : 'it has members that are not documented';
  }
  if (promised.contentType !== undefined && !type.startsWith(promised.contentType))
    return `the type is ${type}, and the table promises ${promised.contentType}`;
  return seen.status === 204 && seen.text !== '' ? 'a 204 has no body' : null;
}

/** What can be said where there is no route, or none with this method. */
const NOWHERE: readonly string[] = ['not_found', 'invalid_request', 'method_not_allowed'];

function faultOfProblem(seen: Seen, route: Route | undefined): string | null {
  const parsed = shape.problem.safeParse(JSON.parse(seen.text));
  if (!parsed.success) return parsed.error.message;
  const { code, status, detail, request_id: requestId, title, type } = parsed.data;
  if (status !== seen.status || STATUS[code] !== seen.status) return `${code} is ${STATUS[code]}`;
  if (requestId !== seen.headers.get('x-request-id')) return 'request_id is not X-Request-Id';
  if (type !== `urn:countersign:problem:${code}` || title === '') return 'type and title are off';
  if (!/^[A-Z].{8,}[.?]$/s.test(detail)) return `the detail is no sentence: ${detail}`;
  if (code === 'internal_error') return 'something broke';
  if (!route) return NOWHERE.includes(code) ? null : `${code} nowhere`;
  return generalRefusals(route).includes(code) || route.refusals.includes(code)
    ? null
    : `${code} is not among the refusals of this route`;
}
