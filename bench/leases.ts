// How soon credentials are dead: after their task ends, when they run out, and when the kill switch is thrown. Against
// the product as a user runs it; a measurement to look at, and other work on the machine shows in it.
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import {
  admin,
  admittedAgent,
  askCredential,
  newKey,
  object,
  opened,
  person,
  text,
  type TestAgent,
  type TestKey,
  type TestPerson,
} from '../test/support/client.ts';
import { startSystem } from '../test/support/system.ts';

/** Logins that run out within one minute, and that are held when the switch is thrown. */
const MANY = Number(process.argv[2] ?? 1_000);
/** What to measure. */
const PARTS = (process.argv[3] ?? 'ends,expiry,kill').split(',');
/** How often each end of a task is measured. */
const ROUNDS = { 1: 20, 10: 10, 100: 5 } as const;
/** Logins made at the same moment while preparing. */
const LANES = 8;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

const system = await startSystem();
try {
  const approver = await person(system, 'Ada', ['admins', 'data-owners']);
  const owner = await person(system, 'Olga', []);
  const key = await newKey();
  say('| what | credentials | n | p50 ms | p99 ms | most ms |');
  say('| ---- | ----------- | - | ------ | ------ | ------- |');
  for (const [size, rounds] of PARTS.includes('ends') ? Object.entries(ROUNDS) : [])
    await measureEnds(await newAgent(owner, approver), key, Number(size), rounds);
  if (PARTS.includes('expiry')) await measureExpiry(await newAgent(owner, approver), key);
  if (PARTS.includes('kill')) await measureKill(await newAgent(owner, approver), key);
} finally {
  await system.remove();
}
process.exit();

function newAgent(owner: TestPerson, approver: TestPerson): Promise<TestAgent> {
  return admittedAgent(system, owner.id, approver);
}

async function startTask(agent: TestAgent): Promise<string> {
  const reply = await agent.call('POST', '/v1/tasks', { purpose: 'bench', ttl_seconds: 3600 });
  return text(reply.body['id']);
}

interface Login {
  id: string;
  url: string;
  expiresAt: string;
}

async function giveLogins(
  agent: TestAgent,
  task: string,
  key: TestKey,
  ttls: readonly number[],
): Promise<Login[]> {
  const logins: Login[] = [];
  const waiting = [...ttls];
  const lane = async (): Promise<void> => {
    for (let ttl = waiting.pop(); ttl !== undefined; ttl = waiting.pop()) {
      const { body } = await askCredential(agent, task, {
        role: 'orders-readonly',
        seal_to: key.publicJwk,
        ttl_seconds: ttl,
      });
      const { url } = await opened(body['sealed'], key);
      logins.push({ id: text(body['id']), url: text(url), expiresAt: text(body['expires_at']) });
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return logins;
}

function repeated(ttl: number, times: number): number[] {
  return Array.from({ length: times }, () => ttl);
}

function row(what: string, credentials: number, ms: readonly number[]): void {
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (part: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * part) - 1)] ?? 0).toFixed(0);
  say(`| ${what} | ${credentials} | ${ms.length} | ${at(0.5)} | ${at(0.99)} | ${at(1)} |`);
}

/** From telling that a task is complete to the answer that nothing under it is alive. */
async function measureEnds(
  agent: TestAgent,
  key: TestKey,
  size: number,
  rounds: number,
): Promise<void> {
  const took: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const task = await startTask(agent);
    await giveLogins(agent, task, key, repeated(900, size));
    const began = performance.now();
    const path = `/v1/tasks/${task}/complete`;
    const ended = await agent.call('POST', path, {}, { prefer: 'wait=60' });
    if (ended.status !== 200) throw new Error(`the task was not ended: ${ended.text}`);
    took.push(performance.now() - began);
  }
  row('end of task → all seen gone', size, took);
}

/**
 * Logins that all run out within one minute: how long after that each was seen gone, and whether one of them let
 * anybody in after its time.
 */
async function measureExpiry(agent: TestAgent, key: TestKey): Promise<void> {
  const task = await startTask(agent);
  const began = Date.now();
  // Making them takes a while: the first ends after all are made, and the last a minute later.
  const head = Math.ceil(MANY / 15) + 20;
  // Taken from the end: the first to run out is made first.
  const waiting = Array.from(
    { length: MANY },
    (_, at) => head + Math.floor(((MANY - 1 - at) * 60) / MANY),
  );
  const logins: Login[] = [];
  const lane = async (): Promise<void> => {
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      const ttl = Math.max(1, Math.round(at - (Date.now() - began) / 1000));
      logins.push(...(await giveLogins(agent, task, key, [ttl])));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const made = (Date.now() - began) / 1000;
  const until = Math.max(...logins.map(({ expiresAt }) => Date.parse(expiresAt)));
  const { tried, opened: late } = await probeUntil(logins, until + 5_000);
  const lateness: number[] = [];
  for (const { id, expiresAt } of logins) {
    const { body } = await agent.call('GET', `/v1/credentials/${id}`);
    if (body['state'] !== 'expired') throw new Error(`${id} is ${text(body['state'])}`);
    lateness.push(Date.parse(text(body['ended_at'])) - Date.parse(expiresAt));
  }
  row('expiry within one minute → seen gone', MANY, lateness);
  say('');
  say(`Made in ${made.toFixed(0)} s. Tried to log in after the end: ${tried}, let in: ${late}.`);
  say('');
}

/** Tries logins whose time is over, again and again, until a moment. */
async function probeUntil(
  logins: readonly Login[],
  until: number,
): Promise<{ tried: number; opened: number }> {
  let tried = 0;
  let opened = 0;
  while (Date.now() < until) {
    const now = Date.now();
    const over = logins.filter(({ expiresAt }) => Date.parse(expiresAt) < now);
    const [login] = over.slice(Math.floor(Math.random() * over.length));
    if (login) {
      tried += 1;
      if (await letsIn(login)) opened += 1;
    }
    await sleep(100);
  }
  return { tried, opened };
}

async function letsIn({ url }: Login): Promise<boolean> {
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

/** From throwing the switch for everything to the answer that nothing is alive. */
async function measureKill(agent: TestAgent, key: TestKey): Promise<void> {
  for (let task = 0; task < 10; task += 1)
    await giveLogins(agent, await startTask(agent), key, repeated(3_000, MANY / 10));
  const began = performance.now();
  const killed = await admin(system).call(
    'POST',
    '/v1/kill',
    { scope: 'everything', confirm: 'everything', reason: 'bench' },
    { prefer: 'wait=60' },
  );
  if (killed.status !== 200) throw new Error(`not all is dead: ${killed.text}`);
  const { credentials } = object(killed.body['revocation']);
  row('kill switch → all seen gone', Number(credentials), [performance.now() - began]);
}
