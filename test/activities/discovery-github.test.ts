// Discovery of a GitHub App: where it is installed, what it may do there, and which deploy keys stand beside it.
import { beforeEach, describe, expect, it } from 'vitest';
import { githubIssuer } from '../../activities/issuers/github.ts';
import { githubRole, githubTarget } from '../../commands/access/github.ts';
import { TargetError, type Issuer } from '../../commands/credentials/issuer.ts';
import type { Census, Found } from '../../domain/found-identity.ts';
import type { JsonObject } from '../../domain/json.ts';
import { startFakeGithub, type FakeGithub } from '../fakes/github.ts';
import { testWorld, type TestWorld } from '../support/issuing.ts';

const secrets: Record<string, string> = {};
let world: TestWorld;
let github: FakeGithub;
let issuer: Issuer;

beforeEach(async () => {
  world = testWorld(secrets);
  github = await startFakeGithub(() => world.now());
  secrets['KEY'] = github.privateKey;
  issuer = githubIssuer(world);
  github.granted['administration'] = 'read';
  github.installations.push(installation(github.installation));
  return () => github.close();
});

const installation = (id: number, more: JsonObject = {}): JsonObject => ({
  id,
  account: { login: 'acme', type: 'Organization' },
  repository_selection: 'selected',
  permissions: { contents: 'write', metadata: 'read' },
  created_at: '2025-01-02T03:04:05Z',
  suspended_at: null,
  ...more,
});
const deployKey = (id: number, more: JsonObject = {}): JsonObject => ({
  id,
  key: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUNTERHUNTERHUNTER',
  title: 'ci',
  verified: true,
  read_only: false,
  added_by: 'ada-lovelace',
  created_at: '2025-06-07T08:09:10Z',
  last_used: '2026-10-11T12:13:14Z',
  enabled: true,
  ...more,
});
const role = githubRole.parse({
  issuer: 'github',
  target: 'code',
  title: 'Code',
  repositories: ['Orders'],
  permissions: { contents: 'write' },
});
async function census(): Promise<Census> {
  if (!issuer.discover) throw new Error('it has no discovery');
  const definition = githubTarget.parse({
    issuer: 'github',
    api: github.url,
    app: github.app,
    installation: github.installation,
    private_key_from: 'KEY',
  });
  return issuer.discover({ name: 'code', definition }, new Map([['code', role]]));
}
const named = ({ found }: Census, name: string): Found['facts'] | undefined =>
  found.find((each) => each.name === name)?.facts;

describe('the installations of an app', () => {
  it('are found with what they may do, and ours is told apart', async () => {
    github.installations.push(
      installation(9, {
        account: { login: 'evil"\u202e<b>' },
        repository_selection: 'all',
        permissions: { administration: 'write' },
        suspended_at: '2026-01-01T00:00:00Z',
      }),
    );
    const all = await census();
    expect(named(all, `acme/installation ${github.installation}`)).toMatchObject({
      permissions: ['contents: write', 'metadata: read'],
      usableBy: ['selected repositories'],
      isSuperuser: false,
      isEnabled: true,
      createdAt: '2025-01-02T03:04:05.000Z',
      unknown: ['used_at'],
      serves: 'issuer',
    });
    expect(named(all, 'evil"\u202e<b>/installation 9')).toMatchObject({
      usableBy: ['all repositories'],
      isSuperuser: true,
      isEnabled: false,
      serves: null,
    });
  });

  it('are all found, however many pages', async () => {
    for (let id = 1; id <= 65; id += 1) github.installations.push(installation(id));
    const { found } = await census();
    expect(found.filter(({ kind }) => kind === 'app_installation')).toHaveLength(66);
  });
});

describe('deploy keys', () => {
  it('are found with their age and use, and those that write what a role writes go around it', async () => {
    github.deployKeys.set('acme/orders', [deployKey(1), deployKey(2, { read_only: true })]);
    github.deployKeys.set('acme/website', [deployKey(3, { last_used: null, enabled: false })]);
    const all = await census();
    expect(named(all, 'acme/orders/deploy key 1')).toMatchObject({
      permissions: ['contents: write'],
      reaches: ['code'],
      comment: 'ci, added by ada-lovelace',
      secretChangedAt: '2025-06-07T08:09:10.000Z',
      usedAt: '2026-10-11T12:13:14.000Z',
      unknown: [],
    });
    expect(named(all, 'acme/orders/deploy key 2')?.reaches).toEqual([]);
    expect(named(all, 'acme/website/deploy key 3')).toMatchObject({
      reaches: [],
      usedAt: null,
      isEnabled: false,
    });
  });

  it('I5: are not told themselves, and no token is left behind', async () => {
    github.deployKeys.set('acme/orders', [deployKey(1, { title: 'token: ghp_hunter2hunter2' })]);
    const told = JSON.stringify(await census());
    expect(told).not.toMatch(/AAAAC3|hunter2|ghs_/);
    expect(github.tokens.size).toBe(0);
  });

  it('I6: are a gap where the app may not read them', async () => {
    delete github.granted['administration'];
    const { found, gaps } = await census();
    expect(gaps).toEqual([{ kind: 'deploy_key', code: 'scope_not_installed' }]);
    expect(found.map(({ kind }) => kind)).toEqual(['app_installation']);
  });

  it('I6: are a gap where GitHub stops answering halfway, and the token is ended all the same', async () => {
    github.deployKeys.set('acme/orders', [deployKey(1)]);
    github.meanwhile = (_method, path) => {
      if (path.endsWith('/keys')) github.instead.push({ status: 429, headers: {}, body: '{}' });
    };
    const { gaps } = await census();
    expect(gaps).toEqual([{ kind: 'deploy_key', code: 'rate_limited' }]);
    expect(github.tokens.size).toBe(0);
  });
});

describe('a GitHub that says nothing', () => {
  it('I6: is said to be so: a key that it does not know, and nobody there', async () => {
    github.app = 'another';
    const definition = githubTarget.parse({
      issuer: 'github',
      api: github.url,
      app: 'Iv23liExampleClient',
      installation: github.installation,
      private_key_from: 'KEY',
    });
    await expect(issuer.discover?.({ name: 'code', definition }, new Map())).rejects.toEqual(
      new TargetError('app_not_recognised'),
    );
    await github.close();
    await expect(census()).rejects.toEqual(new TargetError('unreachable'));
  });
});
