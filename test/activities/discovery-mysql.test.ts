// Discovery of a MariaDB: who can log in, what they may do, and what the issuer is not told.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loginName } from '../../activities/issuers/login.ts';
import { mysqlIssuer } from '../../activities/issuers/mysql.ts';
import { mysqlRole, mysqlTarget } from '../../commands/access/mysql.ts';
import { TargetError, type TargetRef } from '../../commands/credentials/issuer.ts';
import type { Census, Found } from '../../domain/found-identity.ts';
import { anyRole, ended, leaseOf, withoutHandles } from '../support/issuer-fixtures/fixture.ts';
import { startMariaDb, type MariaDb } from '../support/mariadb.ts';

let server: MariaDb;
let url: string;
const secrets = (name: string): string | null =>
  new Map([
    ['TARGET', url],
    ['CA', server.ca],
  ]).get(name) ?? null;
const ours = mysqlIssuer(secrets, 'ours');
const theirs = mysqlIssuer(secrets, 'theirs');
const target: TargetRef = {
  name: 'shop',
  definition: mysqlTarget.parse({ issuer: 'mysql', url_from: 'TARGET', ca_from: 'CA' }),
};
const roleFor = (group: string) =>
  mysqlRole.parse({ ...anyRole, issuer: 'mysql', target: 'shop', member_of: [group] });
const roles = new Map([
  ['orders-write', roleFor('orders_write')],
  ['payouts-write', roleFor('payouts_write')],
  ['orders-read', roleFor('orders_read')],
]);
const PASSWORD = 'hunter2-was-the-password';
const HOSTILE = `x'@'%'; DROP\nTABLE \u202e\\" \``;

const PLANTED = `
CREATE USER nopass@'%';
CREATE USER boss@'%' IDENTIFIED BY '${PASSWORD}';
GRANT ALL ON *.* TO boss@'%' WITH GRANT OPTION;
CREATE USER locked@'10.%' IDENTIFIED BY '${PASSWORD}' ACCOUNT LOCK;
CREATE USER holder@localhost IDENTIFIED BY '${PASSWORD}' PASSWORD EXPIRE INTERVAL 30 DAY;
CREATE ROLE clerks; GRANT orders_write TO clerks; GRANT clerks TO holder@localhost;
CREATE USER clerk@localhost IDENTIFIED BY '${PASSWORD}' PASSWORD EXPIRE NEVER;
GRANT INSERT (item), SELECT ON orders.orders TO clerk@localhost;
CREATE USER reader@localhost IDENTIFIED BY '${PASSWORD}'; GRANT SELECT ON orders.* TO reader@localhost;
CREATE USER editor@localhost IDENTIFIED BY '${PASSWORD}'; GRANT UPDATE ON mysql.* TO editor@localhost;
CREATE USER pattern@localhost IDENTIFIED BY '${PASSWORD}'; GRANT DELETE ON \`ord%\`.* TO pattern@localhost;
CREATE USER socket@localhost IDENTIFIED VIA unix_socket;`;

beforeAll(async () => {
  server = await startMariaDb(['--userstat=ON']);
  url = server.url;
  await server.root.query(PLANTED);
  const name = server.root.escape(HOSTILE);
  await server.root.query(`CREATE USER ${name}@localhost IDENTIFIED BY '${PASSWORD}'`);
  await server.root.query(`GRANT INSERT ON orders.payouts TO ${name}@localhost`);
});
afterAll(async () => {
  await ours.close();
  await theirs.close();
  await server.close();
});

async function census(issuer = ours): Promise<Census> {
  if (!issuer.discover) throw new Error('it has no discovery');
  return issuer.discover(target, roles);
}
async function found(name: string): Promise<Found['facts'] | undefined> {
  return (await census()).found.find((each) => each.name === name)?.facts;
}
const tellAll = (): Promise<unknown> =>
  server.root.query(`GRANT SELECT ON mysql.* TO countersign_issuer@'%'`);
const tellLittle = (): Promise<unknown> =>
  server.root.query(`REVOKE SELECT ON mysql.* FROM countersign_issuer@'%'`);

describe('an issuer that may not read the grants', () => {
  it('I6: lists every account, and says of each what it was not told', async () => {
    const { found: all, gaps, leftOut } = await census();
    expect([gaps, leftOut]).toEqual([[], 0]);
    const boss = all.find(({ name }) => name === 'boss@%')?.facts;
    expect(boss).toMatchObject({
      isSuperuser: false,
      seenRisks: ['any_host'],
      unknown: ['privileges', 'password', 'expires_at'],
    });
  });
});

describe('an issuer that may read the grants', () => {
  beforeAll(tellAll);
  afterAll(tellLittle);

  it('finds every account and no role, and knows itself', async () => {
    const { found: all } = await census();
    const names = all.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['boss@%', 'root@localhost', 'nopass@%']));
    expect(names.filter((name) => /^(orders_|payouts_|clerks)/.test(name))).toEqual([]);
    expect(new Set(names).size).toBe(names.length);
    const serving = all.filter(({ facts }) => facts.serves !== null);
    expect(serving.map(({ name, facts }) => [name, facts.serves])).toEqual([
      ['countersign_issuer@%', 'issuer'],
    ]);
    expect(serving[0]?.facts).toMatchObject({ makesRoles: true, isConnected: true });
  });

  it('knows who may do everything, however they come by it', async () => {
    const everything = { isSuperuser: true, makesRoles: true };
    expect(await found('boss@%')).toMatchObject({
      ...everything,
      reaches: ['orders-write', 'payouts-write'],
    });
    expect((await found('boss@%'))?.permissions[0]).toMatch(
      /^\d+ privileges with SUPER on \*\.\*$/,
    );
    // Whoever writes the server's own tables gives themselves the rest.
    expect(await found('editor@localhost')).toMatchObject(everything);
    expect(await found('reader@localhost')).toMatchObject({
      isSuperuser: false,
      makesRoles: false,
      permissions: ['SELECT on orders.*'],
      reaches: [],
    });
  });

  it('knows what an account may write by its roles, by a column, and by a pattern of names', async () => {
    expect(await found('holder@localhost')).toMatchObject({
      groups: ['clerks', 'orders_write'],
      reaches: ['orders-write', 'payouts-write'],
    });
    expect((await found('clerk@localhost'))?.reaches).toEqual(['orders-write']);
    expect((await found('pattern@localhost'))?.reaches).toEqual(['orders-write', 'payouts-write']);
  });

  it('tells open doors from doors with a key', async () => {
    expect(await found('nopass@%')).toMatchObject({
      seenRisks: ['no_password', 'any_host'],
      secretChangedAt: null,
    });
    expect((await found('boss@%'))?.seenRisks).toEqual(['any_host']);
    expect((await found('socket@localhost'))?.seenRisks).toEqual([]);
    expect((await found('locked@10.%'))?.isEnabled).toBe(false);
  });

  it('knows when a password ends, and when it never does', async () => {
    const facts = await found('holder@localhost');
    const days = Date.parse(facts?.expiresAt ?? '') - Date.parse(facts?.secretChangedAt ?? '');
    expect(days).toBe(30 * 86_400_000);
    expect(await found('clerk@localhost')).toMatchObject({ expiresAt: null, unknown: [] });
  });

  it('counts how often an account came in, where the server counts', async () => {
    const before = (await found('countersign_issuer@%'))?.uses ?? 0;
    expect(before).toBeGreaterThan(0);
    expect((await found('reader@localhost'))?.uses).toBe(0);
    await server.root.query('SET GLOBAL userstat = OFF');
    expect(await found('reader@localhost')).toMatchObject({ uses: null, unknown: ['used_at'] });
    await server.root.query('SET GLOBAL userstat = ON');
  });

  it('keeps hostile names as they are, with what they may do', async () => {
    expect(await found(`${HOSTILE}@localhost`)).toMatchObject({
      permissions: ['INSERT on orders.payouts'],
      // Holders of orders_write may write that table as well.
      reaches: ['orders-write', 'payouts-write'],
    });
  });

  it('I5: has no hash and no password in anything it tells', async () => {
    const [rows] = await server.root.query('SELECT Priv FROM mysql.global_priv');
    const hashes = JSON.stringify(rows).match(/\*[0-9A-F]{40}/g) ?? [];
    expect(hashes.length).toBeGreaterThan(3);
    const told = JSON.stringify(await census());
    for (const secret of [PASSWORD, ...hashes]) expect(told).not.toContain(secret);
  });
});

describe('logins that we issued', () => {
  it('are left out by name and mark together, and those of others are not', async () => {
    const lease = leaseOf(roleFor('orders_read'), target);
    await ours.issue(lease);
    const name = `${loginName(lease.credential)}@%`;
    await server.root.query(`CREATE USER cs_01ar6dhtmxe8dr7ezz5v0m9jhe@'%' IDENTIFIED BY 'x'`);
    const names = async (issuer: typeof ours) =>
      (await census(issuer)).found.map((each) => each.name);
    expect(await names(ours)).not.toContain(name);
    expect(await names(ours)).toContain('cs_01ar6dhtmxe8dr7ezz5v0m9jhe@%');
    expect(await names(theirs)).toContain(name);
    await ended(ours, target, withoutHandles([lease.credential]));
  });
});

describe('a server that does not let the issuer in', () => {
  it('is said to be so, and says nothing else', async () => {
    const other = mysqlIssuer((name) => {
      if (name !== 'TARGET') return secrets(name);
      const wrong = new URL(url);
      wrong.password = 'wrong';
      return wrong.href;
    }, 'ours');
    try {
      await expect(other.discover?.(target, roles)).rejects.toEqual(
        new TargetError('er_access_denied_error'),
      );
    } finally {
      await other.close();
    }
    const away = mysqlIssuer(
      (name) => (name === 'TARGET' ? 'mysql://u:p@127.0.0.1:1/' : server.ca),
      'x',
    );
    await expect(away.discover?.(target, roles)).rejects.toEqual(new TargetError('econnrefused'));
    await away.close();
  });
});
