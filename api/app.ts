// The HTTP surface: guards in front, the route table behind, one place where errors become answers.
import { randomUUID } from 'node:crypto';
import { Hono, type MiddlewareHandler } from 'hono';
import { z } from 'zod';
import { faultFields, type Log } from '../commands/log-line.ts';
import type { JsonObject } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import { absenceRoutes } from './absences.ts';
import { accessRoutes } from './access/routes.ts';
import { administrationRoutes } from './administration.ts';
import { agentRoutes } from './agents.ts';
import { askRoutes } from './ask-credential.ts';
import { attentionRoutes } from './attention.ts';
import { authenticate } from './auth.ts';
import { breakGlassRoutes } from './break-glass.ts';
import { channelRoutes } from './channels.ts';
import type { CertificateReader } from './client-certificate.ts';
import { mountConsole } from './console/console.ts';
import { CONSOLE } from './console/index.ts';
import { problemPage, wantsPage } from './console/problem.ts';
import { controlRoutes } from './controls.ts';
import { credentialRoutes } from './credentials.ts';
import { discoveryRoutes } from './discovery.ts';
import { eventRoutes } from './events.ts';
import { glassKitRoutes } from './glass-kits.ts';
import { grantRoutes } from './grants.ts';
import { joinRoutes } from './join.ts';
import { leakScannerRoutes } from './leak-scanners.ts';
import { leakRoutes } from './leaks.ts';
import { logRoutes } from './log.ts';
import { oauthRoutes } from './oauth/routes.ts';
import { openApiDocument } from './openapi.ts';
import { operationRoutes } from './operations.ts';
import { passkeyRoutes } from './passkeys.ts';
import { peopleRoutes } from './people.ts';
import { permitRoutes } from './permits.ts';
import { placementRoutes } from './placements.ts';
import { policyRoutes } from './policies.ts';
import { populationRoutes } from './population.ts';
import { problemBody, problemHeaders, STATUS } from './problem.ts';
import { questionRoutes } from './questions.ts';
import { receiverRoutes } from './receivers.ts';
import { requestRoutes } from './requests.ts';
import { reviewRoutes } from './reviews.ts';
import { revocationRoutes } from './revocations.ts';
import {
  defineRoute,
  mount,
  ok,
  patternOf,
  type ApiDeps,
  type App,
  type AppContext,
  type Route,
  type Variables,
} from './route.ts';
import { runRoutes } from './runs.ts';
import { signingKeyRoutes } from './signing-keys.ts';
import { slackLinkRoutes } from './slack/link.ts';
import { slackRoutes } from './slack/routes.ts';
import { spiffeRoutes } from './spiffe.ts';
import { staticSecretRoutes } from './static-secrets.ts';
import { taskRoutes } from './tasks.ts';
import { triggerSourceRoutes } from './trigger-sources.ts';

/** The document is made once for each service: it says where that is, and which version. */
const documents = new WeakMap<ApiDeps, JsonObject>();

function documentOf(deps: ApiDeps): JsonObject {
  const made = documents.get(deps) ?? openApiDocument(ROUTES, deps.publicUrl, deps.version);
  documents.set(deps, made);
  return made;
}

const describeApi = defineRoute({
  method: 'get',
  path: '/openapi.json',
  tag: 'Operations',
  summary: 'This document',
  allow: ['anyone'],
  answers: { 200: { description: 'OpenAPI 3.1', schema: z.looseObject({ openapi: z.string() }) } },
  refusals: [],
  events: [],
  handle: (_incoming, deps) => Promise.resolve(ok(documentOf(deps))),
});

/** Every route of the API, in the order of the documents. */
export const ROUTES: readonly Route[] = [
  ...taskRoutes,
  ...askRoutes,
  ...placementRoutes,
  ...triggerSourceRoutes,
  ...credentialRoutes,
  ...revocationRoutes,
  ...permitRoutes,
  ...runRoutes,
  ...requestRoutes,
  ...grantRoutes,
  // Before the emergencies: a kit is no id of one.
  ...glassKitRoutes,
  ...breakGlassRoutes,
  ...questionRoutes,
  ...agentRoutes,
  ...joinRoutes,
  ...peopleRoutes,
  ...passkeyRoutes,
  ...oauthRoutes,
  ...accessRoutes,
  ...spiffeRoutes,
  ...reviewRoutes,
  ...discoveryRoutes,
  ...populationRoutes,
  ...attentionRoutes,
  ...controlRoutes,
  ...eventRoutes,
  ...logRoutes,
  ...receiverRoutes,
  ...leakRoutes,
  ...leakScannerRoutes,
  ...absenceRoutes,
  ...administrationRoutes,
  ...channelRoutes,
  ...policyRoutes,
  ...staticSecretRoutes,
  ...signingKeyRoutes,
  ...slackRoutes,
  ...slackLinkRoutes,
  ...operationRoutes,
  describeApi,
];

export interface AppOptions {
  /** Names under which we may be called; anything else could be a rebound DNS name. */
  hosts: ReadonlySet<string>;
  log: Log;
  observe: (method: string, route: string, status: number, seconds: number) => void;
  /** Finds the certificate that a caller's connection proved. */
  certificateOf: CertificateReader;
  /** Whether this process takes no more calls; those it took are finished. */
  isStopping: () => boolean;
}

export function createApp(deps: ApiDeps, options: AppOptions): App {
  const app: App = new Hono<{ Variables: Variables }>();
  app.use(identify(options));
  app.use(securityHeaders(deps.publicUrl.startsWith('https:')));
  app.use(refuseStrangeHosts(options.hosts));
  app.use(refuseWhileStopping(options.isStopping));
  app.use(async (context, next) => {
    context.set('clientCertificate', options.certificateOf(context));
    context.set('principal', await authenticate(context, deps));
    await next();
  });
  mount(app, ROUTES, deps);
  mountConsole(app, CONSOLE, { ...deps, document: documentOf(deps) });
  const formAt = refusalFormsOf(ROUTES);
  const answer = (context: AppContext, refusal: Refusal): Response | Promise<Response> =>
    wantsPage(context)
      ? problemPage(context, refusal, deps)
      : (formAt(context) ?? problem)(context, refusal);
  const methodsAt = methodsOf([...ROUTES, ...CONSOLE]);
  app.notFound(async (context) => {
    const allowed = methodsAt(context.req.path);
    if (allowed.length === 0) return answer(context, nothingHere());
    const response = await answer(context, wrongMethod(context.req.method, allowed));
    response.headers.set('allow', allowed.join(', '));
    return response;
  });
  app.onError((error, context) => answer(context, asRefusal(error, context, options.log)));
  return app;
}

const nothingHere = (): Refusal => new Refusal('not_found', 'There is nothing here.');

const wrongMethod = (method: string, allowed: readonly string[]): Refusal =>
  new Refusal(
    'method_not_allowed',
    `This path does not take ${method}: use ${allowed.join(', ')}.`,
  );

/** How the route that a call goes to says no, where it has a form of its own. */
function refusalFormsOf(routes: readonly Route[]): (context: AppContext) => Route['refuse'] {
  const own = routes.flatMap(({ method, path, refuse }) =>
    refuse ? [{ method, pattern: patternOf(path), refuse }] : [],
  );
  return ({ req }) =>
    own.find(({ method, pattern }) => method === req.method.toLowerCase() && pattern.test(req.path))
      ?.refuse;
}

/** The methods that a path takes, whatever it was called with (RFC 9110 §15.5.6). */
function methodsOf(routes: readonly Pick<Route, 'method' | 'path'>[]): (path: string) => string[] {
  const known = routes.map(({ method, path }) => ({ method, pattern: patternOf(path) }));
  return (path) => {
    const found = known.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method);
    const names = found.flatMap((method) =>
      method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()],
    );
    return [...new Set(names)].toSorted();
  };
}

const REQUEST_ID = /^[A-Za-z0-9._-]{1,100}$/;
const TRACE_PARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Names the request, takes over the caller's trace, and measures. */
function identify({ log, observe }: AppOptions): MiddlewareHandler<{ Variables: Variables }> {
  return async (context, next) => {
    const started = performance.now();
    const given = context.req.header('x-request-id') ?? '';
    const requestId = REQUEST_ID.test(given) ? given : randomUUID();
    const traceId = TRACE_PARENT.exec(context.req.header('traceparent') ?? '')?.[1] ?? null;
    context.set('requestId', requestId);
    context.set('traceId', traceId);
    context.set('principal', null);
    context.set('clientCertificate', null);
    await next();
    context.header('x-request-id', requestId);
    const seconds = (performance.now() - started) / 1000;
    const route = routeOf(context);
    observe(context.req.method, route, context.res.status, seconds);
    log('http', {
      request_id: requestId,
      trace_id: traceId,
      method: context.req.method,
      route,
      status: context.res.status,
      ms: Math.round(seconds * 1000),
      principal: context.get('principal')?.kind ?? null,
      principal_id: context.get('principal')?.id ?? null,
    });
  };
}

/** The pattern, not the path: paths carry ids, and a sign-in link carries a secret. */
function routeOf(context: AppContext): string {
  const { routePath } = context.req;
  return routePath === '/*' || routePath === '*' ? 'unmatched' : routePath;
}

const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "style-src 'self'",
  "script-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ');

function securityHeaders(isHttps: boolean): MiddlewareHandler {
  return async (context, next) => {
    await next();
    const { headers } = context.res;
    headers.set('content-security-policy', CONTENT_SECURITY_POLICY);
    headers.set('x-content-type-options', 'nosniff');
    headers.set('referrer-policy', 'no-referrer');
    headers.set('x-frame-options', 'DENY');
    headers.set('cross-origin-opener-policy', 'same-origin');
    headers.set('cross-origin-resource-policy', 'same-origin');
    if (isHttps) headers.set('strict-transport-security', 'max-age=31536000');
    if (!headers.has('cache-control')) headers.set('cache-control', 'no-store');
  };
}

/** Probes come by address, whatever the service is called. */
const ANY_HOST = ['/livez', '/readyz', '/metrics'];

function refuseStrangeHosts(hosts: ReadonlySet<string>): MiddlewareHandler {
  return async (context, next) => {
    const host = context.req.header('host')?.toLowerCase() ?? '';
    if (!hosts.has(host) && !ANY_HOST.includes(context.req.path))
      throw new Refusal(
        'invalid_request',
        `This service is not called ${host}: set COUNTERSIGN_PUBLIC_URL if it should be.`,
      );
    await next();
  };
}

/** A connection that was kept may bring another call before it is closed. */
function refuseWhileStopping(isStopping: () => boolean): MiddlewareHandler {
  return async (context, next) => {
    if (isStopping()) {
      context.header('connection', 'close');
      throw new Refusal(
        'unavailable',
        'This server is stopping: repeat the call in a few seconds, with the same Idempotency-Key.',
      );
    }
    await next();
    // Answers to calls taken before are the last ones on their connections.
    if (isStopping()) context.header('connection', 'close');
  };
}

function problem(context: AppContext, refusal: Refusal): Response {
  const body = problemBody(refusal, context.get('requestId'));
  return context.body(JSON.stringify(body), STATUS[refusal.code], problemHeaders(refusal));
}

/** Unknown errors say nothing but their request id; the log has the rest. */
function asRefusal(error: Error, context: AppContext, log: Log): Refusal {
  if (error instanceof Refusal) return error;
  // Text that the database cannot hold, from a place that nobody looked at before: still the caller's mistake.
  if (hasCode(error, UNSTORABLE))
    return new Refusal(
      'invalid_request',
      'A text in this call holds a character that cannot be kept, such as U+0000: send it without.',
    );
  const lost = hasCode(error, LOST);
  const requestId = context.get('requestId');
  log(lost ? 'database_lost' : 'fault', { request_id: requestId, ...faultFields(error) });
  return lost
    ? new Refusal(
        'unavailable',
        'The database cannot be reached just now: repeat the call in a few seconds, with the same Idempotency-Key.',
      )
    : new Refusal(
        'internal_error',
        `Something went wrong here. Quote the request id ${requestId}.`,
      );
}

const LOST = [
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'hung_up',
  '57P01',
  '57P02',
  '57P03',
];

/** PostgreSQL: characters that are not in its encoding, or have no form in it. */
const UNSTORABLE = ['22021', '22P05'];

function hasCode(error: Error, codes: readonly string[]): boolean {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
    if ('code' in cause && typeof cause.code === 'string' && codes.includes(cause.code))
      return true;
  return false;
}
