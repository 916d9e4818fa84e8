// What the command line says about a policy: its cases, what a change of it means, and the way back.
import { cp, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, startCast, type Cast } from '../support/cast.ts';
import { admin, eventually, list, text, vote } from '../support/client.ts';
import {
  commandLine,
  type CommandLine,
  type Ran,
  type Variables,
} from '../support/command-line.ts';

let line: CommandLine;
beforeAll(async () => {
  line = await commandLine();
});
afterAll(() => line.close());

let folders = 0;

/** A copy of the sample with one file changed. */
async function folderWith(file: string, change: (content: string) => string): Promise<string> {
  folders += 1;
  const folder = path.join(line.folder, `policy-${folders}`);
  await cp(path.join(PACKAGE_ROOT, 'policy'), folder, { recursive: true });
  const content = await readFile(path.join(folder, file), 'utf8');
  const changed = change(content);
  if (changed === content) throw new Error(`nothing of ${file} changed`);
  await writeFile(path.join(folder, file), changed);
  return folder;
}

const sample = path.join(PACKAGE_ROOT, 'policy');
const loosened = (content: string): string =>
  content.replace('@id("write-orders")\n@approval("orders-write")\n', '@id("write-orders")\n');
const run = (...args: string[]): Promise<Ran> => line.run(['policy', ...args]);

const told = async (args: readonly string[], env: Variables = {}): Promise<JsonObject> =>
  asObject(await line.json(args, env));
/** Every command answers --json with an object. */
const asObject = (answer: unknown): JsonObject => answer as JsonObject;

describe('policy test', () => {
  it('names every case with its outcome, and ends with 0 when all pass', async () => {
    const { code, stdout, stderr } = await run('test', sample);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^pass {2}writing to orders waits for its route +hold by orders-write$/m,
    );
    expect(stdout).toMatch(/^16 of 16 cases pass\.$/m);
    expect(stderr).toBe('');
  });

  it('says of each case that fails what came out, where it stands, and ends with 1', async () => {
    const folder = await folderWith('main.cedar', loosened);
    const { code, stdout } = await run('test', folder);
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^FAIL {2}writing to orders waits .*permit .*tests\.yaml:\d+: expected hold, got permit/m,
    );
    expect(stdout).toMatch(/^15 of 16 cases pass\.$/m);
  });

  it.each([
    ['says: takes a data owner', 0],
    ['says: takes nobody', 1],
    ['risk: medium', 0],
    ['risk: low', 1],
    ['controls: [orders-write]', 0],
    ['controls: [payouts-write]', 1],
    ['observed: []', 0],
    ['observed: [write-orders]', 1],
    ['context: { ttl_seconds: 30 }', 0],
  ])('holds a case to what it states besides: %s', async (member, code) => {
    const folder = await folderWith(
      'tests.yaml',
      () =>
        `- name: only this\n  action: credential:request\n  resource: orders-write\n  expect: hold\n  routes: [orders-write]\n  ${member}\n`,
    );
    expect((await run('test', folder)).code).toBe(code);
  });

  it('lists the rules that no case reaches, which is no failure', async () => {
    const folder = await folderWith('tests.yaml', (content) =>
      content.replace(/- name: an agent may call[^]*?(?=- name: agents of)/, ''),
    );
    const { code, stderr } = await run('test', folder);
    expect([code, stderr]).toEqual([0, 'note: no case reaches the rule call-reports\n']);
    const answer = await told(['policy', 'test', folder]);
    expect(answer['unexercised']).toEqual(['call-reports']);
    expect(list(answer['cases'])).toHaveLength(15);
  });

  it('of a bundle with mistakes says what they are', async () => {
    const folder = await folderWith('main.cedar', (content) =>
      content.replace('permit (', 'permt ('),
    );
    const { code, stderr } = await run('test', folder);
    expect(code).toBe(2);
    expect(stderr).toMatch(/main\.cedar:\d+: /);
  });
});

describe('policy diff', () => {
  it('between two folders needs no server, and says in words what widens', async () => {
    const folder = await folderWith('main.cedar', loosened);
    const { code, stdout } = await run('diff', folder, '--against', sample);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^\+ wider +access +credential:request orders-write +everybody: held by orders-write → permitted$/m,
    );
    expect(stdout).toContain('The gate orders-write would fall silent');
  });

  it('ends with 1 under --exit-code only where something changes', async () => {
    const folder = await folderWith('main.cedar', loosened);
    const remarked = await folderWith('main.cedar', (content) => `${content}\n// a remark\n`);
    expect((await run('diff', folder, '--against', sample, '--exit-code')).code).toBe(1);
    const same = await run('diff', remarked, '--against', sample, '--exit-code');
    expect([same.code, same.stdout.startsWith('Nothing changes.')]).toEqual([0, true]);
  });
});

describe('against a server', () => {
  let cast: Cast;
  let automation: Variables;
  beforeAll(async () => {
    cast = await startCast();
    automation = { COUNTERSIGN_URL: cast.service.url, COUNTERSIGN_TOKEN: cast.service.adminToken };
    const task = await cast.agent.call('POST', '/v1/tasks', { purpose: 'cli', ttl_seconds: 600 });
    await cast.agent.call('POST', `/v1/tasks/${text(task.body['id'])}/credentials`, {
      role: 'orders-write',
      seal_to: cast.seal.publicJwk,
      reason: 'refund',
    });
  });
  afterAll(() => cast.close());

  const at = (...args: string[]): Promise<Ran> => line.run(['policy', ...args], automation);

  it('diff counts the real actions that would lose a gate', async () => {
    const { code, stdout } = await at('diff', await folderWith('main.cedar', loosened));
    expect(code).toBe(0);
    expect(stdout).toContain('everybody: held by orders-write → permitted');
    expect(stdout).toContain('1 of them would lose a gate.');
  });

  it('simulate says what would come out otherwise, and --json is what the API sent', async () => {
    const folder = await folderWith('main.cedar', loosened);
    const { stdout } = await at('simulate', folder, '--last', '50');
    expect(stdout).toMatch(
      /^1 +NO LONGER HELD +hold by orders-write \(write-orders\) +permit \(write-orders\) +credential:request orders-write +evl_/m,
    );
    const answer = await told(['policy', 'simulate', folder], automation);
    expect([answer['lose_a_gate'], list(answer['changes'])[0]?.['count']]).toEqual([1, 1]);
    expect((await at('simulate', folder, '--last', 'many')).code).toBe(2);
  });

  it('rollback proposes the policy that was active before, and people decide', async () => {
    const nothing = await at('rollback');
    expect([nothing.code, nothing.stderr]).toEqual([
      2,
      expect.stringContaining('no other policy was ever active here'),
    ]);
    const first = await activeVersion();
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'main.cedar': `${files['main.cedar'] ?? ''}\n// another\n`,
    }));
    const second = await activeVersion();
    const proposed = await at('rollback');
    expect(proposed.stdout).toContain(first);
    expect(await activeVersion()).toBe(second);
    const request = /req_[0-9a-z]{26}/.exec(proposed.stdout)?.[0] ?? '';
    expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
    await eventually(async () => (await activeVersion()) === first, 'the rollback');
    const { stdout } = await at('history');
    const rows = stdout.trimEnd().split('\n').slice(1);
    expect(rows.map((row) => row.split(' ')[0])).toEqual([first, second, first]);
    expect(rows.map((row) => row.endsWith('active'))).toEqual([true, false, false]);
    expect(rows[0]).toContain(request);
  });

  it('rollback takes the beginning of one version, and no less than tells it apart', async () => {
    const active = await activeVersion();
    const [, second] = list((await told(['policy', 'history'], automation))['data']);
    const named = await at('rollback', text(second?.['version']).slice(0, 20));
    expect(named.stdout).toContain(text(second?.['version']));
    expect((await at('rollback', 'sha256:')).code).toBe(2);
    expect((await at('rollback', 'nothing')).stderr).toContain('was ever active');
    expect(await activeVersion()).toBe(active);
  });

  async function activeVersion(): Promise<string> {
    const { body } = await admin(cast.service).call('GET', '/v1/policies/active');
    return text(body['version']);
  }
});
