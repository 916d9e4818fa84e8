// The key folder: only its owner reads it, it is made once, and what is broken in it is refused.
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openKeyring } from '../../keys/keyring.ts';
import { makeTokenKey, openTokenKeys } from '../../keys/tokens.ts';

let folder: string;
beforeEach(async () => {
  folder = path.join(await mkdtemp(path.join(tmpdir(), 'countersign-keys-')), 'keys');
});
afterEach(() => rm(path.dirname(folder), { recursive: true, force: true }));

const claims = { sub: 'agt_1', aud: 'https://a.example', iss: 'https://i.example' };
const soon = (): number => Math.floor(Date.now() / 1000) + 60;

describe('the key folder', () => {
  it('I5: is for its owner alone, and so is every file in it', async () => {
    await openKeyring(folder);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    const files = await readdir(folder);
    expect(new Set(files)).toEqual(
      new Set(['tokens.json', 'log.pem', 'webhooks.pem', 'at-rest', 'codec', 'cursors']),
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
      expect(ring.tokens.jwks).toEqual(again.tokens.jwks);
      expect(ring.codec).toEqual(again.codec);
      expect(again.vault.open(ring.vault.seal('text', 'use'), 'use')).toBe('text');
    }
    expect(await readdir(folder)).toHaveLength(6);
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

  it.each(['log.pem', 'webhooks.pem', 'tokens.json'])(
    'a broken %s is refused, not replaced',
    async (name) => {
      await openKeyring(folder);
      for (const broken of ['', 'x', '[]']) {
        await writeFile(path.join(folder, name), broken);
        await expect(openKeyring(folder)).rejects.toThrow(Error);
        expect(await readFile(path.join(folder, name), 'utf8')).toBe(broken);
      }
    },
  );

  it('after a rotation the new key signs and the old one still verifies', async () => {
    const before = await openKeyring(folder);
    const old = await before.tokens.sign('at+jwt', { ...claims, exp: soon() });
    const file = path.join(folder, 'tokens.json');
    const stored: unknown = JSON.parse(await readFile(file, 'utf8'));
    const rotated = [await makeTokenKey('2026-11-21T00:00:00.000Z'), ...(stored as [])];
    await writeFile(file, JSON.stringify(rotated));
    const { tokens } = await openKeyring(folder);
    const fresh = await tokens.sign('at+jwt', { ...claims, exp: soon() });
    for (const token of [old, fresh])
      expect(await tokens.verify(token, 'at+jwt', claims.iss, claims.aud)).toMatchObject(claims);
    const kid = (token: string): unknown =>
      (
        JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as {
          kid: string;
        }
      ).kid;
    expect(tokens.jwks.keys.map((key) => key.kid)).toEqual([kid(fresh), kid(old)]);
    const alone = await openTokenKeys(rotated.slice(0, 1));
    expect(await alone.verify(old, 'at+jwt', claims.iss, claims.aud)).toBeNull();
  });

  it('publishes public keys only', async () => {
    const { tokens } = await openKeyring(folder);
    for (const key of tokens.jwks.keys)
      expect(new Set(Object.keys(key))).toEqual(
        new Set(['kty', 'crv', 'x', 'y', 'kid', 'alg', 'use']),
      );
    await expect(openTokenKeys([])).rejects.toThrow(RangeError);
  });
});
