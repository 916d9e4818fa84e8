// Long-lived programs that we start beside us: detached, so that Ctrl-C reaches only the supervisor, which
// then stops them in order; and with a pid file, so that the next start finds what a crash left behind.
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A start that cannot go on; its message is the one sentence the operator sees. */
export class StartError extends Error {}

/** The first line of what went wrong. */
export const messageOf = (error: unknown): string =>
  error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);

export interface ProgramOptions {
  command: string;
  args: string[];
  env?: NodeJS.ProcessEnv;
  /** Where its output goes. */
  logFile: string;
  pidFile: string;
}

/** Starts a program in a session of its own and notes its pid. */
export async function startProgram(options: ProgramOptions): Promise<ChildProcess> {
  await mkdir(path.dirname(options.logFile), { recursive: true });
  const output = openSync(options.logFile, 'a', 0o600);
  const child = spawn(options.command, options.args, {
    detached: true,
    stdio: ['ignore', output, output],
    ...(options.env && { env: options.env }),
  });
  closeSync(output);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  await writeFile(options.pidFile, `${child.pid}\n`);
  return child;
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Asks a process to end, and makes it end when it does not. */
export async function endProcess(
  pid: number,
  signal: NodeJS.Signals,
  graceMs: number,
): Promise<void> {
  kill(pid, signal);
  const deadline = Date.now() + graceMs;
  while (isAlive(pid) && Date.now() < deadline) await sleep(25);
  if (isAlive(pid)) kill(pid, 'SIGKILL');
  while (isAlive(pid) && Date.now() < deadline + 5000) await sleep(25);
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself in the meantime.
  }
}

/** Ends what an earlier start left running, if the pid still belongs to that program. */
export async function endOrphan(
  pidFile: string,
  program: string,
  signal: NodeJS.Signals,
): Promise<void> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => ''));
  if (pid > 1 && isAlive(pid) && (await commandLine(pid)).includes(program))
    await endProcess(pid, signal, 10_000);
  await rm(pidFile, { force: true });
}

/** What a pid is running, so that a reused pid is never mistaken for ours. */
export async function commandLine(pid: number): Promise<string> {
  const linux = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => null);
  if (linux !== null) return linux.replaceAll('\0', ' ');
  return new Promise((resolve) => {
    const ps = spawn('ps', ['-o', 'command=', '-p', String(pid)]);
    let text = '';
    ps.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    ps.on('error', () => resolve(''));
    ps.on('close', () => resolve(text));
  });
}

/**
 * A port that is free now: the same one for the same folder where it can be, and another for another, so that two
 * installations that start together, or one that starts while the other's server is down, do not meet.
 */
export async function freePort(first: number, folder: string): Promise<number> {
  const preferred = first + (createHash('sha256').update(folder).digest().readUInt16BE(0) % 2_000);
  return (await tryPort(preferred, '127.0.0.1')) ?? (await tryPort(0, '127.0.0.1')) ?? preferred;
}

/** The port if it could be bound just now, else null. */
export function tryPort(port: number, host: string): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : null));
    });
  });
}
