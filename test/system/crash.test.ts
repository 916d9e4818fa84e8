// REL: kill -9 at every boundary. Whatever dies in the middle of the story, and wherever, the outcome is the same:
// no credential outlives its task, nothing is lost, nothing is done twice.
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  admin,
  admittedAgent,
  eventually,
  list,
  newKey,
  object,
  opened,
  person,
  text,
  vote,
  type Caller,
  type Reply,
  type TestAgent,
  type TestPerson,
} from '../support/client.ts';
import { startSystem, type System } from '../support/system.ts';

let system: System;
let approver: TestPerson;
let agent: TestAgent;

beforeAll(async () => {
  system = await startSystem();
  approver = await person(system, 'Ada', ['admins', 'data-owners']);
  const owner = await person(system, 'Olga', ['engineering']);
  agent = await admittedAgent(system, owner.id, approver);
});
afterAll(() => system.remove());

/** Repeats a call with the same key until it is answered for good, as the SDK does. */
async function insist(
  call: (headers: Record<string, string>) => Promise<Reply>,
  ms = 60_000,
): Promise<Reply> {
  const headers = { 'idempotency-key': randomUUID() };
  const deadline = Date.now() + ms;
  for (;;) {
    const reply = await call(headers).catch(() => null);
    const again = !reply || reply.status >= 500 || reply.body['code'] === 'idempotency_in_progress';
    if (!again) return reply;
    if (Date.now() > deadline)
      throw new Error(`no final answer in ${ms} ms: ${reply?.text ?? 'none'}`);
    await sleep(250);
  }
}

interface Story {
  task: string;
  /** Logins that were handed out, with what opens them. */
  logins: { username: string; url: string }[];
  token: string;
  request: string;
}

/** Stories 3 and 4: a task, a login and a token, one more login that people approve, and the end of it all. */
async function playStory(who: Caller): Promise<Story> {
  const started = await insist((headers) =>
    who.call('POST', '/v1/tasks', { purpose: 'order support', ttl_seconds: 900 }, headers),
  );
  const task = text(started.body['id']);
  const ask = async (
    role: string,
    reason: string | null,
  ): Promise<{ reply: Reply; seal: Awaited<ReturnType<typeof newKey>> }> => {
    const seal = await newKey();
    const body = { role, seal_to: seal.publicJwk, ...(reason !== null && { reason }) };
    const reply = await insist((headers) =>
      who.call('POST', `/v1/tasks/${task}/credentials`, body, headers),
    );
    return { reply, seal };
  };
  const plain = await ask('orders-readonly', null);
  expect(plain.reply.status).toBe(201);
  const jwt = await ask('reports-api', null);
  expect(jwt.reply.status).toBe(201);
  const held = await ask('orders-write', `refund ${randomUUID()}`);
  expect(held.reply.status).toBe(202);
  const request = text(object(held.reply.body['request'])['id']);
  await insist(async () => {
    const reply = await vote(approver, request, 'approve');
    // A vote whose answer was lost was cast all the same.
    return reply.body['code'] === 'already_decided' ? { ...reply, status: 201 } : reply;
  });
  const collected = await insist((headers) =>
    who.call('POST', `/v1/requests/${request}/collect`, {}, headers),
  );
  expect(collected.status).toBe(201);
  const materials = [
    await opened(plain.reply.body['sealed'], plain.seal),
    await opened(collected.body['sealed'], held.seal),
  ];
  const token = await opened(jwt.reply.body['sealed'], jwt.seal);
  for (const material of materials) expect(await canLogIn(text(material['url']))).toBe(true);
  const done = await insist((headers) =>
    who.call('POST', `/v1/tasks/${task}/complete`, {}, { ...headers, prefer: 'wait=20' }),
  );
  expect([200, 202]).toContain(done.status);
  return {
    task,
    logins: materials.map((material) => ({
      username: text(material['username']),
      url: text(material['url']),
    })),
    token: text(token['token']),
    request,
  };
}

async function canLogIn(url: string): Promise<boolean> {
  const sql = postgres(url, { max: 1, connect_timeout: 5, onnotice: () => undefined });
  try {
    await sql`select 1`;
    return true;
  } catch {
    return false;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** What must hold once everything is up again and has had time to settle. */
async function expectSettled(story: Story): Promise<void> {
  await eventually(
    async () => {
      const task = await insist(() => admin(system).call('GET', `/v1/tasks/${story.task}`));
      return task.body['state'] === 'completed' && task.body['alive'] === 0;
    },
    `the end of ${story.task}`,
    60_000,
  );
  for (const { url } of story.logins) expect(await canLogIn(url)).toBe(false);
  expect(await rolesLeft(story)).toEqual([]);
  const introspected = await fetch(`${system.url}/oauth2/introspect`, {
    method: 'POST',
    headers: { authorization: `Bearer ${system.adminToken}` },
    body: new URLSearchParams({ token: story.token }),
  });
  expect(await introspected.json()).toEqual({ active: false });
  await expectEventsOnce(story);
}

async function rolesLeft(story: Story): Promise<string[]> {
  const passwords = await readFile(path.join(system.state, 'passwords.json'), 'utf8');
  const { countersign_issuer: password } = JSON.parse(passwords) as { countersign_issuer: string };
  const conf = await readFile(path.join(system.state, 'postgres/data/countersign.conf'), 'utf8');
  const port = /port = (\d+)/.exec(conf)?.[1] ?? '';
  const sql = postgres(`postgres://countersign_issuer:${password}@127.0.0.1:${port}/sample`, {
    max: 1,
  });
  const names = story.logins.map(({ username }) => username);
  const roles = await sql<
    { name: string }[]
  >`select rolname as name from pg_roles where rolname = any(${names})`;
  const sessions = await sql<{ name: string }[]>`
    select coalesce(usename, 'nobody') as name from pg_stat_activity
    where backend_type = 'client backend' and (usename = any(${names}) or usename is null)`;
  await sql.end();
  return [...roles, ...sessions].map(({ name }) => name);
}

/** Every step of every lease is in the log once, and nothing that happened is missing. */
async function expectEventsOnce(story: Story): Promise<void> {
  let events: { name: string; credential: string }[] = [];
  await eventually(async () => {
    const reply = await insist(() =>
      admin(system).call('GET', `/v1/events?task=${story.task}&limit=500`),
    );
    const data = list(reply.body['data']);
    events = data.map((event) => ({
      name: text(event['type']).replace('dev.countersign.', '').replace('.v1', ''),
      credential: text(object(object(event['data'])['detail'])['credential']),
    }));
    return data.every((event) => event['log_index'] !== null);
  }, 'every event in the log');
  const count = (name: string, credential?: string): number =>
    events.filter(
      (event) =>
        event.name === name && (credential === undefined || event.credential === credential),
    ).length;
  for (const name of [
    'task.started',
    'task.ending',
    'task.completed',
    'request.opened',
    'request.approved',
    'permit.issued',
    'permit.redeemed',
    'vote.cast',
    'credential.collected',
  ])
    expect([name, count(name)]).toEqual([name, 1]);
  const issued = events
    .filter((event) => event.name === 'credential.issued')
    .map((event) => event.credential);
  expect(new Set(issued).size).toBe(issued.length);
  expect(issued).toHaveLength(3);
  for (const credential of issued) {
    expect(count('credential.revoke_intended', credential)).toBe(1);
    expect(count('credential.revoked', credential)).toBe(1);
  }
  const abandoned = events
    .filter((event) => event.name === 'credential.abandoned')
    .map((event) => event.credential);
  for (const credential of abandoned) expect(issued).not.toContain(credential);
}

const POINTS = [
  'issue:intended',
  'issue:made',
  'issue:settled',
  'ownTask:before',
  'ownTask:after',
  'lookAtRequest:after',
  'fulfilRequest:before',
  'fulfil:redeemed',
  'fulfilRequest:after',
  'reapTarget:before',
  'reap:intended',
  'reap:revoked',
  'reapTarget:after',
  'closeTask:before',
  'closeTask:after',
  'sequence:signed',
  'observe:recorded',
];

describe('REL-I1 a process that dies at', () => {
  it.each(POINTS)('%s changes nothing about the outcome', async (point) => {
    await system.crashAt(point);
    const story = await playStory(agent);
    expect(await system.hasCrashed()).toBe(true);
    await expectSettled(story);
  });
});

describe('REL-I1 kill -9 in the middle of the story of', () => {
  const parts = ['serve', 'worker', 'postgres', 'temporal'] as const;
  it.each(parts)('%s changes nothing about the outcome', async (part) => {
    const playing = playStory(agent);
    // Somewhere in the middle: the story takes a second or so when nothing dies.
    await sleep(300);
    process.kill(await system.pidOf(part), 'SIGKILL');
    await expectSettled(await playing);
  });
});
