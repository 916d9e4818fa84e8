// Many callers at once: whoever locks the same rows takes them in the same order and strength, so nobody deadlocks.
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  admittedAgent,
  askCredential,
  newKey,
  person,
  text,
  type TestAgent,
} from '../support/client.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
let agent: TestAgent;
beforeAll(async () => {
  service = await startService();
  const approver = await person(service, 'Ada', ['admins']);
  const owner = await person(service, 'Olga', ['engineering']);
  agent = await admittedAgent(service, owner.id, approver);
});
afterAll(() => service.close());

/** Deadlocks that PostgreSQL has broken in our database; a session reports them when it falls idle. */
async function deadlocks(): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const [row] = await service.database.owner.sql<{ found: string }[]>`
    select deadlocks::text as found from pg_stat_database where datname = current_database()`;
  return Number(row?.found ?? Number.NaN);
}

const newTask = () => agent.call('POST', '/v1/tasks', { purpose: 'work', ttl_seconds: 900 });

it('tasks of one agent that start at the same moment never deadlock', async () => {
  const started = await Promise.all(Array.from({ length: 30 }, newTask));
  expect(started.map(({ status }) => status)).toEqual(started.map(() => 201));
  expect(await deadlocks()).toBe(0);
});

it('tasks that start, issue, revoke and end at the same moment never deadlock', async () => {
  const lives = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const task = text((await newTask()).body['id']);
      const { publicJwk } = await newKey();
      const ask = { role: 'orders-readonly', seal_to: publicJwk };
      const issued = await Promise.all([1, 2].map(() => askCredential(agent, task, ask)));
      const [first] = issued;
      const id = text(first?.body['id']);
      const revoked = agent.call('POST', `/v1/credentials/${id}/revoke`, {});
      const ended = await agent.call('POST', `/v1/tasks/${task}/complete`, {});
      return [...issued.map(({ status }) => status), (await revoked).status, ended.status];
    }),
  );
  expect(lives).toEqual(lives.map(() => [201, 201, 202, 202]));
  expect(await deadlocks()).toBe(0);
});
