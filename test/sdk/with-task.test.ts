import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  withTask,
  type AccessRequest,
  type Client,
  type RequestQuestion,
  type Task,
} from '../../sdk/index.ts';
import { vote } from '../support/client.ts';
import { loseCall, network } from '../support/network.ts';
import { agentClient, policyWithForbiddenRole, team, type Team } from '../support/sdk.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
let members: Team;
let client: Client;

beforeAll(async () => {
  service = await startService({ env: { COUNTERSIGN_POLICY: await policyWithForbiddenRole() } });
  members = await team(service);
  client = agentClient(service, members);
});
afterAll(() => service.close());

const options = { purpose: 'order support', ttlSeconds: 900 };
const write = { reason: 'refund order 7' };

/** Votes as soon as a credential is held. */
const deciding = (decision: 'approve' | 'deny', seen: AccessRequest[] = []) => ({
  ...options,
  onHeld: (request: AccessRequest) => {
    seen.push(request);
    void vote(members.approver, request.id, decision, { reason: 'not today' });
  },
});

const seenAfter = (id: string): Promise<Task> => client.tasks.get(id);

describe('withTask', () => {
  it('gives a credential, returns what the work returned, and leaves nothing alive', async () => {
    const done = await withTask(client, options, async (task) => {
      const { url, username } = await task.postgres('orders-readonly');
      expect(url).toContain(username);
      return task.id;
    });
    expect(await seenAfter(done)).toMatchObject({ state: 'completed', alive: 0 });
  });

  it('work that throws fails its task, and what it threw is thrown on', async () => {
    const broken = new Error('password=hunter2');
    let id = '';
    const run = withTask(client, options, async (task) => {
      id = task.id;
      await task.jwt('reports-api');
      throw broken;
    });
    await expect(run).rejects.toBe(broken);
    await expect.poll(() => seenAfter(id)).toMatchObject({ state: 'failed', alive: 0 });
    const rows = await service.database.owner.sql`select reason from task where id = ${id}`;
    expect(rows).toEqual([{ reason: 'The work threw Error.' }]);
  });

  it('what approvers ask is answered while it waits, each question once', async () => {
    const heard: string[] = [];
    const asking = {
      ...options,
      onHeld: (request: AccessRequest) => {
        void members.approver
          .call('POST', `/v1/requests/${request.id}/questions`, { to: 'agent', text: 'Which?' })
          .then(() =>
            members.approver.call('POST', `/v1/requests/${request.id}/questions`, {
              to: 'owner',
              text: 'Yours?',
            }),
          );
      },
      onQuestion: async ({ text }: RequestQuestion, request: AccessRequest) => {
        heard.push(text);
        // Somebody decides by what was answered.
        setTimeout(() => void vote(members.approver, request.id, 'approve'), 1_500);
        return Promise.resolve('Order 7.');
      },
    };
    let id = '';
    await withTask(client, asking, async (task) => {
      await task.postgres('orders-write', { reason: 'refund order 71' });
      id = task.id;
    });
    expect(heard).toEqual(['Which?']);
    const { data } = await client.requests.list({ state: 'consumed' });
    const mine = data.find(({ action }) => action.context['task'] === id);
    expect(mine?.questions).toMatchObject([
      { to: 'agent', state: 'answered', answer: { text: 'Order 7.' } },
      { to: 'owner', state: 'lapsed', answer: null },
    ]);
  });

  it('a statement that policy permits is run, and its rows come back', async () => {
    const rows = await withTask(client, options, (task) =>
      task.run('orders-readonly', 'select id from orders where id = $1', { parameters: [7] }),
    );
    expect(rows).toMatchObject({ rows: [['7']], row_count: 1 });
  });

  it('a held statement is waited for, and what it did comes back', async () => {
    const statement = "update orders set state = 'refunded' where id = 7 returning state";
    const rows = await withTask(client, deciding('approve'), (task) =>
      task.run('orders-write', statement, write),
    );
    expect(rows).toMatchObject({ rows: [['refunded']], row_count: 1 });
  });

  it('a statement that fails throws what the target said', async () => {
    const failed = withTask(client, options, (task) =>
      task.run('orders-readonly', 'select 1 / (id - id) from orders'),
    );
    await expect(failed).rejects.toThrow(/22012.*zero/);
  });

  it('a held credential is waited for, and its page is told once', async () => {
    const seen: AccessRequest[] = [];
    await withTask(client, deciding('approve', seen), async (task) => {
      expect((await task.postgres('orders-write', write)).kind).toBe('postgres');
    });
    expect(seen.map(({ url }) => url)).toEqual([
      `${service.config.publicUrl}/requests/${seen[0]?.id}`,
    ]);
  });

  it('a held role asked for twice at once is one credential with two answers', async () => {
    await withTask(client, deciding('approve'), async (task) => {
      const [first, second] = await Promise.all([
        task.postgres('orders-write', write),
        task.postgres('orders-write', write),
      ]);
      expect(second.password).toBe(first.password);
    });
  });

  it('a denial by a person says so, with what they wrote', async () => {
    const run = withTask(client, deciding('deny'), (task) => task.postgres('orders-write', write));
    await expect(run).rejects.toMatchObject({ code: 'request_denied' });
    await expect(run).rejects.toThrow('"not today", to stop');
  });

  it('what was given lasts as long as the work, as far as its role lets it', async () => {
    await withTask(client, options, async (task) => {
      const wish = { ttlSeconds: 4 };
      const [login, token] = [
        await task.postgres('orders-readonly', wish),
        await task.jwt('reports-api', wish),
      ];
      const first = token.token;
      await sleep(7_000);
      const sql = postgres(login.url, { max: 1 });
      expect(await sql`select 1 as one`).toEqual([{ one: 1 }]);
      await sql.end();
      expect(token.token).not.toBe(first);
      expect(await client.introspect(token.token)).toMatchObject({ active: true });
    });
    await withTask(client, { ...options, renew: false }, async (task) => {
      const login = await task.postgres('orders-readonly', { ttlSeconds: 2 });
      await sleep(3_000);
      const sql = postgres(login.url, { max: 1 });
      await expect(sql`select 1`).rejects.toThrow('password authentication failed');
      await sql.end();
    });
  });

  it('when nobody decides in time the error says where they could, and the request is withdrawn', async () => {
    const held: AccessRequest[] = [];
    const run = withTask(
      client,
      { ...options, waitSeconds: 1, onHeld: (request) => void held.push(request) },
      (task) => task.postgres('orders-write', write),
    );
    await expect(run).rejects.toMatchObject({ code: 'not_decided' });
    await expect(run).rejects.toThrow('/requests/req_');
    expect((await client.requests.get(held[0]?.id ?? '')).state).toBe('cancelled');
  });

  it('what policy forbids is an error inside the work', async () => {
    const run = withTask(client, options, (task) => task.credential('vault'));
    await expect(run).rejects.toMatchObject({ code: 'denied', status: 403 });
  });

  it('a role of another kind than the work expects is named, and the task fails', async () => {
    const run = withTask(client, options, (task) => task.postgres('reports-api'));
    await expect(run).rejects.toMatchObject({ code: 'wrong_kind' });
  });

  it('work whose end cannot be told still throws its own error', async () => {
    const net = network();
    net.next('POST', /fail$/, ...Array.from({ length: 50 }, () => loseCall));
    const cut = agentClient(service, members, { fetch: net.fetch, retrySeconds: 1 });
    const broken = new Error('mine');
    await expect(withTask(cut, options, () => Promise.reject(broken))).rejects.toBe(broken);
  });

  it('an aborted wait fails the task', async () => {
    const stop = new AbortController();
    let id = '';
    const run = withTask(
      client,
      { ...options, signal: stop.signal, onHeld: () => stop.abort() },
      (task) => {
        id = task.id;
        return task.postgres('orders-write', write);
      },
    );
    await expect(run).rejects.toMatchObject({ code: 'aborted' });
    await expect.poll(() => seenAfter(id)).toMatchObject({ state: 'failed' });
  });
});
