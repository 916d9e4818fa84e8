// The people behind an agent, and an agent that is stopped before it began.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { localPath } from '../../api/console/console.ts';
import { changePolicy, detailsOf, hold, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  askCredential,
  bearer,
  eventually,
  newKey,
  object,
  person,
  registerAgent,
  signIn,
  text,
  vote,
  type Reply,
  type TestKey,
  type TestPerson,
} from '../support/client.ts';

let cast: Cast;
let mallory: TestPerson;
beforeAll(async () => {
  cast = await startCast();
  mallory = await person(cast.service, 'Mallory', ['data-owners', 'admins'], {
    roles: ['approver', 'admin'],
  });
});
afterAll(() => cast.close());

const stateOf = async (id: string): Promise<string> =>
  text((await admin(cast.service).call('GET', `/v1/agents/${id}`)).body['state']);

/** Asks for `orders-write` as the agent that holds this key. */
async function askAs(agent: string, key: TestKey): Promise<string> {
  const caller = bearer(cast.service, await signIn(cast.service, agent, key));
  const { request } = await hold(caller, cast.seal);
  return request;
}

const orderOf = async (name: string, key: TestKey) => ({
  name,
  kind: 'ai_agent',
  owner: cast.owner.id,
  team: 'core',
  purpose: 'support',
  keys: [key.publicJwk],
});

describe('I4: whoever brought the keys of an agent decides on nothing it asks for', () => {
  it('I4: by registering it in the name of another owner', async () => {
    const key = await newKey();
    const registered = await mallory.call(
      'POST',
      '/v1/agents',
      await orderOf('in-the-name-of', key),
    );
    const id = text(registered.body['id']);
    await vote(cast.approver, text(registered.body['request']), 'approve');
    await eventually(async () => (await stateOf(id)) === 'active');
    const request = await askAs(id, key);
    expect((await vote(mallory, request, 'approve')).body['code']).toBe('self_approval');
    const [opened] = await detailsOf(cast.service, request, 'request.opened');
    expect(opened?.['owners']).toEqual([cast.owner.id, mallory.id]);
    expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
  });

  it('I4: by asking for another key', async () => {
    const key = await newKey();
    const asked = await mallory.call('POST', `/v1/agents/${cast.agent.id}/keys`, {
      key: key.publicJwk,
    });
    await vote(cast.approver, text(object(asked.body['request'])['id']), 'approve');
    await eventually(async () => {
      const { body } = await admin(cast.service).call('GET', `/v1/agents/${cast.agent.id}`);
      return Array.isArray(body['keys']) && body['keys'].length === 2;
    });
    const request = await askAs(cast.agent.id, key);
    expect((await vote(mallory, request, 'approve')).body['code']).toBe('self_approval');
  });
});

describe('an agent that waits for its admission', () => {
  it('is never admitted once it was killed', async () => {
    const { reply } = await registerAgent(cast.service, cast.owner.id);
    const [id, request] = [text(reply.body['id']), text(reply.body['request'])];
    const killed = await admin(cast.service).call('POST', `/v1/agents/${id}/kill`, {});
    expect([killed.status, await stateOf(id)]).toEqual([200, 'rejected']);
    expect((await vote(cast.approver, request, 'approve')).body['code']).toBe('already_decided');
    expect(await detailsOf(cast.service, request, 'request.cancelled')).toHaveLength(1);
    expect(await stateOf(id)).toBe('rejected');
  });

  it('has its name alone, though two ask for it at the same moment', async () => {
    const orders = await Promise.all(
      Array.from({ length: 6 }, async () => orderOf('wanted-by-all', await newKey())),
    );
    const replies: Reply[] = await Promise.all(
      orders.map((order) => admin(cast.service).call('POST', '/v1/agents', order)),
    );
    const codes = replies.map(({ status, body }) => (status === 201 ? 'made' : body['code']));
    expect(codes.filter((code) => code === 'made')).toHaveLength(1);
    expect(codes.filter((code) => code === 'name_taken')).toHaveLength(5);
  });
});

describe('I3: a target with logins that are alive', () => {
  it('neither goes away nor moves to another server under them', async () => {
    const task = await startTask(cast.agent);
    await askCredential(cast.agent, task, {
      role: 'orders-readonly',
      seal_to: cast.seal.publicJwk,
    });
    const moved = (files: Record<string, string>) => ({
      ...files,
      'roles.yaml': (files['roles.yaml'] ?? '').replace(
        'COUNTERSIGN_SAMPLE_TARGET_URL',
        'ANOTHER_TARGET_URL',
      ),
    });
    const refused = await changePolicy(cast.service, cast.approver, moved);
    expect([refused.status, refused.body['code']]).toEqual([409, 'wrong_state']);
    expect(refused.body['detail']).toContain('moves the target "sample"');
    await cast.agent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: 'wait=30' });
  });
});

it('where to go after signing in is a path of ours, whatever it looks like', () => {
  for (const next of [
    '//evil.example',
    '/.//evil.example',
    '/..//evil.example/x',
    '/%2e//evil.example',
    '/\\evil.example',
    'https://evil.example',
    '/a/..//evil.example',
  ])
    expect([next, localPath(next).startsWith('//')]).toEqual([next, false]);
  expect(localPath('/requests/req_1?x=1')).toBe('/requests/req_1?x=1');
});
