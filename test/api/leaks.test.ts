import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { hold, startTask } from '../support/cast.ts';
import {
  admin,
  anyone,
  eventually,
  list,
  newKey,
  object,
  opened,
  person,
  text,
  vote,
  type Reply,
  type TestPerson,
} from '../support/client.ts';
import { delegated, startWith } from '../support/delegation.ts';
import { startLeakStage, type LeakStage } from '../support/leaked.ts';

let stage: LeakStage;
beforeAll(async () => {
  stage = await startLeakStage();
});
afterAll(() => stage.close());

const firstMatch = (reply: Reply): JsonObject => list(reply.body['matches'])[0] ?? {};
const leaseIn = (reply: Reply): JsonObject => object(firstMatch(reply)['credential']);

describe('a leaked secret of ours', () => {
  it('leads from the password alone to its lease, and the login is dead when the answer comes', async () => {
    const login = await stage.given('orders-readonly');
    const sql = postgres(text(login.material['url']), { max: 1, onnotice: () => undefined });
    await sql`select 1`;
    const reply = await stage.report({
      secret: stage.secretOf(login),
      where: 'https://paste.example/1',
    });
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({ state: 'dead', where: 'https://paste.example/1' });
    expect(firstMatch(reply)).toMatchObject({
      proof: 'secret',
      outcome: 'revoked',
      agent_suspended: false,
      agent: { id: login.agent.id, owner: stage.cast.owner.id },
    });
    expect(leaseIn(reply)).toMatchObject({ id: login.id, task: login.task, state: 'revoked' });
    expect(Number(reply.body['seconds_to_dead'])).toBeLessThan(10);
    await sql.end({ timeout: 1 }).catch(() => undefined);
    const again = postgres(text(login.material['url']), { max: 1, onnotice: () => undefined });
    await expect(again`select 1`).rejects.toThrow(/password authentication failed|does not exist/);
    await again.end({ timeout: 1 }).catch(() => undefined);
    const view = await stage.stateOf(login.id);
    expect(view['seconds_to_dead']).not.toBeNull();
    const closed = await stage.eventsOf('leak.closed', text(reply.body['id']));
    expect(closed).toMatchObject([{ credentials: 1, seconds: reply.body['seconds_to_dead'] }]);
    expect(await stage.eventsOf('leak.matched', text(reply.body['id']))).toMatchObject([
      { credential: login.id, proof: 'secret', outcome: 'revoked' },
    ]);
  });

  it('is found in a whole file that somebody pasted', async () => {
    const login = await stage.given('orders-readonly');
    stage.pasted.push(text(login.material['password']));
    const reply = await stage.report({
      secret: `# .env\nDEBUG=1\nDATABASE_URL="${text(login.material['url'])}"\n`,
    });
    expect(leaseIn(reply)['id']).toBe(login.id);
  });

  it('is a signed token, and is refused by introspection from then on', async () => {
    const jwt = await stage.given('reports-api');
    const reply = await stage.report({
      secret: `curl -H "Authorization: Bearer ${stage.secretOf(jwt)}"`,
    });
    expect(leaseIn(reply)).toMatchObject({ id: jwt.id, state: 'revoked' });
    const asked = await fetch(`${stage.cast.service.url}/oauth2/introspect`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stage.cast.service.adminToken}` },
      body: new URLSearchParams({ token: text(jwt.material['token']) }),
    });
    expect(await asked.json()).toEqual({ active: false });
  });

  it('that was handed on is the end of what its holder has, and not of whoever handed it on', async () => {
    const [parent, child] = [await stage.newAgent(), await stage.newAgent()];
    const { service } = stage.cast;
    const task = await startTask(parent);
    const token = await delegated(service, parent, task, child);
    stage.pasted.push(token);
    const reply = await stage.report({ secret: token, policy: 'suspend' });
    expect(reply.body['matches']).toMatchObject([
      { proof: 'secret', outcome: 'revoked', agent_suspended: true, agent: { id: child.id } },
    ]);
    expect((await startWith(service, token)).status).toBe(401);
    expect((await parent.call('GET', `/v1/tasks/${task}`)).body['state']).toBe('running');
  });

  it('was collected with another key, and leads to its lease all the same', async () => {
    const held = await hold(stage.cast.agent, await newKey());
    await vote(stage.cast.approver, held.request, 'approve');
    await eventually(async () => {
      const seen = await stage.cast.agent.call('GET', `/v1/requests/${held.request}`);
      return seen.body['collectable'] === true;
    });
    const collected = await stage.cast.agent.call('POST', `/v1/requests/${held.request}/collect`, {
      seal_to: stage.cast.seal.publicJwk,
    });
    const material = await opened(collected.body['sealed'], stage.cast.seal);
    stage.pasted.push(text(material['password']));
    const reply = await stage.report({ secret: text(material['password']) });
    expect(leaseIn(reply)['id']).toBe(collected.body['id']);
  });

  it('leads nowhere else: what the same agent holds besides stays', async () => {
    const agent = await stage.newAgent();
    const [lost, kept] = [
      await stage.given('reports-api', agent),
      await stage.given('reports-api', agent),
    ];
    const reply = await stage.report({ secret: stage.secretOf(lost) });
    expect(list(reply.body['matches'])).toHaveLength(1);
    expect((await stage.stateOf(kept.id))['state']).toBe('active');
    expect((await agent.call('GET', '/v1/tasks')).status).toBe(200);
  });

  it('suspends its agent where the report says so, and everything it holds ends', async () => {
    const agent = await stage.newAgent();
    const [lost, other] = [
      await stage.given('reports-api', agent),
      await stage.given('reports-api', agent),
    ];
    const reply = await stage.report({ secret: stage.secretOf(lost), policy: 'suspend' });
    expect(firstMatch(reply)).toMatchObject({
      agent_suspended: true,
      agent: { state: 'suspended' },
    });
    expect((await agent.call('GET', '/v1/tasks')).status).toBe(403);
    await eventually(async () => (await stage.stateOf(other.id))['state'] === 'revoked');
  });

  it('that died before is told as such, and stops nobody', async () => {
    const agent = await stage.newAgent();
    const jwt = await stage.given('reports-api', agent);
    await agent.call('POST', `/v1/tasks/${jwt.task}/complete`, {}, { prefer: 'wait=20' });
    const reply = await stage.report({ secret: stage.secretOf(jwt), policy: 'suspend' });
    expect(reply.body['state']).toBe('dead_before');
    expect(firstMatch(reply)).toMatchObject({ outcome: 'dead_before', agent_suspended: false });
    expect(reply.body['seconds_to_dead']).toBeNull();
    expect(await stage.eventsOf('leak.closed', text(reply.body['id']))).toEqual([]);
  });

  it('reported by two at once ends once, and both are told when it is dead', async () => {
    const jwt = await stage.given('reports-api');
    const secret = stage.secretOf(jwt);
    const both = await Promise.all([stage.report({ secret }), stage.report({ secret })]);
    const states = both.map((reply) => text(reply.body['state']));
    expect(states.every((state) => state === 'dead' || state === 'dead_before')).toBe(true);
    expect(states).toContain('dead');
    const { body } = await admin(stage.cast.service).call(
      'GET',
      `/v1/events?task=${jwt.task}&type=credential.revoke_intended`,
    );
    expect(list(body['data'])).toHaveLength(1);
  });

  it('is an access token of the agent itself: it is signed out, and its key signs in again', async () => {
    const agent = await stage.newAgent();
    const token = await agent.token();
    stage.pasted.push(token);
    const reply = await stage.report({ secret: token });
    expect(reply.body['state']).toBe('dead');
    expect(firstMatch(reply)).toMatchObject({ credential: null, agent: { id: agent.id } });
    expect((await agent.call('GET', '/v1/tasks')).status).toBe(401);
    await eventually(async () => {
      const fresh = { authorization: `Bearer ${await agent.token()}` };
      return (
        (await anyone(stage.cast.service).call('GET', '/v1/tasks', undefined, fresh)).status === 200
      );
    }, 'a new sign-in');
  });

  it('says since when it was given and what was seen done with it', async () => {
    const login = await stage.given('orders-readonly');
    const sql = postgres(text(login.material['url']), { max: 1, onnotice: () => undefined });
    await sql`select 1`;
    await sql.end();
    await eventually(
      async () => (await stage.stateOf(login.id))['last_used_at'] !== null,
      'the observer',
    );
    const reply = await stage.report({ secret: stage.secretOf(login) });
    expect(leaseIn(reply)['issued_at']).not.toBeNull();
    expect(leaseIn(reply)['last_used_at']).not.toBeNull();
    expect(list(firstMatch(reply)['seen']).map((each) => each['kind'])).toContain('session_opened');
  });
});

describe('a hint', () => {
  it('of an administrator ends what it names', async () => {
    const login = await stage.given('orders-readonly');
    const reply = await stage.report({ hint: `seen: ${text(login.material['username'])}` });
    expect(firstMatch(reply)).toMatchObject({ proof: 'name', outcome: 'revoked' });
    expect(leaseIn(reply)['id']).toBe(login.id);
  });
});

describe('what is not ours', () => {
  it.each([
    'AKIAIOSFODNN7EXAMPLE and wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    'hunter2',
    `eyJhbGciOiJub25lIn0.${Buffer.from('{"jti":"x"}').toString('base64url')}.AAAAAAAAAAAA`,
  ])('is said not to be, with what was looked for: %s', async (secret) => {
    const reply = await stage.report({ secret });
    expect(reply.body).toMatchObject({ state: 'not_ours', matches: [], seconds_to_dead: null });
    expect(Object.keys(object(reply.body['looked_for'])).toSorted()).toEqual([
      'certificates',
      'fingerprints',
      'names',
      'tokens',
    ]);
  });

  it('is a token that only claims to be of a lease', async () => {
    const jwt = await stage.given('reports-api');
    const [head, , signature] = stage.secretOf(jwt).split('.');
    const other = await stage.given('reports-api');
    const claims = { iss: stage.cast.service.publicUrl, jti: other.id, exp: 9_999_999_999 };
    const forged = [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature];
    expect((await stage.report({ secret: forged.join('.') })).body['state']).toBe('not_ours');
    expect((await stage.stateOf(other.id))['state']).toBe('active');
  });
});

describe('a report', () => {
  it('is refused without anything to look for', async () => {
    expect((await stage.report({})).body['code']).toBe('invalid_request');
  });

  it('is refused when the place it names, which is kept, holds the secret', async () => {
    const jwt = await stage.given('reports-api');
    const secret = stage.secretOf(jwt);
    const reply = await stage.report({ secret, where: `https://evil.example/?t=${secret}` });
    expect([reply.status, reply.body['code']]).toEqual([400, 'invalid_request']);
    const hidden = await stage.report({
      hint: 'a token',
      where: `https://evil.example/?t=${secret}`,
    });
    expect(hidden.body['code']).toBe('invalid_request');
    expect((await stage.stateOf(jwt.id))['state']).toBe('active');
  });

  it('I8: sent again under its key is answered the same, and another secret under it is refused', async () => {
    const jwt = await stage.given('reports-api');
    const key = { 'idempotency-key': randomUUID(), prefer: '' };
    const secret = stage.secretOf(jwt);
    const [first, second] = [
      await stage.report({ secret }, key),
      await stage.report({ secret }, key),
    ];
    expect(second.body['id']).toBe(first.body['id']);
    expect((await stage.report({ secret: 'another secret of somebody' }, key)).body['code']).toBe(
      'idempotency_mismatch',
    );
  });
});

describe('the page for leaks', () => {
  const send = (by: TestPerson, fields: Record<string, string>): Promise<Response> =>
    fetch(`${stage.cast.service.url}/leaks`, {
      method: 'POST',
      redirect: 'manual',
      headers: { cookie: by.cookie },
      body: new URLSearchParams({ csrf_token: by.csrf, source: 'a page', ...fields }),
    });

  it('I5: takes a secret by POST alone, shows where it led, and never shows it again', async () => {
    const adam = await person(stage.cast.service, 'Adam', [], { roles: ['admin'] });
    const jwt = await stage.given('reports-api');
    const secret = stage.secretOf(jwt);
    const refused = await send(adam, { secret, where: `https://evil.example/${secret}` });
    stage.answers.push(await refused.text());
    expect(refused.status).toBe(400);
    const once = randomUUID();
    const [taken, again] = [await send(adam, { secret, once }), await send(adam, { secret, once })];
    const place = taken.headers.get('location') ?? '';
    expect([taken.status, again.headers.get('location')]).toEqual([303, place]);
    expect(place).toMatch(/^\/leaks\/lek_[0-9a-z]{26}$/);
    for (const path of [place, '/leaks']) {
      const seen = await fetch(stage.cast.service.url + path, { headers: { cookie: adam.cookie } });
      const html = await seen.text();
      stage.answers.push(html);
      expect(html).toContain(stage.cast.agent.name);
    }
    await eventually(async () => (await stage.stateOf(jwt.id))['state'] === 'revoked');
  });

  it('is for administrators to fill in', async () => {
    const auditor = await person(stage.cast.service, 'Audrey', [], { roles: ['auditor'] });
    expect((await send(auditor, { secret: 'whatever it is' })).status).toBe(403);
    const strange = await send({ ...auditor, csrf: 'wrong' }, { secret: 'whatever it is' });
    expect(strange.status).toBe(403);
  });
});

describe('time to dead', () => {
  it('is a histogram of the service', async () => {
    const response = await fetch(`${stage.cast.service.url}/metrics`);
    const metrics = await response.text();
    const counted = /countersign_leak_seconds_to_dead_count (\d+)/.exec(metrics)?.[1];
    expect(Number(counted)).toBeGreaterThan(4);
  });
});

describe('I5: what was pasted', () => {
  it('is in no table, no event, no log line and no answer', async () => {
    expect(stage.pasted.length).toBeGreaterThan(4);
    for (const { place, bytes, found } of await stage.sweep()) {
      expect(bytes).toBeGreaterThan(200);
      expect({ place, found }).toEqual({ place, found: 0 });
    }
  });
});
