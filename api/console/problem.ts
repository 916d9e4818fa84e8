// A refusal as a page, for browsers that asked for one.
import type { Refusal } from '../../domain/refusal.ts';
import { ProblemPage } from '../../web/problem.tsx';
import { STATUS } from '../problem.ts';
import type { ApiDeps, AppContext } from '../route.ts';
import { ASSETS } from './assets.ts';
import { page, shellFor } from './console.ts';

const MACHINES =
  /^\/(?:v1|oauth2|access|\.well-known|slack|mcp|spiffe|log\/(?:checkpoint|vkey|tile|proof|leaf))/;

/** Whether the caller is somebody looking at pages. */
export const wantsPage = (context: AppContext): boolean =>
  (context.req.header('accept') ?? '').includes('text/html') && !MACHINES.test(context.req.path);

/** The page. When even its frame cannot be loaded it is shown without one. */
export async function problemPage(
  context: AppContext,
  refusal: Refusal,
  deps: ApiDeps,
): Promise<Response> {
  const principal = context.get('principal');
  const bare = {
    reader: null,
    csrf: '',
    path: context.req.path,
    waiting: 0,
    now: '1970-01-01T00:00:00.000Z',
    assets: ASSETS,
    version: deps.version,
  };
  const shell = await shellFor(
    context,
    principal?.kind === 'person' ? principal : null,
    deps,
  ).catch(() => bare);
  const status = STATUS[refusal.code];
  return page(
    ProblemPage({ shell, status, says: refusal.message, requestId: context.get('requestId') }),
    status,
  );
}
