// What we issue and publish, judged by programs that we did not write.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tilePath, tileWidth, TILE_WIDTH } from '../../domain/tile.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  eventually,
  newKey,
  opened,
  person,
  postForm,
  text,
  type TestAgent,
} from '../support/client.ts';
import { naiveCheckpoint } from '../support/naive-log.ts';
import { startService, type TestService } from '../support/service.ts';
import {
  findPsql,
  mayBeMissing,
  programOf,
  pythonWithJwt,
  tesseraFsck,
  unless,
  type Tool,
} from '../support/third-party.ts';

const [psql, python, fsck] = await Promise.all([findPsql(), pythonWithJwt(), tesseraFsck()]);
const isSkipped = (tool: Tool): boolean => mayBeMissing && 'missing' in tool;

let service: TestService;
let agent: TestAgent;
let folder: string;

beforeAll(async () => {
  service = await startService();
  folder = await mkdtemp(path.join(tmpdir(), 'countersign-third-party-'));
  const approver = await person(service, 'Approver', ['admins']);
  const owner = await person(service, 'Owner', ['engineering']);
  agent = await admittedAgent(service, owner.id, approver);
});
afterAll(async () => {
  await service.close();
  await rm(folder, { recursive: true, force: true });
});

async function issued(role: string): Promise<{ task: string; material: Record<string, unknown> }> {
  const started = await agent.call('POST', '/v1/tasks', { purpose: 'support', ttl_seconds: 600 });
  const task = text(started.body['id']);
  const seal = await newKey();
  const reply = await askCredential(agent, task, { role, seal_to: seal.publicJwk });
  return { task, material: await opened(reply.body['sealed'], seal) };
}

interface Ran {
  code: number;
  output: string;
}

/** Runs a program to its end; a code other than 0 is an answer, not a failure. */
function ran(program: string, args: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: 60_000 }, (error, stdout, stderr) => {
      const code = typeof error?.code === 'number' ? error.code : error ? -1 : 0;
      resolve({ code, output: stdout + stderr });
    });
  });
}

describe.skipIf(isSkipped(psql))(`psql${unless(psql)}`, () => {
  let session: ChildProcess | null = null;
  afterAll(() => session?.kill());

  it('I3: logs in with an issued role, and is thrown out when the task completes', async () => {
    const { task, material } = await issued('orders-readonly');
    const url = String(material['url']);
    let printed = '';
    const client = spawn(programOf(psql), ['-X', '-A', '-t', '-v', 'ON_ERROR_STOP=1', url]);
    session = client;
    for (const stream of [client.stdout, client.stderr])
      stream.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => client.once('close', resolve));
    client.stdin.write('select current_user, count(*) > 0 from orders;\n');
    await eventually(() => Promise.resolve(printed.includes('\n')), 'the answer of psql');
    expect(printed.trim()).toBe(`${String(material['username'])}|t`);

    const done = await agent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: 'wait=30' });
    expect([done.status, done.body['alive']]).toEqual([200, 0]);
    client.stdin.write('select 1;\n');
    expect(await ended).not.toBe(0);
    expect(printed).toContain('terminating connection');

    const again = await ran(programOf(psql), ['-X', '-c', 'select 1', url]);
    expect(again.code).toBe(2);
    expect(again.output).toMatch(/password authentication failed|does not exist/);
  });
});

describe.skipIf(isSkipped(python))(`PyJWT${unless(python)}`, () => {
  const script = path.join(import.meta.dirname, '../third-party/verify_jwt.py');
  const check = (issuer: string, audience: string, token: string): Promise<Ran> => {
    const jwks = `${service.url}/.well-known/jwks.json`;
    return ran(programOf(python), [script, jwks, issuer, audience, token]);
  };

  it('verifies an issued JWT from the published keys, and refuses it for anybody else', async () => {
    const { material } = await issued('reports-api');
    const token = String(material['token']);
    const good = await check(service.publicUrl, 'https://reports.example', token);
    expect([good.code, good.output]).toEqual([0, expect.stringContaining(agent.name)]);
    const [header, claims, signature = ''] = token.split('.');
    const forged = [header, claims, (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1)];
    const refused: [string, string, string, string][] = [
      [service.publicUrl, 'https://other.example', token, 'InvalidAudienceError'],
      ['https://other.example', 'https://reports.example', token, 'InvalidIssuerError'],
      [service.publicUrl, 'https://reports.example', forged.join('.'), 'InvalidSignatureError'],
    ];
    for (const [issuer, audience, given, why] of refused) {
      const bad = await check(issuer, audience, given);
      expect([bad.code, bad.output]).toEqual([1, expect.stringContaining(why)]);
    }
  });
});

describe.skipIf(isSkipped(python))(`a checker of status lists${unless(python)}`, () => {
  const script = path.join(import.meta.dirname, '../third-party/status_list.py');
  const check = (token: unknown): Promise<Ran> => {
    const jwks = `${service.url}/.well-known/jwks.json`;
    return ran(programOf(python), [script, jwks, service.url, String(token)]);
  };

  it('finds a token good, and dead once it was taken back, without asking us about it', async () => {
    const { material } = await issued('reports-api');
    const another = await issued('reports-api');
    const good = await check(material['token']);
    expect([good.code, good.output.trim()]).toEqual([0, '{"status": "valid", "entries": 131072}']);
    await postForm(
      service,
      '/oauth2/revoke',
      { token: String(material['token']) },
      { authorization: `Bearer ${service.adminToken}` },
    );
    expect((await check(material['token'])).output).toContain('"invalid"');
    expect((await check(another.material['token'])).output).toContain('"valid"');
  });
});

describe.skipIf(isSkipped(fsck))(`Tessera’s fsck${unless(fsck)}`, () => {
  let vkey: string;
  let copy: string;

  const read = async (at: string): Promise<Buffer> => {
    const response = await fetch(`${service.url}/log/${at}`);
    expect([at, response.status]).toEqual([at, 200]);
    return Buffer.from(await response.arrayBuffer());
  };

  /** The checker's own word: it ends with 0 whatever it found. */
  const check = async (url: string, key = vkey): Promise<string> => {
    // With one worker it waits for ever after the first tile that is wrong.
    const args = ['-N=4', '-ui=false', '-v=1', '-logtostderr', `-storage_url=${url}`];
    const { output } = await ran(programOf(fsck), [...args, `-public_key=${key}`]);
    return output;
  };

  /** Everything a mirror would keep: the checkpoint, every tile and every bundle of entries. */
  const mirror = async (to: string): Promise<string[]> => {
    const checkpoint = await read('checkpoint');
    const { size } = naiveCheckpoint(checkpoint.toString('utf8'), await readFile(vkey, 'utf8'));
    const files = ['checkpoint'];
    for (let level = 0; tileWidth(size, level, 0) > 0; level += 1)
      for (let index = 0; tileWidth(size, level, index) > 0; index += 1) {
        const width = tileWidth(size, level, index);
        files.push(tilePath(level, index, width));
        if (level === 0) files.push(tilePath('entries', index, width));
      }
    for (const file of files) {
      await mkdir(path.dirname(path.join(to, file)), { recursive: true });
      await writeFile(path.join(to, file), file === 'checkpoint' ? checkpoint : await read(file));
    }
    return files;
  };

  beforeAll(async () => {
    vkey = path.join(folder, 'vkey');
    await writeFile(vkey, (await read('vkey')).toString('utf8').trim());
    for (let batch = 0; batch < 14; batch += 1)
      await Promise.all(
        Array.from({ length: 20 }, (_, at) =>
          admin(service).call('POST', '/v1/people', {
            name: `Person ${batch} ${at}`,
            roles: ['approver'],
            groups: [],
          }),
        ),
      );
    await eventually(async () => {
      const note = (await read('checkpoint')).toString('utf8');
      return Number(note.split('\n')[1]) > TILE_WIDTH + 20;
    }, 'more than one full tile');
    // Nothing moves any more, so that the copy is of one moment.
    await service.stopWorker();
    copy = path.join(folder, 'copy');
  }, 120_000);

  it('I7: finds our log whole, over HTTP, with the key that we publish', async () => {
    const said = await check(`${service.url}/log/`);
    expect(said).toContain('Completed ranges');
    expect(said).not.toContain('fsck failed');
  });

  it('I7: refuses a mirror of it after one byte of any of its files was changed', async () => {
    const files = await mirror(copy);
    expect(files.some((file) => file.endsWith('tile/0/000'))).toBe(true);
    expect(files.some((file) => file.startsWith('tile/1/000.p/'))).toBe(true);
    expect(await check(`file://${copy}/`)).not.toContain('fsck failed');
    for (const file of files) {
      const flipped = path.join(folder, 'flipped');
      await rm(flipped, { recursive: true, force: true });
      await cp(copy, flipped, { recursive: true });
      const bytes = await readFile(path.join(flipped, file));
      const at = Math.floor(bytes.length / 2);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      await writeFile(path.join(flipped, file), bytes);
      expect([file, await check(`file://${flipped}/`)]).toEqual([
        file,
        expect.stringContaining('fsck failed'),
      ]);
    }
  });

  it('I7: refuses it under any other key', async () => {
    const other = path.join(folder, 'other');
    const foreign = 'sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8';
    await writeFile(other, foreign);
    expect(await check(`${service.url}/log/`, other)).toContain('fsck failed');
  });
});
