// The socket's place: a folder that only its owner may enter, and no other process behind the socket.
import { chmod, lstat, mkdir, rm, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { UsageError } from '../exit.ts';

/** The kernel's bound for the path of a socket, with its closing zero. */
const PATH_BYTES_MAX = 107;

/** Makes room for a socket; refuses a folder that others may enter, and a socket that somebody serves. */
export async function prepareSocket(file: string): Promise<void> {
  if (Buffer.byteLength(file) > PATH_BYTES_MAX)
    throw new UsageError(`the path of a socket has at most ${PATH_BYTES_MAX} bytes: ${file}`);
  const folder = path.dirname(file);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { mode } = await stat(folder);
  if ((mode & 0o077) !== 0)
    throw new UsageError(
      `${folder} can be entered by others, who could then be the agent: chmod 700 ${folder}, or name a folder of its own.`,
    );
  const there = await lstat(file).catch(() => null);
  if (there === null) return;
  if (!there.isSocket()) throw new UsageError(`${file} is there, and is no socket.`);
  if (await isServed(file))
    throw new UsageError(`${file} is served by another process: one agent for each socket.`);
  await rm(file);
}

/** Nobody but the owner, even where the folder is opened up later. */
export const closeToOthers = (file: string): Promise<void> => chmod(file, 0o600);

const isServed = (file: string): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = connect(file);
    probe.once('connect', () => (probe.destroy(), resolve(true)));
    probe.once('error', () => resolve(false));
  });
