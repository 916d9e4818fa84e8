// The log as it is served, and what happens while it takes no events.
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { work } from '../../cli/worker.ts';
import { leafHash, verifyInclusion } from '../../domain/merkle.ts';
import { signCheckpoint } from '../../domain/note.ts';
import { decodeEntries, decodeTile } from '../../domain/tile.ts';
import { openKeyring } from '../../keys/keyring.ts';
import { startCast, startTask, hold, type Cast } from '../support/cast.ts';
import { admin, anyone, askCredential, eventually, list, text, vote } from '../support/client.ts';
import { naiveCheckpoint, naiveRoot } from '../support/naive-log.ts';

let cast: Cast;
let vkey: string;

beforeAll(async () => {
  cast = await startCast();
  vkey = (await (await log('vkey')).text()).trim();
});
afterAll(() => cast.close());

const log = (at: string): Promise<Response> => fetch(`${cast.service.url}/log/${at}`);
const checkpoint = async (): Promise<{ size: number; root: Buffer; note: string }> => {
  const note = await (await log('checkpoint')).text();
  return { ...naiveCheckpoint(note, vkey), note };
};
const bytesAt = async (at: string): Promise<Uint8Array> =>
  new Uint8Array(await (await log(at)).arrayBuffer());
/** Any event at all. */
const happen = (): Promise<unknown> =>
  admin(cast.service).call('POST', '/v1/people', { name: 'Pat', roles: ['approver'], groups: [] });

describe('I7 the published log', () => {
  it('needs no login, and its entries hash to the signed root', async () => {
    const { size, root } = await checkpoint();
    const entries = decodeEntries(await bytesAt(`tile/entries/000.p/${size}`)) ?? [];
    expect(entries).toHaveLength(size);
    expect(root.equals(naiveRoot(entries))).toBe(true);
    const tile = decodeTile(await bytesAt(`tile/0/000.p/${size}`));
    expect(tile).toEqual(entries.map((entry) => leafHash(entry)));
  });

  it('gives any narrower tile as well, for ever the same, and nothing that is not yet signed', async () => {
    const { size } = await checkpoint();
    const narrow = await log(`tile/0/000.p/${size - 3}`);
    expect([narrow.status, narrow.headers.get('cache-control')]).toEqual([
      200,
      expect.stringContaining('immutable'),
    ]);
    const all = await bytesAt(`tile/0/000.p/${size}`);
    expect(new Uint8Array(await narrow.arrayBuffer())).toEqual(all.slice(0, (size - 3) * 32));
    const none = [
      'tile/0/000.p/255',
      'tile/0/000',
      'tile/0/001.p/1',
      'tile/1/000.p/1',
      'tile/entries/000',
      'tile/0/0',
      'tile/0/000.p/0',
      'tile/0/x000/000.p/1',
      'tile/64/000.p/1',
      'tile/0/000.p/257',
      'tile/0/%2e%2e/000.p/1',
      'tile/',
    ];
    for (const at of none) {
      const { status } = await log(at);
      expect([at, status]).toEqual([at, 404]);
    }
    expect((await log('checkpoint')).headers.get('cache-control')).toBe('no-cache');
  });

  it('proves any event in one file that needs nothing else', async () => {
    const { note } = await checkpoint();
    const found = await admin(cast.service).call('GET', '/v1/events?type=person.invited&limit=1');
    const id = text(list(found.body['data'])[0]?.['id']);
    await eventually(async () => (await log(`proof/${id}`)).status === 200, 'the proof');
    const proof = await (await log(`proof/${id}`)).text();
    const [head = '', signed = ''] = proof.split(/\n\n(.*)/s);
    const [version, index = '', ...hashes] = head.split('\n');
    expect(version).toBe('c2sp.org/tlog-proof@v1');
    const { size, root } = naiveCheckpoint(signed, vkey);
    const leaf = leafHash(await bytesAt(`leaf/${id}`));
    const path = hashes.map((hash) => new Uint8Array(Buffer.from(hash, 'base64')));
    const place = Number(/^index (\d+)$/.exec(index)?.[1]);
    expect(verifyInclusion(leaf, place, size, path, new Uint8Array(root))).toBe(true);
    expect(verifyInclusion(leaf, place + 1, size, path, new Uint8Array(root))).toBe(false);
    expect(note).not.toBe('');
  });

  it('knows no event that never was, however it is asked', async () => {
    const ids = [
      'evt_00000000000000000000000000',
      'x',
      '%00',
      'evt_%00',
      "'",
      '%E0%A4%A',
      'a'.repeat(5000),
    ];
    for (const id of ids)
      for (const kind of ['proof', 'leaf']) {
        const { status } = await log(`${kind}/${id}`);
        expect([kind, id.slice(0, 30), status < 500 && status >= 400]).toEqual([
          kind,
          id.slice(0, 30),
          true,
        ]);
      }
  });

  it('the newest checkpoint is kept outside the database as well', async () => {
    const file = path.join(cast.service.config.state, 'log', 'checkpoint');
    const isKept = async (): Promise<boolean> =>
      (await readFile(file, 'utf8')) === (await checkpoint()).note;
    await eventually(isKept, 'the kept checkpoint');
    expect(naiveCheckpoint(await readFile(file, 'utf8'), vkey).size).toBeGreaterThan(0);
  });
});

describe('I6 while the log takes no events', () => {
  /** Stands in the sequencer's way, lets the oldest event grow old, and does something meanwhile. */
  async function whileSilent(work: () => Promise<void>): Promise<void> {
    const { sql } = cast.service.database.owner;
    const held = await sql.reserve();
    await held`begin`;
    try {
      await held`select * from log_head for update`;
      await happen();
      await sql`update log_pending set at = now() - interval '31 seconds'`;
      await work();
    } finally {
      await held`rollback`;
      held.release();
    }
    await eventually(async () => {
      const [row] = await sql`select count(*)::int as waiting from log_pending`;
      return row?.['waiting'] === 0;
    }, 'the log to catch up');
  }

  const readyz = async (): Promise<unknown> => {
    const { status, body } = await anyone(cast.service).call('GET', '/readyz');
    return [status, (body['checks'] as Record<string, string>)['sequencer']];
  };

  it('nothing is issued, it says so, and it goes on by itself', async () => {
    const { agent, seal } = cast;
    const task = await startTask(agent);
    const ask = { role: 'reports-api', seal_to: seal.publicJwk };
    expect((await askCredential(agent, task, ask)).status).toBe(201);
    await whileSilent(async () => {
      const refused = await agent.call('POST', `/v1/tasks/${task}/credentials`, ask);
      expect([refused.status, refused.body['code']]).toEqual([503, 'log_unavailable']);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(await readyz()).toEqual([503, expect.stringMatching(/^events wait for 3\d seconds$/)]);
    });
    expect((await agent.call('POST', `/v1/tasks/${task}/credentials`, ask)).status).toBe(201);
    expect(await readyz()).toEqual([200, 'ok']);
  });

  it('what was approved is not carried out either, until events are numbered again', async () => {
    const { agent, approver, seal } = cast;
    const { request } = await hold(agent, seal);
    const credential = async (): Promise<unknown> =>
      (await agent.call('GET', `/v1/requests/${request}`)).body['credential'];
    await whileSilent(async () => {
      expect((await vote(approver, request, 'approve')).status).toBe(201);
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      expect(await credential()).toBeNull();
      const collected = await agent.call('POST', `/v1/requests/${request}/collect`, {});
      expect(collected.status).toBeGreaterThanOrEqual(400);
    });
    await eventually(async () => (await credential()) !== null, 'the credential', 40_000);
  }, 60_000);

  it('revoking and ending still work: only what is sensitive waits', async () => {
    const { agent, seal } = cast;
    const task = await startTask(agent);
    await askCredential(agent, task, { role: 'orders-readonly', seal_to: seal.publicJwk });
    await whileSilent(async () => {
      const done = await agent.call(
        'POST',
        `/v1/tasks/${task}/complete`,
        {},
        { prefer: 'wait=20' },
      );
      expect([done.status, done.body['state'], done.body['alive']]).toEqual([200, 'completed', 0]);
    });
  });
});

describe('I5 what Temporal keeps', () => {
  it('every payload of every history is encrypted, and no name or reason is in clear', async () => {
    const { agent, approver, seal, service } = cast;
    const { request, task } = await hold(agent, seal, { reason: 'a very particular reason' });
    await vote(approver, request, 'approve');
    await agent.call('GET', `/v1/requests/${request}`, undefined, { prefer: 'wait=10' });
    await agent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: 'wait=20' });
    const connection = await Connection.connect({ address: service.config.temporalAddress ?? '' });
    const namespace = service.config.temporalNamespace;
    try {
      let payloads = 0;
      for (const workflowId of [request, task, agent.id]) {
        const read = async () => {
          const asked = { namespace, execution: { workflowId } };
          const { history } = await connection.workflowService.getWorkflowExecutionHistory(asked);
          return history?.events ?? [];
        };
        // A workflow begins after the call that it is for was answered, and looks at its row first.
        await expect
          .poll(() =>
            read().then(
              ({ length }) => length,
              () => 0,
            ),
          )
          .toBeGreaterThan(8);
        const events = await read();
        for (const { data, encoding } of payloadsIn(events)) {
          payloads += 1;
          expect(encoding).toBe('binary/encrypted');
          expect(data).not.toContain('particular');
        }
        // In what is encrypted three letters of a name stand by chance.
        const clear = JSON.stringify(events, (key, value: unknown) =>
          key === 'data' ? null : value,
        );
        for (const secret of ['particular', 'Ada', 'Olga', agent.name, 'order support'])
          expect([secret, clear.includes(secret)]).toEqual([secret, false]);
      }
      expect(payloads).toBeGreaterThan(10);
    } finally {
      await connection.close();
    }
  });
});

describe('I7 a worker that starts on a database which lost entries', () => {
  it('numbers nothing until the database has them again', async () => {
    const { config, database } = cast.service;
    await cast.service.stopWorker();
    const file = path.join(config.state, 'log', 'checkpoint');
    const kept = await readFile(file, 'utf8');
    const { size, note } = await checkpoint();
    const keys = await openKeyring(path.join(config.state, 'keys'));
    const origin = note.split('\n')[0] ?? '';
    const seen = { origin, size: size + 1, root: leafHash(new Uint8Array()) };
    await writeFile(file, signCheckpoint(seen, keys.log.publicKey, keys.log.sign));
    const worker = await work(config);
    try {
      await happen();
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      expect((await checkpoint()).note).toBe(note);
      const [row] = await database.owner.sql`select count(*)::int as waiting from log_pending`;
      expect(row?.['waiting']).toBeGreaterThan(0);
    } finally {
      await worker.close();
    }
    await writeFile(file, kept);
    const mended = await work(config);
    await eventually(async () => (await checkpoint()).size > size, 'the log to go on');
    await mended.close();
  }, 90_000);
});

/** Every payload anywhere inside, except search attributes and metadata of the user interface, which are never encrypted. */
function payloadsIn(value: unknown): { data: string; encoding: string }[] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return [];
  const { metadata, data } = value as { metadata?: Record<string, Uint8Array>; data?: Uint8Array };
  if (metadata?.['encoding'] !== undefined)
    return [
      {
        data: Buffer.from(data ?? []).toString('latin1'),
        encoding: Buffer.from(metadata['encoding']).toString(),
      },
    ];
  return Object.entries(value).flatMap(([name, member]) =>
    name === 'searchAttributes' ? [] : payloadsIn(member),
  );
}
