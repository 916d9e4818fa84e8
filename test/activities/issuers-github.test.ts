import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { githubIssuer } from '../../activities/issuers/github.ts';
import { githubAccess, githubRole, githubTarget } from '../../commands/access/github.ts';
import type { Issuer, LeaseToIssue } from '../../commands/credentials/issuer.ts';
import type { JsonValue } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { startFakeGithub, type FakeGithub } from '../fakes/github.ts';
import { text } from '../support/client.ts';
import {
  endings,
  leaseOn,
  refusalOf,
  testWorld,
  toEnd,
  type TestWorld,
} from '../support/issuing.ts';

const pem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();
const secrets: Record<string, string> = {
  OTHER: pem(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey),
  EC: pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
};
let world: TestWorld;
let github: FakeGithub;
let issuer: Issuer;

beforeEach(async () => {
  world = testWorld(secrets);
  github = await startFakeGithub(() => world.now());
  secrets['KEY'] = github.privateKey;
  issuer = githubIssuer(world);
  return () => github.close();
});

const target = (more: object = {}) =>
  githubTarget.parse({
    issuer: 'github',
    api: github.url,
    app: github.app,
    installation: github.installation,
    private_key_from: 'KEY',
    ...more,
  });
const role = (more: object = {}) =>
  githubRole.parse({
    issuer: 'github',
    target: 'code',
    title: 'Code',
    repositories: ['orders', 'Billing'],
    permissions: { contents: 'write', issues: 'read' },
    ...more,
  });
const lease = (more: Partial<LeaseToIssue> = {}, roleMore: object = {}, targetMore: object = {}) =>
  leaseOn(world, role(roleMore), target(targetMore), more);
const given = (token: JsonValue | undefined) => github.tokens.get(text(token));

describe('a token of a GitHub App', () => {
  it('is for the repositories and permissions of its role, and for no more', async () => {
    const { material, handle, diesAt } = await issuer.issue(lease());
    expect(given(material['token'])?.repositories).toEqual(['Billing', 'orders']);
    expect(given(material['token'])?.permissions).toEqual({
      contents: 'write',
      issues: 'read',
      metadata: 'read',
    });
    expect(handle).toBe(material['token']);
    expect(Date.parse(diesAt ?? '')).toBeGreaterThan(world.now() + 3_590_000);
  });

  it('is narrower where options ask for less', async () => {
    const asked = { repositories: ['billing'], permissions: { contents: 'read' } };
    const options = await githubAccess.readOptions(role(), asked);
    const { material } = await issuer.issue(lease({ options }));
    expect(given(material['token'])?.repositories).toEqual(['billing']);
    expect(given(material['token'])?.permissions).toEqual({ contents: 'read', metadata: 'read' });
  });

  it.each<[string, LeaseToIssue['options']]>([
    ['another repository', { repositories: ['orders', 'website'] }],
    ['a higher level', { permissions: { issues: 'write' } }],
    ['another permission', { permissions: { administration: 'read' } }],
    ['what every object has', { permissions: { constructor: 'read' } }],
    ['no permission, which would be all of them', { permissions: {} }],
    ['no repository, which would be all of them', { repositories: [] }],
    ['a path', { repositories: ['../orders'] }],
    ['something else', { installation: 1 }],
  ])('is refused options with %s', async (_what, options) => {
    const read = Promise.resolve().then(() => githubAccess.readOptions(role(), options));
    const refused = await read.catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Refusal);
    expect((refused as Refusal).code).toBe('option_refused');
    // The issuer holds the same line, should anything else ever be in a lease.
    await expect(issuer.issue(lease({ options }))).rejects.toBeInstanceOf(Refusal);
    expect(github.tokens.size).toBe(0);
  });

  it.each<[string, Partial<LeaseToIssue>, object, object, string]>([
    [
      'signed by another key',
      {},
      {},
      { private_key_from: 'OTHER' },
      'app_not_recognised, nothing made',
    ],
    [
      'signed by a key that is not RSA',
      {},
      {},
      { private_key_from: 'EC' },
      'private_key_unreadable, nothing made',
    ],
    ['without a key', {}, {}, { private_key_from: 'NONE' }, 'target_not_configured, nothing made'],
    ['for another app', {}, {}, { app: 'Iv23liOther' }, 'app_not_recognised, nothing made'],
    [
      'at an installation that is not',
      {},
      {},
      { installation: 1 },
      'installation_not_found, nothing made',
    ],
    [
      'for what the app was not given',
      {},
      { permissions: { secrets: 'read' } },
      {},
      'scope_not_installed, nothing made',
    ],
    ['after its time', { issueBy: new Date(0).toISOString() }, {}, {}, 'too_late, nothing made'],
  ])('is not made %s', async (_what, more, roleMore, targetMore, code) => {
    expect(await refusalOf(issuer.issue(lease(more, roleMore, targetMore)))).toBe(code);
    expect(github.tokens.size).toBe(0);
  });

  it('takes a key whose lines an environment spelt on one', async () => {
    secrets['KEY'] = github.privateKey.replaceAll('\n', String.raw`\n`);
    await issuer.issue(lease());
    expect(github.tokens.size).toBe(1);
  });

  it.each<[string, FakeGithub['widen']]>([
    ['other repositories', { repositories: ['website'], permissions: {} }],
    ['all repositories', { repositories: null, permissions: {} }],
    ['other permissions', { repositories: [], permissions: { administration: 'write' } }],
    ['a higher level', { repositories: [], permissions: { issues: 'write' } }],
  ])('is ended at once and given to nobody when GitHub made it for %s', async (_what, widen) => {
    github.widen = widen;
    expect(await refusalOf(issuer.issue(lease()))).toBe('wider_than_asked');
    expect(github.tokens.size).toBe(0);
  });

  it('is not asked for again and again where GitHub limits the rate', async () => {
    github.instead.push({ status: 403, headers: { 'retry-after': '60' }, body: '{}' });
    expect(await refusalOf(issuer.issue(lease()))).toBe('rate_limited, nothing made');
  });
});

describe('the end of a token', () => {
  it('is not claimed while GitHub is limiting, failing or gone, and holds up no other', async () => {
    const leases = [lease(), lease()];
    const ending = [];
    for (const each of leases) ending.push(toEnd(each, await issuer.issue(each)));
    const reset = Math.floor(world.now() / 1000) + 120;
    const limited = {
      status: 403,
      headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(reset) },
    };
    const [asked] = leases;
    if (!asked) throw new Error('there are leases');
    github.instead.push(limited);
    const outcomes = await issuer.revoke(asked.target, ending);
    expect(new Set(outcomes.map(({ code }) => code))).toEqual(new Set(['rate_limited', null]));
    expect(outcomes.find(({ code }) => code !== null)?.tryAt).toBe(
      new Date(reset * 1000).toISOString(),
    );
    github.instead.push({ status: 502 }, { status: 502 });
    expect(await endings(issuer, asked, ending.slice(0, 1))).toEqual(['refused alive open']);
    await github.close();
    expect(await endings(issuer, asked, ending.slice(0, 1))).toEqual(['unreachable alive open']);
    world.pass(3_700);
    expect(await endings(issuer, asked, ending.slice(0, 1))).toEqual(['done gone over']);
  });
});

describe('what policy may say', () => {
  it.each<[string, object]>([
    ['all permissions by naming none', { permissions: {} }],
    ['all repositories by naming none', { repositories: [] }],
    ['an owner with a repository', { repositories: ['acme/orders'] }],
    ['a level that is none', { permissions: { contents: 'everything' } }],
  ])('is not %s', (_what, more) => {
    expect(githubRole.safeParse({ ...role(), ...more }).success).toBe(false);
  });
});
