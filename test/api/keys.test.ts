// Keys after admission: whoever could add one alone could become the agent.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { detailsOf, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  clientAssertion,
  eventually,
  list,
  newKey,
  object,
  registerAgent,
  requestToken,
  text,
  vote,
  type TestAgent,
  type TestKey,
} from '../support/client.ts';

let cast: Cast;
beforeAll(async () => {
  cast = await startCast();
});
afterAll(() => cast.close());

const ask = (agent: { id: string }, key: TestKey) =>
  admin(cast.service).call('POST', `/v1/agents/${agent.id}/keys`, { key: key.publicJwk });

const tokenBy = async (agent: { id: string }, key: TestKey): Promise<number> =>
  (await requestToken(cast.service, await clientAssertion(cast.service, agent.id, key))).status;

const newAgent = (): Promise<TestAgent> =>
  admittedAgent(cast.service, cast.owner.id, cast.approver);

const keysOf = async (agent: { id: string }) =>
  list((await admin(cast.service).call('GET', `/v1/agents/${agent.id}`)).body['keys']);

describe('I2: another key for an admitted agent', () => {
  it('waits for the people who admit agents, and lets nobody in before', async () => {
    const agent = await newAgent();
    const key = await newKey();
    const reply = await ask(agent, key);
    expect(reply.status).toBe(202);
    const request = object(reply.body['request']);
    expect(reply.headers.get('location')).toBe(`/v1/requests/${text(request['id'])}`);
    expect(object(object(request['action'])['parameters'])['jwk']).toEqual(key.publicJwk);
    expect(await tokenBy(agent, key)).toBe(401);
    expect((await vote(cast.approver, text(request['id']), 'approve')).status).toBe(201);
    await eventually(async () => (await tokenBy(agent, key)) === 200, 'the new key to be known');
    expect(await tokenBy(agent, agent.key)).toBe(200);
    expect(await detailsOf(cast.service, text(request['id']), 'receipt.recorded')).toHaveLength(1);
  });

  it('asked for twice is one request; refused, it is never added', async () => {
    const agent = await newAgent();
    const key = await newKey();
    const [first, second] = [await ask(agent, key), await ask(agent, key)];
    const id = text(object(first.body['request'])['id']);
    expect(object(second.body['request'])['id']).toBe(id);
    await vote(cast.approver, id, 'deny');
    expect(await tokenBy(agent, key)).toBe(401);
    expect(await keysOf(agent)).toHaveLength(1);
  });

  it('that another agent took meanwhile is not added: the request fails and says so', async () => {
    const agent = await newAgent();
    const key = await newKey();
    const id = text(object((await ask(agent, key)).body['request'])['id']);
    await registerAgent(cast.service, cast.owner.id, { keys: [key.publicJwk] });
    await vote(cast.approver, id, 'approve');
    await eventually(async () => {
      const { body } = await cast.approver.call('GET', `/v1/requests/${id}`);
      return body['state'] === 'failed';
    }, 'the request to fail');
    expect(await keysOf(agent)).toHaveLength(1);
  });

  it('is not asked for while the agent itself is still waiting', async () => {
    const waiting = await registerAgent(cast.service, cast.owner.id);
    const reply = await ask({ id: text(waiting.reply.body['id']) }, await newKey());
    expect([reply.status, reply.body['code']]).toEqual([409, 'wrong_state']);
  });
});
