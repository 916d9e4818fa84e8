import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { detailsOf, hold, seen, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  anyone,
  askCredential,
  list,
  newKey,
  object,
  registerAgent,
  text,
  vote,
  type TestAgent,
} from '../support/client.ts';

let cast: Cast;
let other: TestAgent;

beforeAll(async () => {
  cast = await startCast();
  other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
});
afterAll(() => cast.close());

const withKey = (): Record<string, string> => ({ 'idempotency-key': randomUUID() });

/** Makes a request run out of time, before any clock of the service looks. */
async function runOut(request: string): Promise<void> {
  await cast.service.database.owner.sql`
    update request set expires_at = now() - interval '1 second' where id = ${request}`;
}

describe('votes', () => {
  it('I4: an agent that has nothing to do with a request is told that it takes a human, and that is logged', async () => {
    const { request } = await hold(cast.agent, cast.seal);
    const reply = await other.call('POST', `/v1/requests/${request}/votes`, {
      decision: 'approve',
      shown: 'sha256:00',
    });
    expect(reply.status).toBe(403);
    expect(reply.body['code']).toBe('human_required');
    const [refused] = await detailsOf(cast.service, request, 'vote.refused');
    expect(refused).toMatchObject({ code: 'human_required', principal: 'agent', person: null });
    const nowhere = await other.call('POST', '/v1/requests/req_none/votes', {
      decision: 'approve',
      shown: 'x',
    });
    expect(nowhere.body['code']).toBe('not_found');
  });
});

describe('the end of a request', () => {
  it('I6: a request that ran out as its task ended is an expiry, and a late vote hears so', async () => {
    const { service, agent, seal, approver } = cast;
    const { request, task } = await hold(agent, seal);
    await runOut(request);
    expect((await agent.call('POST', `/v1/tasks/${task}/complete`, {})).status).toBe(202);
    expect((await seen(service, request))['state']).toBe('expired');
    expect(await detailsOf(service, request, 'request.cancelled')).toEqual([]);
    expect(await detailsOf(service, request, 'request.expired')).toHaveLength(1);
    const late = await vote(approver, request, 'approve');
    expect([late.status, late.body['code']]).toEqual([410, 'request_expired']);
  });

  it('I6: what ran out can no longer be withdrawn: it expired', async () => {
    const { request } = await hold(cast.agent, cast.seal);
    await runOut(request);
    const reply = await cast.agent.call('POST', `/v1/requests/${request}/cancel`, {});
    expect(reply.body).toMatchObject({ code: 'already_decided', state: 'expired' });
    expect(await detailsOf(cast.service, request, 'request.expired')).toHaveLength(1);
  });

  it('a request is withdrawn once, and a repeat with the same key has the same answer', async () => {
    const { request } = await hold(cast.agent, cast.seal);
    const path = `/v1/requests/${request}/cancel`;
    const key = withKey();
    const first = await cast.agent.call('POST', path, {}, key);
    expect([first.status, first.body['state']]).toEqual([200, 'cancelled']);
    const again = await cast.agent.call('POST', path, {});
    expect(again.status).toBe(409);
    expect(again.body).toMatchObject({ code: 'already_decided', state: 'cancelled' });
    const replayed = await cast.agent.call('POST', path, {}, key);
    expect([replayed.status, replayed.text]).toEqual([200, first.text]);
    expect(await detailsOf(cast.service, request, 'request.cancelled')).toHaveLength(1);
  });

  it('only whoever asked can withdraw a request', async () => {
    const { service, agent, owner, approver, seal } = cast;
    const { request } = await hold(agent, seal);
    for (const caller of [admin(service), approver, owner]) {
      const reply = await caller.call('POST', `/v1/requests/${request}/cancel`, {});
      expect([reply.status, reply.body['code']]).toEqual([403, 'forbidden']);
    }
    const { reply } = await registerAgent(service, owner.id);
    const admission = text(reply.body['request']);
    const path = `/v1/requests/${admission}/cancel`;
    expect((await approver.call('POST', path, {})).status).toBe(403);
    expect((await admin(service).call('POST', path, {})).body['state']).toBe('cancelled');
  });
});

describe('idempotency', () => {
  it('I8: a lost answer to a sign-in comes again with the same key, session and cookie', async () => {
    const { service } = cast;
    const invited = await admin(service).call('POST', '/v1/people', {
      name: 'Lena',
      roles: ['approver'],
      groups: [],
    });
    const token = text(invited.body['sign_in_url']).split('/').at(-1) ?? '';
    const key = withKey();
    const signIn = (headers: Record<string, string>) =>
      anyone(service).call('POST', '/v1/sessions', { token }, headers);
    const [first, second] = await Promise.all([signIn(key), signIn(key)]);
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(second.text).toBe(first.text);
    const cookie = first.headers.get('set-cookie') ?? '';
    expect(cookie).toMatch(/^cs_session=.{20,}; .*HttpOnly/);
    expect(second.headers.get('set-cookie')).toBe(cookie);
    expect((await signIn(key)).headers.get('idempotent-replayed')).toBe('true');
    expect((await signIn(withKey())).body['code']).toBe('link_used');
    expect((await signIn({})).body['code']).toBe('link_used');
    const me = await anyone(service).call('GET', '/v1/session', undefined, {
      cookie: cookie.split(';')[0] ?? '',
    });
    expect(me.body['csrf_token']).toBe(first.body['csrf_token']);
    const [kept] = await service.database.owner.sql<{ found: string }[]>`
      select count(*)::text as found from idempotency
      where position(${Buffer.from('csrf_token')}::bytea in reply) > 0`;
    expect(kept?.found).toBe('0');
  });

  it('I8: ending a task has the same answer again, and waiting for its end is no replay', async () => {
    const task = await startTask(cast.agent);
    const path = `/v1/tasks/${task}/complete`;
    const key = withKey();
    const first = await cast.agent.call('POST', path, {}, key);
    expect(first.status).toBe(202);
    const again = await cast.agent.call('POST', path, {}, key);
    expect([again.status, again.text]).toEqual([202, first.text]);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    const waited = await cast.agent.call('POST', path, {}, { ...key, prefer: 'wait=20' });
    expect([waited.status, waited.body['state']]).toEqual([200, 'completed']);
    expect(waited.headers.get('idempotent-replayed')).toBeNull();
  });

  it('a task that was completed cannot be said to have failed, nor the other way round', async () => {
    const opposites = { complete: 'fail', fail: 'complete' } as const;
    for (const [first, second] of Object.entries(opposites)) {
      const task = await startTask(cast.agent);
      const say = (verb: string) =>
        cast.agent.call(
          'POST',
          `/v1/tasks/${task}/${verb}`,
          verb === 'fail' ? { reason: 'x' } : {},
        );
      expect((await say(first)).status).toBe(202);
      expect((await say(first)).status).toBe(202);
      const reply = await say(second);
      expect([reply.status, reply.body['code']]).toEqual([409, 'wrong_state']);
    }
  });
});

describe('what is wrong with a call', () => {
  it('more seconds than any role has are too long, not malformed', async () => {
    const task = await startTask(cast.agent);
    const reply = await askCredential(cast.agent, task, {
      role: 'reports-api',
      seal_to: cast.seal.publicJwk,
      ttl_seconds: 90_000,
    });
    expect([reply.status, reply.body['code']]).toEqual([422, 'ttl_too_long']);
  });

  it('a key off its curve is refused without a word from inside', async () => {
    const key = { ...(await newKey()).publicJwk, x: Buffer.alloc(32, 7).toString('base64url') };
    const { reply } = await registerAgent(cast.service, cast.owner.id, { keys: [key] });
    expect(reply.status).toBe(422);
    expect(Object.keys(reply.body).toSorted()).toEqual([
      'code',
      'detail',
      'request_id',
      'status',
      'title',
      'type',
    ]);
  });

  it('the pointer to the whole body is empty, and one to a member escapes its name', async () => {
    const say = async (body: never[] | { 'a/b~c': number }) => {
      const reply = await admin(cast.service).call('POST', '/v1/people', body);
      expect(reply.status).toBe(400);
      return list(reply.body['errors']).map((each) => each['pointer']);
    };
    expect(await say([])).toEqual(['']);
    expect(await say({ 'a/b~c': 1 })).toContain('/a~1b~0c');
  });

  it('a mistake is named by its member and said in plain words', async () => {
    const cases: [string, object, string][] = [
      ['/v1/tasks', { ttl_seconds: 60 }, 'purpose is missing'],
      [
        '/v1/tasks',
        { purpose: 'p', ttl_seconds: 0 },
        'ttl_seconds must be a whole number from 1 to 86400',
      ],
      ['/v1/tasks', { purpose: 'p', ttl_seconds: 'x' }, 'ttl_seconds must be a whole number'],
      ['/v1/tasks', { purpose: 7, ttl_seconds: 9 }, 'purpose must be a text of 1 to 2000'],
      ['/v1/tasks', { purpose: 'p', ttl_seconds: 9, more: 1 }, 'more is not a member of this'],
    ];
    for (const [path, body, says] of cases) {
      const reply = await cast.agent.call('POST', path, { ...body });
      expect(reply.body['code']).toBe('invalid_request');
      expect(text(reply.body['detail'])).toContain(says);
      expect(reply.text).not.toMatch(/Invalid input|expected|undefined/);
    }
    const people = admin(cast.service);
    const role = await people.call('POST', '/v1/people', {
      name: 'X',
      roles: ['boss'],
      groups: [],
    });
    expect(role.body['detail']).toContain('roles.0 must be one of admin, approver, auditor, owner');
    const mail = await people.call('POST', '/v1/people', {
      name: 'X',
      email: 'nobody',
      roles: [],
      groups: [],
    });
    expect(mail.body['detail']).toContain('email must be an e-mail address');
    const query = await people.call('GET', '/v1/people?limit=0');
    expect(query.body['detail']).toContain('limit must be a whole number from 1 to 500');
  });

  it('whoever may call is named in full when somebody else does', async () => {
    const said = async (method: string, path: string) =>
      (await cast.agent.call(method, path, method === 'GET' ? undefined : {})).body['detail'];
    expect(await said('POST', '/v1/people')).toBe(
      'This is for administrators and the admin token.',
    );
    expect(await said('GET', '/v1/people')).toBe(
      'This is for auditors, administrators and the admin token.',
    );
  });

  it('a path that is there says which methods it takes when it is called with another', async () => {
    const { service } = cast;
    const people = await admin(service).call('DELETE', '/v1/people');
    expect([people.status, people.body['code']]).toEqual([405, 'method_not_allowed']);
    expect(people.headers.get('allow')).toBe('GET, HEAD, POST');
    expect(people.headers.get('content-type')).toContain('application/problem+json');
    const tile = await anyone(service).call('POST', '/log/tile/0/000', {});
    expect([tile.status, tile.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    const nowhere = await anyone(service).call('POST', '/v1/nowhere', {});
    expect([nowhere.status, nowhere.headers.get('allow')]).toEqual([404, null]);
  });
});

describe('/openapi.json', () => {
  it('declares the headers that calls and answers have', async () => {
    const { body } = await anyone(cast.service).call('GET', '/openapi.json');
    const operation = (path: string, method: string) =>
      object(object(object(body['paths'])[path])[method]);
    const headersOf = (path: string, method: string, status: string) =>
      Object.keys(object(object(object(operation(path, method)['responses'])[status])['headers']));
    const credentials = '/v1/tasks/{id}/credentials';
    expect(headersOf(credentials, 'post', '202')).toEqual(['Idempotent-Replayed', 'Location']);
    expect(headersOf(credentials, 'post', '503')).toEqual(['Retry-After']);
    expect(headersOf('/v1/tasks', 'post', '201')).toEqual(['Idempotent-Replayed']);
    expect(headersOf('/v1/sessions', 'post', '201')).toContain('Set-Cookie');
    const parameters = list(operation('/v1/sessions', 'post')['parameters']);
    expect(parameters.map((each) => each['name'])).toContain('Idempotency-Key');
    expect(object(operation('/openapi.json', 'get'))['summary']).toBe('This document');
    expect(text(operation('/log/tile/{path}', 'get')['description'])).toContain('several segments');
    expect(text(operation('/v1/tasks/{id}/complete', 'post')['description'])).toContain(
      'no Idempotent-Replayed',
    );
  });
});
