// A Redis of its own for one test file: the server of the distribution, on a free port, with TLS and an ACL file.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { tryPort } from '../../cli/embedded/process.ts';
import { certificate } from './certificate.ts';

const MISSING = 'install Redis (Debian: redis-server, redis-tools)';

export interface Redis {
  /** The issuer's URL, over TLS. */
  url: string;
  /** The same without TLS, so that what is between can be held up. */
  plainUrl: string;
  ca: string;
  /** Runs a command with `redis-cli`, as the administrator unless somebody else is said. */
  cli(words: readonly string[], who?: { username: string; password: string }): Promise<string>;
  /** What its ACL file says. */
  savedUsers(): Promise<string>;
  /** Stops the server at once and starts it again, as after a crash. */
  crash(): Promise<void>;
  close(): Promise<void>;
}

/** What the issuer's own user may, as docs/credentials.md says it. */
const ISSUER = `user countersign on >issuer-password resetchannels ~countersign:* -@all +auth +hello +ping +acl|setuser +acl|deluser +acl|getuser +acl|users +acl|save +client|kill +client|list +config|get +multi +exec +watch +get +set`;

export interface RedisOptions {
  /** Whether users are in a file, so that they can be saved. */
  aclFile: boolean;
}

export async function startRedis({ aclFile }: RedisOptions): Promise<Redis> {
  const folder = await mkdtemp(path.join(tmpdir(), 'countersign-redis-'));
  const users = path.join(folder, 'users.acl');
  const config = path.join(folder, 'redis.conf');
  const { key, cert, pem } = await certificate(folder);
  const port = (await tryPort(0, '127.0.0.1')) ?? 0;
  const plainPort = (await tryPort(0, '127.0.0.1')) ?? 0;
  const known = ['user default on >root-password ~* &* +@all', ISSUER];
  await writeFile(users, `${known.join('\n')}\n`);
  const lines = [
    `port ${plainPort}`,
    `tls-port ${port}`,
    'bind 127.0.0.1',
    `tls-cert-file ${cert}`,
    `tls-key-file ${key}`,
    `tls-ca-cert-file ${cert}`,
    'tls-auth-clients no',
    'save ""',
    `dir ${folder}`,
    ...(aclFile ? [`aclfile ${users}`] : known),
  ];
  await writeFile(config, `${lines.join('\n')}\n`);
  const cli: Redis['cli'] = async (
    words,
    who = { username: 'default', password: 'root-password' },
  ) => {
    const args = ['-p', String(port), '--tls', '--cacert', cert, '--user', who.username];
    const env = { PATH: '/usr/bin:/bin', REDISCLI_AUTH: who.password };
    const { stdout, stderr } = await promisify(execFile)(
      'redis-cli',
      [...args, '--no-auth-warning', ...words],
      { env },
    );
    return `${stderr}${stdout}`.trim();
  };
  let server = await start(config, cli);
  return {
    url: `rediss://countersign:issuer-password@127.0.0.1:${port}/0`,
    plainUrl: `redis://countersign:issuer-password@127.0.0.1:${plainPort}/0`,
    ca: pem,
    cli,
    savedUsers: () => readFile(users, 'utf8'),
    crash: async () => {
      await end(server, 'SIGKILL');
      server = await start(config, cli);
    },
    close: async () => {
      await end(server, 'SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function start(config: string, cli: Redis['cli']): Promise<ChildProcess> {
  const server = spawn('redis-server', [config], { stdio: 'ignore' });
  server.on('error', () => undefined);
  for (let tries = 0; ; tries += 1) {
    if ((await cli(['PING']).catch(() => '')) === 'PONG') return server;
    if (tries > 100) throw new Error(MISSING);
    await sleep(50);
  }
}

async function end(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const ended = once(server, 'exit');
  server.kill(signal);
  await ended;
}
