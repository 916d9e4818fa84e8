// What every page of the console goes through: who reads it, whether a form is ours, and how HTML is answered.
import { getCookie } from 'hono/cookie';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { waitingFor } from '../../commands/approvals/waiting.ts';
import { unreviewed } from '../../commands/exceptions/break-glass.ts';
import { fingerprintOf, type OnceKey } from '../../commands/once.ts';
import { keyOf, type PersonPrincipal } from '../../commands/principal.ts';
import { databaseTime, type Call } from '../../commands/unit.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { Html } from '../../web/parts.tsx';
import type { Shell } from '../../web/shell.ts';
import { csrfToken, isCsrfToken, SESSION_COOKIE } from '../auth.ts';
import { readForm } from '../body.ts';
import { STATUS } from '../problem.ts';
import { honoPath, isOneOf, type ApiDeps, type App, type AppContext, type Who } from '../route.ts';
import { ASSETS } from './assets.ts';

/** What pages need beyond the API: its own description. */
export interface ConsoleDeps extends ApiDeps {
  document: JsonObject;
}

/** One opening of a page, or one form that was sent. */
export interface Visit {
  context: AppContext;
  call: Call;
  params: Record<string, string>;
  query: URLSearchParams;
  /** The fields of the form; empty for a GET. */
  form: ReadonlyMap<string, string>;
  shell: Shell;
  /** Null only on pages for anyone. */
  person: PersonPrincipal | null;
}

export interface ConsoleRoute {
  method: 'get' | 'post';
  path: `/${string}`;
  who: Extract<Who, 'anyone' | 'person' | 'member' | 'admin' | 'auditor'>;
  /** The route of the API that does the same, with the same command and so the same events; every form has one. */
  sameAs?: `${string} /${string}`;
  handle: (visit: Visit, deps: ConsoleDeps) => Promise<Response>;
}

/** Puts the pages beside the API. */
export function mountConsole(app: App, routes: readonly ConsoleRoute[], deps: ConsoleDeps): void {
  for (const route of routes)
    app.on(route.method, honoPath(route.path), (context) => visitRoute(route, context, deps));
}

async function visitRoute(
  route: ConsoleRoute,
  context: AppContext,
  deps: ConsoleDeps,
): Promise<Response> {
  const principal = context.get('principal');
  const person = principal?.kind === 'person' ? principal : null;
  const url = new URL(context.req.url);
  if (route.who !== 'anyone') {
    if (!person)
      return redirect(
        `/sign-in?next=${encodeURIComponent(route.method === 'get' ? url.pathname + url.search : '/')}`,
      );
    if (!isOneOf(person, route.who))
      throw new Refusal(
        'forbidden',
        `This page is for people with the role ${route.who}: an administrator can give it to you.`,
      );
  }
  const form = route.method === 'post' ? await readOurForm(context, person) : new Map();
  return route.handle(
    {
      context,
      call: {
        principal: person ?? { kind: 'service', id: 'anonymous' },
        traceId: context.get('traceId'),
      },
      params: context.req.param(),
      query: url.searchParams,
      form,
      shell: await shellFor(context, person, deps),
      person,
    },
    deps,
  );
}

/** A form counts only if one of our own pages sent it. */
async function readOurForm(
  context: AppContext,
  person: PersonPrincipal | null,
): Promise<ReadonlyMap<string, string>> {
  const site = context.req.header('sec-fetch-site');
  if (site !== undefined && site !== 'same-origin' && site !== 'none')
    throw new Refusal(
      'forbidden',
      'This form was sent from another site: open the page here, and send it from there.',
    );
  const form = await readForm(context.req);
  const cookie = getCookie(context, SESSION_COOKIE) ?? '';
  if (person && !isCsrfToken(cookie, form.get('csrf_token')))
    throw new Refusal(
      'forbidden',
      'This form is from another session: go back, load the page again and repeat it.',
    );
  return form;
}

/** The frame of a page for this reader. */
export async function shellFor(
  context: AppContext,
  person: PersonPrincipal | null,
  deps: ApiDeps,
): Promise<Shell> {
  const now = await databaseTime(deps.db.query);
  return {
    reader: person && { id: person.id, name: person.name, roles: person.roles },
    csrf: person ? csrfToken(getCookie(context, SESSION_COOKIE) ?? '') : '',
    path: context.req.path,
    waiting: person ? (await waitingFor(deps.db.query, person, now)).length : 0,
    emergencies: person ? (await unreviewed(deps.db.query)).length : 0,
    now,
    assets: ASSETS,
    version: deps.version,
  };
}

/** A page as an answer. */
export function page(content: Html, status: ContentfulStatusCode = 200): Response {
  // Pages load nothing while they are rendered: their data is there before they are called.
  if (content instanceof Promise) throw new Error('a page is rendered at once');
  return new Response(`<!doctype html>\n${content.toString()}`, {
    status,
    headers: { 'content-type': 'text/html; charset=utf-8' },
  });
}

/** The page that a form was on, with what it was refused; as it is where nothing was. */
export const pageAfter = (content: Html, refusal: Refusal | null): Response =>
  page(content, refusal ? STATUS[refusal.code] : 200);

/** After a form: another page, fetched by GET. Only ever a path of ours. */
export const redirect = (path: string, headers: Record<string, string> = {}): Response =>
  new Response(null, { status: 303, headers: { location: path, ...headers } });

/** A path on this site, or the inbox: where to go next comes from outside. */
export function localPath(next: string | null | undefined): string {
  if (!next || !/^\/(?![/\\])[\x21-\x7e]*$/.test(next) || next.includes('\\')) return '/';
  const base = 'http://local.invalid';
  const url = new URL(next, base);
  // Looked at again: taking dots out of a path may have brought another beginning to light.
  const isLocal = url.origin === base && !url.pathname.startsWith('//');
  return isLocal ? url.pathname + url.search : '/';
}

/** The route table has let only people through. */
export function reader(visit: Visit): PersonPrincipal {
  if (!visit.person) throw new Refusal('unauthenticated', 'Sign in first.');
  return visit.person;
}

/** A form that is sent twice, by a double click or a reload, has one effect and one answer. */
export function onceOf(visit: Visit): OnceKey | null {
  const key = visit.form.get('once');
  if (!visit.person || key === undefined || !/^[\w-]{16,64}$/.test(key)) return null;
  const fields = Object.fromEntries(visit.form);
  return {
    principal: keyOf(visit.person),
    route: `form ${visit.context.req.path}`,
    key,
    fingerprint: fingerprintOf(fields),
  };
}

/** A text field, trimmed; empty means that it was left out. */
export const field = (visit: Visit, name: string): string =>
  (visit.form.get(name) ?? '').trim().replaceAll('\r\n', '\n');
