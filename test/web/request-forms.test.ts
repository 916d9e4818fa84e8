// The forms on a request's page: approving less after having seen what that changes, asking, and answering.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { changePolicy, hold, seen, startCast, type Cast } from '../support/cast.ts';
import { list, object, person, text, vote, type TestPerson } from '../support/client.ts';
import { withRoles } from '../support/policies.ts';

let cast: Cast;
let second: TestPerson;

beforeAll(async () => {
  cast = await startCast();
  second = await person(cast.service, 'Bea', ['data-owners']);
  await changePolicy(cast.service, cast.approver, (files) => {
    const changed = withRoles(files, [
      { name: 'single', routes: { single: '  groups: [data-owners]\n' } },
    ]);
    return {
      ...changed,
      'main.cedar': `${changed['main.cedar'] ?? ''}
@id("take-code")
@approval("single")
permit (principal is Agent, action == Action::"credential:request", resource == Role::"code");
`,
      'roles.yaml': `${text(changed['roles.yaml']).replace(
        /^targets:\n/m,
        'targets:\n  code:\n    issuer: github\n    app: Iv1.test\n    installation: 7\n    private_key_from: NO_SUCH_KEY\n',
      )}
  code:
    title: Code
    issuer: github
    target: code
    repositories: [api, docs]
    permissions: { contents: write, issues: read }
`,
    };
  });
});
afterAll(() => cast.close());

const held = async (role: string): Promise<string> =>
  (await hold(cast.agent, cast.seal, { role, ttl_seconds: 900 })).request;

const open = async (who: TestPerson, request: string): Promise<string> =>
  (
    await fetch(`${cast.service.url}/requests/${request}`, { headers: { cookie: who.cookie } })
  ).text();

const send = (who: TestPerson, path: string, fields: Record<string, string>): Promise<Response> =>
  fetch(cast.service.url + path, {
    method: 'POST',
    redirect: 'manual',
    headers: { cookie: who.cookie },
    body: new URLSearchParams({ csrf_token: who.csrf, ...fields }),
  });

/** What the hidden fields of a page say. */
const hidden = (page: string, name: string): string =>
  unescaped(new RegExp(`name="${name}" value="([^"]*)"`).exec(page)?.[1] ?? '');

const unescaped = (attribute: string): string =>
  attribute.replaceAll('&quot;', '"').replaceAll('&amp;', '&');

const preview = async (request: string, fields: Record<string, string>): Promise<string> => {
  const shown = hidden(await open(second, request), 'shown');
  const answer = await send(second, `/requests/${request}`, {
    shown,
    decision: 'preview',
    ...fields,
  });
  return answer.text();
};

describe('approving less on the page', () => {
  it('shows what changes before anybody decides, and then gives exactly that', async () => {
    const request = await held('single');
    const page = await preview(request, { ttl_seconds: '120', valid_seconds: '900' });
    expect(page).toContain('Changes the agent will not see coming');
    expect(page).toMatch(/Lasts, in seconds[\s\S]*900[\s\S]*120/);
    expect(await seen(cast.service, request)).toMatchObject({ state: 'pending', narrowed: null });
    const given = await send(second, `/requests/${request}`, {
      shown: hidden(page, 'shown'),
      decision: 'approve',
      narrow: hidden(page, 'narrow'),
    });
    expect(given.status).toBe(303);
    const now = await seen(cast.service, request);
    expect(object(now['narrowed'])).toMatchObject({ limits: { ttl_seconds: 120 } });
    const after = await open(second, request);
    expect(after).toMatch(/Asked for ttl_seconds[\s\S]*Narrowed[\s\S]*Bea: ttl_seconds 120/);
  });

  it('takes a repository and a level away by leaving them out', async () => {
    const request = await held('code');
    const page = await preview(request, {
      ttl_seconds: '900',
      valid_seconds: '900',
      'some.repositories.0': 'on',
      'level.permissions.0': 'read',
      'level.permissions.1': '',
    });
    expect(JSON.parse(hidden(page, 'narrow'))).toEqual({
      options: { repositories: ['api'], permissions: { contents: 'read' } },
    });
  });

  it('says where it is no narrowing, and decides nothing', async () => {
    const request = await held('single');
    expect(await preview(request, { ttl_seconds: '901' })).toContain('can only become less');
    expect(await preview(request, { ttl_seconds: '900' })).toContain('This leaves all of it');
    const shown = hidden(await open(second, request), 'shown');
    const forged = await send(second, `/requests/${request}`, {
      shown,
      decision: 'approve',
      narrow: '{"ttl_seconds":9000}',
    });
    expect(forged.status).toBe(422);
    for (const narrow of ['{', '{"role":"admin"}', '[]'])
      expect(
        (await send(second, `/requests/${request}`, { shown, decision: 'approve', narrow })).status,
      ).toBe(400);
    expect(await seen(cast.service, request)).toMatchObject({ state: 'pending', votes: [] });
  });
});

describe('asking and answering on the page', () => {
  it('an approver asks, the owner answers, and the approver sees who claims what', async () => {
    const request = await held('single');
    const path = `/requests/${request}/questions`;
    expect((await send(second, path, { to: 'owner', text: 'Is it yours?' })).status).toBe(303);
    const [question] = list((await seen(cast.service, request))['questions']);
    expect(await open(cast.owner, request)).toContain('You were asked');
    expect(await open(second, request)).not.toContain('You were asked');
    const answer = `${path}/${text(question?.['id'])}/answer`;
    expect((await send(cast.owner, answer, { text: '<b>Yes</b>' })).status).toBe(303);
    const page = await open(second, request);
    expect(page).toMatch(/Question 1, Bea to the owner[\s\S]*Is it yours\?/);
    expect(page).toMatch(/Answer 1, Olga[\s\S]*&lt;b&gt;Yes&lt;\/b&gt;[\s\S]*said in answer/);
    expect((await send(cast.owner, answer, { text: 'Again' })).status).toBe(409);
  });

  it('who may not is told why, on the page', async () => {
    const request = await held('single');
    const refused = await send(cast.owner, `/requests/${request}/questions`, {
      to: 'agent',
      text: 'Why?',
    });
    expect(refused.status).toBe(403);
    expect(await refused.text()).toContain('Nobody approves for themselves');
  });

  it('a late vote is told who won', async () => {
    const request = await held('single');
    const shown = hidden(await open(second, request), 'shown');
    await vote(cast.approver, request, 'deny', { reason: 'no' });
    const late = await send(second, `/requests/${request}`, { shown, decision: 'approve' });
    expect(late.status).toBe(409);
    expect(await late.text()).toContain('already denied by Ada');
  });
});
