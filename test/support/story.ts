// The story of a task against the product as a user runs it, told so that it can be interrupted anywhere, and
// what must be true of it afterwards.
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { describe, expect, it } from 'vitest';
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
  type Reply,
  type TestAgent,
  type TestPerson,
} from './client.ts';
import { startSystem, type System } from './system.ts';

/** A running product with somebody who approves and an agent that works. */
export interface Stage {
  system: System;
  approver: TestPerson;
  agent: TestAgent;
}

export async function openStage(): Promise<Stage> {
  const system = await startSystem();
  const approver = await person(system, 'Ada', ['admins', 'data-owners']);
  const owner = await person(system, 'Olga', ['engineering']);
  return { system, approver, agent: await admittedAgent(system, owner.id, approver) };
}

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

export interface Story {
  task: string;
  /** Logins that were handed out, with what opens them. */
  logins: { username: string; url: string }[];
  token: string;
  request: string;
}

/** Stories 3 and 4: a task, a login and a token, one more login that people approve, and the end of it all. */
export async function playStory({ agent: who, approver }: Stage): Promise<Story> {
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
export async function expectSettled({ system }: Stage, story: Story): Promise<void> {
  await eventually(
    async () => {
      const task = await insist(() => admin(system).call('GET', `/v1/tasks/${story.task}`));
      return task.body['state'] === 'completed' && task.body['alive'] === 0;
    },
    `the end of ${story.task}`,
    60_000,
  );
  for (const { url } of story.logins) expect(await canLogIn(url)).toBe(false);
  expect(await rolesLeft(system, story)).toEqual([]);
  const introspected = await fetch(`${system.url}/oauth2/introspect`, {
    method: 'POST',
    headers: { authorization: `Bearer ${system.adminToken}` },
    body: new URLSearchParams({ token: story.token }),
  });
  expect(await introspected.json()).toEqual({ active: false });
  await expectEventsOnce(system, story);
}

async function rolesLeft(system: System, story: Story): Promise<string[]> {
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
async function expectEventsOnce(system: System, story: Story): Promise<void> {
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

/** For each point, one story in which a process dies there, and nothing else differs. */
export function itSurvivesDyingAt(points: readonly string[], stage: () => Stage): void {
  describe('REL-I1 a process that dies at', () => {
    it.each(points)('%s changes nothing about the outcome', async (point) => {
      await stage().system.crashAt(point);
      const story = await playStory(stage());
      expect(await stage().system.hasCrashed()).toBe(true);
      await expectSettled(stage(), story);
    });
  });
}
