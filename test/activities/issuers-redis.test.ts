// Redis as the distribution has it, driven by the issuer; logins are tried with `redis-cli`.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loginName } from '../../activities/issuers/login.ts';
import { redisIssuer } from '../../activities/issuers/redis.ts';
import { redisRole } from '../../commands/access/redis.ts';
import type { Issuer, LeaseToIssue } from '../../commands/credentials/issuer.ts';
import { newId } from '../../commands/unit.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { answering, slowServer } from '../support/answering.ts';
import { text } from '../support/client.ts';
import {
  anyRole,
  ended,
  inSeconds,
  leaseOf,
  withoutHandles,
} from '../support/issuer-fixtures/fixture.ts';
import { redisBench } from '../support/issuer-fixtures/redis.ts';
import { startRedis } from '../support/redis.ts';

const { server, ours, target, plain, targetWith, at } = await redisBench();
const SAID = {
  ...anyRole,
  issuer: 'redis',
  target: 'cache',
  keys: ['orders:*'],
  keys_read: ['prices:*'],
  channels: ['orders.*'],
  commands: ['@read', '@write', 'publish', 'subscribe'],
  backstop: 'none',
};
const role = redisRole.parse(SAID);

beforeAll(async () => {
  await server.cli(['MSET', 'orders:1', 'lamp', 'prices:1', '10', 'payouts:1', 'secret']);
});
afterAll(() => server.close());

const lease = (more: Partial<LeaseToIssue> = {}, roleMore: object = {}): LeaseToIssue =>
  leaseOf({ ...role, ...roleMore }, target, more);
const made = async (toIssue: LeaseToIssue, issuer: Issuer = ours): Promise<JsonObject> =>
  (await issuer.issue(toIssue)).material;
const end = (issuer: Issuer, ...credentials: Id<'credential'>[]) =>
  ended(issuer, target, withoutHandles(credentials));

/** Runs one command as an issued login: what the server answers, a refusal by its first word. */
async function runs(material: JsonObject, ...words: string[]): Promise<string> {
  const who = { username: text(material['username']), password: text(material['password']) };
  const said = await server.cli(words, who);
  return /\b(NOPERM|WRONGPASS|NOAUTH)\b/.exec(said)?.[1] ?? said;
}

const isKnown = async (credential: Id<'credential'>): Promise<boolean> =>
  (await server.cli(['ACL', 'USERS'])).split('\n').includes(loginName(credential));

/** A `redis-cli` that stays connected; what it printed when it ended. */
async function session(material: JsonObject, ...words: string[]) {
  const url = new URL(text(material['url']));
  const args = ['-p', url.port, '--tls', '--insecure', '--user', url.username, ...words];
  const env = { PATH: '/usr/bin:/bin', REDISCLI_AUTH: url.password };
  const child = spawn('redis-cli', ['--no-auth-warning', ...args], { env });
  const first = await new Promise<string>((resolve) => {
    child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString()));
  });
  return { first, ended: once(child, 'exit'), kill: () => child.kill('SIGKILL') };
}

describe('an issued login', () => {
  it('does what its role may, and nothing that would outlive or outgrow it', async () => {
    const material = await made(lease());
    expect(material).toMatchObject({ kind: 'redis', tls: true });
    expect(await runs(material, 'GET', 'orders:1')).toBe('lamp');
    expect(await runs(material, 'SET', 'orders:2', 'chair')).toBe('OK');
    expect(await runs(material, 'GET', 'prices:1')).toBe('10');
    expect(await runs(material, 'PUBLISH', 'orders.new', '2')).toBe('0');
    const name = text(material['username']);
    const denied = [
      ['SET', 'prices:1', '11'],
      ['GET', 'payouts:1'],
      ['COPY', 'payouts:1', 'orders:3'],
      ['EVAL', `return redis.call('GET', 'payouts:1')`, '0'],
      ['FUNCTION', 'LOAD', '#!lua name=later'],
      ['PUBLISH', 'payouts.new', '1'],
      ['ACL', 'SETUSER', name, '+@all'],
      ['ACL', 'SETUSER', 'helper', 'on', 'nopass', '~*', '+@all'],
      ['CONFIG', 'GET', 'requirepass'],
      ['CLIENT', 'KILL', 'USER', 'default'],
      ['CLIENT', 'LIST'],
      ['MONITOR'],
      ['KEYS', '*'],
      ['FLUSHALL'],
      ['REPLICAOF', 'NO', 'ONE'],
      ['SHUTDOWN', 'NOSAVE'],
    ];
    const answers = [];
    for (const words of denied) answers.push([words[0], await runs(material, ...words)]);
    expect(answers.filter(([, answer]) => answer !== 'NOPERM')).toEqual([]);
  });

  it('of a role that says unrestricted may do everything, and ends all the same', async () => {
    const held = lease({}, { unrestricted: true, commands: ['@all'] });
    const material = await made(held);
    expect(await runs(material, 'GET', 'payouts:1')).toBe('secret');
    expect(await runs(material, 'CONFIG', 'GET', 'port')).toContain('port');
    expect(await ours.list(target)).toContain(held.credential);
    expect(await end(ours, held.credential)).toMatchObject([{ isOver: true }]);
    expect(await runs(material, 'PING')).toBe('WRONGPASS');
  });
});

describe('a role', () => {
  it.each([
    ['acl', 'acl|setuser', 'config|get', 'client|kill', 'flushall', 'function|load', 'monitor'],
    ['@all', '@admin', '@dangerous', '@scripting', 'script', 'shutdown', 'replicaof', 'migrate'],
  ])('cannot name what outlives or outgrows a lease: %s, %s, %s …', (...commands) => {
    const allowed = (unrestricted: boolean): string[] =>
      commands.filter(
        (command) => redisRole.safeParse({ ...SAID, commands: [command], unrestricted }).success,
      );
    expect(allowed(false)).toEqual([]);
    expect(allowed(true)).toEqual(commands);
  });

  it.each([
    ['every key', { keys: ['*'] }],
    ['every key by another glob', { keys: ['?*'] }],
    ['every key by a class', { keys: ['[a-z]*'] }],
    ['every channel', { channels: ['*'] }],
    ['a rule within a key', { keys: ['a ~*'] }],
    ['a rule within a command', { commands: ['get ~*'] }],
    ['a line within a key', { keys: ['a\r\n~*'] }],
    ['taking away', { commands: ['-get'] }],
    ['no word about a backstop', { backstop: undefined }],
    ['more than an hour', { ttl_seconds_max: 3601 }],
  ])('cannot say %s', (_, more) => {
    expect(redisRole.safeParse({ ...SAID, ...more }).success).toBe(false);
  });
});

describe('issuing', () => {
  it('opens nothing when its time ends while it is at work, whatever it believes', async () => {
    const held = lease({ issueBy: inSeconds(0.6) });
    // The last commands are held up on the way, as a slow network would.
    const slow = await slowServer(new URL(server.plainUrl), 'SETUSER', 1_000);
    const through = at(`redis://countersign:issuer-password@127.0.0.1:${slow.port}`);
    await expect(through.issue({ ...held, target: plain })).rejects.toThrow(/^too_late$/);
    slow.close();
    expect(await isKnown(held.credential)).toBe(false);
  });

  it('makes no login any more once it is being ended', async () => {
    const held = lease();
    expect(await end(ours, held.credential)).toMatchObject([{ isOver: true }]);
    await expect(ours.issue(held)).rejects.toThrow(/^too_late$/);
    expect(await isKnown(held.credential)).toBe(false);
  });

  it('takes over no user of the same name that is not ours', async () => {
    const held = lease();
    await server.cli(['ACL', 'SETUSER', loginName(held.credential), 'on', '>theirs']);
    await expect(ours.issue(held)).rejects.toThrow(/^name_not_ours$/);
    expect(await end(ours, held.credential)).toMatchObject([
      { isOver: false, code: 'name_not_ours' },
    ]);
    expect(await isKnown(held.credential)).toBe(true);
    await server.cli(['ACL', 'DELUSER', loginName(held.credential)]);
  });

  it('tells nobody the password: not the list of users, not the slow log, not an error', async () => {
    await server.cli(['CONFIG', 'SET', 'slowlog-log-slower-than', '0']);
    const password = text((await made(lease()))['password']);
    const seen = [
      await server.cli(['ACL', 'LIST']),
      await server.cli(['SLOWLOG', 'GET', '200']),
      await server.cli(['ACL', 'LOG']),
    ].join('\n');
    expect(seen).toContain('countersign:');
    expect(seen).not.toContain(password);
    await expect(ours.issue(lease({}, { commands: ['no-such'] }))).rejects.toSatisfy(
      (error: unknown) =>
        error instanceof Error && error.message === 'err' && error.cause === undefined,
    );
    await server.cli(['CONFIG', 'SET', 'slowlog-log-slower-than', '10000']);
  });

  it('needs a target whose certificate is from whom it should be', async () => {
    for (const wrong of [targetWith({ ca_from: undefined }), targetWith({ ca_from: 'NONE' })])
      await expect(ours.issue(leaseOf(role, wrong))).rejects.toThrow(
        /^(depth_zero_self_signed_cert|self_signed_cert_in_chain|target_not_configured)$/,
      );
  });
});

describe('I3: revoking', () => {
  it('I3: ends sessions that are open, and is done when the target no longer knows the login', async () => {
    const held = lease();
    const material = await made(held);
    const open = await session(material, 'SUBSCRIBE', 'orders.new');
    expect(open.first).toContain('subscribe');
    const [outcome] = await end(ours, held.credential);
    expect(outcome).toEqual({
      credential: held.credential,
      code: null,
      sessionsEnded: 1,
      isOver: true,
    });
    expect(await server.cli(['CLIENT', 'LIST'])).not.toContain(text(material['username']));
    open.kill();
    await open.ended;
    expect(await runs(material, 'PING')).toBe('WRONGPASS');
    expect(await isKnown(held.credential)).toBe(false);
  });

  it('I3: outlasts a restart, though somebody saved the users in the meantime', async () => {
    const held = lease();
    const material = await made(held);
    await server.cli(['ACL', 'SAVE']);
    expect(await server.savedUsers()).toContain(text(material['username']));
    expect(await end(ours, held.credential)).toMatchObject([{ isOver: true }]);
    expect(await server.savedUsers()).not.toContain(text(material['username']));
    await server.crash();
    expect(await runs(material, 'PING')).toBe('WRONGPASS');
  });

  it('I3: is not said to be done while the file of users still has it', async () => {
    const held = lease();
    await made(held);
    await server.cli(['ACL', 'SETUSER', 'countersign', '-acl|save']);
    expect(await end(ours, held.credential)).toMatchObject([{ isOver: false, code: 'noperm' }]);
    await server.cli(['ACL', 'SETUSER', 'countersign', '+acl|save']);
    expect(await end(ours, held.credential)).toMatchObject([{ isOver: true }]);
  });

  it('I3: one that is somebody else’s holds up no other', async () => {
    const [mine, operators] = [lease(), newId('credential')];
    await ours.issue(mine);
    await server.cli(['ACL', 'SETUSER', loginName(operators), 'on']);
    expect(
      (await end(ours, operators, mine.credential)).map(({ isOver, code }) => [isOver, code]),
    ).toEqual([
      [false, 'name_not_ours'],
      [true, null],
    ]);
    await server.cli(['ACL', 'DELUSER', loginName(operators)]);
  });

  it('I3: that breaks off is said to have failed, whatever the target answers', async () => {
    for (const answer of ['+OK\r\n!what\r\n', '', '$99999999999\r\n', '*-7\r\n', '-ERR no\r\n']) {
      const odd = await answering(answer);
      const issuer = at(`redis://countersign:issuer-password@127.0.0.1:${odd.port}`);
      const [outcome] = await ended(issuer, plain, withoutHandles([newId('credential')]));
      expect(outcome).toMatchObject({ isOver: false });
      expect(outcome?.code).toMatch(/^[a-z_]+$/);
      odd.close();
    }
  });
});

describe('a sweep', () => {
  it('sees and ends no user that an operator made under a name like ours', async () => {
    const operators = newId('credential');
    await server.cli(['ACL', 'SETUSER', loginName(operators), 'on', '>theirs', '+ping']);
    expect(await ours.list(target)).not.toContain(operators);
    expect((await end(ours, operators)).map(({ isOver }) => isOver)).toEqual([false]);
    expect(await isKnown(operators)).toBe(true);
    await server.cli(['ACL', 'DELUSER', loginName(operators)]);
  });

  it('finds a login that a restart brought back', async () => {
    const held = lease();
    const material = await made(held);
    await server.cli(['ACL', 'SAVE']);
    await server.crash();
    expect(await runs(material, 'PING')).toBe('PONG');
    expect(await ours.list(target)).toContain(held.credential);
    expect(await end(ours, held.credential)).toMatchObject([{ isOver: true }]);
  });
});

describe('a Redis without a file of users', () => {
  it('I3: loses its logins in a restart, and revokes them before as well', async () => {
    const other = await startRedis({ aclFile: false });
    const issuer = redisIssuer((name) => (name === 'CA' ? other.ca : other.url), 'ours');
    const held = lease();
    const material = await made(held, issuer);
    const who = { username: text(material['username']), password: text(material['password']) };
    expect(await other.cli(['GET', 'orders:1'], who)).toBe('');
    expect(await end(issuer, held.credential)).toMatchObject([{ isOver: true }]);
    expect(await other.cli(['PING'], who)).toContain('WRONGPASS');
    await issuer.issue(lease());
    await other.crash();
    expect(await issuer.list(target)).toEqual([]);
    await other.close();
  });
});
