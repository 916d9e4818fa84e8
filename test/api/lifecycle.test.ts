// An agent over its life: keys that overlap, rotations that are due, and owners who leave.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  bearer,
  clientAssertion,
  eventually,
  list,
  newKey,
  object,
  person,
  requestToken,
  signIn,
  text,
  vote,
  type TestAgent,
  type TestKey,
} from '../support/client.ts';
import { eventsAbout } from '../support/leases.ts';

let cast: Cast;

beforeAll(async () => {
  cast = await startCast();
});
afterAll(() => cast.close());

const keysOf = async (agent: string) =>
  list((await admin(cast.service).call('GET', `/v1/agents/${agent}`)).body['keys']);

async function addKey(agent: TestAgent): Promise<TestKey> {
  const key = await newKey();
  const asked = await admin(cast.service).call('POST', `/v1/agents/${agent.id}/keys`, {
    key: key.publicJwk,
  });
  await vote(cast.approver, text(object(asked.body['request'])['id']), 'approve');
  await eventually(async () => (await keysOf(agent.id)).length === 2);
  return key;
}

const retire = (agent: string, key: string, afterSeconds: number) =>
  admin(cast.service).call('POST', `/v1/agents/${agent}/keys/${key}/retire`, {
    after_seconds: afterSeconds,
  });

describe('a key that is retired', () => {
  it('signs in until its overlap is over, and then neither it nor what it signed in for is good', async () => {
    const agent = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const [old] = await keysOf(agent.id);
    const next = await addKey(agent);
    const retiring = await retire(agent.id, text(old?.['id']), 4);
    expect([retiring.status, retiring.body['state']]).toEqual([200, 'active']);
    const token = await signIn(cast.service, agent.id, agent.key);
    expect(token).not.toBe('');
    expect((await bearer(cast.service, token).call('GET', '/v1/tasks')).status).toBe(200);
    await eventually(async () => {
      const key = (await keysOf(agent.id)).find(({ id }) => id === old?.['id']);
      return key?.['state'] === 'revoked';
    });
    expect(await signIn(cast.service, agent.id, agent.key)).toBe('');
    expect((await bearer(cast.service, token).call('GET', '/v1/tasks')).status).toBe(401);
    expect(await signIn(cast.service, agent.id, next)).not.toBe('');
    expect(await eventsAbout(cast.service, agent.id, 'agent.key_retiring')).toHaveLength(1);
    expect(await eventsAbout(cast.service, agent.id, 'agent.key_revoked')).toHaveLength(1);
  });

  it('I6: is no key any more when its time is over, though no worker notes it', async () => {
    const agent = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const [old] = await keysOf(agent.id);
    await addKey(agent);
    await retire(agent.id, text(old?.['id']), 3600);
    const { sql } = cast.service.database.owner;
    await sql`update agent_key set retire_at = now() - interval '1 second' where id = ${text(old?.['id'])}`;
    const assertion = await clientAssertion(cast.service, agent.id, agent.key);
    expect((await requestToken(cast.service, assertion)).status).toBe(401);
    expect((await agent.call('GET', '/v1/tasks')).status).toBe(401);
  });

  it('is never the last that stays, nor put off once its end was said', async () => {
    const agent = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const [old] = await keysOf(agent.id);
    expect((await retire(agent.id, text(old?.['id']), 60)).body['code']).toBe('wrong_state');
    await addKey(agent);
    const [first, second] = await keysOf(agent.id);
    const said = await retire(agent.id, text(first?.['id']), 60);
    expect((await retire(agent.id, text(second?.['id']), 60)).body['code']).toBe('wrong_state');
    const removed = await admin(cast.service).call(
      'DELETE',
      `/v1/agents/${agent.id}/keys/${text(second?.['id'])}`,
    );
    expect(removed.body['code']).toBe('wrong_state');
    const later = await retire(agent.id, text(first?.['id']), 3600);
    expect(later.body['retire_at']).toBe(said.body['retire_at']);
  });
});

describe('a rotation that is due', () => {
  it('is said when it is due, and again a week later', async () => {
    const agent = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const { sql } = cast.service.database.owner;
    const wake = async (): Promise<void> => {
      for (const verb of ['suspend', 'resume'])
        await admin(cast.service).call('POST', `/v1/agents/${agent.id}/${verb}`, {});
    };
    const said = async (): Promise<number> =>
      (await eventsAbout(cast.service, agent.id, 'agent.rotation_due')).length;
    await sql`update agent set rotation_due_at = now() - interval '1 second' where id = ${agent.id}`;
    await wake();
    await eventually(async () => (await said()) === 1);
    await wake();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(await said()).toBe(1);
    await sql`update agent set rotation_due_at = now() - interval '8 days',
      rotation_noted_at = now() - interval '7 days 1 second' where id = ${agent.id}`;
    await wake();
    await eventually(async () => (await said()) === 2);
  });
});

describe('an agent whose owner left', () => {
  it('is an orphan at once, starts nothing new after its time of grace, and can be given another owner', async () => {
    const { service, approver } = cast;
    const leaving = await person(service, 'Lea', []);
    const heir = await person(service, 'Hans', ['admins']);
    const agent = await admittedAgent(service, leaving.id, approver);
    const start = () => agent.call('POST', '/v1/tasks', { purpose: 'work', ttl_seconds: 60 });
    const leave = (state: string) =>
      admin(service).call('PATCH', `/v1/people/${leaving.id}`, { state });
    await leave('deactivated');
    const [said] = await eventsAbout(service, agent.id, 'agent.orphaned');
    expect(said).toMatchObject({ owner: leaving.id });
    const days = (Date.parse(text(said?.['grace_ends_at'])) - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(6.9);
    expect(days).toBeLessThan(7.1);
    expect((await start()).status).toBe(201);
    await leave('active');
    expect((await admin(service).call('GET', `/v1/agents/${agent.id}`)).body['orphaned_at']).toBe(
      null,
    );
    await leave('deactivated');
    const { sql } = service.database.owner;
    await sql`update agent set orphaned_at = now() - interval '8 days' where id = ${agent.id}`;
    const refused = await start();
    expect([refused.status, refused.body['code']]).toEqual([403, 'agent_orphaned']);

    const ask = (owner: string) =>
      admin(service).call('POST', `/v1/agents/${agent.id}/owner`, { owner });
    expect((await ask(leaving.id)).body['code']).toBe('person_unknown');
    const asked = await ask(heir.id);
    expect(asked.status).toBe(202);
    const request = text(object(asked.body['request'])['id']);
    await vote(approver, request, 'approve');
    await eventually(async () => {
      const { body } = await admin(service).call('GET', `/v1/agents/${agent.id}`);
      return body['owner'] === heir.id && body['orphaned_at'] === null;
    });
    expect((await start()).status).toBe(201);
    const changes = await eventsAbout(service, agent.id, 'agent.owner_changed');
    expect(changes.map(({ because }) => because)).toEqual(['returned', 'agreed']);
  });

  it('I4: goes to nobody by their own vote, where owners are barred', async () => {
    const { service } = cast;
    const heir = await person(service, 'Ines', ['admins']);
    const asked = await heir.call('POST', `/v1/agents/${cast.agent.id}/owner`, { owner: heir.id });
    expect(asked.status).toBe(403);
    const administrator = await person(service, 'Adam', ['admins'], { roles: ['admin'] });
    const own = await administrator.call('POST', `/v1/agents/${cast.agent.id}/owner`, {
      owner: administrator.id,
    });
    const request = text(object(own.body['request'])['id']);
    const voted = await vote(administrator, request, 'approve');
    expect(voted.body['code']).toBe('self_approval');
  });
});
