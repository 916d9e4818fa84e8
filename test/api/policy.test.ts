import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { detailsOf, seen, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  eventually,
  list,
  object,
  person,
  text,
  vote,
  type Reply,
  type TestPerson,
} from '../support/client.ts';

let cast: Cast;
let administrator: TestPerson;
let dataOwner: TestPerson;
beforeAll(async () => {
  cast = await startCast();
  administrator = await person(cast.service, 'Adam', ['admins']);
  dataOwner = await person(cast.service, 'Dora', ['data-owners']);
});
afterAll(() => cast.close());

async function active(): Promise<{ version: string; files: Record<string, string> }> {
  const { body } = await admin(cast.service).call('GET', '/v1/policies/active');
  const files: Record<string, string> = {};
  for (const [name, content] of Object.entries(object(body['files']))) files[name] = text(content);
  return { version: text(body['version']), files };
}

async function propose(file: string, change: (content: string) => string): Promise<Reply> {
  const { files } = await active();
  return admin(cast.service).call('POST', '/v1/policies', {
    files: { ...files, [file]: change(files[file] ?? '') },
  });
}

const requestOf = ({ body }: Reply): string => text(object(body['request'])['id']);
const routesOf = (request: JsonObject): string[] =>
  list(request['routes']).map((route) => text(route['name']));

const becomes = (version: string): Promise<void> =>
  eventually(async () => (await active()).version === version, 'the activation');

let comments = 0;
const commented = (content: string): string => {
  comments += 1;
  return `${content}\n// remark ${comments}\n`;
};

describe('a policy', () => {
  it('is active only once its people agreed, and every version is in the log', async () => {
    const before = (await active()).version;
    const proposed = await propose('main.cedar', commented);
    expect(proposed.status).toBe(202);
    expect(routesOf(object(proposed.body['request']))).toEqual(['policy-change']);
    expect((await active()).version).toBe(before);
    expect((await vote(administrator, requestOf(proposed), 'approve')).status).toBe(201);
    await becomes(text(proposed.body['version']));
    const [activated] = await detailsOf(cast.service, requestOf(proposed), 'policy.activated');
    expect(activated?.['replaces']).toBe(before);
    await eventually(
      async () => (await seen(cast.service, requestOf(proposed)))['state'] === 'consumed',
    );
  });

  it('that people denied never becomes active', async () => {
    const before = (await active()).version;
    const proposed = await propose('main.cedar', commented);
    await vote(administrator, requestOf(proposed), 'deny');
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect((await active()).version).toBe(before);
  });

  it('that is active already needs nobody', async () => {
    const same = await propose('main.cedar', (content) => content);
    expect(same.status).toBe(200);
    expect(same.body).toEqual({ version: (await active()).version });
  });

  it('with mistakes is refused with each of them, and nobody is asked', async () => {
    const wrong = await propose('main.cedar', (content) =>
      content.replace('\n@approval(', '\n@approvl('),
    );
    expect(`${wrong.status} ${text(wrong.body['code'])}`).toBe('422 policy_invalid');
    const [first] = list(wrong.body['errors']);
    expect(text(first?.['pointer'])).toMatch(/^\/files\/main\.cedar#\d+$/);
    expect(text(first?.['detail'])).toContain('@approvl is not an annotation; allowed: ');
  });

  it('that failed its own tests is refused', async () => {
    const wrong = await propose('tests.yaml', (content) =>
      content.replace('expect: permit', 'expect: deny'),
    );
    expect(text(list(wrong.body['errors'])[0]?.['detail'])).toContain('expected deny, got permit');
  });
});

describe('a policy that would silence a gate', () => {
  it('needs the approvers of that gate as well as those of policies', async () => {
    const before = (await active()).version;
    const proposed = await propose('routes.yaml', (content) =>
      content.replace('valid_seconds: 900', 'valid_seconds: 9000'),
    );
    const request = requestOf(proposed);
    expect(new Set(routesOf(object(proposed.body['request'])))).toEqual(
      new Set(['policy-change', 'orders-write']),
    );
    expect((await vote(administrator, request, 'approve')).status).toBe(201);
    expect((await seen(cast.service, request))['state']).toBe('pending');
    expect((await active()).version).toBe(before);
    expect((await vote(dataOwner, request, 'approve')).status).toBe(201);
    await becomes(text(proposed.body['version']));
  });

  it('is judged against the policy it replaces: once that is gone, nobody can approve it any more', async () => {
    const first = await propose('main.cedar', commented);
    const second = await propose('main.cedar', commented);
    await vote(administrator, requestOf(first), 'approve');
    await becomes(text(first.body['version']));
    expect((await seen(cast.service, requestOf(second)))['state']).toBe('superseded');
    const late = await vote(administrator, requestOf(second), 'approve');
    expect(late.body).toMatchObject({ code: 'already_decided', state: 'superseded' });
    expect((await active()).version).toBe(text(first.body['version']));
  });
});
