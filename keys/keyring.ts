// The keys of an installation that are files, which only it can read. Whoever reads this folder and the database
// can sign as us.
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { base64, fromBase64 } from '../domain/bytes.ts';
import { makeEd25519Key, openEd25519Key, type Ed25519Key } from './ed25519.ts';
import { openVault, type Vault } from './vault.ts';
import { openWebhookSigner, type WebhookSigner } from './webhook.ts';

export interface Keyring {
  /** Checkpoints of the log. */
  log: Ed25519Key;
  webhooks: WebhookSigner;
  /** Columns encrypted at rest. */
  vault: Vault;
  /** Payloads inside Temporal. */
  codec: { key: Uint8Array; id: string };
  /** HMAC over list cursors. */
  cursors: Uint8Array;
}

/** Opens the keys in a folder, making those that are not there yet. */
export async function openKeyring(folder: string): Promise<Keyring> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = (name: string): string => path.join(folder, name);
  const symmetric = async (name: string): Promise<Uint8Array> =>
    readSymmetric(
      name,
      await readOrMake(file(name), () => Promise.resolve(base64(randomBytes(SYMMETRIC_BYTES)))),
    );
  const ed25519 = async (name: string): Promise<Ed25519Key> =>
    openEd25519Key(await readOrMake(file(name), () => Promise.resolve(makeEd25519Key())));
  return {
    log: await ed25519('log.pem'),
    webhooks: openWebhookSigner(await ed25519('webhooks.pem')),
    vault: openVault(await symmetric('at-rest')),
    codec: { key: await symmetric('codec'), id: 'codec-1' },
    cursors: await symmetric('cursors'),
  };
}

const SYMMETRIC_BYTES = 32;

/** A key that was cut short would still encrypt, or fail only when it is first needed. */
function readSymmetric(name: string, text: string): Uint8Array {
  const key = fromBase64(text.trim());
  if (key?.length !== SYMMETRIC_BYTES)
    throw new RangeError(`the key file ${name} does not hold ${SYMMETRIC_BYTES} bytes as base64`);
  return key;
}

/** Two processes may start at once: the file appears whole or not at all, and the first one stands. */
async function readOrMake(file: string, make: () => Promise<string>): Promise<string> {
  const existing = await readText(file);
  if (existing !== null) return existing;
  const draft = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const handle = await open(draft, 'wx', 0o600);
  await handle.writeFile(await make());
  await handle.sync();
  await handle.close();
  await link(draft, file).catch((error: unknown) => {
    if (!isCode(error, 'EEXIST')) throw error;
  });
  await rm(draft);
  return readFile(file, 'utf8');
}

async function readText(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return null;
    throw error;
  }
}

const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;
