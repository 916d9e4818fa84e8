// The product as a user runs it: `countersign start` in a process of its own, with a state folder of its own.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readConfig } from '../../cli/config.ts';
import { isAlive, tryPort } from '../../cli/embedded/process.ts';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import type { TestTarget } from './client.ts';

export interface System extends TestTarget {
  state: string;
  port: number;
  /** Everything it printed so far. */
  output(): string;
  /** The pid of one of its processes. */
  pidOf(part: 'serve' | 'worker' | 'postgres' | 'temporal'): Promise<number>;
  /** Lets the next process that reaches this point die there, once. */
  crashAt(point: string): Promise<void>;
  /** Whether the crash that was asked for has happened. */
  hasCrashed(): Promise<boolean>;
  /** Ctrl-C, or another signal, and wait until it is gone. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
  /** Start again on the same state. */
  start(): Promise<void>;
  /** Stop and forget everything. */
  remove(): Promise<void>;
}

const READY_MS = 90_000;

export async function startSystem(env: Record<string, string> = {}): Promise<System> {
  const state = await mkdtemp(path.join(tmpdir(), 'countersign-system-'));
  const port = (await tryPort(0, '127.0.0.1')) ?? 0;
  const crashFile = path.join(state, 'crash-at');
  const fullEnv = {
    ...process.env,
    PORT: String(port),
    COUNTERSIGN_STATE: state,
    COUNTERSIGN_TEST: 'true',
    COUNTERSIGN_CRASH_AT: crashFile,
    ...env,
  };
  let child: ChildProcess | null = null;
  let printed = '';
  const url = `http://127.0.0.1:${port}`;
  const system: System = {
    url,
    adminToken: '',
    publicUrl: readConfig({ PORT: String(port) }).publicUrl,
    state,
    port,
    output: () => printed,
    pidOf: (part) => pidOf(state, part, child?.pid ?? 0),
    crashAt: (point) => writeFile(crashFile, point),
    hasCrashed: async () => (await readFile(crashFile, 'utf8').catch(() => '')) === '',
    start: async () => {
      printed = '';
      child = launch(fullEnv, (text) => (printed += text));
      await waitUntilReady(url, child, () => printed);
      system.adminToken = (await readFile(path.join(state, 'admin-token'), 'utf8')).trim();
    },
    stop: async (signal = 'SIGINT') => {
      if (!child || child.exitCode !== null) return child?.exitCode ?? null;
      const ended = new Promise<number | null>((resolve) =>
        child?.once('exit', (code) => resolve(code)),
      );
      child.kill(signal);
      return ended;
    },
    remove: async () => {
      await system.stop();
      await rm(state, { recursive: true, force: true });
    },
  };
  await system.start();
  return system;
}

function launch(env: NodeJS.ProcessEnv, heard: (text: string) => void): ChildProcess {
  const child = spawn(process.execPath, ['bin/countersign.mjs', 'start'], {
    cwd: PACKAGE_ROOT,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => heard(chunk.toString('utf8')));
  return child;
}

/** Runs `countersign start` until it ends by itself, for starts that must not succeed. */
export async function failedStart(
  env: Record<string, string>,
): Promise<{ code: number | null; output: string }> {
  let output = '';
  const child = launch({ ...process.env, ...env }, (text) => (output += text));
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { code, output };
}

/** Starts several on one state and one port at the same moment; says what those printed that had to end. */
export async function raceStarts(count: number, env: Record<string, string>): Promise<string[]> {
  const runs = Array.from({ length: count }, () => {
    const run = { output: '', over: false };
    const child = launch({ ...process.env, ...env }, (text) => (run.output += text));
    const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    return { run, child, exit: exit.then(() => void (run.over = true)) };
  });
  const deadline = Date.now() + READY_MS;
  const isDecided = (): boolean =>
    runs.every(({ run }) => run.over || run.output.includes('State:'));
  while (!isDecided() && Date.now() < deadline) await sleep(100);
  const ended = runs.filter(({ run }) => run.over).map(({ run }) => run.output);
  for (const { child } of runs) child.kill('SIGINT');
  await Promise.all(runs.map(({ exit }) => exit));
  return ended;
}

async function waitUntilReady(
  url: string,
  child: ChildProcess,
  output: () => string,
): Promise<void> {
  const deadline = Date.now() + READY_MS;
  // Ready is what it says itself: the address of the console, printed last.
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`start ended: ${output()}`);
    if (output().includes('State:')) return;
    await sleep(50);
  }
  throw new Error(`not ready in ${READY_MS} ms at ${url}: ${output()}`);
}

async function pidOf(
  state: string,
  part: 'serve' | 'worker' | 'postgres' | 'temporal',
  supervisor: number,
): Promise<number> {
  if (part === 'postgres' || part === 'temporal') {
    const file = path.join(state, part, `${part}.pid`);
    // Between two servers there is no such file.
    return Number(await readFile(file, 'utf8').catch(() => '0'));
  }
  // Our own processes are children of the supervisor; the command line says which is which.
  const deadline = Date.now() + 10_000;
  while (Date.now() < deadline) {
    for (const pid of await childrenOf(supervisor)) {
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      if (command.split('\0').includes(part) && isAlive(pid)) return pid;
    }
    await sleep(50);
  }
  throw new Error(`no ${part} is running`);
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text
    .trim()
    .split(/\s+/)
    .filter((each) => each !== '')
    .map(Number);
}
