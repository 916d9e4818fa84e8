// Breaking the glass with no server at hand: what each holder's own machine makes of keys and halves.
import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { passwordOf, sharesOf, type KitShare } from '../../domain/glass-kit.ts';
import { readPublicKey, sealTo } from '../../keys/public-key.ts';
import { newKey, type TestKey } from '../support/client.ts';
import { commandLine, type CommandLine, type Ran } from '../support/command-line.ts';

const FACTS = {
  kit: 'kit_1',
  role: 'orders-write',
  target: 'sample',
  host: 'db.example',
  port: 5432,
  database: 'orders',
  username: 'csk_1',
  expires_at: '2099-11-29T00:00:00.000Z',
};

let line: CommandLine;
let keys: [TestKey, TestKey];
let shares: [KitShare, KitShare];
let password: string;

const random = (): Uint8Array => crypto.getRandomValues(new Uint8Array(32));
const fileOf = (name: string): string => path.join(line.folder, name);

async function sealed(name: string, share: KitShare, key: TestKey): Promise<void> {
  const { jwk } = await readPublicKey(key.publicJwk, 'seal_key_invalid');
  await writeFile(
    fileOf(name),
    await sealTo(jwk, { ...share, share_checks: [...share.share_checks] }),
  );
}

beforeAll(async () => {
  line = await commandLine();
  const secret = random();
  password = passwordOf(secret);
  shares = sharesOf(FACTS, secret, random());
  keys = [await newKey(), await newKey()];
  await sealed('one.txt', shares[0], keys[0]);
  await sealed('two.txt', shares[1], keys[1]);
  for (const [at, key] of keys.entries())
    await writeFile(fileOf(`key${at + 1}.json`), JSON.stringify(key.privateJwk), { mode: 0o600 });
});
afterAll(() => line.close());

const open = (...more: string[]): Promise<Ran> =>
  line.run(['break-glass', 'open', 'one.txt', 'two.txt', ...more]);
const URL = (): string => `postgres://csk_1:${password}@db.example:5432/orders\n`;

describe('countersign break-glass', () => {
  it('key makes a key that only its owner reads, prints its public part, and replaces none', async () => {
    const made = await line.run(['break-glass', 'key', 'mine.json']);
    expect(made.code).toBe(0);
    expect(JSON.parse(made.stdout)).toMatchObject({ kty: 'EC', crv: 'P-256' });
    const kept = await readFile(fileOf('mine.json'), 'utf8');
    const { d } = JSON.parse(kept) as { d: string };
    expect(made.stdout + made.stderr).not.toContain(d);
    expect((await stat(fileOf('mine.json'))).mode & 0o777).toBe(0o600);
    expect((await line.run(['break-glass', 'key', 'mine.json'])).code).not.toBe(0);
    expect(await readFile(fileOf('mine.json'), 'utf8')).toBe(kept);
  });

  it('open joins both halves with no server, and says what happens afterwards', async () => {
    const both = ['--key', 'key1.json', '--key', 'key2.json'];
    const plain = await open(...both);
    expect([plain.code, plain.stdout.includes(password)]).toEqual([0, true]);
    expect(plain.stderr).toContain('will be seen');
    expect((await open(...both, '--url')).stdout).toBe(URL());
    expect((await open(...both, '--env')).stdout).toContain(`export PGPASSWORD='${password}'`);
  });

  it('unseal opens one half, which its holder can hand over, and has no password in it', async () => {
    const half = await line.run(['break-glass', 'unseal', 'one.txt', '--key', 'key1.json']);
    expect(half.stdout).not.toContain(password);
    await writeFile(fileOf('half.json'), half.stdout);
    const args = ['break-glass', 'open', 'two.txt', 'half.json', '--key', 'key2.json', '--url'];
    expect((await line.run(args)).stdout).toBe(URL());
  });

  it('refuses what is not both halves of one kit, and says nothing of the password', async () => {
    const write = (name: string, share: object): Promise<void> =>
      writeFile(fileOf(name), JSON.stringify(share));
    const [one, other] = shares;
    const over = sharesOf({ ...FACTS, expires_at: '2020-01-01T00:00:00.000Z' }, random(), random());
    await write('a.json', one);
    await write('b.json', other);
    await write('moved.json', { ...other, host: 'evil.example' });
    await write('foreign.json', sharesOf({ ...FACTS, kit: 'kit_2' }, random(), random())[1]);
    await write('turned.json', { ...other, share: one.share });
    await write('over-a.json', over[0]);
    await write('over-b.json', over[1]);
    await write('none.json', { kind: 'something else' });
    const cases: [string, string, string][] = [
      ['a.json', 'a.json', 'same half'],
      ['a.json', 'moved.json', 'was changed'],
      ['a.json', 'foreign.json', 'two kits'],
      ['a.json', 'turned.json', 'not what was handed out'],
      ['over-a.json', 'over-b.json', 'ended at'],
      ['a.json', 'none.json', 'no half of a kit'],
      ['a.json', 'two.txt', 'another key'],
      ['a.json', 'missing.json', 'cannot be read'],
    ];
    for (const [first, second, says] of cases) {
      const ran = await line.run(['break-glass', 'open', first, second, '--key', 'key1.json']);
      expect([ran.code === 0, ran.stdout]).toEqual([false, '']);
      expect(ran.stderr).toContain(says);
      expect(ran.stderr).not.toContain(password);
    }
  });
});
