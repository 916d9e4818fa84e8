import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { awsIssuer } from '../../activities/issuers/aws.ts';
import { signCall } from '../../activities/issuers/sigv4.ts';
import { awsAccess, awsRole, awsTarget, type AwsRole } from '../../commands/access/aws.ts';
import type { Issuer, LeaseToIssue } from '../../commands/credentials/issuer.ts';
import { Refusal } from '../../domain/refusal.ts';
import { IAM_KEYS, ROLE_ARN, startFakeAws, type FakeAws } from '../fakes/aws.ts';
import { text } from '../support/client.ts';
import {
  endings,
  leaseOn,
  refusalOf,
  testWorld,
  toEnd,
  type TestWorld,
} from '../support/issuing.ts';
import { startMoto, type Moto } from '../support/moto.ts';
import { fileKey, tokensOf } from '../support/signing.ts';
import { mayBeMissing, motoServer, unless } from '../support/third-party.ts';

const ISSUER = 'https://countersign.example';
const tokens = await tokensOf([await fileKey('active')]);
const strangers = await tokensOf([await fileKey('active')]);
const tool = await motoServer();
const SECRETS = {
  KEY_ID: IAM_KEYS.accessKeyId,
  KEY: IAM_KEYS.secretAccessKey,
  WRONG: 'x'.repeat(40),
};
let world: TestWorld;
let aws: FakeAws;
let issuer: Issuer;

beforeEach(async () => {
  world = testWorld(SECRETS);
  aws = await startFakeAws({
    issuer: ISSUER,
    audience: 'sts.amazonaws.com',
    jwks: () => ({ keys: tokens.jwks.keys }),
    subjects: ['spiffe://test.example/agent/orders-bot', 'agent:orders-bot'],
    now: () => world.now(),
  });
  issuer = awsIssuer(world, tokens, ISSUER);
  return () => aws.close();
});

const target = (more: object = {}) =>
  awsTarget.parse({
    issuer: 'aws',
    region: 'eu-central-1',
    sts_endpoint: aws.stsUrl,
    iam: { endpoint: aws.iamUrl, access_key_id_from: 'KEY_ID', secret_access_key_from: 'KEY' },
    ...more,
  });
const role = (more: object = {}): AwsRole =>
  awsRole.parse({ issuer: 'aws', target: 'cloud', title: 'Cloud', role_arn: ROLE_ARN, ...more });
const lease = (roleMore: object = {}, more: Partial<LeaseToIssue> = {}, targetMore: object = {}) =>
  leaseOn(world, role(roleMore), target(targetMore), more);
const READ_ORDERS = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: 's3:Get*', Resource: 'arn:aws:s3:::orders/*' }],
};

describe('a session of an AWS role', () => {
  it('carries who it is for, in tags that follow it, under a name that is the lease', async () => {
    const asked = lease({ source_identity: true }, { control: 'cloud-write' });
    const { material, diesAt, handle } = await issuer.issue(asked);
    const [session] = aws.sessions;
    expect(session?.name).toBe(asked.credential);
    expect(session?.tags).toEqual({
      countersign_agent: asked.agent,
      countersign_task: asked.task,
      countersign_credential: asked.credential,
      countersign_control: 'cloud-write',
    });
    expect(session?.sourceIdentity).toBe('orders-bot');
    expect(material['session_token']).toBe(session?.token);
    expect(material['kind']).toBe('aws');
    // STS gives a quarter of an hour at least, and that is what is said, not what was asked for.
    expect(session?.seconds).toBe(900);
    expect(diesAt).toBe(new Date(session?.expires ?? 0).toISOString());
    expect(handle).toBeNull();
  });

  it('lasts as long as its lease where AWS lets it', async () => {
    await issuer.issue(lease({}, { expiresAt: world.at(1800) }));
    expect(aws.sessions[0]?.seconds).toBeGreaterThanOrEqual(1799);
    expect(aws.sessions[0]?.seconds).toBeLessThanOrEqual(1801);
  });

  it('can name its agent instead of its SPIFFE id', async () => {
    await issuer.issue(lease({}, { spiffeId: 'spiffe://unknown' }, { subject: 'name' }));
    expect(aws.sessions).toHaveLength(1);
  });

  it.each<[string, Partial<LeaseToIssue>, object, string]>([
    [
      'an agent that the role does not trust',
      { spiffeId: 'spiffe://test.example/agent/other' },
      {},
      'access_denied, nothing made',
    ],
    ['another audience', {}, { audience: 'somebody-else' }, 'invalid_identity_token, nothing made'],
  ])('is refused to %s', async (_what, more, targetMore, code) => {
    expect(await refusalOf(issuer.issue(lease({}, more, targetMore)))).toBe(code);
    expect(aws.sessions).toHaveLength(0);
  });

  it('is refused to a word that others signed, or that names another issuer', async () => {
    for (const other of [
      awsIssuer(world, strangers, ISSUER),
      awsIssuer(world, tokens, 'https://x.example'),
    ])
      expect(await refusalOf(other.issue(lease()))).toBe('invalid_identity_token, nothing made');
  });

  it('may exist where no answer came: nothing else is said of it', async () => {
    const asked = lease();
    await aws.close();
    expect(await refusalOf(issuer.issue(asked))).toBe('unreachable');
  });
});

describe('the policy of a session', () => {
  const reads = (token: string, key: string) =>
    aws.call(token, 's3:GetObject', `arn:aws:s3:::${key}`);
  const token = async (roleMore: object, options: LeaseToIssue['options'] = {}) => {
    const definition = role(roleMore);
    const read = await awsAccess.readOptions(definition, options);
    const { material } = await issuer.issue(lease(roleMore, { options: read }));
    return text(material['session_token']);
  };

  it('gives less than the role, and options give less than the policy', async () => {
    const plain = await token({});
    expect(reads(plain, 'secrets/1')).toBe('ok');
    const narrowed = await token({ session_policy: READ_ORDERS });
    expect([reads(narrowed, 'orders/1'), reads(narrowed, 'secrets/1')]).toEqual([
      'ok',
      'AccessDenied',
    ]);
    const one = await token(
      { session_policy: READ_ORDERS },
      { only_resources: ['arn:aws:s3:::orders/1'] },
    );
    expect([reads(one, 'orders/1'), reads(one, 'orders/2')]).toEqual(['ok', 'AccessDenied']);
  });

  it('is never widened by options, whatever they ask for', async () => {
    const wide = await token(
      { session_policy: READ_ORDERS },
      { only_resources: ['*'], only_actions: ['*'] },
    );
    expect(reads(wide, 'secrets/1')).toBe('AccessDenied');
    expect(aws.call(wide, 's3:PutObject', 'arn:aws:s3:::orders/1')).toBe('AccessDenied');
    const listing = await token({}, { only_actions: ['s3:List*'] });
    expect(reads(listing, 'orders/1')).toBe('AccessDenied');
    expect(aws.call(listing, 's3:ListBucket', 'arn:aws:s3:::orders')).toBe('ok');
  });

  it.each<[string, LeaseToIssue['options']]>([
    ['a policy of its own', { session_policy: READ_ORDERS }],
    ['nothing to be left', { only_actions: [] }],
    ['what is no action', { only_actions: ['s3:Get"Object'] }],
    [
      'more than STS takes',
      {
        only_resources: Array.from(
          { length: 60 },
          (_, n) => `arn:aws:s3:::bucket-with-a-long-name/${n}/*`,
        ),
      },
    ],
  ])('refuses options with %s', async (_what, options) => {
    const refused = await Promise.resolve()
      .then(() => awsAccess.readOptions(role({ session_policy: READ_ORDERS }), options))
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Refusal);
    expect((refused as Refusal).code).toBe('option_refused');
  });

  it.each<[string, object]>([
    [
      'a principal',
      { Statement: [{ Effect: 'Allow', Action: '*', Resource: '*', Principal: '*' }] },
    ],
    ['no resource', { Statement: [{ Effect: 'Allow', Action: '*' }] }],
    ['no statement', { Statement: [] }],
    [
      'more than STS takes',
      { Statement: [{ Effect: 'Allow', Action: ['x'.repeat(2040)], Resource: '*' }] },
    ],
  ])('is refused in a role with %s', (_what, policy) => {
    const session_policy = { Version: '2012-10-17', ...policy };
    expect(awsRole.safeParse({ ...role(), session_policy }).success).toBe(false);
  });
});

describe('the end of a session', () => {
  it('is forgotten once it came by itself, and no sooner', async () => {
    const roleMore = { revoke: { deny_policy: true } };
    const first = lease(roleMore);
    const issued = await issuer.issue(first);
    await endings(issuer, first, [toEnd(first, issued)]);
    world.pass(600);
    const second = lease(roleMore);
    const laterIssued = await issuer.issue(second);
    await endings(issuer, second, [toEnd(second, laterIssued)]);
    expect([...aws.policies.values()].join()).toContain(first.credential);
    world.pass(2 * 3600 + 900);
    const third = lease(roleMore);
    await endings(issuer, third, [toEnd(third, await issuer.issue(third))]);
    const denied = [...aws.policies.values()].join();
    expect(denied).toContain(third.credential);
    expect(denied).not.toContain(first.credential);
  });

  it('is not claimed when IAM does not take it: wrong keys, a policy without room', async () => {
    const roleMore = { revoke: { deny_policy: true } };
    const asked = lease(
      roleMore,
      {},
      {
        iam: {
          endpoint: aws.iamUrl,
          access_key_id_from: 'KEY_ID',
          secret_access_key_from: 'WRONG',
        },
      },
    );
    const issued = await issuer.issue(asked);
    expect(await endings(issuer, asked, [toEnd(asked, issued)])).toEqual([
      'signature_does_not_match alive open',
    ]);
    aws.policies.set(
      'other',
      JSON.stringify({ Version: '2012-10-17', Statement: [], Id: 'x'.repeat(10_150) }),
    );
    const full = lease(roleMore);
    expect(await endings(issuer, full, [toEnd(full, await issuer.issue(full))])).toEqual([
      'limit_exceeded alive open',
    ]);
  });

  it('is said to be impossible when there are more denials than a role has room for', async () => {
    const leases = Array.from({ length: 300 }, () => lease({ revoke: { deny_policy: true } }));
    const [asked] = leases;
    if (!asked) throw new Error('there are leases');
    const issued = await issuer.issue(asked);
    const outcomes = await endings(
      issuer,
      asked,
      leases.map((each) => toEnd(each, issued)),
    );
    expect(new Set(outcomes)).toEqual(new Set(['deny_policy_full alive open']));
  });

  it('is not taken for granted when somebody emptied the denial', async () => {
    const asked = lease({ revoke: { deny_policy: true } });
    const issued = await issuer.issue(asked);
    await endings(issuer, asked, [toEnd(asked, issued)]);
    for (const [name, document] of aws.policies)
      aws.policies.set(name, document.replace('"Effect":"Deny"', '"Effect":"Allow"'));
    expect(await issuer.verifyDead(asked.target, [toEnd(asked, issued)])).toEqual(['alive']);
  });

  it('waits for what a crash left, and closes at once what AWS had refused', async () => {
    const asked = lease({ revoke: { deny_policy: true } });
    expect(await endings(issuer, asked, [toEnd(asked, null, world.at(930))])).toEqual([
      'not_revocable alive open',
    ]);
    expect(await endings(issuer, asked, [toEnd(asked, null, world.at(-31))])).toEqual([
      'done gone over',
    ]);
  });
});

describe('what policy may say', () => {
  it('takes a way to end sessions only with credentials for it', () => {
    const mistaken = role({ revoke: { deny_policy: true } });
    const bare = awsTarget.parse({ issuer: 'aws', region: 'eu-central-1' });
    expect(awsAccess.mistake?.(mistaken, bare)).toContain('has no iam');
    expect(awsAccess.mistake?.(mistaken, target())).toBeNull();
    expect(awsAccess.revocable(mistaken, target())).toBe(true);
  });
});

describe('the signature of a call to AWS', () => {
  it('is that of the published example', () => {
    const url = new URL('https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08');
    const { authorization } = signCall(
      {
        method: 'GET',
        url,
        body: '',
        headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
        service: 'iam',
        region: 'us-east-1',
      },
      {
        accessKeyId: 'AKIDEXAMPLE',
        secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
        sessionToken: null,
      },
      new Date('2015-08-30T12:36:00Z'),
    );
    expect(authorization).toContain(
      'Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7',
    );
  });
});

describe.skipIf('missing' in tool && mayBeMissing)(`with software of others${unless(tool)}`, () => {
  let moto: Moto;
  let url = '';
  beforeAll(async () => {
    moto = await startMoto(tool);
    url = moto.url;
  });
  afterAll(() => moto.close());

  it("moto gives a session, and the AWS SDK is then known as the lease's session", async () => {
    const asked = lease({ session_policy: READ_ORDERS }, {}, { sts_endpoint: url });
    const { material } = await issuer.issue(asked);
    const client = new STSClient({
      region: text(material['region']),
      endpoint: url,
      credentials: {
        accessKeyId: text(material['access_key_id']),
        secretAccessKey: text(material['secret_access_key']),
        sessionToken: text(material['session_token']),
      },
    });
    const { Arn } = await client.send(new GetCallerIdentityCommand({}));
    expect(Arn).toContain(`/${asked.credential}`);
    client.destroy();
  });

  it('moto takes the denial of a session into a role, and gives it back', async () => {
    await moto.callIam({
      Action: 'CreateRole',
      RoleName: 'order-support',
      AssumeRolePolicyDocument: JSON.stringify({ Version: '2012-10-17', Statement: [] }),
    });
    const iam = { endpoint: url, access_key_id_from: 'KEY_ID', secret_access_key_from: 'KEY' };
    const asked = lease({ revoke: { deny_policy: true } }, {}, { sts_endpoint: url, iam });
    const issued = await issuer.issue(asked);
    expect(await endings(issuer, asked, [toEnd(asked, issued)])).toEqual(['done gone over']);
    const stored = await moto.callIam({
      Action: 'GetRolePolicy',
      RoleName: 'order-support',
      PolicyName: 'countersign-ended-sessions',
    });
    expect(decodeURIComponent(await stored.text())).toContain(asked.credential);
  });
});
