// Discovery of a Redis: who can log in, what they may do, and whether anybody asks them for a password.
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loginName } from '../../activities/issuers/login.ts';
import { redisIssuer } from '../../activities/issuers/redis.ts';
import { redisRole, redisTarget } from '../../commands/access/redis.ts';
import { TargetError, type TargetRef } from '../../commands/credentials/issuer.ts';
import type { Found } from '../../domain/found-identity.ts';
import { anyRole, ended, leaseOf, withoutHandles } from '../support/issuer-fixtures/fixture.ts';
import { startRedis, type Redis } from '../support/redis.ts';

let server: Redis;
const secrets = (name: string): string | null =>
  new Map([
    ['TARGET', server.url],
    ['CA', server.ca],
  ]).get(name) ?? null;
const ours = redisIssuer(secrets, 'ours');
const theirs = redisIssuer(secrets, 'theirs');
const target: TargetRef = {
  name: 'cache',
  definition: redisTarget.parse({ issuer: 'redis', url_from: 'TARGET', ca_from: 'CA' }),
};
const role = redisRole.parse({
  ...anyRole,
  issuer: 'redis',
  target: 'cache',
  keys: ['orders:*'],
  commands: ['@read', '@write'],
  backstop: 'none',
});
const roles = new Map([['orders', role]]);
const PASSWORD = 'hunter2-was-the-password';
const HOSTILE = 'x"\u202e~*<script>';

const make = (name: string, ...rules: string[]): Promise<string> =>
  server.cli(['ACL', 'SETUSER', name, ...rules]);

beforeAll(async () => {
  server = await startRedis({ aclFile: true });
  await make('open', 'on', 'nopass', '~*', '&*', '+@all');
  await make('sleeping', 'off', 'nopass', '~*', '&*', '+@all');
  await make('clerk', 'on', `>${PASSWORD}`, '~orders:2026:*', '+@read', '+set');
  await make('reader', 'on', `>${PASSWORD}`, '~orders:*', '+@read');
  await make('elsewhere', 'on', `>${PASSWORD}`, '~prices:*', '+@all', '-@dangerous');
  await make('taken', 'on', `>${PASSWORD}`, '%R~orders:*', '~prices:*', '+@write');
  await make('warden', 'on', `>${PASSWORD}`, '-@all', '+acl');
  await make('selective', 'on', `>${PASSWORD}`, '~prices:*', '+@read', '(~orders:* +del)');
  await make(HOSTILE, 'on', `>${PASSWORD}`, '~x', '+get');
});
afterAll(() => server.close());

async function census(issuer = ours): Promise<Found[]> {
  const { found = [] } = (await issuer.discover?.(target, roles)) ?? {};
  return found;
}
const factsOf = async (name: string): Promise<Found['facts'] | undefined> =>
  (await census()).find((each) => each.name === name)?.facts;

describe('discovery of a Redis', () => {
  it('finds every user, and knows itself', async () => {
    const all = await census();
    expect(all.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['default', 'countersign', 'open', 'clerk', HOSTILE]),
    );
    const serving = all.filter(({ facts }) => facts.serves !== null);
    expect(serving.map(({ name, facts }) => [name, facts.serves, facts.isConnected])).toEqual([
      ['countersign', 'issuer', true],
    ]);
  });

  it('tells an open door, and one that is shut, and never when somebody last came', async () => {
    expect(await factsOf('open')).toMatchObject({
      seenRisks: ['no_password'],
      isSuperuser: true,
      makesRoles: true,
      reaches: ['orders'],
      isEnabled: true,
      unknown: ['used_at'],
    });
    expect((await factsOf('sleeping'))?.isEnabled).toBe(false);
    expect(await factsOf('default')).toMatchObject({ seenRisks: [], isSuperuser: true });
  });

  it.each([
    ['clerk', ['orders']],
    ['selective', ['orders']],
    ['reader', []],
    ['elsewhere', []],
    ['taken', []],
    ['warden', []],
  ])('says whether %s may write what a role is for', async (name, reaches) => {
    expect((await factsOf(name))?.reaches).toEqual(reaches);
  });

  it('knows who can make users, by the last rule that is about it', async () => {
    expect(await factsOf('warden')).toMatchObject({ isSuperuser: false, makesRoles: true });
    expect(await factsOf('elsewhere')).toMatchObject({ isSuperuser: false, makesRoles: false });
    await make('warden', '-acl|setuser');
    expect((await factsOf('warden'))?.makesRoles).toBe(false);
  });

  it('I5: shows what users may do, and neither passwords nor their hashes', async () => {
    expect((await factsOf('reader'))?.permissions).toEqual(['-@all +@read', '~orders:*']);
    const hashes = (await server.savedUsers()).match(/#[0-9a-f]{64}/g) ?? [];
    const told = JSON.stringify(await census());
    for (const secret of [PASSWORD, ...hashes.map((each) => each.slice(1))])
      expect(told).not.toContain(secret);
  });
});

describe('logins that we issued', () => {
  it('are left out by name and mark together, and those of others are not', async () => {
    const lease = leaseOf(role, target);
    await ours.issue(lease);
    await make('cs_01ar6dhtmxe8dr7ezz5v0m9jhe', 'on', 'nopass');
    const mark = createHash('sha256').update('ours').digest('hex').slice(0, 32);
    await make('copycat', 'on', 'nopass', `&countersign:${mark}:1`);
    const names = async (issuer: typeof ours) => (await census(issuer)).map((each) => each.name);
    expect(await names(ours)).not.toContain(loginName(lease.credential));
    expect(await names(ours)).toEqual(
      expect.arrayContaining(['cs_01ar6dhtmxe8dr7ezz5v0m9jhe', 'copycat']),
    );
    expect(await names(theirs)).toContain(loginName(lease.credential));
    await ended(ours, target, withoutHandles([lease.credential]));
  });
});

describe('a server that does not answer', () => {
  it.each([
    ['a wrong password', () => server.url.replace('issuer-password', 'wrong'), 'wrongpass'],
    ['nobody there', () => 'redis://u:p@127.0.0.1:1/0', 'econnrefused'],
  ])('is said to be so: %s', async (_what, url, code) => {
    const issuer = redisIssuer((name) => (name === 'TARGET' ? url() : secrets(name)), 'ours');
    await expect(issuer.discover?.(target, roles)).rejects.toEqual(new TargetError(code));
  });

  it('is said to be so where the issuer may not list users', async () => {
    await make('countersign', '-acl|users');
    await expect(ours.discover?.(target, roles)).rejects.toThrow('noperm');
    await make('countersign', '+acl|users');
  });
});
