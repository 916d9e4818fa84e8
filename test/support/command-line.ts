// The command as users have it: a process of its own, from the built package.
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import type { TestService } from './service.ts';

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

export type Variables = Record<string, string | undefined>;

export interface CommandLine {
  folder: string;
  env: Variables;
  /** `countersign <args>` */
  run(args: readonly string[], env?: Variables): Promise<Ran>;
  /** The same as a parsed --json answer. */
  json(args: readonly string[], env?: Variables): Promise<unknown>;
  close(): Promise<void>;
}

export const PROGRAM = path.join(PACKAGE_ROOT, 'bin/countersign.mjs');

/** A folder to work in, with `countersign` on the PATH and nothing said about any server. */
export async function commandLine(): Promise<CommandLine> {
  const folder = await mkdtemp(path.join(tmpdir(), 'countersign-cli-'));
  const bin = path.join(folder, 'bin');
  await mkdir(bin);
  const shim = `#!/bin/sh\nexec '${process.execPath}' '${PROGRAM}' "$@"\n`;
  await writeFile(path.join(bin, 'countersign'), shim, { mode: 0o755 });
  const env = { PATH: `${bin}:${process.env['PATH'] ?? ''}`, HOME: folder };
  const run: CommandLine['run'] = (args, more = {}) =>
    spawned(process.execPath, [PROGRAM, ...args], folder, { ...env, ...more });
  return {
    folder,
    env,
    run,
    json: async (args, more) => {
      const { stdout, stderr } = await run([...args, '--json'], more);
      if (stdout === '') throw new Error(`nothing was printed: ${stderr}`);
      return JSON.parse(stdout) as unknown;
    },
    close: () => rm(folder, { recursive: true, force: true }),
  };
}

/** What `npm start` leaves beside itself for the command line to find. */
export async function stateFolder(line: CommandLine, service: TestService): Promise<void> {
  const state = path.join(line.folder, '.countersign');
  await mkdir(state, { recursive: true });
  const tokenFile = path.join(state, 'admin-token');
  await writeFile(tokenFile, service.adminToken, { mode: 0o600 });
  const endpoint = { url: service.config.publicUrl, pid: process.pid, token_file: tokenFile };
  await writeFile(path.join(state, 'endpoint.json'), JSON.stringify(endpoint));
}

export function spawned(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Variables,
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}
