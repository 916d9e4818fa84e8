// MariaDB as the distribution has it, driven by the issuer; logins are tried with MariaDB's own client.
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loginName } from '../../activities/issuers/login.ts';
import { cachingSha2Hash, storedHash } from '../../activities/issuers/mysql-hashes.ts';
import { mysqlRole } from '../../commands/access/mysql.ts';
import type { LeaseToIssue } from '../../commands/credentials/issuer.ts';
import { newId } from '../../commands/unit.ts';
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
import { mysqlBench } from '../support/issuer-fixtures/mysql.ts';

const bench = await mysqlBench();
const { ours, target, targetWith } = bench;
// It is another connection after a crash.
const { server } = bench;
const role = mysqlRole.parse({
  ...anyRole,
  issuer: 'mysql',
  target: 'shop',
  member_of: ['orders_read'],
  connection_limit: 2,
});
/** Names that would end a statement early, if any of them ever became part of one. */
const HOSTILE = `x'@'%'; DROP TABLE orders.orders; -- \\' "\``;

beforeAll(async () => {
  await server.root.query(`CREATE ROLE ${server.root.escape(HOSTILE)}`);
  await server.root.query(
    `GRANT ${server.root.escape(HOSTILE)} TO countersign_issuer@'%' WITH ADMIN OPTION`,
  );
});
afterAll(async () => {
  await bench.close();
});

const lease = (more: Partial<LeaseToIssue> = {}, roleMore: object = {}): LeaseToIssue =>
  leaseOf({ ...role, ...roleMore }, target, more);
const made = async (toIssue: LeaseToIssue): Promise<JsonObject> =>
  (await ours.issue(toIssue)).material;
const end = (issuer: typeof ours, ...credentials: Id<'credential'>[]) =>
  ended(issuer, target, withoutHandles(credentials));

/** Runs one statement as an issued login with the `mariadb` client: what it prints, or the error's number. */
async function runs(material: JsonObject, statement: string, tls = true): Promise<string> {
  const args = [
    '--no-defaults',
    `--host=${text(material['host'])}`,
    `--port=${Number(material['port'])}`,
    `--user=${text(material['username'])}`,
    `--database=${text(material['database'])}`,
    tls ? '--ssl' : '--skip-ssl',
    '--batch',
    '--skip-column-names',
    `--execute=${statement}`,
  ];
  const env = { PATH: '/usr/bin:/bin', MYSQL_PWD: text(material['password']) };
  return promisify(execFile)('mariadb', args, { env }).then(
    ({ stdout }) => stdout.trim(),
    (error: unknown) =>
      /ERROR (\d+)/.exec(error instanceof Error ? error.message : '')?.[1] ?? String(error),
  );
}

/** A session that stays open. */
const session = (material: JsonObject) =>
  createConnection({
    host: text(material['host']),
    port: Number(material['port']),
    user: text(material['username']),
    password: text(material['password']),
    database: 'orders',
    ssl: { ca: server.ca },
  });

const rows = async (sql: string, ...values: string[]): Promise<RowDataPacket[]> =>
  (await server.root.query<RowDataPacket[]>(sql, values))[0];
const isKnown = async (credential: Id<'credential'>): Promise<boolean> =>
  (await rows('SELECT 1 FROM mysql.user WHERE User LIKE ?', `${loginName(credential)}%`)).length >
  0;
const ACCESS_DENIED = '1045';
const LOCKED = '4151';

describe('an issued login', () => {
  it('does what its role may, over TLS alone, and nothing that would outlive or outgrow it', async () => {
    const held = lease();
    const material = await made(held);
    expect(material).toMatchObject({ kind: 'mysql', database: 'orders', tls: true });
    expect(await runs(material, 'SELECT COUNT(*) FROM orders')).toBe('3');
    expect(await runs(material, 'SELECT 1', false)).toBe(ACCESS_DENIED);
    const login = text(material['username']);
    const denied = [
      `DELETE FROM orders`,
      `SELECT * FROM payouts`,
      `SET ROLE orders_write`,
      `SET ROLE orders_read`,
      `CREATE USER helper`,
      `CREATE DATABASE mine`,
      `CREATE TABLE mine (a INT)`,
      `CREATE EVENT later ON SCHEDULE EVERY 1 SECOND DO SELECT 1`,
      `ALTER USER '${login}'@'%' WITH MAX_USER_CONNECTIONS 100`,
      `ALTER USER '${login}'@'%' REQUIRE NONE`,
      `GRANT orders_read TO countersign_issuer@'%'`,
      `GRANT ${login}_groups TO countersign_issuer@'%'`,
      `SET DEFAULT ROLE orders_write FOR '${login}'@'%'`,
      `SET GLOBAL event_scheduler = OFF`,
      `DROP EVENT countersign.${login}`,
      `ALTER EVENT countersign.${login} DISABLE`,
      `SELECT * FROM mysql.global_priv`,
      `SELECT * FROM orders INTO OUTFILE '/tmp/orders'`,
    ];
    const codes = new Map<string, string>();
    for (const statement of denied) codes.set(statement, await runs(material, statement));
    const refusals = new Set(['1142', '1227', '1044', '1045', '1959', '1410', '1698', '1961']);
    expect([...codes].filter(([, code]) => !refusals.has(code))).toEqual([]);
  });

  it('opens no more sessions than its role says', async () => {
    const material = await made(lease());
    const open = [await session(material), await session(material)];
    await expect(session(material)).rejects.toMatchObject({ errno: 1226 });
    for (const each of open) each.destroy();
  });

  it('I3: ends by the target’s own clock, its sessions with it, when nobody comes to end it', async () => {
    const held = lease({ expiresAt: inSeconds(2) });
    const material = await made(held);
    const open = await session(material);
    const left = new Promise((resolve) => open.once('error', resolve));
    expect(await runs(material, 'SELECT 1')).toBe('1');
    await left;
    expect(await runs(material, 'SELECT 1')).toBe(LOCKED);
    expect(await end(ours, held.credential)).toMatchObject([{ isOver: true }]);
  });

  it('is not made where nothing would end it, unless its role says so', async () => {
    await server.root.query('SET GLOBAL event_scheduler = OFF');
    try {
      const held = lease();
      await expect(ours.issue(held)).rejects.toThrow(/^no_backstop$/);
      expect(await isKnown(held.credential)).toBe(false);
      const without = lease({}, { backstop: 'none' });
      const material = await made(without);
      expect(await runs(material, 'SELECT 1')).toBe('1');
      expect(await end(ours, without.credential)).toMatchObject([{ isOver: true }]);
      expect(await runs(material, 'SELECT 1')).toBe(ACCESS_DENIED);
    } finally {
      await server.root.query('SET GLOBAL event_scheduler = ON');
    }
  });

  it('takes names that would break a statement as the names they are', async () => {
    const held = lease({}, { member_of: [HOSTILE, 'orders_read', 'orders_write'] });
    const material = await made(held);
    expect(await runs(material, 'SELECT COUNT(*) FROM orders')).toBe('3');
    const granted = await rows(
      'SELECT Role FROM mysql.roles_mapping WHERE User = ? ORDER BY Role',
      `${loginName(held.credential)}_groups`,
    );
    expect(granted.map((row) => String(row['Role'])).toSorted()).toEqual(
      [HOSTILE, 'orders_read', 'orders_write'].toSorted(),
    );
    expect(await end(ours, held.credential)).toMatchObject([{ isOver: true }]);
    expect(await rows('SELECT 1 FROM orders.orders')).toHaveLength(3);
  });

  it('can be checked by Ed25519, of which the server keeps nothing that opens it', async () => {
    await server.root.query(`INSTALL SONAME 'auth_ed25519'`).catch(() => undefined);
    const held = leaseOf(role, targetWith({ authentication: 'ed25519' }));
    const material = await made(held);
    expect(await runs(material, 'SELECT COUNT(*) FROM orders')).toBe('3');
    expect(await runs({ ...material, password: 'x'.repeat(32) }, 'SELECT 1')).toBe(ACCESS_DENIED);
    expect(await end(ours, held.credential)).toMatchObject([{ isOver: true }]);
  });
});

describe('the hash of a password', () => {
  it('is what MySQL 8 stores, by a published vector', () => {
    const salt = Buffer.from('F9CC98CE08892924F50A213B6BC571A2C11778C5', 'hex');
    expect(cachingSha2Hash('hashcat', salt).slice(-43)).toBe(
      'bTy95Y99eAME1dwEkHOA1ndHGBWz.1bxSSRkuTXFGV/',
    );
  });

  it('has a salt of its own each time, and nothing that would have to be quoted', () => {
    const hashes = Array.from({ length: 20 }, () => storedHash('caching_sha2_password', 'secret'));
    expect(new Set(hashes).size).toBe(20);
    for (const hash of hashes) expect(hash).toMatch(/^\$A\$005\$[./0-9A-Za-z]{63}$/);
  });
});

describe('issuing', () => {
  it('opens nothing when its time ends while it is at work', async () => {
    // Somebody holds up the making of accounts for longer than there is time.
    const held = lease({ issueBy: inSeconds(1.2) });
    await server.root.query('FLUSH TABLES WITH READ LOCK');
    const issuing = ours.issue(held).then(
      () => 'issued',
      (error: unknown) => (error instanceof Error ? error.message : ''),
    );
    await sleep(1_500);
    await server.root.query('UNLOCK TABLES');
    expect(await issuing).toBe('too_late');
    const [account] = await rows(
      `SELECT JSON_VALUE(Priv, '$.account_locked') AS locked FROM mysql.global_priv WHERE User = ?`,
      loginName(held.credential),
    );
    expect(account === undefined || String(account['locked']) === '1').toBe(true);
    expect(await ours.list(target)).toContain(held.credential);
    expect(await end(ours, held.credential)).toMatchObject([{ isOver: true }]);
  });

  it('takes over no account of the same name that is not ours', async () => {
    const held = lease();
    const name = loginName(held.credential);
    await server.root.query(`CREATE USER '${name}'@'%' IDENTIFIED BY 'theirs'`);
    await expect(ours.issue(held)).rejects.toThrow(/^name_not_ours$/);
    expect(await end(ours, held.credential)).toMatchObject([
      { isOver: false, code: 'name_not_ours' },
    ]);
    expect(await isKnown(held.credential)).toBe(true);
    await server.root.query(`DROP USER '${name}'@'%'`);
  });

  it('gives no role that the issuer may not give, and what it left is found', async () => {
    const held = lease({}, { member_of: ['payouts_write'] });
    await expect(ours.issue(held)).rejects.toThrow(/^er_/);
    expect(await ours.list(target)).toContain(held.credential);
    expect(await end(ours, held.credential)).toMatchObject([{ isOver: true }]);
  });

  it('tells nobody the password: not the general log, not an error', async () => {
    await server.root.query(`SET GLOBAL log_output = 'TABLE', GLOBAL general_log = ON`);
    const password = text((await made(lease()))['password']);
    await expect(ours.issue(lease({}, { member_of: ['no_such'] }))).rejects.toSatisfy(
      (error: unknown) => error instanceof Error && error.cause === undefined,
    );
    await server.root.query('SET GLOBAL general_log = OFF');
    const logged = await rows('SELECT argument FROM mysql.general_log');
    expect(logged.length).toBeGreaterThan(5);
    expect(logged.map((row) => String(row['argument'])).join('\n')).not.toContain(password);
  });

  it('needs a target whose certificate is from whom it should be', async () => {
    for (const wrong of [targetWith({ ca_from: undefined }), targetWith({ ca_from: 'NONE' })])
      await expect(ours.issue(leaseOf(role, wrong))).rejects.toThrow(
        /^(self_signed_cert_in_chain|handshake_ssl_error|depth_zero_self_signed_cert|target_not_configured)$/,
      );
  });
});

describe('I3: revoking', () => {
  it('I3: ends sessions that are open, and is done when the target no longer knows the login', async () => {
    const held = lease();
    const material = await made(held);
    const open = await session(material);
    const left = new Promise((resolve) => open.once('error', resolve));
    expect(await end(ours, held.credential)).toEqual([
      { credential: held.credential, code: null, sessionsEnded: 1, isOver: true },
    ]);
    await left;
    expect(await runs(material, 'SELECT 1')).toBe(ACCESS_DENIED);
    expect(await isKnown(held.credential)).toBe(false);
    expect(await ours.list(target)).not.toContain(held.credential);
  });

  it('I3: ends a session that is in the middle of a statement', async () => {
    const held = lease();
    const open = await session(await made(held));
    const running = open.query('SELECT SLEEP(30)').catch((error: unknown) => error);
    await sleep(100);
    expect(await end(ours, held.credential)).toMatchObject([{ sessionsEnded: 1, isOver: true }]);
    expect(await running).toBeInstanceOf(Error);
  });

  it('I3: is not held up by a login that takes every lock it can', async () => {
    const held = lease();
    const material = await made(held);
    const open = await session(material);
    open.on('error', () => undefined);
    await open.query(`SELECT GET_LOCK(?, 1), GET_LOCK(?, 1)`, [
      text(material['username']),
      held.credential,
    ]);
    await open.query('LOCK TABLES orders READ').catch(() => undefined);
    expect(await end(ours, held.credential)).toMatchObject([{ isOver: true }]);
  });

  it('I3: takes up again what a crash of the target left half done', async () => {
    const held = lease();
    const material = await made(held);
    await server.crash();
    expect(await runs(material, 'SELECT 1')).toBe('1');
    // As a revocation leaves it that got as far as dropping the account.
    await server.root.query(`DROP USER '${loginName(held.credential)}'@'%'`);
    expect(await ours.list(target)).toContain(held.credential);
    expect(await end(ours, held.credential)).toMatchObject([{ isOver: true }]);
    expect(await ours.list(target)).not.toContain(held.credential);
  });

  it('I3: leaves no code of a login at work', async () => {
    const held = lease({}, { member_of: ['orders_write'] });
    const material = await made(held);
    const creates = `CREATE EVENT later ON SCHEDULE EVERY 1 SECOND DO INSERT INTO orders (item) VALUES ('ghost')`;
    expect(await runs(material, creates)).toBe('');
    expect(await end(ours, held.credential)).toMatchObject([{ isOver: true }]);
    const count = async (): Promise<number> =>
      (await rows(`SELECT 1 FROM orders.orders WHERE item = 'ghost'`)).length;
    const before = await count();
    await sleep(2_500);
    expect(await count()).toBe(before);
    await server.root.query('DROP EVENT orders.later');
    await server.root.query(`DELETE FROM orders.orders WHERE item = 'ghost'`);
  });

  it('I3: is not said to be done by an issuer that cannot see the sessions of others', async () => {
    const held = lease();
    const open = await session(await made(held));
    open.on('error', () => undefined);
    await server.root.query(`REVOKE PROCESS ON *.* FROM countersign_issuer@'%'`);
    const blind = bench.at(server.url);
    expect(await end(blind, held.credential)).toMatchObject([
      { isOver: false, code: 'process_privilege_missing' },
    ]);
    await server.root.query(`GRANT PROCESS ON *.* TO countersign_issuer@'%'`);
    expect(await end(ours, held.credential)).toMatchObject([{ isOver: true }]);
  });
});

describe('a sweep', () => {
  it('sees and ends no account that an operator made under a name like ours', async () => {
    const operators = newId('credential');
    await server.root.query(`CREATE USER '${loginName(operators)}'@'%', 'cs_reporting'@'%'`);
    expect(await ours.list(target)).not.toContain(operators);
    expect((await end(ours, operators)).map(({ isOver }) => isOver)).toEqual([false]);
    expect(await isKnown(operators)).toBe(true);
    await server.root.query(`DROP USER '${loginName(operators)}'@'%', 'cs_reporting'@'%'`);
  });
});
