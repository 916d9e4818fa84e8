// I9: a bundle verifies as it was written, and in no other way, whoever changed what.
import { randomBytes, randomInt } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatVerifierKey, signCheckpoint } from '../../domain/note.ts';
import { makeEd25519Key, openEd25519Key } from '../../keys/ed25519.ts';
import { audit, sealed, type Audited } from '../support/audit.ts';
import { hold, startCast, startTask, type Cast } from '../support/cast.ts';
import { askCredential, eventually } from '../support/client.ts';
import { commandLine } from '../support/command-line.ts';
import { naiveCheckpoint, naiveRoot } from '../support/naive-log.ts';

let cast: Cast;
let folder: string;
let file: string;
let bytes: Buffer;
let lines: string[];
let vkey: string;
let env: Record<string, string>;

beforeAll(async () => {
  cast = await startCast();
  const { agent, seal, service } = cast;
  folder = await mkdtemp(path.join(tmpdir(), 'countersign-audit-'));
  env = { COUNTERSIGN_URL: service.url, COUNTERSIGN_TOKEN: service.adminToken };
  await hold(agent, seal);
  const task = await startTask(agent);
  await askCredential(agent, task, { role: 'reports-api', seal_to: seal.publicJwk });
  file = path.join(folder, 'record.bundle');
  await eventually(
    async () => (await audit(['export', '--out', file], env)).code === 0,
    'a bundle',
  );
  bytes = await readFile(file);
  lines = bytes.toString('utf8').trimEnd().split('\n').slice(0, -1);
  vkey = (await (await fetch(`${service.url}/log/vkey`)).text()).trim();
});
afterAll(async () => {
  await cast.close();
  await rm(folder, { recursive: true, force: true });
});

async function verified(content: Uint8Array | string, ...args: string[]): Promise<Audited> {
  const changed = path.join(folder, 'changed.bundle');
  await writeFile(changed, content);
  return audit(['verify', changed, ...args]);
}
const codeOf = async (content: Uint8Array | string, ...args: string[]): Promise<number> =>
  (await verified(content, ...args)).code;
const flipped = (at: number, mask: number): Buffer => {
  const changed = Buffer.from(bytes);
  changed[at] = (changed[at] ?? 0) ^ mask;
  return changed;
};

describe('audit verify', () => {
  it('I9: ends with 0 for the bundle as written, with no server and no network to ask', async () => {
    const { code: alone, said } = await verified(bytes);
    expect([alone, said]).toEqual([0, expect.stringContaining('verifies:')]);
    expect(await codeOf(bytes, '--key', vkey)).toBe(0);
    const line = await commandLine();
    const offline = {
      COUNTERSIGN_URL: 'http://127.0.0.1:9',
      DATABASE_URL: 'postgres://127.0.0.1:9',
    };
    const { code, stdout } = await line.run(['audit', 'verify', file, '--key', vkey], offline);
    await line.close();
    expect([code, stdout]).toEqual([0, expect.stringContaining('the key is the one you brought')]);
  });

  it('I9: its leaves hash to the signed root by a computation that is not ours', () => {
    const header = JSON.parse(lines[0] ?? '') as { bundle: { checkpoint: string } };
    const leaves = lines
      .map((line) => JSON.parse(line) as { leaf?: string })
      .flatMap(({ leaf }) => (leaf === undefined ? [] : [Buffer.from(leaf)]));
    const { size, root } = naiveCheckpoint(header.bundle.checkpoint, vkey);
    expect(leaves).toHaveLength(size);
    expect(root.equals(naiveRoot(leaves))).toBe(true);
  });

  it('I9: ends with 1 after any byte anywhere was changed, and never in another way', async () => {
    for (let tries = 0; tries < 300; tries += 1) {
      const [at, mask] = [randomInt(bytes.length), randomInt(1, 256)];
      expect([at, mask, await codeOf(flipped(at, mask))]).toEqual([at, mask, 1]);
    }
    for (const at of [0, 1, bytes.length - 1, bytes.length - 2])
      for (let bit = 0; bit < 8; bit += 1) expect(await codeOf(flipped(at, 1 << bit))).toBe(1);
  });

  it('I9: ends with 1 after any byte was changed and the digest mended, but for the question itself', async () => {
    const body = Buffer.from(lines.join('\n'));
    // The two times of a period are the auditor's question: another question over the same leaves, with the same
    // answer, is a true statement, and what is printed names it.
    const asked = [...body.toString('latin1').matchAll(/"period":\{[^}]*\}/g)].map(
      (found) => [found.index, found.index + found[0].length] as const,
    );
    expect(asked.length).toBeGreaterThan(0);
    for (let tries = 0; tries < 300; tries += 1) {
      const at = randomInt(body.length);
      if (asked.some(([from, to]) => at >= from && at < to)) continue;
      const mask = randomInt(1, 128);
      const changed = Buffer.from(body);
      changed[at] = (changed[at] ?? 0) ^ mask;
      const mended = sealed(changed.toString('utf8').split('\n'));
      expect([at, mask, await codeOf(mended)]).toEqual([at, mask, 1]);
    }
  });

  it('I9: a period moved over a leaf is another question, and its answer is computed again', async () => {
    const verdicts = lines.filter((line) => line.startsWith('{"verdict"'));
    expect(verdicts.length).toBeGreaterThan(0);
    for (const line of verdicts) {
      const moved = line
        .replace(/"from":"\d{4}/, '"from":"2999')
        .replace(/"to":"\d{4}/, '"to":"3000');
      expect(await codeOf(sealed(lines.map((each) => (each === line ? moved : each))))).toBe(1);
    }
  });

  it('ends with 1 for a bundle cut anywhere, and for one with anything after it or before it', async () => {
    for (let tries = 0; tries < 100; tries += 1)
      expect(await codeOf(bytes.subarray(0, randomInt(bytes.length)))).toBe(1);
    for (const more of ['\n', ' ', '{}\n', '\0', '\u{feff}', bytes.toString('utf8')]) {
      expect(await codeOf(Buffer.concat([bytes, Buffer.from(more)]))).toBe(1);
      expect(await codeOf(Buffer.concat([Buffer.from(more), bytes]))).toBe(1);
    }
    expect(await codeOf('')).toBe(1);
    expect(await codeOf(randomBytes(5_000))).toBe(1);
  });

  it('ends with 1 for bytes that only read as the text that was there', async () => {
    const key = openEd25519Key(makeEd25519Key());
    const origin = 'log.example';
    const leaf = '{"said":"\ufffd"}';
    const root = naiveRoot([Buffer.from(leaf)]);
    const bundle = {
      checkpoint: signCheckpoint({ origin, size: 1, root }, key.publicKey, key.sign),
      format: 'countersign/bundle/v1',
      vkey: formatVerifierKey(origin, key.publicKey),
    };
    const whole = Buffer.from(sealed([JSON.stringify({ bundle }), JSON.stringify({ leaf })]));
    expect(await codeOf(whole)).toBe(0);
    const at = whole.indexOf(Buffer.from('\ufffd'));
    const raw = Buffer.concat([whole.subarray(0, at), Buffer.from([0xff]), whole.subarray(at + 3)]);
    expect(raw.toString('utf8')).toBe(whole.toString('utf8'));
    expect(await verified(raw)).toEqual({ code: 1, said: 'does not verify: it is not UTF-8\n' });
  });

  it('ends with 1 for leaves left out, doubled, moved or added, though the digest was mended', async () => {
    const at = 1 + randomInt(10);
    const leaf = lines[at] ?? '';
    const changes = [
      lines.toSpliced(at, 1),
      lines.toSpliced(at, 0, leaf),
      lines.toSpliced(at, 2, lines[at + 1] ?? '', leaf),
      lines.toSpliced(1, 0, '{"leaf":"{}"}'),
      lines.toSpliced(1, 0, '{"leaf":"not json"}'),
      lines.toSpliced(1, 0, '{}'),
      lines.toSpliced(lines.length, 0, '{"note":"audited by us"}'),
      lines.toSpliced(lines.length, 0, leaf),
      lines.toSpliced(0, 1),
      lines.toSpliced(0, 1, leaf),
      lines.toReversed(),
      [],
      [lines[0] ?? ''],
    ];
    for (const [which, changed] of changes.entries())
      expect([which, await codeOf(sealed(changed))]).toEqual([which, 1]);
    expect(await codeOf(sealed(lines))).toBe(0);
  });

  it('ends with 1 for anything beside what is checked, in any line', async () => {
    const places: [RegExp, string][] = [
      [/^\{"bundle":\{/, '{"bundle":{"audited":true,'],
      [/^\{"bundle":/, '{"audited":true,"bundle":'],
      [/^\{"leaf":/, '{"also":1,"leaf":'],
      [/^\{"verdict":/, '{"also":1,"verdict":'],
      [/^\{"verdict":\{/, '{"verdict":{"a":1,'],
    ];
    for (const [place, more] of places) {
      const changed = lines.map((line) => line.replace(place, more));
      expect(changed).not.toEqual(lines);
      expect([more, await codeOf(sealed(changed))]).toEqual([more, 1]);
    }
  });

  it('ends with 1 for another verdict, another period or another control', async () => {
    for (const [from, to] of [
      [/"verdict":"insufficient_evidence"/, '"verdict":"real"'],
      [/"control":"orders-write"/, '"control":"orders-read"'],
      [/"from":"2/, '"from":"3'],
      [/"to":"[^"]*"/, '"to":"whenever"'],
      [/"from":"[^"]*"/, '"from":"9999-99-99"'],
      [/"exceptions":0/, '"exceptions":1'],
      [/"simulated":false/, '"simulated":true'],
    ] as const) {
      const changed = lines.map((line) =>
        line.startsWith('{"verdict"') ? line.replace(from, to) : line,
      );
      expect(changed).not.toEqual(lines);
      expect([to, await codeOf(sealed(changed))]).toEqual([to, 1]);
    }
  });

  it('ends with 1 for a checkpoint of another moment, another key or another log', async () => {
    const header = (checkpoint: string, key = vkey): string =>
      JSON.stringify({ bundle: { checkpoint, format: 'countersign/bundle/v1', vkey: key } });
    const own = (JSON.parse(lines[0] ?? '') as { bundle: { checkpoint: string } }).bundle
      .checkpoint;
    expect(header(own)).toBe(lines[0]);
    const [origin = '', size = '', root = ''] = own.split('\n');
    const stranger = openEd25519Key(makeEd25519Key());
    const forged = signCheckpoint(
      { origin, size: Number(size), root: new Uint8Array(Buffer.from(root, 'base64')) },
      stranger.publicKey,
      stranger.sign,
    );
    const strange = formatVerifierKey(origin, stranger.publicKey);
    await cast.service.stopWorker();
    for (const first of [header(forged), header(''), header(`${own}\n`), header(own, strange)])
      expect(await codeOf(sealed([first, ...lines.slice(1)]))).toBe(1);
    // Signed by somebody else from end to end: only a key from elsewhere can tell, which is why it says so.
    const whole = sealed([header(forged, strange), ...lines.slice(1)]);
    const alone = await verified(whole);
    expect([alone.code, alone.said]).toEqual([0, expect.stringContaining('you got elsewhere')]);
    expect(await codeOf(whole, '--key', vkey)).toBe(1);
  });

  it('ends with 2 only where the command itself was wrong', async () => {
    expect((await audit(['verify', path.join(folder, 'none')])).code).toBe(2);
    expect(await codeOf(bytes, '--key', 'nonsense')).toBe(2);
    expect(await codeOf(bytes, '--earlier', path.join(folder, 'none'))).toBe(2);
    expect((await audit(['verify'])).code).toBe(2);
  });

  it('ends with 1 against an earlier checkpoint that the log does not begin with', async () => {
    const kept = path.join(folder, 'kept');
    const own = (JSON.parse(lines[0] ?? '') as { bundle: { checkpoint: string } }).bundle
      .checkpoint;
    await writeFile(kept, own);
    expect(await codeOf(bytes, '--earlier', kept)).toBe(0);
    for (const earlier of ['', 'x', own.slice(1), own.replace(/\n\d+\n/, '\n0\n')]) {
      await writeFile(kept, earlier);
      expect(await codeOf(bytes, '--earlier', kept)).toBe(1);
    }
  });
});

describe('a record that was tampered with in the database', () => {
  it('I7: verifies no more, though the triggers were off while it was done', async () => {
    const { sql } = cast.service.database.owner;
    const out = path.join(folder, 'tampered.bundle');
    const exported = async (): Promise<number> => {
      const { code } = await audit(['export', '--out', out], env);
      return code === 0 ? (await audit(['verify', out])).code : code;
    };
    expect(await exported()).toBe(0);
    await sql.unsafe('alter table event disable trigger user');
    await sql`update event set leaf = replace(leaf, '"psn_', '"psm_') where type like '%person.invited%'`;
    await sql.unsafe('alter table event enable trigger user');
    expect(await exported()).toBe(1);
  });
});
