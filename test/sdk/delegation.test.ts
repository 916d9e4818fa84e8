import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openClient, parsePrivateKey, withTask, type Client } from '../../sdk/index.ts';
import { admittedAgent, type TestAgent } from '../support/client.ts';
import { network } from '../support/network.ts';
import { adminClient, agentClient, team, type Team } from '../support/sdk.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
let members: Team;
let client: Client;
let helper: TestAgent;
let helperClient: Client;

beforeAll(async () => {
  service = await startService({ env: { COUNTERSIGN_DPOP_NONCE: 'true' } });
  members = await team(service);
  client = agentClient(service, members);
  helper = await admittedAgent(service, members.owner.id, members.approver);
  helperClient = openClient({
    url: service.url,
    credential: { agent: helper.id, key: parsePrivateKey(helper.key.privateJwk) },
  });
});
afterAll(() => service.close());

const options = { purpose: 'order support', ttlSeconds: 900 };

describe('work that is handed on', () => {
  it('is done in a task of its own, under the roles that came along, and ends with its parent', async () => {
    let below = '';
    const above = await withTask(client, options, async (task) => {
      const handed = await task.delegateTo(helper.id, { roles: ['reports-api'] });
      await withTask(helperClient, { ...options, parent: handed }, async (part) => {
        below = part.id;
        const { token } = await part.jwt('reports-api');
        expect(decodeJwt(token)['client_id']).toBe(helper.id);
        const refused = part.postgres('orders-readonly');
        await expect(refused).rejects.toMatchObject({ code: 'delegation_refused' });
      });
      return task.id;
    });
    const child = await helperClient.tasks.get(below);
    expect(child).toMatchObject({
      parent: above,
      chain: [helper.id, members.agent.id],
      state: 'completed',
      alive: 0,
    });
  });

  it('is taken over once, and by nobody but the agent that it is for', async () => {
    await withTask(client, options, async (task) => {
      const handed = await task.delegateTo(helper.id);
      const stolen = client.tasks.start({ ...options, parent: handed });
      await expect(stolen).rejects.toMatchObject({ code: 'invalid_request' });
      const started = await helperClient.tasks.start({ ...options, parent: handed.subject_token });
      expect(started.parent).toBe(task.id);
      const again = helperClient.tasks.start({ ...options, parent: handed });
      await expect(again).rejects.toMatchObject({ code: 'invalid_request' });
    });
    const automation = adminClient(service).tasks.start({ ...options, parent: 'a.b.c' });
    await expect(automation).rejects.toMatchObject({ code: 'invalid_request' });
  });
});

describe('a client whose tokens are bound', () => {
  it('proves its key with every call, and learns nonces as it goes', async () => {
    const wire = network();
    const bound = agentClient(service, members, { dpop: true, fetch: wire.fetch });
    const done = await withTask(bound, options, async (task) => {
      await task.jwt('reports-api');
      return task.id;
    });
    expect((await bound.tasks.get(done)).state).toBe('completed');
    const token = await bound.accessToken();
    expect(decodeJwt(token)['cnf']).toBeDefined();
    const thief = openClient({ url: service.url, credential: { token } });
    await expect(thief.tasks.list()).rejects.toMatchObject({ code: 'unauthenticated' });
    // One sign-in was sent back for its nonce, and none after that.
    expect(wire.passed.filter(({ path }) => path === '/oauth2/token')).toHaveLength(2);
  });

  it('hands on what stays bound', async () => {
    const bound = agentClient(service, members, { dpop: true });
    await withTask(bound, options, async (task) => {
      const handed = await task.delegateTo(helper.id);
      const unbound = helperClient.tasks.start({ ...options, parent: handed });
      await expect(unbound).rejects.toMatchObject({ code: 'invalid_request' });
      const key = parsePrivateKey(helper.key.privateJwk);
      const credential = { agent: helper.id, key };
      const boundHelper = openClient({ url: service.url, credential, dpop: true });
      const started = await boundHelper.tasks.start({ ...options, parent: handed });
      expect(started.parent).toBe(task.id);
    });
  });
});
