import { execFile } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFakeReceiver, type FakeReceiver } from '../fakes/signal-receiver.ts';
import { startCast, startTask, type Cast } from '../support/cast.ts';
import { askCredential, opened, text } from '../support/client.ts';
import { commandLine, PROGRAM, type CommandLine, type Variables } from '../support/command-line.ts';

const TOKEN = 'a-token-of-the-receiver';

let cast: Cast;
let line: CommandLine;
let fake: FakeReceiver;
let automation: Variables;

beforeAll(async () => {
  cast = await startCast();
  const { service } = cast;
  line = await commandLine();
  automation = { COUNTERSIGN_URL: service.url, COUNTERSIGN_TOKEN: service.adminToken };
  fake = await startFakeReceiver(() => ({
    issuer: service.publicUrl,
    transmitter: service.url,
    audience: 'https://receiver.example',
    token: TOKEN,
  }));
});
afterAll(async () => {
  await fake.close();
  await line.close();
  await cast.close();
});

const run = (...args: string[]) => line.run(args, automation);

/** The command with something on its standard input. */
function piped(input: string, ...args: string[]): Promise<{ code: number; stdout: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [PROGRAM, ...args],
      { env: { ...line.env, ...automation }, cwd: line.folder },
      (error, stdout, stderr) =>
        resolve({ code: Number(error?.code ?? 0), stdout: stdout + stderr }),
    );
    child.stdin?.end(input);
  });
}

describe('countersign receiver', () => {
  it('adds one with its token from the environment, tests it, lists it and removes it', async () => {
    const added = await line.run(
      [
        ...['receiver', 'add', fake.url, '--kind', 'ssf', '--audience', 'https://receiver.example'],
        ...['--signal', 'agent.suspended,credential.leaked', '--quiet'],
      ],
      { ...automation, COUNTERSIGN_RECEIVER_TOKEN: TOKEN },
    );
    expect([added.code, added.stderr]).toEqual([0, '']);
    const id = added.stdout.trim();
    const tested = await run('receiver', 'test', id);
    expect([tested.code, tested.stdout]).toEqual([
      0,
      expect.stringMatching(/^delivered: http_202/),
    ]);
    expect((await run('receiver', 'list')).stdout).toContain(`${id}  ssf`);
    expect((await run('receiver', 'deliveries', id)).stdout).toContain('receiver.verification');
    fake.next({ status: 500 });
    const failing = await run('receiver', 'test', id);
    expect([failing.code, failing.stdout]).toEqual([
      1,
      expect.stringMatching(/^pending: http_500/),
    ]);
    expect((await run('receiver', 'remove', id)).code).toBe(0);
    expect((await run('receiver', 'list')).stdout).not.toContain(id);
  });

  it('says what signals there are', async () => {
    const { code, stderr } = await run('receiver', 'add', fake.url, '--signal', 'agent.rewarded');
    expect([code, stderr]).toEqual([2, expect.stringContaining('agent.suspended')]);
  });
});

describe('countersign leak', () => {
  it('I5: reads the secret from standard input, ends it, and prints nothing of it', async () => {
    const task = await startTask(cast.agent);
    const asked = await askCredential(cast.agent, task, {
      role: 'orders-readonly',
      seal_to: cast.seal.publicJwk,
    });
    const material = await opened(asked.body['sealed'], cast.seal);
    const found = `DATABASE_URL=${text(material['url'])}\n`;
    const { code, stdout } = await piped(found, 'leak', 'report', '--where', 'a paste');
    expect(code).toBe(0);
    expect(stdout).toMatch(/it is +ours, and dead\n/);
    expect(stdout).toContain(text(asked.body['id']));
    expect(stdout).not.toContain(text(material['password']));
    expect((await run('leak', 'list')).stdout).toContain('ours, and dead');
    const id = /lek_\w+/.exec(stdout)?.[0] ?? '';
    expect((await run('leak', 'show', id)).stdout).toContain(cast.agent.name);
  });

  it('wants something to look for', async () => {
    const { code, stdout } = await piped(' \n', 'leak', 'report');
    expect([code, stdout]).toEqual([2, expect.stringContaining('standard input')]);
  });
});
