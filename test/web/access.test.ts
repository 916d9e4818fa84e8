// Every route of the console against everybody who could call it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CONSOLE } from '../../api/console/index.ts';
import { person, type TestPerson } from '../support/client.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
let nobody: TestPerson;

beforeAll(async () => {
  service = await startService({ worker: false });
  nobody = await person(service, 'Nobody in particular', [], { roles: [] });
});
afterAll(() => service.close());

const send = (
  method: string,
  path: string,
  headers: Record<string, string>,
  fields: Record<string, string> = {},
): Promise<Response> =>
  fetch(service.url + path.replaceAll(/\{\w+\}/g, 'x'), {
    method: method.toUpperCase(),
    redirect: 'manual',
    headers: { accept: 'text/html', ...headers },
    ...(method === 'post' && { body: new URLSearchParams(fields) }),
  });

const closed = CONSOLE.filter(({ who }) => who !== 'anyone');
const named = closed.map((route) => [`${route.method} ${route.path}`, route] as const);

describe.each(named)('%s', (_name, { method, path, who }) => {
  it('leads whoever has no session to signing in', async () => {
    const answer = await send(method, path, {});
    expect(answer.status).toBe(303);
    expect(answer.headers.get('location')).toMatch(/^\/sign-in\?next=/);
  });

  it('does nothing for a token: pages and their forms are for people', async () => {
    const answer = await send(method, path, { authorization: `Bearer ${service.adminToken}` });
    expect(answer.status).toBe(303);
  });

  it('asks for the role it is for', async () => {
    const fields = { csrf_token: nobody.csrf };
    // Signing out would end the session that the other cases use.
    const answer =
      path === '/sign-out' ? null : await send(method, path, { cookie: nobody.cookie }, fields);
    const isRefused = answer?.status === 403;
    // Whoever is signed in; what the form asks for is refused, or not, by what it names.
    expect(isRefused || who === 'person' || who === 'member').toBe(true);
  });
});

describe.each(named.filter(([, { method }]) => method === 'post'))('%s', (_name, { path }) => {
  it('takes no form without the token of its session', async () => {
    const { cookie } = nobody;
    expect((await send('post', path, { cookie }, { csrf_token: 'x'.repeat(43) })).status).toBe(403);
  });
});

it('only pages that say nothing of the installation are open to anyone', () => {
  const open = CONSOLE.filter(({ who }) => who === 'anyone').map(({ path }) => path);
  expect(new Set(open)).toEqual(
    new Set(['/assets/{file}', '/sign-in', '/sign-in/{token}', '/docs']),
  );
});
