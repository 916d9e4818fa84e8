import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import { admittedAgent } from '../support/client.ts';
import { spawned, type Ran } from '../support/command-line.ts';
import { team } from '../support/sdk.ts';
import { startService, type TestService } from '../support/service.ts';
import { programsOf } from '../support/transcript.ts';

const programs = programsOf(await readFile(path.join(PACKAGE_ROOT, 'docs/sdk.md'), 'utf8'));

/** Inside the package, where `countersign/sdk` is what was built. */
const built = path.join(PACKAGE_ROOT, 'dist/documents');

/** What each program, in the order of the document, prints against a new installation. */
const RUNS = [
  { does: 'guarded work reads the database', prints: /count: '\d+'/ },
  {
    does: 'a held credential says where people decide, and the wait ends',
    prints: /\/requests\/req_.*\nnot_decided /,
  },
  { does: 'a helper does its part of a task', prints: /^the helper has a jwt\n$/ },
  {
    does: 'automation registers an agent',
    prints: /^requested req_.*\n(?:.* .*\n)*billing-bot requested/,
  },
  { does: 'a credential has three outcomes', prints: /^jwt\n$/ },
  { does: 'a server for callbacks starts', prints: /^$/ },
].map((run, at) => ({ ...run, at }));

let service: TestService;
/** Where a reader's keys lie. */
let folder: string;
let agent: string;

beforeAll(async () => {
  service = await startService();
  const members = await team(service);
  agent = members.agent.id;
  folder = await mkdtemp(path.join(tmpdir(), 'countersign-sdk-'));
  await writeFile(path.join(folder, 'orders-bot.json'), JSON.stringify(members.key));
  const helper = await admittedAgent(service, members.owner.id, members.approver);
  const credential = { agent: helper.id, key: helper.key.privateJwk };
  await writeFile(path.join(folder, 'helper-bot.json'), JSON.stringify(credential));
  await writeFile(path.join(folder, 'admin-token'), `${service.adminToken}\n`);
  await rm(built, { recursive: true, force: true });
  await mkdir(built, { recursive: true });
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  await rm(built, { recursive: true, force: true });
  await service.close();
});

/** Runs a program of the document as it stands there, at this service and as this agent. */
async function runProgram(at: number): Promise<Ran> {
  const file = path.join(built, `program-${at}.mjs`);
  const here = (programs[at] ?? '')
    .replaceAll('http://localhost:8080', service.config.publicUrl)
    .replaceAll(/agt_[0-9a-z]{26}/g, agent);
  await writeFile(file, here);
  return spawned(process.execPath, [file], folder, { PATH: process.env['PATH'] });
}

describe('docs/sdk.md', () => {
  it('holds only programs that the compiler accepts', async () => {
    const files = programs.map((_, at) => `program-${at}.ts`);
    for (const [at, file] of files.entries())
      await writeFile(path.join(built, file), programs[at] ?? '');
    const config = {
      extends: path.join(PACKAGE_ROOT, 'tsconfig.base.json'),
      compilerOptions: { composite: false, noEmit: true, types: ['node'], rootDir: PACKAGE_ROOT },
      files,
    };
    await writeFile(path.join(built, 'tsconfig.json'), JSON.stringify(config));
    const compiler = path.join(PACKAGE_ROOT, 'node_modules/typescript/bin/tsc');
    const { stdout } = await spawned(process.execPath, [compiler, '-p', built], PACKAGE_ROOT, {});
    expect(stdout).toBe('');
  });

  it.each(RUNS)('$does', async ({ at, prints }) => {
    const { code, stdout, stderr } = await runProgram(at);
    expect(stderr).toBe('');
    expect(stdout).toMatch(prints);
    expect(code).toBe(0);
  });

  it('has no program that is not run', () => {
    expect(programs).toHaveLength(RUNS.length);
  });
});
