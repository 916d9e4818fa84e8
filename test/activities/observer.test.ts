import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openObserver, type Observer } from '../../activities/observer/observe.ts';
import { openService, type Service } from '../../cli/compose.ts';
import { startPostgres, type EmbeddedPostgres } from '../../cli/embedded/postgres.ts';
import { prepareDatabases, type EmbeddedUrls } from '../../cli/embedded/sample.ts';
import { parseJson } from '../../domain/json.ts';
import { eventually, object, text } from '../support/client.ts';
import { startService, type TestService } from '../support/service.ts';

let folder: string;
let target: EmbeddedPostgres;
let urls: EmbeddedUrls;
let service: TestService;
let composed: Service;
let observer: Observer;
/** What was on record after one look, which had nothing to read back yet. */
let atFirst: string[];

/** A target whose log is written in a local time, as many are. */
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'countersign-eyes-'));
  target = await startPostgres({ folder, password: 'owner', fast: true, port: 0 });
  urls = await prepareDatabases(target, folder);
  await asOwner(async (sql) => {
    await sql`ALTER SYSTEM SET log_timezone = 'Europe/Berlin'`;
    await sql`SELECT pg_reload_conf()`;
  });
  service = await startService({
    worker: false,
    env: {
      COUNTERSIGN_SAMPLE_TARGET_URL: urls.target,
      COUNTERSIGN_SAMPLE_OBSERVER_URL: urls.observer,
    },
  });
  composed = await openService(service.config, 'eyes', 2);
  observer = openEyes();
  await observer.look();
  atFirst = await kinds();
  await look();
});
afterAll(async () => {
  await observer.close();
  await composed.close();
  await service.close();
  await target.stop();
  await rm(folder, { recursive: true, force: true });
});

const openEyes = (): Observer =>
  openObserver(composed.deps, service.config.secret, { witnessSettleMs: 0 });

async function asOwner(work: (sql: Sql) => Promise<unknown>, options = ''): Promise<void> {
  const sql = postgres(target.url('sample'), {
    max: 1,
    onnotice: () => undefined,
    connection: { options },
  });
  await work(sql);
  await sql.end();
}

/** Reads everything that is in the log by now. */
async function look(): Promise<void> {
  await sleep(1_300);
  for (let looks = 0; looks < 20 && (await observer.look()); looks += 1);
}

async function secondsSinceAlive(): Promise<number> {
  const [row] = await service.database.owner.sql<
    { seconds: string }[]
  >`select extract(epoch from clock_timestamp() - alive_at)::text as seconds from sensor_cursor`;
  return Number(row?.seconds);
}

/** Works in one session of the standing login, whatever fails of it, and says how the session is named. */
async function session(...texts: string[]): Promise<string> {
  const sql = postgres(urls.legacy, { max: 1, onnotice: () => undefined });
  const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  for (const each of texts) await sql.unsafe(each).catch(() => undefined);
  await sql.end();
  return (row?.pid ?? 0).toString(16);
}

interface Observed {
  kind: string;
  effect: unknown;
  outcome: unknown;
  controls: unknown;
  statements: unknown;
  session: string;
}

async function observed(): Promise<Observed[]> {
  const rows = await service.database.owner.sql<{ leaf: string }[]>`
    select leaf from event where type like '%runtime.observed%' order by id`;
  return rows.map(({ leaf }) => {
    const detail = object(object(object(parseJson(leaf))['data'])['detail']);
    const { effect, outcome, controls, statements } = detail;
    const reference = detail['session_ref'] === null ? '' : text(detail['session_ref']);
    const session = /[^.]*$/.exec(reference)?.[0] ?? '';
    return { kind: text(detail['kind']), effect, outcome, controls, statements, session };
  });
}

const kinds = async (): Promise<string[]> => (await observed()).map(({ kind }) => kind);

/** What was seen of a session, as `effect outcome control`. */
async function seenIn(name: string): Promise<string[]> {
  const all = await observed();
  return all
    .filter(({ kind, session }) => kind === 'effect' && session === name)
    .map(({ effect, outcome, controls }) => [effect, outcome, controls].map(String).join(' '));
}

const WRITE = `UPDATE orders SET state = 'seen' WHERE id = 1`;

describe('a bypass through a raw login', () => {
  const written: [string, string[]][] = [
    ['followed by an error of its own', [WRITE, 'select 1/0']],
    ['committed before an error in the same text', [`BEGIN; ${WRITE}; COMMIT; SELECT 1/0`]],
    ['with ONLY and brackets', [`UPDATE ONLY (orders) SET state = 'seen' WHERE id = 1`]],
    ['that is explained', [`EXPLAIN ANALYZE VERBOSE ${WRITE}`]],
    ['that is explained with options', [`EXPLAIN (ANALYZE) ${WRITE}`]],
    [
      'inside a table that is made',
      [`CREATE TEMP TABLE t AS WITH x AS (${WRITE} RETURNING 1) SELECT * FROM x`],
    ],
    [
      'after the columns of a cycle',
      [
        `WITH RECURSIVE x(a) AS (SELECT 1 UNION ALL SELECT a FROM x WHERE false) CYCLE a SET o USING p ${WRITE}`,
      ],
    ],
    ['after a continued string', [`SELECT E'a'\n'b\\'', '\\'; ${WRITE} --'`]],
    ['to a name with a schema', [`update public."orders" set state = 'seen' where id = 1`]],
  ];
  const unreadable: [string, string[]][] = [
    [
      'in a function of its own',
      [
        `CREATE FUNCTION pg_temp.f() RETURNS void LANGUAGE sql AS $$ ${WRITE} $$`,
        'SELECT pg_temp.f()',
      ],
    ],
    [
      'through a view of its own',
      ['CREATE TEMP VIEW v AS TABLE orders', `UPDATE v SET state = 'seen' WHERE id = 1`],
    ],
    ['in a block that fails afterwards', [`DO $$ BEGIN ${WRITE}; COMMIT; PERFORM 1/0; END $$`]],
    ['in a text longer than one read', [`${WRITE} /* ${'x'.repeat(1024 * 1024)} */`]],
    ['among more words than are read', [`${WRITE}; SELECT ARRAY[${'1,'.repeat(110_000)} 1]`]],
  ];
  const sessions = new Map<string, string>();

  beforeAll(async () => {
    for (const [name, texts] of [...written, ...unreadable])
      sessions.set(name, await session(...texts));
    await look();
  });

  it.each(written)('is seen as the write that it is: %s', async (name) => {
    expect(await seenIn(sessions.get(name) ?? '')).toContain('write ran orders-write');
  });

  it.each(unreadable)('is never nothing: %s', async (name) => {
    expect(await seenIn(sessions.get(name) ?? '')).toContain(
      'opaque ran orders-write,payouts-write',
    );
  });

  it('is seen through the extended protocol as well', async () => {
    const sql = postgres(urls.legacy, { max: 1 });
    const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
    await sql`update orders set state = ${'seen'} where id = ${1}`;
    await sql.end();
    await look();
    expect(await seenIn((row?.pid ?? 0).toString(16))).toEqual(['write ran orders-write']);
  });
});

describe('a write to a table that only has the name of a covered one', () => {
  it('is unknown, or nothing, but never a write to the covered one', async () => {
    const temporary = await session(
      'CREATE TEMP TABLE orders (id int)',
      'INSERT INTO orders VALUES (1)',
      'INSERT INTO orders VALUES (2)',
      'INSERT INTO pg_temp.orders VALUES (3)',
    );
    await look();
    expect(await seenIn(temporary)).toEqual(
      Array.from({ length: 3 }, () => 'opaque ran orders-write,payouts-write'),
    );
  });
});

describe('what changed nothing', () => {
  it('is told from what did, where the server says so of that very statement', async () => {
    const refused = await session('DELETE FROM orders WHERE id = 1');
    const failed = await session(`UPDATE orders SET cents = 1/0`);
    await look();
    expect(await seenIn(refused)).toEqual(['write refused orders-write']);
    expect(await seenIn(failed)).toEqual(['write failed orders-write']);
  });

  it('is told from what did, even if the error comes late and is too young to count as read', async () => {
    const late = session('UPDATE orders SET cents = 1 / (SELECT count(*) - 1 FROM pg_sleep(0.7))');
    for (const until = Date.now() + 3_000; Date.now() < until;) await observer.look();
    expect(await seenIn(await late)).toEqual(['write failed orders-write']);
  });

  it('is no effect: reading, asking the catalog, and what clients do at their start', async () => {
    const quiet = await session(
      'SET client_encoding TO utf8; BEGIN; SHOW server_version; COMMIT',
      'SELECT count(*), max(lower(state)), coalesce(sum(cents), 0) FROM orders',
      'SELECT c.relname, pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class c WHERE pg_catalog.pg_table_is_visible(c.oid)',
      'SELECT * FROM generate_series(1, 3) AS g(n), (VALUES (1)) v(x)',
    );
    await look();
    expect(await seenIn(quiet)).toEqual([]);
  });
});

describe('rows that no statement explains', () => {
  it('are put on record as an effect that nobody could read', async () => {
    // By now every session that wrote has left, and what it wrote has been counted.
    await eventually(
      async () => {
        await asOwner((sql) => sql.unsafe(WRITE), '-c log_statement=none');
        await look();
        const all = await observed();
        return all.some(
          ({ session, kind }) => kind === 'effect' && session === 'sample/row-counts',
        );
      },
      'the surplus',
      60_000,
    );
    const found = (await observed()).find(({ session }) => session === 'sample/row-counts');
    expect(found).toMatchObject({
      effect: 'opaque',
      outcome: 'ran',
      controls: ['orders-write'],
    });
    expect(Number(found?.statements)).toBeGreaterThan(0);
  }, 90_000);
});

describe('what a lease’s unreadable statement wrote beyond the lease', () => {
  const LEASE = '01m7yzvmzne00awyepd94mhqpm';

  /** A lease for reading orders, as it is on record. */
  async function recordLease(): Promise<void> {
    const lease = {
      id: `crd_${LEASE}`,
      task: `task_${LEASE}`,
      agent: `agt_${LEASE}`,
      chain: '{}',
      role: 'orders-readonly',
      issuer: 'postgres',
      target: 'sample',
      options: '{}',
      revocable: true,
      holder: 'agent',
      state: 'active',
      issue_attempt: 1,
      issue_by: '2026-11-21T10:00:00.000Z',
      created_at: '2026-11-21T10:00:00.000Z',
      expires_at: '2026-11-21T10:00:00.000Z',
      dies_at: '2026-11-21T10:00:00.000Z',
      seal_thumbprint: 'none',
    };
    await service.database.owner.sql.begin(async (sql) => {
      // Of its task and its agent nothing is asked here.
      await sql`set local session_replication_role = replica`;
      await sql`insert into credential ${sql(lease)}`;
    });
  }

  it('is surplus: only the tables of its own groups are explained by it', async () => {
    await recordLease();
    await asOwner((sql) =>
      sql.unsafe(`
        CREATE ROLE cs_${LEASE} LOGIN PASSWORD 'lease' IN ROLE orders_read;
        CREATE FUNCTION touch() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ ${WRITE} $$;`),
    );
    const surplus = async (): Promise<number> =>
      (await observed()).filter(({ session }) => session === 'sample/row-counts').length;
    await look();
    const before = await surplus();
    const lease = new URL(target.url('sample', `cs_${LEASE}`, 'lease'));
    await eventually(
      async () => {
        const sql = postgres(lease.href, { max: 1 });
        await sql`select touch()`;
        await sql.end();
        await look();
        return (await surplus()) > before;
      },
      'the surplus',
      45_000,
    );
    expect(await surplus()).toBeGreaterThan(before);
  }, 90_000);
});

describe('a sensor', () => {
  it('says that it began once it has read back what it planted, in whatever zone the log is written', async () => {
    await look();
    expect(atFirst).not.toContain('sensor_started');
    const said = await kinds();
    expect(said.filter((kind) => kind === 'sensor_started')).toHaveLength(1);
    expect(said).not.toContain('sensor_blind');
    expect(await secondsSinceAlive()).toBeLessThan(60);
  });

  it('that cannot see says so, and does not say that it is alive', async () => {
    await asOwner((sql) => sql`ALTER DATABASE sample SET log_statement = 'ddl'`);
    await service.database.owner.sql`update sensor_cursor set reported_at = '2026-01-01'`;
    await observer.close();
    observer = openEyes();
    await look();
    await look();
    const said = await kinds();
    expect(said).toContain('sensor_blind');
    expect(said).not.toContain('sensor_alive');
    // From then on policy that wants these eyes permits nothing, long before anybody would call them silent.
    expect(await secondsSinceAlive()).toBeGreaterThan(1_000_000);
  });
});
