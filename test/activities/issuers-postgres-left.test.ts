// What a login leaves behind in a cluster of several databases, on an older version with prepared transactions.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loginName } from '../../activities/issuers/login.ts';
import { postgresIssuer } from '../../activities/issuers/postgres.ts';
import { postgresRole, postgresTarget } from '../../commands/access/postgres.ts';
import type { TargetRef } from '../../commands/credentials/issuer.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { text } from '../support/client.ts';
import {
  anyRole,
  ended,
  inSeconds,
  leaseOf,
  withoutHandles,
} from '../support/issuer-fixtures/fixture.ts';
import { startOlderPostgres, type OlderPostgres } from '../support/older-postgres.ts';

/** A database whose name would end a statement, or a URL, early. */
const HOSTILE = `o'th"er; DROP/?#%41 ${randomBytes(3).toString('hex')}`;

let server: OlderPostgres;
let root: Sql;
const issuer = postgresIssuer(() => server.url, 'countersign ours attempt ');
const there = postgresIssuer(() => urlOf(server.url, HOSTILE), 'countersign ours attempt ');
const target: TargetRef = {
  name: 'sample',
  definition: postgresTarget.parse({ issuer: 'postgres', url_from: 'TARGET' }),
};
const role = postgresRole.parse({
  ...anyRole,
  issuer: 'postgres',
  target: 'sample',
  member_of: ['orders_write'],
});

beforeAll(async () => {
  server = await startOlderPostgres(HOSTILE);
  root = server.root('sample');
});
afterAll(async () => {
  await issuer.close();
  await there.close();
  await server.close();
});

function urlOf(url: string, database: string): string {
  const other = new URL(url);
  other.pathname = `/${encodeURIComponent(database)}`;
  return other.href;
}

async function issued(): Promise<{ credential: Id<'credential'>; material: JsonObject }> {
  const held = leaseOf(role, target);
  return { credential: held.credential, material: (await issuer.issue(held)).material };
}

const login = (material: JsonObject, database = 'sample'): Sql =>
  postgres(text(material['url']), { database, max: 1, onnotice: () => undefined });

/** Runs statements as the login, each by itself: the first code that one fails with. */
async function runs(
  material: JsonObject,
  statements: readonly string[],
  database?: string,
): Promise<string> {
  const sql = login(material, database);
  try {
    for (const statement of statements) await sql.unsafe(statement).simple();
    return 'ran';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'failed';
  } finally {
    await sql.end({ timeout: 1 });
  }
}

const end = (credential: Id<'credential'>) => ended(issuer, target, withoutHandles([credential]));
const isKnown = async (credential: Id<'credential'>): Promise<boolean> =>
  (await root`select 1 from pg_roles where rolname = ${loginName(credential)}`).length > 0;

describe('I3: a login is gone, on a version before 16 and with passwords kept as MD5', () => {
  it('I3: with its open session, and its password is kept as SCRAM all the same', async () => {
    const { credential, material } = await issued();
    const [row] = await root<{ kept: string }[]>`
      select rolpassword as kept from pg_authid where rolname = ${loginName(credential)}`;
    expect(row?.kept).toMatch(/^SCRAM-SHA-256\$/);
    const session = login(material);
    expect(await session`select * from orders`).toHaveLength(2);
    expect(await end(credential)).toMatchObject([{ isOver: true, sessionsEnded: 1 }]);
    await session.end({ timeout: 1 });
    expect(await runs(material, ['select 1'])).toBe('28P01');
    expect(await isKnown(credential)).toBe(false);
  });

  it('I3: by the target’s own clock when nobody comes to end it', async () => {
    const held = leaseOf(role, target, { expiresAt: inSeconds(1) });
    const { material } = await issuer.issue(held);
    await sleep(1_500);
    expect(await runs(material, ['select 1'])).toBe('28P01');
    expect(await end(held.credential)).toMatchObject([{ isOver: true }]);
  });

  it('I3: with what it owns in another database, whatever that is called', async () => {
    const { credential, material } = await issued();
    for (const database of ['sample', HOSTILE])
      expect(
        await runs(
          material,
          [
            'CREATE TABLE work.kept AS SELECT 1 AS one',
            `CREATE FUNCTION work.door() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'select 1'`,
          ],
          database,
        ),
      ).toBe('ran');
    expect(await end(credential)).toMatchObject([{ code: null, isOver: true }]);
    const owners = await server.root(HOSTILE)<{ owner: string; login: boolean }[]>`
      select rolname as owner, rolcanlogin as login from pg_class join pg_roles on pg_roles.oid = relowner
      where relname = 'kept'`;
    expect(owners).toMatchObject([{ login: false }]);
    expect(owners[0]?.owner).toMatch(/^countersign_estate_/);
  });

  it('I3: though the issuer’s own database is the one with the name that is hard to quote', async () => {
    const held = leaseOf(role, target);
    const { material } = await there.issue(held);
    expect(material).toMatchObject({ database: HOSTILE });
    const sql = login(material, HOSTILE);
    expect(await sql`select current_database() as name`).toMatchObject([{ name: HOSTILE }]);
    await sql.end({ timeout: 1 });
    const over = await ended(there, target, withoutHandles([held.credential]));
    expect(over).toMatchObject([{ isOver: true }]);
  });

  it.each([
    ['here', 'sample'],
    ['in another database', HOSTILE],
  ])('I3: with the transactions it prepared %s, whose locks would stay', async (_, database) => {
    const { credential, material } = await issued();
    const name = `it's "${randomBytes(4).toString('hex')}"`;
    const prepares = [
      'BEGIN',
      `UPDATE orders SET item = 'stolen' WHERE id = 1`,
      'LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE',
      `PREPARE TRANSACTION '${name.replaceAll("'", "''")}'`,
    ];
    expect(await runs(material, [prepares.join('; ')], database)).toBe('ran');
    expect(await root`select 1 from pg_prepared_xacts`).toHaveLength(1);
    expect(await end(credential)).toMatchObject([{ code: null, isOver: true }]);
    expect(await root`select 1 from pg_prepared_xacts`).toHaveLength(0);
    const [order] = await server.root(database)<{ item: string }[]>`
      select item from orders where id = 1`;
    expect(order?.item).toBe('lamp');
  });

  it('I3: with its large objects, default privileges and settings', async () => {
    const { credential, material } = await issued();
    const name = loginName(credential);
    expect(
      await runs(material, [
        `SELECT lo_from_bytea(0, 'kept')`,
        'ALTER DEFAULT PRIVILEGES IN SCHEMA work GRANT ALL ON TABLES TO PUBLIC',
        `ALTER ROLE ${name} SET search_path = work`,
        `ALTER ROLE ${name} PASSWORD 'another'`,
      ]),
    ).toBe('ran');
    expect(await end(credential)).toMatchObject([{ code: null, isOver: true }]);
    const objects = await root<{ login: boolean }[]>`
      select rolcanlogin as login from pg_largeobject_metadata join pg_roles on pg_roles.oid = lomowner`;
    expect(objects).toMatchObject([{ login: false }]);
    expect(await root`select 1 from pg_default_acl`).toHaveLength(0);
  });

  it('I3: with the rights it gave itself in what its group owns', async () => {
    await root.unsafe(
      'CREATE TABLE work.owned (a int); ALTER TABLE work.owned OWNER TO orders_write',
    );
    const { credential, material } = await issued();
    const grant = `GRANT ALL ON work.owned TO ${loginName(credential)}`;
    expect(await runs(material, [grant])).toBe('ran');
    expect(await end(credential)).toMatchObject([{ code: null, isOver: true }]);
    await root.unsafe('DROP TABLE work.owned');
  });

  it('I3: once an administrator takes back what they gave it; until then it is closed and said to be there', async () => {
    const { credential, material } = await issued();
    await root.unsafe(`GRANT SELECT ON orders TO ${loginName(credential)}`);
    expect(await end(credential)).toMatchObject([{ code: '2bp01', isOver: false }]);
    expect(await runs(material, ['select 1'])).toBe('28000');
    await root.unsafe(`REVOKE ALL ON orders FROM ${loginName(credential)}`);
    expect(await end(credential)).toMatchObject([{ code: null, isOver: true }]);
  });

  it('I3: and left no replication slot, and no way to hold back the log of the server', async () => {
    const { credential, material } = await issued();
    for (const statement of [
      `SELECT pg_create_physical_replication_slot('kept')`,
      `SELECT pg_create_logical_replication_slot('kept', 'test_decoding')`,
      `CREATE SUBSCRIPTION kept CONNECTION '' PUBLICATION none`,
      `CREATE PUBLICATION kept FOR ALL TABLES`,
    ])
      expect(await runs(material, [statement])).toBe('42501');
    expect(await root`select 1 from pg_replication_slots`).toHaveLength(0);
    await end(credential);
  });

  it('I3: as soon as somebody else lets go of what it owned; until then it is closed and said to be there', async () => {
    const { credential, material } = await issued();
    expect(await runs(material, ['CREATE TABLE work.held (a int)'])).toBe('ran');
    const other = await root.reserve();
    await other.unsafe('BEGIN; LOCK TABLE work.held IN ACCESS EXCLUSIVE MODE');
    const [outcome] = await end(credential);
    expect(outcome).toMatchObject({ isOver: false });
    expect(outcome?.code).toMatch(/^(55p03|57014)$/);
    expect(await runs(material, ['select 1'])).toBe('28000');
    await other.unsafe('ROLLBACK');
    other.release();
    expect(await end(credential)).toMatchObject([{ code: null, isOver: true }]);
  });

  it('I3: and in a database that the issuer cannot open it is said to remain', async () => {
    const { credential, material } = await issued();
    expect(await runs(material, ['CREATE TABLE work.mine (a int)'], HOSTILE)).toBe('ran');
    await root`REVOKE CONNECT ON DATABASE ${root(HOSTILE)} FROM countersign_issuer, orders_write`;
    expect(await end(credential)).toMatchObject([{ isOver: false, code: '42501' }]);
    expect(await runs(material, ['select 1'])).toBe('28000');
    await root`GRANT CONNECT ON DATABASE ${root(HOSTILE)} TO countersign_issuer, orders_write`;
    expect(await end(credential)).toMatchObject([{ code: null, isOver: true }]);
  });
});
