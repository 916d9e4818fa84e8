// Signing in on the web: looking uses nothing up, and a form from elsewhere does nothing.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { admin, text, type TestPerson, person } from '../support/client.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
let approver: TestPerson;

beforeAll(async () => {
  service = await startService({ worker: false });
  approver = await person(service, 'Ada', ['admins'], { roles: ['admin'] });
});
afterAll(() => service.close());

async function newLink(): Promise<string> {
  const invited = await admin(service).call('POST', '/v1/people', {
    name: 'Grace',
    roles: [],
    groups: [],
  });
  return new URL(text(invited.body['sign_in_url'])).pathname;
}

const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(service.url + path, { headers: { accept: 'text/html', ...headers }, redirect: 'manual' });

const post = (
  path: string,
  fields: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Response> =>
  fetch(service.url + path, {
    method: 'POST',
    headers: { accept: 'text/html', ...headers },
    body: new URLSearchParams(fields),
    redirect: 'manual',
  });

it('looking at a sign-in link any number of times uses nothing up', async () => {
  const link = await newLink();
  for (let times = 0; times < 3; times += 1) {
    const seen = await get(link);
    expect(seen.status).toBe(200);
    expect(seen.headers.get('set-cookie')).toBeNull();
    expect(await seen.text()).toContain('<form method="post"');
  }
  expect((await post(link, {})).status).toBe(303);
});

it('pressing the button signs in, and the link is then over', async () => {
  const link = await newLink();
  const signedIn = await post(link, { next: '/requests?state=pending' });
  expect(signedIn.headers.get('location')).toBe('/requests?state=pending');
  expect(signedIn.headers.get('set-cookie')).toMatch(/^cs_session=.+HttpOnly; SameSite=Lax/);
  expect((await get(link)).status).toBe(410);
  const again = await post(link, {});
  expect(again.status).toBe(410);
  expect(await again.text()).toContain('Ask for a new one');
});

it('a pasted link signs in and goes on to where the reader was going', async () => {
  const link = await newLink();
  const signedIn = await post('/sign-in', { link: service.url + link, next: '/agents' });
  expect(signedIn.status).toBe(303);
  expect(signedIn.headers.get('location')).toBe('/agents');
});

it('nobody is sent to another site after signing in', async () => {
  for (const next of [
    'https://evil.example/',
    '//evil.example',
    '/\\evil.example',
    'javascript:1',
  ]) {
    const link = await newLink();
    expect((await post(link, { next })).headers.get('location')).toBe('/');
  }
});

it('a page without a session leads to signing in, and back', async () => {
  const seen = await get('/requests?state=approved');
  expect(seen.status).toBe(303);
  expect(seen.headers.get('location')).toBe('/sign-in?next=%2Frequests%3Fstate%3Dapproved');
});

it('a form without the session’s own token changes nothing', async () => {
  const { cookie, csrf } = approver;
  expect((await post('/sign-out', {}, { cookie })).status).toBe(403);
  expect((await post('/sign-out', { csrf_token: 'x' }, { cookie })).status).toBe(403);
  const elsewhere = { cookie, 'sec-fetch-site': 'cross-site' };
  expect((await post('/sign-out', { csrf_token: csrf }, elsewhere)).status).toBe(403);
  expect((await approver.call('GET', '/v1/session')).status).toBe(200);
});

it('signing out ends the session on the server', async () => {
  const leaving = await person(service, 'Lin', []);
  const left = await post('/sign-out', { csrf_token: leaving.csrf }, { cookie: leaving.cookie });
  expect(left.status).toBe(303);
  expect((await leaving.call('GET', '/v1/session')).status).toBe(401);
});

it('browsers get a page for what is not there, and programs a problem document', async () => {
  const seen = await get('/nowhere');
  expect(seen.status).toBe(404);
  expect(seen.headers.get('content-type')).toContain('text/html');
  const program = await fetch(`${service.url}/nowhere`);
  expect(program.headers.get('content-type')).toBe('application/problem+json');
  const api = await get('/v1/nowhere');
  expect(api.headers.get('content-type')).toBe('application/problem+json');
});

it('static files are served for ever under the digest of their content, and nothing beside them', async () => {
  const html = await (await get('/sign-in')).text();
  const style = /href="(\/assets\/style\.css\?v=[^"]+)"/.exec(html)?.[1] ?? '';
  expect((await get(style)).headers.get('cache-control')).toContain('immutable');
  expect((await get('/assets/style.css')).headers.get('cache-control')).toContain('max-age=300');
  expect((await get('/assets/..%2f..%2fpackage.json')).status).toBe(404);
});
