// Stopping under load: what was taken is finished, what comes later is told so, and nothing that was answered is lost.
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { work } from '../../cli/worker.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  eventually,
  newKey,
  object,
  person,
  text,
  type TestAgent,
} from '../support/client.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
let agent: TestAgent;
beforeEach(async () => {
  service = await startService();
  const approver = await person(service, 'Ada', ['admins', 'data-owners']);
  const owner = await person(service, 'Olga', ['engineering']);
  agent = await admittedAgent(service, owner.id, approver);
});
afterEach(() => service.close());

const newTask = async (): Promise<string> => {
  const reply = await agent.call('POST', '/v1/tasks', { purpose: 'work', ttl_seconds: 900 });
  return text(reply.body['id']);
};

/** Makes every change of a column of tasks take this long, until the test ends with its database. */
async function slowDown(column: string, seconds: number): Promise<void> {
  await service.database.owner.sql.unsafe(`
    CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN PERFORM pg_sleep(${seconds}); RETURN NEW; END $$;
    CREATE TRIGGER slowly BEFORE UPDATE OF ${column} ON task FOR EACH ROW EXECUTE FUNCTION slowly()`);
}

const isSleeping = async (): Promise<boolean> => {
  const rows = await service.database.owner.sql`
    select 1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`;
  return rows.length > 0;
};

/** The answers on one connection, as they come. */
function listening(socket: Socket): { all: () => string; ended: Promise<void> } {
  let received = '';
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('utf8')));
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return { all: () => received, ended };
}

it('a call that was taken is finished and answered, though its server was told to stop meanwhile', async () => {
  const task = await newTask();
  await slowDown('state', 2);
  const ending = agent.call('POST', `/v1/tasks/${task}/complete`, {});
  await eventually(isSleeping);
  const began = Date.now();
  await service.stopApi();
  expect((await ending).status).toBe(202);
  expect(Date.now() - began).toBeLessThan(6_000);
  const [row] = await service.database.owner.sql<
    { state: string }[]
  >`select state from task where id = ${task}`;
  expect(row?.state).not.toBe('running');
});

it('who waits for a decision is answered at once with how it stands, and asks again elsewhere', async () => {
  const task = await newTask();
  const { publicJwk } = await newKey();
  const asked = await askCredential(agent, task, {
    role: 'orders-write',
    seal_to: publicJwk,
    reason: 'ticket 7',
  });
  const request = text(object(asked.body['request'])['id']);
  const waiting = agent.call('GET', `/v1/requests/${request}`, undefined, { prefer: 'wait=60' });
  await new Promise((resolve) => setTimeout(resolve, 300));
  const began = Date.now();
  await service.stopApi();
  const reply = await waiting;
  expect(reply.status).toBe(200);
  expect(reply.body['state']).toBe('pending');
  expect(Date.now() - began).toBeLessThan(4_500);
});

it('a call on a connection that was kept is refused with 503 and when to come back, or finds it closed', async () => {
  const task = await newTask();
  await slowDown('state', 2);
  const token = await agent.token();
  const url = new URL(service.url);
  const socket = connect(Number(url.port), url.hostname);
  const { all, ended } = listening(socket);
  const call = (method: string, path: string): string =>
    [
      `${method} ${path} HTTP/1.1`,
      `Host: ${url.host}`,
      `Authorization: Bearer ${token}`,
      'Content-Type: application/json',
      'Content-Length: 2',
      '',
      '{}',
    ].join('\r\n');
  socket.write(call('POST', `/v1/tasks/${task}/complete`));
  await eventually(isSleeping);
  const stopping = service.stopApi();
  await new Promise((resolve) => setTimeout(resolve, 200));
  socket.write(call('POST', '/v1/tasks'));
  await stopping;
  await ended;
  const [first = '', second] = all().split(/(?=HTTP\/1\.1 \d)/);
  expect(first).toMatch(/^HTTP\/1\.1 202/);
  // Closed after the first answer, or a second one that says so.
  expect(second ?? first.toLowerCase()).toMatch(
    /^HTTP\/1\.1 503[^]*retry-after: 2|connection: close/i,
  );
});

it('once it has stopped nobody can connect', async () => {
  await service.stopApi();
  await expect(admin(service).call('GET', '/livez')).rejects.toThrow('fetch failed');
});

it('of calls that come while it stops, every one that was answered 201 is in the record', async () => {
  const calls = Array.from({ length: 60 }, async (_, at) => {
    await new Promise((resolve) => setTimeout(resolve, at * 5));
    const reply = await agent
      .call('POST', '/v1/tasks', { purpose: `task ${at}`, ttl_seconds: 900 })
      .catch(() => null);
    return reply;
  });
  await new Promise((resolve) => setTimeout(resolve, 150));
  const began = Date.now();
  await service.stopApi();
  const stoppedAfterMs = Date.now() - began;
  // A connection that was kept must not keep the server: its supervisor would kill it after seven seconds.
  expect(stoppedAfterMs).toBeLessThan(6_500);
  const replies = await Promise.all(calls);
  const started = replies.flatMap((reply) => (reply?.status === 201 ? text(reply.body['id']) : []));
  const refused = replies.filter((reply) => reply !== null && reply.status !== 201);
  expect(started.length).toBeGreaterThan(0);
  expect(replies).toContain(null);
  for (const reply of refused) expect(reply?.status).toBe(503);
  const rows = await service.database.owner.sql<{ task: string }[]>`
    select task from event where type like '%task.started%' and task = any(${started})`;
  expect(rows.map(({ task }) => task).toSorted()).toEqual(started.toSorted());
});

it('a worker that is told to stop finishes what its activities have begun', async () => {
  await slowDown('owned_at', 2);
  const task = await newTask();
  await eventually(isSleeping);
  const began = Date.now();
  await service.stopWorker();
  expect(Date.now() - began).toBeLessThan(8_000);
  const [row] = await service.database.owner.sql<
    { owned: boolean }[]
  >`select owned_at is not null as owned from task where id = ${task}`;
  expect(row?.owned).toBe(true);
});

it('a worker that is told to stop while it is still starting stops', async () => {
  await service.stopWorker();
  for (const afterMs of [0, 100, 400]) {
    const worker = await work(service.config);
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    const began = Date.now();
    await worker.close();
    expect(Date.now() - began).toBeLessThan(15_000);
  }
}, 90_000);
