import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openService, type Service } from '../../cli/compose.ts';
import { remindOfRotation } from '../../commands/credentials/static-secrets.ts';
import { transact } from '../../commands/unit.ts';
import type { JsonObject } from '../../domain/json.ts';
import { activateAccess } from '../support/access.ts';
import { startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  askCredential,
  eventually,
  list,
  newKey,
  object,
  opened,
  person,
  text,
  type Reply,
} from '../support/client.ts';

let cast: Cast;
let inside: Service;
const VALUE = `first-${randomBytes(12).toString('hex')}`;
const NEXT = `second-${randomBytes(12).toString('hex')}`;

beforeAll(async () => {
  cast = await startCast();
  inside = await openService(cast.service.config, 'test', 2);
  const role = (more: JsonObject): JsonObject => ({ issuer: 'static', title: 'A secret', ...more });
  await activateAccess(cast, {
    roles: {
      legacy: role({ secret: 'legacy-api', concurrent: 1, rotate_days: 30 }),
      fresh: role({ secret: 'fresh-api', when_tainted: 'refuse' }),
      missing: role({ secret: 'never-put' }),
      shared: role({ secret: 'shared-api', concurrent: 2 }),
    },
  });
});
afterAll(async () => {
  await inside.close();
  await cast.close();
});

const put = (name: string, value: string): Promise<Reply> =>
  admin(cast.service).call('PUT', `/v1/static-secrets/${name}`, { value });
const custody = async (name: string): Promise<JsonObject[]> =>
  list((await admin(cast.service).call('GET', `/v1/static-secrets/${name}/custody`)).body['data']);
const known = async (name: string): Promise<JsonObject> => {
  const all = await admin(cast.service).call('GET', '/v1/static-secrets');
  return list(all.body['data']).find((each) => each['name'] === name) ?? {};
};
const eventsOf = async (type: string, secret: string): Promise<JsonObject[]> => {
  const all = await admin(cast.service).call('GET', `/v1/events?type=${type}&limit=500`);
  return list(all.body['data'])
    .map((event) => object(object(event['data'])['detail']))
    .filter((detail) => detail['secret'] === secret);
};

/** Asks for a role under a task of its own. */
async function borrow(role: string): Promise<{ task: string; reply: Reply; value: string }> {
  const task = await startTask(cast.agent);
  const reply = await askCredential(cast.agent, task, { role, seal_to: cast.seal.publicJwk });
  const material = reply.status === 201 ? await opened(reply.body['sealed'], cast.seal) : {};
  return { task, reply, value: text(material['value']) };
}
const finish = (task: string): Promise<Reply> =>
  cast.agent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: 'wait=20' });

describe('a stored secret', () => {
  it('comes out sealed under a lease and in no other way; who had which version is kept', async () => {
    const first = await put('legacy-api', VALUE);
    expect(first.status).toBe(200);
    expect(first.body).toMatchObject({ name: 'legacy-api', version: 1, tainted_at: null });
    const { task, reply, value } = await borrow('legacy');
    expect(value).toBe(VALUE);
    expect(reply.body['revocable']).toBe(false);
    const lease = text(reply.body['id']);
    expect(await custody('legacy-api')).toMatchObject([
      { credential: lease, version: 1, agent: cast.agent.id, task, ended_at: null },
    ]);
    const done = await finish(task);
    expect(done.body['state']).toBe('completed');
    const [loan] = await custody('legacy-api');
    expect(text(loan?.['ended_at'])).not.toBe('');
    for (const path of ['static-secrets', 'static-secrets/legacy-api/custody', 'events?limit=500'])
      expect((await admin(cast.service).call('GET', `/v1/${path}`)).text).not.toContain(VALUE);
  });

  it('is tainted by a lease that ended, which is closed without being seen gone', async () => {
    expect(text((await known('legacy-api'))['tainted_at'])).not.toBe('');
    const [loan] = await custody('legacy-api');
    const events = await admin(cast.service).call(
      'GET',
      '/v1/events?type=credential.revoked&limit=500',
    );
    const details = list(events.body['data']).map((event) =>
      object(object(event['data'])['detail']),
    );
    const closed = details.find((detail) => detail['credential'] === loan?.['credential']);
    expect(closed?.['seen_gone']).toBe(false);
    expect(await eventsOf('secret.tainted', 'legacy-api')).toEqual([
      { secret: 'legacy-api', version: 1, credential: loan?.['credential'] ?? null },
    ]);
  });

  it('is no longer tainted in a new version; the same value is none, and is tainted still', async () => {
    const same = await put('legacy-api', VALUE);
    expect(same.body['version']).toBe(1);
    expect(text((await known('legacy-api'))['tainted_at'])).not.toBe('');
    const next = await put('legacy-api', NEXT);
    expect(next.body).toMatchObject({ version: 2, tainted_at: null });
    expect((await eventsOf('secret.rotated', 'legacy-api'))[0]).toMatchObject({
      version: 2,
      replaces: 1,
    });
    const { task, value } = await borrow('legacy');
    expect(value).toBe(NEXT);
    await finish(task);
    expect((await custody('legacy-api')).map((loan) => loan['version'])).toEqual([2, 1]);
  });

  it('is lent to as many as may have it at once, and to the next when one of them is done', async () => {
    await put('shared-api', 'shared');
    const [first, second] = [await borrow('shared'), await borrow('shared')];
    expect([first.value, second.value]).toEqual(['shared', 'shared']);
    const third = await borrow('shared');
    expect([third.reply.status, third.reply.body['code']]).toEqual([409, 'secret_in_use']);
    await finish(first.task);
    expect((await borrow('shared')).value).toBe('shared');
    // What was refused was never given, and its lease says so.
    expect((await custody('shared-api')).map((loan) => loan['task'])).not.toContain(third.task);
    const ended = await finish(third.task);
    expect(ended.body['state']).toBe('completed');
  });

  it('is lent at most so often even when many ask at the same moment', async () => {
    await put('legacy-api', `${NEXT}!`);
    const tasks = await Promise.all(Array.from({ length: 6 }, () => startTask(cast.agent)));
    const replies = await Promise.all(
      tasks.map((task) =>
        askCredential(cast.agent, task, { role: 'legacy', seal_to: cast.seal.publicJwk }),
      ),
    );
    expect(replies.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
      201, 409, 409, 409, 409, 409,
    ]);
    await Promise.all(tasks.map(finish));
  });

  it('is not lent while it is tainted, where policy says so', async () => {
    await put('fresh-api', 'fresh-1');
    const { task, value } = await borrow('fresh');
    expect(value).toBe('fresh-1');
    await finish(task);
    expect((await borrow('fresh')).reply.body['code']).toBe('secret_tainted');
    await put('fresh-api', 'fresh-2');
    expect((await borrow('fresh')).value).toBe('fresh-2');
  });

  it('that nobody put in is refused with what to do, and its lease is seen to hold nothing', async () => {
    const { task, reply } = await borrow('missing');
    expect([reply.status, reply.body['code']]).toEqual([409, 'secret_not_put']);
    expect(text(reply.body['detail'])).toContain('countersign secret put never-put');
    await eventually(async () => {
      const events = await admin(cast.service).call(
        'GET',
        `/v1/events?type=credential.abandoned&task=${task}`,
      );
      const details = list(events.body['data']).map((event) =>
        object(object(event['data'])['detail']),
      );
      return details.some((detail) => detail['seen_gone'] === true);
    });
  });

  it('that was removed is lent no more and stays on record; versions go on counting', async () => {
    const remove = () => admin(cast.service).call('DELETE', '/v1/static-secrets/fresh-api');
    expect((await remove()).status).toBe(204);
    expect((await remove()).status).toBe(404);
    expect(await known('fresh-api')).toEqual({});
    expect((await borrow('fresh')).reply.body['code']).toBe('secret_not_put');
    expect((await custody('fresh-api')).length).toBeGreaterThan(0);
    expect((await put('fresh-api', 'fresh-3')).body['version']).toBe(3);
  });
});

describe('putting a secret in', () => {
  it('is for administrators alone', async () => {
    const auditor = await person(cast.service, 'Audrey', [], { roles: ['auditor'] });
    const approver = await person(cast.service, 'Arne', ['data-owners']);
    for (const who of [cast.agent, auditor, approver]) {
      const reply = await who.call('PUT', '/v1/static-secrets/legacy-api', { value: 'mine now' });
      expect(reply.status).toBe(403);
      expect((await who.call('DELETE', '/v1/static-secrets/legacy-api')).status).toBe(403);
    }
    expect((await auditor.call('GET', '/v1/static-secrets/legacy-api/custody')).status).toBe(200);
    for (const who of [cast.agent, approver])
      expect((await who.call('GET', '/v1/static-secrets')).status).toBe(403);
  });

  it.each<[string, string, JsonObject]>([
    ['no name', 'Not%20a%20name', { value: 'x' }],
    ['nothing', 'legacy-api', { value: '' }],
    ['too much', 'legacy-api', { value: 'x'.repeat(16_385) }],
    ['something else', 'legacy-api', { value: 'x', version: 7 }],
  ])('is refused with %s', async (_what, name, body) => {
    const reply = await admin(cast.service).call('PUT', `/v1/static-secrets/${name}`, body);
    expect([reply.status, reply.body['code']]).toEqual([400, 'invalid_request']);
  });
});

describe('I5: at rest', () => {
  it('I5: a stored secret is nowhere in our tables in clear, and an earlier version is nowhere at all', async () => {
    const { sql } = cast.service.database.owner;
    const rows = await sql<{ name: string; sealed: Uint8Array; sealed_key: Uint8Array }[]>`
      select name, sealed, sealed_key from static_secret where sealed is not null`;
    expect(rows.length).toBeGreaterThan(2);
    for (const { sealed, sealed_key: key } of rows) {
      expect(Buffer.from(sealed).toString('latin1')).not.toContain('second-');
      // A key of its own for each: what seals one opens no other.
      expect(rows.filter((each) => Buffer.compare(each.sealed_key, key) === 0)).toHaveLength(1);
    }
  });

  it('I5: a secret that was moved under another name, or back in time, is not lent', async () => {
    const { sql } = cast.service.database.owner;
    await put('shared-api', 'shared-2');
    await sql`update static_secret set sealed = s.sealed, sealed_key = s.sealed_key
      from static_secret s where s.name = 'fresh-api' and static_secret.name = 'legacy-api'`;
    const task = await startTask(cast.agent);
    const reply = await cast.agent.call('POST', `/v1/tasks/${task}/credentials`, {
      role: 'legacy',
      seal_to: cast.seal.publicJwk,
    });
    expect([reply.status, reply.body['code']]).toEqual([503, 'target_unavailable']);
    // Putting it in again mends it.
    expect((await put('legacy-api', 'again')).status).toBe(200);
    const mended = await borrow('legacy');
    expect(mended.value).toBe('again');
    await finish(mended.task);
  });
});

describe('the reminder to replace a secret', () => {
  const remind = () =>
    transact(
      inside.deps,
      { principal: { kind: 'workflow', id: 'housekeeping' }, traceId: null },
      (unit) => remindOfRotation(unit, inside.deps),
    );

  it('comes when it is old or tainted, once a day, and not before', async () => {
    const { sql } = cast.service.database.owner;
    await put('legacy-api', `young-${VALUE}`);
    await remind();
    expect(await eventsOf('secret.rotation_due', 'legacy-api')).toEqual([]);
    await sql`update static_secret set put_at = now() - interval '31 days' where name = 'legacy-api'`;
    await remind();
    await remind();
    const due = await eventsOf('secret.rotation_due', 'legacy-api');
    expect(due).toHaveLength(1);
    expect(due[0]).toMatchObject({ because: 'age' });
    await sql`update static_secret set reminded_at = now() - interval '25 hours' where name = 'legacy-api'`;
    await remind();
    expect(await eventsOf('secret.rotation_due', 'legacy-api')).toHaveLength(2);
    await put('legacy-api', `newest-${VALUE}`);
    const { task } = await borrow('legacy');
    await remind();
    expect(await eventsOf('secret.rotation_due', 'legacy-api')).toHaveLength(2);
    await finish(task);
    await remind();
    const all = await eventsOf('secret.rotation_due', 'legacy-api');
    expect(all.map((each) => text(each['because'])).toSorted()).toEqual(['age', 'age', 'tainted']);
  });
});

it('a chain of custody longer than a page is read page by page, each loan once', async () => {
  const seal = await newKey();
  await put('legacy-api', 'paged');
  for (let count = 0; count < 3; count += 1) {
    const task = await startTask(cast.agent);
    await askCredential(cast.agent, task, { role: 'legacy', seal_to: seal.publicJwk });
    await finish(task);
  }
  const all = (await custody('legacy-api')).map((loan) => loan['credential']);
  const read = [];
  let cursor = '';
  do {
    const page = await admin(cast.service).call(
      'GET',
      `/v1/static-secrets/legacy-api/custody?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`,
    );
    read.push(...list(page.body['data']).map((loan) => loan['credential']));
    cursor = text(page.body['next_cursor']);
  } while (cursor !== '');
  expect(read).toEqual(all);
  expect(new Set(read).size).toBe(read.length);
});
