import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  admin,
  admittedAgent,
  askCredential,
  newKey,
  object,
  opened,
  person,
  text,
  vote,
  type TestAgent,
  type TestKey,
  type TestPerson,
} from '../support/client.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
let approver: TestPerson;
let owner: TestPerson;
let agent: TestAgent;
let seal: TestKey;

beforeAll(async () => {
  service = await startService();
  approver = await person(service, 'Approver', ['data-owners', 'admins']);
  owner = await person(service, 'Owner', ['engineering']);
  agent = await admittedAgent(service, owner.id, approver);
  seal = await newKey();
});
afterAll(() => service.close());

async function newTask(): Promise<string> {
  const task = await agent.call('POST', '/v1/tasks', {
    purpose: 'order support',
    ttl_seconds: 900,
  });
  return text(task.body['id']);
}

describe('credentials', () => {
  it('a plainly permitted role is issued at once, sealed to the caller', async () => {
    const task = await newTask();
    const reply = await askCredential(agent, task, {
      role: 'reports-api',
      seal_to: seal.publicJwk,
    });
    expect(reply.status).toBe(201);
    const material = await opened(reply.body['sealed'], seal);
    expect(material['kind']).toBe('jwt');
  });

  it('a held role is issued for exactly what was approved, and collected once', async () => {
    const task = await newTask();
    const held = await askCredential(agent, task, {
      role: 'orders-write',
      seal_to: seal.publicJwk,
      reason: 'refund order 7',
    });
    expect(held.status).toBe(202);
    const id = text(object(held.body['request'])['id']);
    expect((await vote(approver, id, 'approve')).status).toBe(201);
    const first = await agent.call('POST', `/v1/requests/${id}/collect`, {});
    expect(first.status).toBe(201);
    const second = await agent.call('POST', `/v1/requests/${id}/collect`, {});
    expect(second.body['code']).toBe('already_collected');
    const done = await agent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: 'wait=30' });
    expect(done.status).toBe(200);
    expect(done.body['alive']).toBe(0);
    const credential = await admin(service).call(
      'GET',
      `/v1/credentials/${text(first.body['id'])}`,
    );
    expect(credential.body['state']).toBe('revoked');
  });
});
