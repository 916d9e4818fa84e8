// Discovery of an AWS account: who may assume its roles, how old its access keys are, and what IAM does not tell.
import { beforeEach, describe, expect, it } from 'vitest';
import { awsIssuer } from '../../activities/issuers/aws.ts';
import { awsRole, awsTarget } from '../../commands/access/aws.ts';
import { TargetError, type Issuer } from '../../commands/credentials/issuer.ts';
import type { Census, Found } from '../../domain/found-identity.ts';
import { ACCOUNT, IAM_KEYS, startFakeAws, type FakeAws } from '../fakes/aws.ts';
import { testWorld, type TestWorld } from '../support/issuing.ts';
import { startMoto } from '../support/moto.ts';
import { fileKey, tokensOf } from '../support/signing.ts';
import { mayBeMissing, motoServer, unless } from '../support/third-party.ts';

const ISSUER = 'https://countersign.example';
const tool = await motoServer();
const tokens = await tokensOf([await fileKey('active')]);
const SECRETS = { KEY_ID: IAM_KEYS.accessKeyId, KEY: IAM_KEYS.secretAccessKey };
const OTHER_ACCOUNT = '999999999999';
const DAY_MS = 86_400_000;
let world: TestWorld;
let aws: FakeAws;
let issuer: Issuer;

beforeEach(async () => {
  world = testWorld(SECRETS);
  aws = await startFakeAws({
    issuer: ISSUER,
    audience: 'sts.amazonaws.com',
    jwks: () => ({ keys: tokens.jwks.keys }),
    subjects: [],
    now: () => world.now(),
  });
  issuer = awsIssuer(world, tokens, ISSUER);
  return () => aws.close();
});

const iam = () => ({
  endpoint: aws.iamUrl,
  access_key_id_from: 'KEY_ID',
  secret_access_key_from: 'KEY',
});
const target = (more: object = {}) => ({
  name: 'cloud',
  definition: awsTarget.parse({ issuer: 'aws', region: 'eu-central-1', iam: iam(), ...more }),
});
const opens = (name: string) =>
  new Map([
    [
      'deploys',
      awsRole.parse({
        issuer: 'aws',
        target: 'cloud',
        title: 'Deploys',
        role_arn: `arn:aws:iam::${ACCOUNT}:role/${name}`,
      }),
    ],
  ]);
async function census(
  roles: ReturnType<typeof opens> = new Map(),
  more: object = {},
): Promise<Census> {
  if (!issuer.discover) throw new Error('it has no discovery');
  return issuer.discover(target(more), roles);
}
const factsOf = ({ found }: Census, name: string): Found['facts'] | undefined =>
  found.find((each) => each.name === name)?.facts;
const trusting = (principal: unknown, more: object = {}) => ({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: principal, Action: 'sts:AssumeRole', ...more }],
});
const ago = (days: number): string => new Date(world.now() - days * DAY_MS).toISOString();
const provider = (host: string) => ({
  Federated: `arn:aws:iam::${ACCOUNT}:oidc-provider/${host}`,
});
const WEB = { Action: 'sts:AssumeRoleWithWebIdentity' };
const GITHUB = provider('token.actions.githubusercontent.com');
const subjectIs = (sub: string) => ({
  ...WEB,
  Condition: { StringLike: { 'token.actions.githubusercontent.com:sub': sub } },
});

describe('the roles of an account', () => {
  it.each<[string, unknown, string[]]>([
    ['a service of AWS', trusting({ Service: 'ec2.amazonaws.com' }), []],
    ['its own account', trusting({ AWS: `arn:aws:iam::${ACCOUNT}:root` }), []],
    ['everybody', trusting('*'), ['open_trust']],
    ['everybody in AWS', trusting({ AWS: '*' }), ['open_trust']],
    [
      'everybody but one',
      { Statement: { Effect: 'Allow', NotPrincipal: { AWS: 'x' }, Action: '*' } },
      ['open_trust'],
    ],
    [
      'everybody on conditions',
      trusting({ AWS: '*' }, { Condition: { StringEquals: { 'aws:PrincipalOrgID': 'o-1' } } }),
      ['outside_trust'],
    ],
    [
      'another account',
      trusting({ AWS: [`arn:aws:iam::${OTHER_ACCOUNT}:role/x`] }),
      ['outside_trust'],
    ],
    ['another account by its number', trusting({ AWS: OTHER_ACCOUNT }), ['outside_trust']],
    ['somebody who was deleted', trusting({ AWS: 'AIDAEXAMPLE' }), []],
    ['every workflow at GitHub', trusting(GITHUB, WEB), ['open_trust']],
    [
      'every workflow at GitHub for an audience',
      trusting(GITHUB, {
        ...WEB,
        Condition: {
          StringEquals: { 'token.actions.githubusercontent.com:aud': 'sts.amazonaws.com' },
        },
      }),
      ['open_trust'],
    ],
    ['every repository at GitHub', trusting(GITHUB, subjectIs('repo:*')), ['open_trust']],
    ['one repository at GitHub', trusting(GITHUB, subjectIs('repo:acme/orders:*')), []],
    [
      'who may only be refused',
      { Statement: [{ Effect: 'Deny', Principal: '*', Action: '*' }] },
      [],
    ],
    ['what cannot be read', 'not JSON', ['open_trust']],
  ])('that trust %s', async (_what, trust, risks) => {
    aws.directory.roles.set('subject', { trust });
    expect(factsOf(await census(), 'subject')?.seenRisks).toEqual(risks);
  });

  it('are all found, however many pages, save those of AWS itself', async () => {
    for (let at = 0; at < 5; at += 1)
      aws.directory.roles.set(`role-${at}`, { trust: trusting({ Service: 'ec2.amazonaws.com' }) });
    aws.directory.roles.set('AWSServiceRoleForSupport', {
      path: '/aws-service-role/support.amazonaws.com/',
      trust: trusting({ Service: 'support.amazonaws.com' }),
    });
    const { found, gaps } = await census();
    expect(found.map(({ name }) => name)).toEqual(
      Array.from({ length: 5 }, (_, at) => `role-${at}`),
    );
    expect(gaps).toEqual([]);
  });

  it('say when they were made and last used, and what they are for', async () => {
    aws.directory.roles.set('batch', {
      trust: trusting({ Service: 'ec2.amazonaws.com' }),
      created: '2024-05-06T07:08:09Z',
      lastUsed: '2026-10-11T12:13:14Z',
      description: 'for ada@example.com, password: hunter2 \u202e<b>',
    });
    const facts = factsOf(await census(), 'batch');
    expect(facts).toMatchObject({
      createdAt: '2024-05-06T07:08:09.000Z',
      usedAt: '2026-10-11T12:13:14.000Z',
      comment: 'for ada@example.com, password: [hidden] \u202e<b>',
      usableBy: ['service ec2.amazonaws.com'],
      unknown: ['privileges'],
    });
  });

  it('that policy opens go around it only where somebody else may assume them', async () => {
    aws.directory.roles.set('ours', {
      trust: trusting(provider('countersign.example'), subjectIs('x')),
    });
    expect(factsOf(await census(opens('ours')), 'ours')?.reaches).toEqual([]);
    const both = trusting({
      ...provider('countersign.example'),
      AWS: `arn:aws:iam::${ACCOUNT}:root`,
    });
    aws.directory.roles.set('ours', { trust: both });
    expect(factsOf(await census(opens('ours')), 'ours')?.reaches).toEqual(['deploys']);
    expect(factsOf(await census(opens('others')), 'ours')?.reaches).toEqual([]);
  });
});

describe('access keys', () => {
  beforeEach(() => {
    aws.directory.users.set(
      'ada.lovelace',
      new Map([
        ['AKIAOLDOLDOLDOLD1111', { created: ago(400), lastUsed: ago(3) }],
        ['AKIANEWNEWNEWNEW2222', { created: ago(1), status: 'Inactive' }],
      ]),
    );
    aws.directory.users.set('issuer', new Map([[IAM_KEYS.accessKeyId, { created: ago(10) }]]));
    aws.directory.users.set('nobody', new Map());
  });

  it('are found with their age and last use, and our own is told apart', async () => {
    const all = await census();
    expect(all.found.map(({ name }) => name)).toEqual([
      'ada.lovelace/…1111',
      'ada.lovelace/…2222',
      `issuer/…${IAM_KEYS.accessKeyId.slice(-4)}`,
    ]);
    const [old, fresh, own] = all.found.map(({ facts }) => facts);
    expect(old).toMatchObject({ isEnabled: true, serves: null });
    expect(Math.round((world.now() - Date.parse(old?.secretChangedAt ?? '')) / DAY_MS)).toBe(400);
    expect(Math.round((world.now() - Date.parse(old?.usedAt ?? '')) / DAY_MS)).toBe(3);
    expect(fresh).toMatchObject({ isEnabled: false, usedAt: null, unknown: ['privileges'] });
    expect(own?.serves).toBe('issuer');
  });

  it('I5: are not shown by their whole id', async () => {
    expect(JSON.stringify(await census())).not.toContain('AKIAOLDOLDOLDOLD1111');
  });

  it('are two of one name where somebody has replaced one', async () => {
    const before = (await census()).found.find(({ name }) => name === 'ada.lovelace/…1111');
    aws.directory.users.set(
      'ada.lovelace',
      new Map([['AKIATHEIRSTHEIRS1111', { created: ago(0) }]]),
    );
    const after = (await census()).found.find(({ name }) => name === 'ada.lovelace/…1111');
    expect(after?.reference).not.toBe(before?.reference);
  });
});

describe('what IAM does not tell', () => {
  beforeEach(() => {
    aws.directory.roles.set('batch', { trust: trusting('*') });
    aws.directory.roles.set('other', { trust: trusting('*') });
    for (let at = 0; at < 40; at += 1)
      aws.directory.users.set(
        `user-${at}`,
        new Map([[`AKIAEXAMPLE00000${1000 + at}`, { created: ago(1) }]]),
      );
  });

  it.each([
    ['ListUsers', 'access_key', 'role'],
    ['ListAccessKeys', 'access_key', 'role'],
    ['ListRoles', 'role', 'access_key'],
  ])('I6: is a gap and not an empty list: %s', async (action, missing, there) => {
    aws.directory.denied.add(action);
    const { found, gaps } = await census();
    expect(gaps).toEqual([{ kind: missing, code: 'access_denied' }]);
    expect(new Set(found.map(({ kind }) => kind))).toEqual(new Set([there]));
  });

  it.each([
    ['GetAccessKeyLastUsed', 'access_key'],
    ['GetRole', 'role'],
  ])(
    'I6: is unknown and not "never", and is not asked for each again: %s',
    async (action, kind) => {
      aws.directory.denied.add(action);
      const { found, gaps } = await census();
      expect(gaps).toEqual([]);
      for (const { facts } of found.filter((each) => each.kind === kind))
        expect(facts).toMatchObject({ usedAt: null, unknown: ['privileges', 'used_at'] });
      // As many as are under way at once.
      expect(aws.directory.asked.get(action)).toBeLessThanOrEqual(8);
    },
  );

  it('I6: is everything where it refuses both lists', async () => {
    aws.directory.denied.add('ListRoles').add('ListUsers');
    await expect(census()).rejects.toEqual(new TargetError('access_denied'));
  });

  it('I6: is everything where our key is wrong, nobody answers, or policy has no key for IAM', async () => {
    world = testWorld({ ...SECRETS, KEY: 'x'.repeat(40) });
    issuer = awsIssuer(world, tokens, ISSUER);
    await expect(census()).rejects.toEqual(new TargetError('signature_does_not_match'));
    await expect(census(new Map(), { iam: undefined })).rejects.toEqual(
      new TargetError('iam_not_configured'),
    );
    await aws.close();
    await expect(census()).rejects.toEqual(new TargetError('unreachable'));
  });
});

describe.skipIf('missing' in tool && mayBeMissing)(`with software of others${unless(tool)}`, () => {
  it('moto lists roles, users and keys as discovery reads them', async () => {
    const moto = await startMoto(tool);
    for (let at = 0; at < 60; at += 1)
      await moto.callIam({
        Action: 'CreateRole',
        RoleName: `open-${at}`,
        Description: 'for <ada> & co',
        AssumeRolePolicyDocument: JSON.stringify(trusting({ AWS: '*' })),
      });
    await moto.callIam({ Action: 'CreateUser', UserName: 'ada.lovelace' });
    await moto.callIam({ Action: 'CreateAccessKey', UserName: 'ada.lovelace' });
    const { found, gaps } = await census(new Map(), { iam: { ...iam(), endpoint: moto.url } });
    await moto.close();
    expect(gaps).toEqual([]);
    const roles = found.filter(({ name }) => name.startsWith('open-'));
    expect(roles).toHaveLength(60);
    expect(roles[0]?.facts).toMatchObject({
      seenRisks: ['open_trust'],
      usableBy: ['everybody'],
      comment: 'for <ada> & co',
      unknown: ['privileges'],
    });
    const key = found.find(({ kind }) => kind === 'access_key');
    expect(key?.name).toMatch(/^ada\.lovelace\/….{4}$/);
    expect(key?.facts).toMatchObject({ isEnabled: true, unknown: ['privileges'] });
  });
});
