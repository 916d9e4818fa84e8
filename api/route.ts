// A route is one value: who may call it, what it takes, what it answers, which events it can cause. The server,
// the OpenAPI document and the tests of access are all made from this table.
import type { Context, Hono } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { z } from 'zod';
import type { Changes } from '../commands/changes.ts';
import type { Deps } from '../commands/deps.ts';
import { fingerprintOf, type Answer, type OnceKey } from '../commands/once.ts';
import { isAdmin, isMember, keyOf, mayAudit, type Principal } from '../commands/principal.ts';
import type { ClientCertificate } from '../commands/sign-in/foreign-certificates.ts';
import type { ForeignTrust } from '../commands/sign-in/foreign-trust.ts';
import type { Call } from '../commands/unit.ts';
import type { Digest } from '../domain/digest.ts';
import type { EventName } from '../domain/event.ts';
import type { JsonValue } from '../domain/json.ts';
import { Refusal, type RefusalCode } from '../domain/refusal.ts';
import type { KeySchedule } from '../domain/signing-key.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { KeyDriver } from '../keys/signer.ts';
import { invalid, readJson, refuseUnstorableText } from './body.ts';
import { explainIssues } from './explain.ts';

/** Who a route is for. `admin` and `auditor` are people with that role, or the admin token. */
/** `person` is anybody signed in; `member` only people who may do more than read. */
export type Who = 'anyone' | 'agent' | 'person' | 'member' | 'service' | 'admin' | 'auditor';

export interface ApiDeps extends Deps {
  keys: Keyring;
  changes: Changes;
  /** The keys of those whom policy lets in from elsewhere. */
  trust: ForeignTrust;
  /** Where callers reach us; links are built from it. */
  publicUrl: string;
  /** Where callers with client certificates reach us, if that is another address. */
  mutualTlsUrl: string | null;
  /** Whether proofs of possession need a nonce that we gave (RFC 9449 §8). */
  dpopNonces: boolean;
  /** SHA-256 of the admin token, if one is configured. */
  adminTokenHash: Buffer | null;
  version: string;
  /** Where new keys that sign are made, and when they are turned. */
  keyDriver: KeyDriver;
  signingKeys: KeySchedule;
  /** Throws a Refusal for a callback address that may not be called. */
  checkCallback: (url: string) => Promise<void>;
  /** Works off what Slack delivered, once that is acknowledged. */
  workSlack: (delivery: Digest) => void;
  /** Reminds the approvers of a request now; false when its workflow refuses or cannot be reached. */
  remindApprovers: (request: string) => Promise<boolean>;
  readiness: () => Promise<Record<string, string>>;
  metrics: () => Promise<string>;
}

export interface Incoming<B, Q> {
  principal: Principal | null;
  call: Call;
  once: OnceKey | null;
  params: Record<string, string>;
  body: B;
  query: Q;
  /** Seconds the caller is willing to wait (`Prefer: wait=N`). */
  waitSeconds: number;
  context: AppContext;
}

export interface AnswerShape {
  description: string;
  schema?: z.ZodType;
  contentType?: string;
  /** A type it also comes in, when the caller asks for that. */
  otherType?: string;
  /** Headers it carries besides those of every answer, and what each says. */
  headers?: Record<string, string>;
}

export interface Route<B = unknown, Q = unknown> {
  method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  path: `/${string}`;
  tag: string;
  summary: string;
  /** What the summary has no room for; Markdown. */
  description?: string;
  allow: readonly Who[];
  body?: z.ZodType<B>;
  /** A form that the handler reads itself; here for the documents. */
  form?: z.ZodType;
  query?: z.ZodType<Q>;
  /** Whether a token that was handed on opens it: such a token is good for little else than starting a task. */
  delegated?: boolean;
  /** Whose an Idempotency-Key is on a route for callers who have no name yet. */
  keyedBy?: (body: B) => string;
  answers: Record<number, AnswerShape>;
  refusals: readonly RefusalCode[];
  /** Events this route can cause. A route that changes something and names none does not pass the tests. */
  events: readonly EventName[];
  /** How this route says no, where a standard has a form of its own for that. Its statuses are among `answers`. */
  refuse?: (context: AppContext, refusal: Refusal) => Response;
  handle: (incoming: Incoming<B, Q>, deps: ApiDeps) => Promise<Answer | Refusal | Response>;
}

export interface Variables {
  requestId: string;
  traceId: string | null;
  principal: Principal | null;
  /** The certificate that the caller's connection proved; set by whoever ends TLS. */
  clientCertificate: ClientCertificate | null;
}
export type AppContext = Context<{ Variables: Variables }>;
export type App = Hono<{ Variables: Variables }>;

/** Keeps the types of body and query together with the handler that gets them. */
export const defineRoute = <B = Record<string, never>, Q = Record<string, never>>(
  route: Route<B, Q>,
): Route => asAnyRoute(route);

/** Sound because the server parses body and query with the route's own schemas before it calls the handler. */
const asAnyRoute = (route: unknown): Route => route as Route;

/** The longest a caller may wait for a change. */
const WAIT_SECONDS_MAX = 60;

export function mount(app: App, routes: readonly Route[], deps: ApiDeps): void {
  for (const route of routes)
    app.on(route.method, honoPath(route.path), (context) => serve(route, context, deps));
}

/** `{path}` stands for the rest of the path; every other name for one segment. */
export const honoPath = (path: string): string =>
  path.replaceAll('{path}', ':path{.+}').replaceAll(/\{(\w+)\}(?!$|\w)|\{(\w+)\}$/g, ':$1$2');

/** The paths that a route takes. */
export const patternOf = (path: string): RegExp =>
  new RegExp(
    `^${path
      .replaceAll('.', String.raw`\.`)
      .replaceAll('{path}', '.+')
      .replaceAll(/\{\w+\}/g, '[^/]+')}$`,
  );

async function serve(route: Route, context: AppContext, deps: ApiDeps): Promise<Response> {
  const principal = context.get('principal');
  refuseOthers(route, principal);
  for (const part of Object.values(context.req.param())) refuseUnstorableText(part);
  const body = await readBody(route, context);
  const parsed = route.body ? parse(route.body, body, 'body') : {};
  const incoming: Incoming<unknown, unknown> = {
    principal,
    call: {
      principal: principal ?? { kind: 'service', id: 'anonymous' },
      traceId: context.get('traceId'),
    },
    once: onceKey(route, context, callerOf(route, principal, parsed), body),
    params: context.req.param(),
    body: parsed,
    query: route.query ? parse(route.query, queryOf(context), 'query') : noQuery(context),
    waitSeconds: waitSeconds(context.req.header('prefer')),
    context,
  };
  const answer = await route.handle(incoming, deps);
  if (answer instanceof Refusal) throw answer;
  if (answer instanceof Response) return answer;
  return respond(context, answer);
}

function refuseOthers(route: Route, principal: Principal | null): void {
  if (route.allow.includes('anyone')) return;
  if (principal === null)
    throw new Refusal(
      'unauthenticated',
      'Send a bearer token, or sign in: this needs to know who asks.',
    );
  const isNarrow = principal.kind === 'agent' && (principal.delegation ?? principal.onBehalf);
  if (isNarrow && !route.delegated)
    throw new Refusal(
      'forbidden',
      'This token is for starting tasks: use a token that the agent signed in with for everything else.',
    );
  if (!route.allow.some((who) => isOneOf(principal, who)))
    throw new Refusal('forbidden', `This is for ${whoIsMeant(route.allow)}.`);
}

const WORDS: Record<Who, readonly string[]> = {
  anyone: ['everybody'],
  agent: ['agents'],
  person: ['people who are signed in'],
  member: ['people who may do more than read'],
  service: ['the admin token'],
  admin: ['administrators', 'the admin token'],
  auditor: ['auditors', 'administrators', 'the admin token'],
};

/** Everybody whom a route lets through, in words. */
function whoIsMeant(allow: readonly Who[]): string {
  const words = [...new Set(allow.flatMap((who) => WORDS[who]))];
  const last = words.pop() ?? 'nobody';
  return words.length === 0 ? last : `${words.join(', ')} and ${last}`;
}

/** Whether a principal is among those a route is for. */
export function isOneOf(principal: Principal, who: Who): boolean {
  switch (who) {
    case 'anyone':
      return true;
    case 'admin':
      return isAdmin(principal);
    case 'auditor':
      return mayAudit(principal);
    case 'member':
      return isMember(principal);
    case 'agent':
    case 'person':
    case 'service':
      return principal.kind === who;
  }
}

const readBody = async (route: Route, context: AppContext): Promise<JsonValue> =>
  route.body ? readJson(context.req) : {};

/** Whether an Idempotency-Key means something on a route. */
export const takesKey = (route: Route): boolean =>
  route.method !== 'get' && (route.keyedBy !== undefined || !route.allow.includes('anyone'));

function callerOf(route: Route, principal: Principal | null, body: unknown): string | null {
  if (route.keyedBy) return route.keyedBy(body);
  return principal && keyOf(principal);
}

function onceKey(
  route: Route,
  context: AppContext,
  caller: string | null,
  body: JsonValue,
): OnceKey | null {
  const key = context.req.header('idempotency-key');
  if (key === undefined || !takesKey(route) || caller === null) return null;
  if (!/^[\x21-\x7e]{1,255}$/.test(key))
    throw invalid('An Idempotency-Key has 1 to 255 visible ASCII characters.');
  return {
    principal: caller,
    route: `${route.method} ${context.req.path}`,
    key,
    fingerprint: fingerprintOf(body),
  };
}

function parse<T>(schema: z.ZodType<T>, value: unknown, place: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = explainIssues(schema, parsed.error.issues, value);
  const [first] = errors;
  const says = first ? `${first.name} ${first.detail}` : 'it is something else';
  throw invalid(
    `The ${place} is not what this takes: ${says}.`,
    errors.map(({ pointer, detail }) => ({ pointer, detail })),
  );
}

function queryOf(context: AppContext): Record<string, string> {
  const query: Record<string, string> = {};
  for (const [name, values] of Object.entries(context.req.queries())) {
    if (values.length !== 1) throw invalid(`The query parameter ${name} appears twice.`);
    query[name] = values[0] ?? '';
    refuseUnstorableText(query[name]);
  }
  return query;
}

function noQuery(context: AppContext): Record<string, never> {
  const [extra] = Object.keys(context.req.queries());
  if (extra !== undefined) throw invalid(`There is no query parameter ${extra} here.`);
  return {};
}

/** RFC 7240 §4.3. Anything else in the header is a preference we do not have. */
function waitSeconds(prefer: string | undefined): number {
  const asked = /(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])/.exec(prefer ?? '')?.[1];
  return asked === undefined ? 0 : Math.min(Number(asked), WAIT_SECONDS_MAX);
}

function respond(context: AppContext, answer: Answer): Response {
  for (const [name, value] of Object.entries(answer.headers ?? {}))
    context.header(name, value, { append: name.toLowerCase() === 'set-cookie' });
  if (answer.replayed) context.header('Idempotent-Replayed', 'true');
  if (answer.status === 204) return context.body(null, 204);
  return context.json(answer.body, asStatus(answer.status));
}

/** Statuses come from our own handlers, which name only real ones. */
const asStatus = (status: number): ContentfulStatusCode => status as ContentfulStatusCode;

export const ok = (body: JsonValue, headers: Record<string, string> = {}): Answer => ({
  status: 200,
  body,
  headers,
});
export const created = (body: JsonValue, headers: Record<string, string> = {}): Answer => ({
  status: 201,
  body,
  headers,
});
export const accepted = (body: JsonValue, headers: Record<string, string> = {}): Answer => ({
  status: 202,
  body,
  headers,
});
export const noContent = (): Answer => ({ status: 204, body: null });
