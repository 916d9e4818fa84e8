// The sequencer under fire: writers that commit out of order, sequencers that die, databases that were tampered with.
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'drizzle-orm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BATCH_MAX, LogError, sequenceOnce } from '../../commands/record/sequence.ts';
import { timeDigits } from '../../domain/id.ts';
import { makeEd25519Key, openEd25519Key } from '../../keys/ed25519.ts';
import { dyingAt, Killed, startLog, Undone, type TestLog } from '../support/sequencing.ts';

/** Enough for a machine that has other things to do as well. */
vi.setConfig({ testTimeout: 90_000 });

let log: TestLog;
beforeEach(async () => {
  log = await startLog();
});
afterEach(() => log.close());

const owner = (statement: string): Promise<unknown> => log.database.owner.sql.unsafe(statement);
const write = async (count: number): Promise<string[]> => {
  const ids: string[] = [];
  for (let at = 0; at < count; at += 1) ids.push(await log.write());
  return ids;
};

describe('I7: writers and sequencers at the same time', () => {
  it('nothing is skipped, doubled or moved once published, and every checkpoint is a beginning of all later ones', async () => {
    await owner('create table counter (n integer); insert into counter values (0)');
    await owner('grant select, update on counter to countersign_service');
    const committed: string[] = [];
    const undone: string[] = [];
    const counted = new Map<string, number>();
    const before: [string, string][] = [];
    let writing = true;

    const writer = async (seed: number): Promise<void> => {
      for (let at = 0; at < 12; at += 1) {
        const luck = (seed * 31 + at * 17) % 10;
        const usesCounter = luck < 3;
        let n = 0;
        let early: string | null = null;
        const id = await log
          .write({
            commitDelayMs: usesCounter ? luck : ((seed * 7 + at * 13) % 9) * 8,
            undo: luck === 9,
            before: async (unit) => {
              if (!usesCounter) return;
              // Named before the row is locked: its place follows from the lock, not from its name.
              early = unit.emit('person.signed_out', { subject: 'p', detail: {}, private: {} });
              const [row] = await unit.sql.execute<{ n: number }>(
                sql`update counter set n = n + 1 returning n`,
              );
              n = row?.n ?? 0;
            },
          })
          .catch((error: unknown) => {
            if (error instanceof Undone) return null;
            throw error;
          });
        if (id === null) {
          undone.push(`${seed}/${at}`);
          continue;
        }
        // The same writer's next event is later than this one for everybody.
        const previous = committed.findLast((each) => each.startsWith(`${seed}:`));
        if (previous) before.push([previous.slice(previous.indexOf(':') + 1), id]);
        committed.push(`${seed}:${id}`);
        if (early === null) continue;
        committed.push(`${seed}:${String(early)}`);
        counted.set(early, n);
      }
    };
    const published = new Map<string, string[]>();
    const sequencer = async (deps: typeof log.sequencer): Promise<void> => {
      let known: string | null = null;
      for (let idle = 0; writing || idle < 3;) {
        const { checkpoint, size, appended } = await sequenceOnce(deps, known);
        known = checkpoint;
        idle = appended === 0 ? idle + 1 : 0;
        if (!published.has(checkpoint))
          published.set(checkpoint, (await log.order()).slice(0, size));
        await sleep(5);
      }
    };
    const sequencers = [sequencer(log.sequencer), sequencer(log.rival())];
    await Promise.all(Array.from({ length: 32 }, (_, seed) => writer(seed + 1)));
    writing = false;
    await Promise.all(sequencers);

    const order = await log.order();
    const place = new Map(order.map((id, index) => [id, index]));
    const ids = committed.map((each) => each.slice(each.indexOf(':') + 1));
    expect(undone.length).toBeGreaterThan(10);
    expect(order).toHaveLength(ids.length);
    expect(new Set(order)).toEqual(new Set(ids));
    const [gaps] = await log.database.owner.sql`
      select count(*)::int as count, max(index)::int as last from log_entry`;
    expect(gaps).toEqual({ count: ids.length, last: ids.length - 1 });
    expect(published.size).toBeGreaterThan(5);
    for (const [, prefix] of published) expect(order.slice(0, prefix.length)).toEqual(prefix);
    await log.expectBeginnings(published.keys());
    // What caused what: the next event of one writer, and whoever waited for a row that another had locked.
    expect(before.filter(([a, b]) => (place.get(a) ?? 0) > (place.get(b) ?? 0))).toEqual([]);
    const byPlace = [...counted].toSorted(([a], [b]) => (place.get(a) ?? 0) - (place.get(b) ?? 0));
    const numbers = byPlace.map(([, n]) => n);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    expect(numbers.length).toBeGreaterThan(50);
  });

  it('an event whose writer is still at it is never overtaken for good, and never half published', async () => {
    const slow = log.write({ commitDelayMs: 400 });
    await sleep(100);
    const fast = await log.write();
    const { size, checkpoint } = await log.sequence();
    expect(size).toBe(1);
    expect(await log.order()).toEqual([fast]);
    const id = await slow;
    expect((await log.sequence(checkpoint)).size).toBe(2);
    expect(await log.order()).toEqual([fast, id]);
    await log.expectBeginnings([checkpoint]);
  });

  it('a sequencer killed at any of its statements leaves the log as it was, and the next one goes on', async () => {
    const ids = await write(300);
    let known = (await log.sequence()).checkpoint;
    let order = await log.order();
    expect(order).toEqual(ids);
    let died = 0;
    for (let nth = 1; ; nth += 1) {
      const id = await log.write();
      const attempt = await sequenceOnce(dyingAt(log.rival(), nth), known).catch(
        (error: unknown) => error,
      );
      if (!(attempt instanceof Killed)) break;
      died += 1;
      expect(await log.order()).toEqual(order);
      const [head] = await log.database.owner.sql`select checkpoint from log_head`;
      expect(head).toEqual({ checkpoint: known });
      const next = await log.sequence(known);
      order = await log.order();
      expect([next.appended, order.at(-1)]).toEqual([1, id]);
      await log.expectBeginnings([known, next.checkpoint]);
      known = next.checkpoint;
    }
    expect(died).toBeGreaterThan(8);
  });

  it('a sequencer killed after it signed has published nothing, and its successor signs the same tree', async () => {
    await write(3);
    const crash = (): never => {
      throw new Killed();
    };
    const dying = { ...log.sequencer, crashPoint: crash };
    await expect(sequenceOnce(dying, null)).rejects.toThrow(Killed);
    expect(await log.order()).toEqual([]);
    const { size, checkpoint } = await log.sequence();
    expect(size).toBe(3);
    await log.expectBeginnings([checkpoint]);
  });

  it('a sequencer whose connection is cut goes on with a new one', async () => {
    await write(3);
    await log.sequence();
    await owner(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sequencer'
         and datname = current_database()`,
    );
    await write(1);
    const tried = await log.sequence().catch(() => null);
    const { size } = tried ?? (await log.sequence());
    expect(size).toBe(4);
  });

  it('a backlog larger than one round is taken in its order, round by round', async () => {
    const backlog: string[] = [];
    const batch = 1_500;
    for (let at = 0; at < 2; at += 1)
      await log.write({
        before: (unit) => {
          for (let each = 1; each < batch; each += 1)
            backlog.push(unit.emit('person.signed_out', { subject: 'p', detail: {}, private: {} }));
          return Promise.resolve();
        },
      });
    const first = await log.sequence();
    expect(first.appended).toBe(BATCH_MAX);
    const second = await log.sequence(first.checkpoint);
    expect([second.size, second.appended]).toEqual([2 * batch, 2 * batch - BATCH_MAX]);
    const order = new Map((await log.order()).map((id, index) => [id, index]));
    const places = backlog.map((id) => order.get(id) ?? -1);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    await log.expectBeginnings([first.checkpoint, second.checkpoint]);
  });

  it('with nothing to do it signs nothing, until the checkpoint is a minute old', async () => {
    await write(1);
    const first = await log.sequence();
    expect(await log.sequence(first.checkpoint)).toEqual({ ...first, appended: 0 });
    await owner(`update log_head set signed_at = signed_at - interval '61 seconds'`);
    await log.sequence(first.checkpoint);
    const [head] = await log.database.owner.sql`
      select signed_at > now() - interval '30 seconds' as fresh from log_head`;
    expect(head).toEqual({ fresh: true });
  });
});

describe('I7: a log that lost something is not continued', () => {
  it('a database that is behind the checkpoint kept outside is refused, and stays as it is', async () => {
    await write(5);
    const { checkpoint } = await log.sequence();
    const key = log.sequencer.key;
    const restored = await startLog(key);
    try {
      for (const writes of [0, 3]) {
        for (let at = 0; at < writes; at += 1) await restored.write();
        await expect(restored.sequence(checkpoint)).rejects.toThrow('rolled back');
        expect(await restored.order()).toEqual([]);
      }
    } finally {
      await restored.close();
    }
  });

  it('a database that was rolled back and then grew past the kept checkpoint is refused as well', async () => {
    await write(5);
    const { checkpoint } = await log.sequence();
    const restored = await startLog(log.sequencer.key);
    try {
      for (const more of [5, 1, 300]) {
        for (let at = 0; at < more; at += 1) await restored.write();
        await restored.sequence();
        await expect(restored.sequence(checkpoint)).rejects.toThrow('another root');
      }
    } finally {
      await restored.close();
    }
  });

  it('a kept checkpoint of any earlier moment is accepted, so a crash before it was kept does no harm', async () => {
    const kept: string[] = [];
    for (const more of [1, 1, 254, 1, 30]) {
      await write(more);
      kept.push((await log.sequence(kept.at(-1) ?? null)).checkpoint);
    }
    await write(1);
    for (const [at, behind] of kept.entries())
      expect((await log.sequence(behind)).appended).toBe(at === 0 ? 1 : 0);
    await log.expectBeginnings(kept);
  });

  it('a kept checkpoint that was not signed by our key, or is none, is refused', async () => {
    await write(1);
    const { checkpoint } = await log.sequence();
    const stranger = await startLog(openEd25519Key(makeEd25519Key()));
    const foreign = (await stranger.sequence()).checkpoint;
    await stranger.close();
    for (const behind of [
      '',
      'x',
      checkpoint.slice(0, -3),
      checkpoint.replace('\n1\n', '\n0\n'),
      foreign,
    ])
      await expect(log.sequence(behind)).rejects.toThrow(LogError);
  });

  it('a tile, the root or the head that somebody changed stops it', async () => {
    await write(300);
    const { checkpoint } = await log.sequence();
    const flips = [
      `update log_tile set hashes = set_byte(hashes, 5, get_byte(hashes, 5) # 1) where level = 0 and index = 1`,
      `update log_tile set hashes = set_byte(hashes, 5, get_byte(hashes, 5) # 1) where level = 1`,
      `update log_tile set width = width - 1 where level = 0 and index = 1`,
      `delete from log_tile where level = 0 and index = 1`,
      `update log_head set root = set_byte(root, 0, get_byte(root, 0) # 1)`,
      `update log_head set size = size - 1`,
      `delete from log_head`,
    ];
    await write(1);
    for (const flip of flips) {
      await owner(
        'create table kept_tile as table log_tile; create table kept_head as table log_head',
      );
      await owner(flip);
      await expect(log.sequence(checkpoint)).rejects.toThrow(LogError);
      await owner(
        `delete from log_tile; insert into log_tile table kept_tile; drop table kept_tile;
         delete from log_head; insert into log_head table kept_head; drop table kept_head`,
      );
    }
    expect((await log.sequence(checkpoint)).size).toBe(301);
  });

  it('an event that is pending and not there stops it', async () => {
    await owner(`insert into log_pending (event, at) values ('evt_none', now())`);
    await expect(log.sequence()).rejects.toThrow('never stored');
  });
});

describe('I7: who may write what', () => {
  const refused = async (statement: string, role?: string): Promise<string> => {
    try {
      await log.database.owner.sql.begin(async (tx) => {
        if (role !== undefined) await tx.unsafe(`set local role countersign_${role}`);
        await tx.unsafe(statement);
      });
      return 'done';
    } catch (error) {
      return error instanceof Error && 'code' in error ? String(error.code) : 'failed';
    }
  };

  it('an event and its place in the log are never changed, removed or truncated, not even by the owner', async () => {
    await write(2);
    await log.sequence();
    const [row] = await log.database.owner.sql`select tableoid::regclass::text as name from event`;
    const partition = String(row?.['name']);
    for (const table of ['event', partition, 'log_entry']) {
      const column = table === 'log_entry' ? 'event' : 'leaf';
      for (const statement of [
        `update ${table} set ${column} = ${column}`,
        `update ${table} set ${column} = ''`,
        `delete from ${table}`,
        `truncate ${table}`,
        `truncate ${table} cascade`,
      ])
        expect([statement, await refused(statement)]).toEqual([statement, '42501']);
    }
    expect(await log.order()).toHaveLength(2);
  });

  it.each([
    [
      'service',
      [
        `update event set leaf = ''`,
        `delete from event`,
        `truncate event`,
        `update log_pending set at = now()`,
        `delete from log_pending`,
        `insert into log_entry values (0, 'evt_1')`,
        `delete from log_entry`,
        `insert into log_tile values (0, 0, 1, '\\x00')`,
        `update log_tile set width = 0`,
        `delete from log_tile`,
        `insert into log_head (size, root, checkpoint, signed_at) values (0, '', '', now())`,
        `update log_head set size = 0`,
        `delete from log_head`,
        `alter table event disable trigger all`,
        `drop table event`,
      ],
    ],
    [
      'sequencer',
      [
        `insert into event (id, type, time, leaf) values ('evt_1', '', now(), '')`,
        `update event set leaf = ''`,
        `insert into log_pending (event, at) values ('evt_1', now())`,
        `update log_entry set index = 0`,
        `delete from log_entry`,
        `delete from log_tile`,
        `delete from log_head`,
        `select * from event_private`,
        `select * from session`,
        `select * from integration`,
      ],
    ],
    [
      'reader',
      [
        `insert into log_pending (event, at) values ('evt_1', now())`,
        `update log_head set size = 0`,
        `delete from event`,
        `select * from event_private`,
      ],
    ],
  ] as const)('the role %s cannot do what is not its work', async (role, statements) => {
    for (const statement of statements)
      expect([statement, await refused(statement, role)]).toEqual([statement, '42501']);
  });
});

describe('partitions of the event table', () => {
  it.each(['UTC', 'America/New_York', 'Pacific/Kiritimati', 'Asia/Kathmandu', 'Pacific/Apia'])(
    'are cut at the months of UTC, though the session lives in %s',
    async (zone) => {
      const bounds = await log.database.owner.sql.begin(async (tx) => {
        const old =
          await tx`select inhrelid::regclass::text as name from pg_inherits where inhparent = 'event'::regclass`;
        for (const { name } of old) await tx.unsafe(`drop table ${String(name)}`);
        await tx.unsafe(`set local timezone = '${zone}'`);
        await tx`select countersign_ensure_partitions()`;
        return tx`select c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bound
          from pg_class c join pg_inherits i on i.inhrelid = c.oid
          where i.inhparent = 'event'::regclass order by 1`;
      });
      const now = new Date();
      const expected = Array.from({ length: 14 }, (_, at) => {
        const month = (ahead: number): number =>
          Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1 + at + ahead, 1);
        const name = `event_${new Date(month(0)).toISOString().slice(0, 7).replace('-', '_')}`;
        const [from, to] = [timeDigits(month(0)), timeDigits(month(1))];
        return { name, bound: `FOR VALUES FROM ('evt_${from}') TO ('evt_${to}')` };
      });
      expect([...bounds]).toEqual(expected);
    },
  );
});
