import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { startCast, startTask, type Cast } from '../support/cast.ts';
import { admin, admittedAgent, askCredential, list, object, text } from '../support/client.ts';

let cast: Cast;
let credential: string;
let task: string;

beforeAll(async () => {
  cast = await startCast();
  task = await startTask(cast.agent);
  const ask = { role: 'reports-api', seal_to: cast.seal.publicJwk };
  credential = text((await askCredential(cast.agent, task, ask)).body['id']);
});
afterAll(() => cast.close());

const place = (body: JsonObject, by = cast.agent) =>
  by.call('POST', `/v1/credentials/${credential}/deliveries`, body);

const FILE = { kind: 'file', path: '/run/secrets/orders', host: 'worker-7.example' };

describe('where a secret was put', () => {
  it('is told by its agent, listed on the credential, and on record with the path kept private', async () => {
    expect((await place(FILE)).status).toBe(201);
    expect((await place({ kind: 'env', path: 'PGPASSWORD' })).status).toBe(201);
    for (const reader of [cast.agent, cast.owner, admin(cast.service)]) {
      const reply = await reader.call('GET', `/v1/credentials/${credential}/deliveries`);
      expect(list(reply.body['data'])).toMatchObject([FILE, { kind: 'env', path: 'PGPASSWORD' }]);
    }
    const events = await admin(cast.service).call(
      'GET',
      `/v1/events?task=${task}&type=credential.delivered`,
    );
    const [event] = list(events.body['data']);
    expect(JSON.stringify(event?.['data'])).not.toContain('/run/secrets');
    expect(object(event?.['disclosed'])).toEqual({ path: FILE.path, host: FILE.host });
  });

  it.each([
    { kind: 'file', path: 'relative/path' },
    { kind: 'file', path: '/run/../etc/passwd' },
    { kind: 'socket', path: '/run/a\nb' },
    { kind: 'env', path: '/PATH' },
    { kind: 'env', path: 'A=B' },
    { kind: 'file', path: '/a', host: 'two words' },
  ])('has to be a place: %j', async (body) => {
    expect((await place(body)).body['code']).toBe('invalid_request');
  });

  it('is nobody else’s to say or to see', async () => {
    const other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    expect((await place(FILE, other)).status).toBe(404);
    const path = `/v1/credentials/${credential}/deliveries`;
    expect((await other.call('GET', path)).status).toBe(404);
    expect((await cast.approver.call('GET', path)).status).toBe(403);
  });

  it('is no more to be told once the credential is gone', async () => {
    await cast.agent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: 'wait=20' });
    expect((await place(FILE)).body['code']).toBe('wrong_state');
  });
});
