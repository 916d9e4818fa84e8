// The Workload API beside a workload: go-spiffe as the workload, the built command as the server.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { chmod, mkdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { changePolicy } from '../support/cast.ts';
import { authorityOf } from '../support/certificates.ts';
import {
  admin,
  admittedAgent,
  eventually,
  newKey,
  person,
  type TestAgent,
  type TestPerson,
} from '../support/client.ts';
import { commandLine, PROGRAM, type CommandLine } from '../support/command-line.ts';
import { startService, type TestService } from '../support/service.ts';
import { goProgram, mayBeMissing, programOf, unless } from '../support/third-party.ts';

const run = promisify(execFile);
const goSpiffe = await goProgram('spiffe');

let service: TestService;
let line: CommandLine;
let approver: TestPerson;
let owner: TestPerson;
const running: ChildProcess[] = [];

beforeAll(async () => {
  const partner = {
    keys: [
      { kty: 'EC', use: 'x509-svid', x5c: [authorityOf('partner').der.toString('base64')] },
      { ...(await newKey()).publicJwk, use: 'jwt-svid', kid: 'partner-1' },
    ],
    spiffe_sequence: 1,
  };
  service = await startService({ env: { PARTNER_BUNDLE: JSON.stringify(partner) } });
  line = await commandLine();
  approver = await person(service, 'Approver', ['admins']);
  owner = await person(service, 'Owner', ['engineering']);
});
afterAll(async () => {
  for (const each of running) each.kill('SIGTERM');
  await line.close();
  await service.close();
});

interface Served {
  agent: TestAgent;
  socket: string;
  process: ChildProcess;
  said: () => string;
}

async function keyFile(agent: TestAgent): Promise<string> {
  const file = path.join(line.folder, `${agent.name}.json`);
  await writeFile(file, JSON.stringify(agent.key.privateJwk), { mode: 0o600 });
  return file;
}

const argsFor = async (agent: TestAgent, socket: string): Promise<string[]> => [
  ...['workload-api', '--agent', agent.id, '--key', await keyFile(agent)],
  ...['--socket', socket, '--refresh', '1'],
];

/** The command for a new agent, once it says where it listens. */
async function serve(more: readonly string[] = []): Promise<Served> {
  const agent = await admittedAgent(service, owner.id, approver);
  const socket = path.join(line.folder, `s-${agent.name}`, 'agent.sock');
  const child = spawn(process.execPath, [PROGRAM, ...(await argsFor(agent, socket)), ...more], {
    cwd: line.folder,
    env: { ...line.env, COUNTERSIGN_URL: service.config.publicUrl },
  });
  running.push(child);
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await eventually(() => Promise.resolve(said.includes('SPIFFE_ENDPOINT_SOCKET=')), 'the socket');
  return { agent, socket, process: child, said: () => said };
}

/** What go-spiffe says, which ends with ok. */
async function goSays(...args: string[]): Promise<string> {
  const { stdout } = await run(programOf(goSpiffe), args).catch(
    (error: { stdout: string }) => error,
  );
  return stdout;
}

const idOf = ({ name }: TestAgent): string => `spiffe://countersign.local/agent/${name}`;

describe.skipIf(mayBeMissing && 'missing' in goSpiffe)(`go-spiffe${unless(goSpiffe)}`, () => {
  let one: Served;
  let two: Served;
  let doomed: Served;
  beforeAll(async () => {
    [one, two, doomed] = await Promise.all([serve(['--ttl', '10']), serve(), serve()]);
  });

  it('two agents talk over mutual TLS, each only to whom it names', async () => {
    expect(await goSays('mtls', one.socket, two.socket)).toBe(
      `${idOf(one.agent)} ${idOf(two.agent)}\nok\n`,
    );
  });

  it('a JWT-SVID is for those it names, of the agent alone, and judged by library and socket alike', async () => {
    expect(await goSays('jwt', one.socket)).toBe('ok\n');
  });

  it('a call that is not marked as one of a workload gets nothing', async () => {
    expect(await goSays('unmarked', one.socket)).toBe('ok\n');
  });

  it('an SVID is replaced at half its life while both sides go on talking', async () => {
    expect(await goSays('rotate', one.socket, two.socket)).toBe('ok\n');
  });

  it('the bundle of a federated trust domain comes with ours, and goes with the policy that named it', async () => {
    expect(await goSays('bundles', two.socket)).toBe('countersign.local 1 1\nok\n');
    const federate = (file: string) =>
      changePolicy(service, approver, (files) => ({ ...files, 'federation.yaml': file }));
    await federate('trust_domains:\n  partner.example: { bundle_from: PARTNER_BUNDLE }\n');
    const isThere = async () =>
      (await goSays('bundles', two.socket, 'partner.example')) ===
      'countersign.local 1 1\npartner.example 1 1\nok\n';
    await eventually(isThere, 'the bundle of the partner');
    await federate('trust_domains: {}\n');
    await eventually(async () => !(await isThere()), 'the end of it');
  });

  it('I3: an open stream ends with PermissionDenied when the agent is suspended, and calls do', async () => {
    const watching = goSays('denied', doomed.socket);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await admin(service).call('POST', `/v1/agents/${doomed.agent.id}/suspend`, {});
    expect(await watching).toMatch(/^(has an identity\n)+ok\n$/);
    expect(await goSays('ask', doomed.socket)).toBe('PermissionDenied PermissionDenied\nok\n');
  });

  it('I3: what was revoked is on the lists of every open stream in seconds, of all authorities there are', async () => {
    const leaving = await serve();
    const serial = (await goSays('serial', leaving.socket)).split('\n')[0] ?? '';
    const watching = goSays('revoked', one.socket, serial);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    await admin(service).call('POST', `/v1/agents/${leaving.agent.id}/suspend`, {});
    const said = await watching;
    expect(said).toMatch(
      /^(svid 1 false\n)+svid 1 true\n(bundles 1 false\n)*bundles 1 true\nok\n$/,
    );
  });

  it('nothing is said anew while nothing is new', async () => {
    // What was revoked just before may still be on its way.
    await expect.poll(() => goSays('quiet', two.socket), { timeout: 20_000 }).toBe('ok\n');
  });

  it('an agent that was let ask again has an identity again', async () => {
    const reply = await admin(service).call('POST', `/v1/agents/${doomed.agent.id}/resume`, {});
    expect(reply.body['state']).toBe('active');
    await eventually(
      async () => (await goSays('ask', doomed.socket)) === 'OK OK\nok\n',
      'the identity again',
    );
  });

  it('an authority dropped at once takes its SVIDs along, and new ones are there in seconds', async () => {
    const before = await goSays('serial', two.socket);
    expect(before).toMatch(/^[0-9a-f]{32}\nok\n$/);
    const reply = await admin(service).call('POST', '/v1/keys/rotate', {
      ...{ use: 'x509', now: true, revoke: true, reason: 'a drill' },
    });
    expect(reply.status).toBe(200);
    // Its SVID had most of its half hour before it.
    await eventually(async () => {
      const now = await goSays('serial', two.socket);
      return now !== before && now.endsWith('ok\n');
    }, 'an SVID of the new authority');
    await eventually(
      async () => (await goSays('mtls', one.socket, two.socket)).endsWith('ok\n'),
      'that they talk again',
    );
  });
});

describe('the socket', () => {
  it('is for its owner alone, and gone or replaced after its process', async () => {
    const { agent, socket, process: child } = await serve();
    expect((await stat(socket)).mode & 0o777).toBe(0o600);
    expect((await stat(path.dirname(socket))).mode & 0o777).toBe(0o700);
    const second = await line.run(await argsFor(agent, socket), {
      COUNTERSIGN_URL: service.config.publicUrl,
    });
    expect(second).toMatchObject({ code: 2 });
    expect(second.stderr).toContain('served by another process');
    // Killed without a chance to clean up: what it leaves does not stop the next one.
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
    const next = spawn(process.execPath, [PROGRAM, ...(await argsFor(agent, socket))], {
      cwd: line.folder,
      env: { ...line.env, COUNTERSIGN_URL: service.config.publicUrl },
    });
    running.push(next);
    let said = '';
    next.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await eventually(() => Promise.resolve(said.includes('SPIFFE_ENDPOINT_SOCKET=')), 'the socket');
  });

  it('is refused in a folder that others may enter, and never takes the place of a file', async () => {
    const agent = await admittedAgent(service, owner.id, approver);
    const folder = path.join(line.folder, 'open');
    await mkdir(folder);
    await chmod(folder, 0o755);
    const url = { COUNTERSIGN_URL: service.config.publicUrl };
    const open = await line.run(await argsFor(agent, path.join(folder, 'a.sock')), url);
    expect([open.code, open.stderr]).toEqual([2, expect.stringContaining('chmod 700')]);
    await chmod(folder, 0o700);
    const file = path.join(folder, 'kept');
    await writeFile(file, 'kept');
    const taken = await line.run(await argsFor(agent, file), url);
    expect([taken.code, taken.stderr]).toEqual([2, expect.stringContaining('is no socket')]);
    const long = await line.run(await argsFor(agent, path.join(folder, 'x'.repeat(120))), url);
    expect([long.code, long.stderr]).toEqual([2, expect.stringContaining('at most 107 bytes')]);
  });
});
