// Sessions that the server ends at any moment: nothing half done is kept, and whoever comes next is served.
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'drizzle-orm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connect, type Database, type Transaction } from '../../db/client.ts';
import { freshDatabase, type TestDatabase } from '../support/service.ts';

const NAME = 'sessions under test';

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await freshDatabase();
  await owner('create table tally (name text primary key, n integer not null check (n >= 0))');
});
afterAll(() => database.close());
beforeEach(async () => {
  await owner("truncate tally; insert into tally values ('left', 0), ('right', 0)");
  db = connect(database.url, { role: null, application: NAME, connectionsMax: 3 });
});
afterEach(() => db.close());

const owner = (statement: string): Promise<Record<string, unknown>[]> =>
  database.owner.sql.unsafe(statement);
const endSessions = (): Promise<unknown> =>
  owner(
    `select pg_terminate_backend(pid) from pg_stat_activity where application_name = '${NAME}'`,
  );
const add = (tx: Transaction, name: string, n = 1): Promise<unknown> =>
  tx.execute(sql`update tally set n = n + ${n} where name = ${name}`);
async function tally(): Promise<Record<string, number>> {
  const rows = await owner('select name, n from tally');
  return Object.fromEntries(rows.map(({ name, n }) => [String(name), Number(n)]));
}

/** What a caller learns when its session is ended: the server's word, the socket's, or ours. */
const GONE = ['57P01', 'ECONNRESET', 'CONNECTION_CLOSED'];

function codeOf(error: unknown): unknown {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if ('code' in cause) return cause.code;
  return error;
}

describe('sessions that are ended', () => {
  it('I1: transactions are kept whole or not at all, and the process goes on', async () => {
    let kept = 0;
    let lost = 0;
    let going = true;
    const lane = async (): Promise<void> => {
      while (going)
        await db.query
          .transaction(async (tx) => {
            await add(tx, 'left');
            await sleep(Math.random() * 6);
            await add(tx, 'right');
            await sleep(Math.random() * 3);
          })
          .then(
            () => (kept += 1),
            () => (lost += 1),
          );
    };
    const lanes = Array.from({ length: 6 }, lane);
    for (let times = 0; times < 30; times += 1) {
      await sleep(40);
      await endSessions();
    }
    going = false;
    await Promise.all(lanes);
    const { left, right } = await tally();
    expect(left).toBe(right);
    expect(left).toBeGreaterThanOrEqual(kept);
    // Whether a commit arrived before the session ended cannot be known; nothing else is in doubt.
    expect(left).toBeLessThanOrEqual(kept + lost);
    expect([kept > 0, lost > 0]).toEqual([true, true]);
    await expect(db.query.execute(sql`select 1 as one`)).resolves.toMatchObject([{ one: 1 }]);
  });

  it('I1: what comes after the end of the session is refused, and never runs by itself', async () => {
    const work = db.query.transaction(async (tx) => {
      await add(tx, 'left');
      await endSessions();
      await sleep(50);
      const together = [add(tx, 'right'), add(tx, 'right')];
      await Promise.allSettled(together);
      await add(tx, 'right');
    });
    expect(GONE).toContain(await work.then(() => 'kept', codeOf));
    expect(await tally()).toEqual({ left: 0, right: 0 });
  });

  it('single queries fail while their session ends, and the next ones have another', async () => {
    const slow = db.query.execute(sql`select pg_sleep(5)`).then(() => 'served', codeOf);
    await sleep(200);
    await endSessions();
    expect(GONE).toContain(await slow);
    for (let times = 0; times < 6; times += 1)
      await expect(db.query.execute(sql`select 1 as one`)).resolves.toMatchObject([{ one: 1 }]);
  });
});

it('a server that hangs up on every connection is told, and not tried without end', async () => {
  let connections = 0;
  const balancer = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => balancer.listen(0, '127.0.0.1', resolve));
  const { port } = balancer.address() as AddressInfo;
  const url = `postgres://nobody:nothing@127.0.0.1:${port}/none`;
  const nothing = connect(url, { role: null, application: NAME, connectionsMax: 3 });
  const asked = nothing.query.execute(sql`select 1`).then(() => 'served', codeOf);
  expect(['hung_up', 'ECONNRESET', 'CONNECTION_CLOSED']).toContain(await asked);
  await nothing.close();
  balancer.close();
  expect(connections).toBeLessThan(10);
});

describe('transactions', () => {
  it('I1: a statement that failed undoes all, though nobody minded', async () => {
    const work = db.query.transaction(async (tx) => {
      await add(tx, 'left');
      await add(tx, 'right', -1).catch(() => undefined);
    });
    expect(await work.then(() => 'kept', codeOf)).toBe('23514');
    expect(await tally()).toEqual({ left: 0, right: 0 });
  });

  it('I1: a statement that comes after the end runs in no other transaction', async () => {
    let kept: Transaction | undefined;
    await db.query.transaction(async (tx) => {
      kept = tx;
      await add(tx, 'left');
    });
    await expect(kept && add(kept, 'right')).rejects.toMatchObject({
      cause: { message: 'a statement came after the end of its transaction' },
    });
    expect(await tally()).toEqual({ left: 1, right: 0 });
  });

  it('more than there are sessions wait for one, and all are served', async () => {
    const many = Array.from({ length: 40 }, () =>
      db.query.transaction(async (tx) => {
        await add(tx, 'left');
        const rows = await tx.execute<{ sessions: string }>(
          sql`select count(*) as sessions from pg_stat_activity where application_name = ${NAME}`,
        );
        return Number(rows[0]?.sessions);
      }),
    );
    expect(Math.max(...(await Promise.all(many)))).toBeLessThanOrEqual(3);
    expect(await tally()).toEqual({ left: 40, right: 0 });
  });

  it('closing lets what runs come to its end, and refuses what waits', async () => {
    const running = Array.from({ length: 3 }, () =>
      db.query.transaction(async (tx) => {
        await sleep(100);
        await add(tx, 'left');
      }),
    );
    await sleep(30);
    const waiting = db.query.execute(sql`select 1`).then(() => 'served', codeOf);
    await sleep(1);
    await db.close();
    expect(await waiting).toBe('CONNECTION_CLOSED');
    await Promise.all(running);
    expect(await tally()).toEqual({ left: 3, right: 0 });
    const after = db.query.execute(sql`select 1`).then(() => 'served', codeOf);
    expect(await after).toBe('CONNECTION_CLOSED');
  });
});
