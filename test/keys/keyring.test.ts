// The key folder: only its owner reads it, it is made once, and what is broken in it is refused.
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openKeyring } from '../../keys/keyring.ts';

let folder: string;
beforeEach(async () => {
  folder = path.join(await mkdtemp(path.join(tmpdir(), 'countersign-keys-')), 'keys');
});
afterEach(() => rm(path.dirname(folder), { recursive: true, force: true }));

describe('the key folder', () => {
  it('I5: is for its owner alone, and so is every file in it', async () => {
    await openKeyring(folder);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    const files = await readdir(folder);
    expect(new Set(files)).toEqual(
      new Set(['log.pem', 'webhooks.pem', 'at-rest', 'codec', 'cursors']),
    );
    for (const file of files)
      expect((await stat(path.join(folder, file))).mode & 0o777).toBe(0o600);
  });

  it('is made once: opened again, and by many at the same time, it holds the same keys', async () => {
    const rings = await Promise.all(Array.from({ length: 6 }, () => openKeyring(folder)));
    const again = await openKeyring(folder);
    for (const ring of rings) {
      expect(ring.log.publicKey).toEqual(again.log.publicKey);
      expect(ring.webhooks.publicKey).toBe(again.webhooks.publicKey);
      expect(ring.codec).toEqual(again.codec);
      expect(again.vault.open(ring.vault.seal('text', 'use'), 'use')).toBe('text');
    }
    expect(await readdir(folder)).toHaveLength(5);
  });

  it('a key for one thing is never the key for another', async () => {
    await openKeyring(folder);
    const contents = await Promise.all(
      (await readdir(folder)).map((file) => readFile(path.join(folder, file), 'utf8')),
    );
    expect(new Set(contents).size).toBe(contents.length);
  });

  it.each(['at-rest', 'codec', 'cursors'])(
    'a %s key that was cut short is refused',
    async (name) => {
      await openKeyring(folder);
      const file = path.join(folder, name);
      const whole = await readFile(file, 'utf8');
      for (const broken of [
        '',
        whole.slice(0, 20),
        whole.slice(0, -4),
        `A${whole}`,
        'not base64',
      ]) {
        await writeFile(file, broken);
        await expect(openKeyring(folder)).rejects.toThrow(name);
      }
      await writeFile(file, `${whole}\n`);
      await expect(openKeyring(folder)).resolves.toBeDefined();
    },
  );

  it.each(['log.pem', 'webhooks.pem'])('a broken %s is refused, not replaced', async (name) => {
    await openKeyring(folder);
    for (const broken of ['', 'x', '[]']) {
      await writeFile(path.join(folder, name), broken);
      await expect(openKeyring(folder)).rejects.toThrow(Error);
      expect(await readFile(path.join(folder, name), 'utf8')).toBe(broken);
    }
  });
});
