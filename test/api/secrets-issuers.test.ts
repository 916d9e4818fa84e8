// The secrets of every issuer that calls somebody else's API: what it is given, what it makes, and what it presents.
import { randomBytes } from 'node:crypto';
import type { JSONWebKeySet } from 'jose';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { IAM_KEYS, ROLE_ARN, startFakeAws, type FakeAws } from '../fakes/aws.ts';
import { startFakeGithub, type FakeGithub } from '../fakes/github.ts';
import { startFakeKubernetes, type FakeKubernetes } from '../fakes/kubernetes.ts';
import { activateAccess } from '../support/access.ts';
import {
  CLIENT_SECRET,
  RESOURCE,
  startAuthorizationServer,
  type AuthorizationServer,
} from '../support/authorization-server.ts';
import { startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  anyone,
  askCredential,
  eventually,
  list,
  object,
  opened,
  text,
} from '../support/client.ts';
import { historiesOf, secretsIn, tablesOf } from '../support/searching.ts';
import { selfSigned } from '../support/tls.ts';

let cast: Cast;
let aws: FakeAws;
let github: FakeGithub;
let kubernetes: FakeKubernetes;
let server: AuthorizationServer;
const logged: string[] = [];
const told: string[] = [];
/** Every secret of the story, by what it is. */
const secrets: Record<string, string> = {
  'secret of the IAM keys': IAM_KEYS.secretAccessKey,
  'secret of the OAuth client': CLIENT_SECRET,
  'stored secret': `stored-${randomBytes(16).toString('hex')}`,
  'stored secret before it was replaced': `older-${randomBytes(16).toString('hex')}`,
};
/** Leases by role, as they were when their secrets were out. */
const leases: Record<string, string> = {};
const ROLES = ['cloud-denied', 'code', 'cluster', 'upstream', 'legacy'];

beforeAll(async () => {
  vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    logged.push(String(chunk));
    return true;
  });
  const tls = await selfSigned();
  github = await startFakeGithub();
  kubernetes = await startFakeKubernetes(tls);
  server = await startAuthorizationServer({ keys: [] });
  cast = await startCast({
    env: {
      COUNTERSIGN_LOG: 'on',
      IAM_KEY_ID: IAM_KEYS.accessKeyId,
      IAM_KEY: IAM_KEYS.secretAccessKey,
      GITHUB_KEY: github.privateKey,
      CLUSTER_TOKEN: kubernetes.token,
      CLUSTER_CA: tls.cert,
      UPSTREAM_SECRET: CLIENT_SECRET,
    },
  });
  aws = await startFakeAws({
    issuer: cast.service.publicUrl,
    audience: 'sts.amazonaws.com',
    jwks: () => asKeySet(JSON.parse(jwks)),
    subjects: [`agent:${cast.agent.name}`],
  });
  const jwks = (await anyone(cast.service).call('GET', '/.well-known/jwks.json')).text;
  secrets['line of the key of the GitHub App'] = github.privateKey.split('\n')[3] ?? '';
  secrets['token of ours at the cluster'] = kubernetes.token;
  await activate();
  await tellTheStory();
});
afterAll(async () => {
  await cast.close();
  for (const each of [aws, github, kubernetes, server]) await each.close();
  vi.restoreAllMocks();
});

/** Our own JWKS, as published. */
const asKeySet = (published: unknown): JSONWebKeySet => published as JSONWebKeySet;

const activate = () =>
  activateAccess(cast, {
    targets: {
      aws: {
        issuer: 'aws',
        region: 'eu-central-1',
        sts_endpoint: aws.stsUrl,
        subject: 'name',
        iam: {
          endpoint: aws.iamUrl,
          access_key_id_from: 'IAM_KEY_ID',
          secret_access_key_from: 'IAM_KEY',
        },
      },
      github: {
        issuer: 'github',
        api: github.url,
        app: github.app,
        installation: github.installation,
        private_key_from: 'GITHUB_KEY',
      },
      kubernetes: {
        issuer: 'kubernetes',
        api: kubernetes.url,
        namespace: kubernetes.namespace,
        token_from: 'CLUSTER_TOKEN',
        ca_from: 'CLUSTER_CA',
      },
      upstream: {
        issuer: 'oauth',
        token_endpoint: server.tokenEndpoint,
        revocation_endpoint: server.revocationEndpoint,
        introspection_endpoint: server.introspectionEndpoint,
        client_id: 'basic client',
        client_secret_from: 'UPSTREAM_SECRET',
      },
    },
    roles: {
      'cloud-denied': {
        issuer: 'aws',
        target: 'aws',
        title: 'Cloud',
        role_arn: ROLE_ARN,
        revoke: { deny_policy: true },
      },
      code: {
        issuer: 'github',
        target: 'github',
        title: 'Code',
        repositories: ['orders'],
        permissions: { contents: 'read' },
      },
      cluster: {
        issuer: 'kubernetes',
        target: 'kubernetes',
        title: 'Cluster',
        service_account: 'orders-reader',
      },
      upstream: {
        issuer: 'oauth',
        target: 'upstream',
        title: 'Upstream',
        scopes: ['orders.read'],
        resources: [RESOURCE],
      },
      legacy: { issuer: 'static', secret: 'legacy-api', title: 'Legacy' },
    },
  });

/** One credential of each kind, one refusal of each target, and the end of all of it. */
async function tellTheStory(): Promise<void> {
  const { agent, seal } = cast;
  const put = (value: string) =>
    admin(cast.service).call(
      'PUT',
      '/v1/static-secrets/legacy-api',
      { value },
      { 'idempotency-key': randomBytes(8).toString('hex') },
    );
  told.push((await put(secrets['stored secret before it was replaced'] ?? '')).text);
  told.push((await put(secrets['stored secret'] ?? '')).text);
  const task = await startTask(agent);
  for (const role of ROLES) {
    const reply = await askCredential(
      agent,
      task,
      { role, seal_to: seal.publicJwk },
      { 'idempotency-key': `key-for-${role}` },
    );
    expect([role, reply.status]).toEqual([role, 201]);
    leases[role] = text(reply.body['id']);
    const material = await opened(reply.body['sealed'], seal);
    for (const member of ['secret_access_key', 'session_token', 'token', 'access_token'])
      if (text(material[member]) !== '') secrets[`${role}: ${member}`] = text(material[member]);
  }
  const { sealed } = (await admin(cast.service).call('GET', `/v1/tasks/${task}/credentials`)).body;
  expect(sealed).toBeUndefined();
  for (const instead of [github.instead, kubernetes.instead])
    instead.push({ status: 500, body: JSON.stringify({ message: github.privateKey }) });
  const failing = await startTask(agent);
  for (const role of ['code', 'cluster'])
    told.push(
      (
        await agent.call('POST', `/v1/tasks/${failing}/credentials`, {
          role,
          seal_to: seal.publicJwk,
        })
      ).text,
    );
}

describe('I5: the secrets of issuers are nowhere in clear while they are out', () => {
  it('I5: not in any table: handles that ending them takes are sealed as well', async () => {
    expect(Object.keys(secrets).length).toBeGreaterThanOrEqual(11);
    expect(Object.values(secrets).every((secret) => secret.length >= 16)).toBe(true);
    const { sql } = cast.service.database.owner;
    const kept = await sql<{ role: string }[]>`
      select role from credential where handles is not null and state = 'active'`;
    expect(kept.map(({ role }) => role).toSorted()).toEqual([
      'cloud-denied',
      'cluster',
      'code',
      'upstream',
    ]);
    const dump = await tablesOf(cast.service);
    expect(dump).toContain(leases['code'] ?? 'none');
    expect(secretsIn(dump, secrets)).toEqual([]);
  });

  it('I5: not in the histories of workflows', async () => {
    const { raw, decoded } = await historiesOf(cast.service);
    expect(decoded).toContain('tsk_');
    expect(secretsIn(raw, secrets)).toEqual([]);
    expect(secretsIn(decoded, secrets)).toEqual([]);
  });

  it('I5: not in logs, answers, refusals or events', async () => {
    const events = await admin(cast.service).call('GET', '/v1/events?limit=500');
    const stored = await admin(cast.service).call('GET', '/v1/static-secrets/legacy-api/custody');
    const log = logged.join('');
    expect(log).toContain('/v1/static-secrets/:name');
    expect(told.join('')).toContain('target_unavailable');
    for (const each of [log, told.join(''), events.text, stored.text])
      expect(secretsIn(each, secrets)).toEqual([]);
  });
});

describe('renewing what only the other side could let live longer', () => {
  it.each(ROLES)(
    'is refused for %s, with what to do instead, and changes nothing',
    async (role) => {
      const path = `/v1/credentials/${leases[role] ?? ''}`;
      const before = await cast.agent.call('GET', path);
      const refused = await cast.agent.call('POST', `${path}/renew`, { ttl_seconds: 3600 });
      expect([refused.status, refused.body['code']]).toEqual([409, 'not_renewable']);
      expect(refused.body['detail']).toContain('ask for a new credential');
      expect((await cast.agent.call('GET', path)).text).toBe(before.text);
    },
  );
});

describe('I3: the end of a task ends what was got from others', () => {
  it('I3: each is dead where it came from, its handle forgotten, and what cannot be seen is not claimed', async () => {
    const { agent, service } = cast;
    const task = text(
      (await agent.call('GET', `/v1/credentials/${leases['code'] ?? ''}`)).body['task'],
    );
    const session = aws.sessions.find(({ name }) => name === leases['cloud-denied'])?.token ?? '';
    expect(aws.call(session, 's3:GetObject', 'arn:aws:s3:::x')).toBe('ok');
    expect(await kubernetes.takes(secrets['cluster: token'] ?? '')).toBe(true);
    await agent.call('POST', `/v1/tasks/${task}/complete`, {});
    await eventually(
      async () => (await agent.call('GET', `/v1/tasks/${task}`)).body['state'] === 'completed',
      'the end of the task',
    );
    expect(aws.call(session, 's3:GetObject', 'arn:aws:s3:::x')).toBe('AccessDenied');
    expect(await kubernetes.takes(secrets['cluster: token'] ?? '')).toBe(false);
    expect(github.tokens.has(secrets['code: token'] ?? '')).toBe(false);
    const { sql } = service.database.owner;
    const [kept] = await sql<{ count: string }[]>`
      select count(*) from credential where handles is not null and task = ${task}`;
    expect(kept?.count).toBe('0');
    const events = await admin(service).call(
      'GET',
      `/v1/events?type=credential.revoked&task=${task}&limit=100`,
    );
    const seen = list(events.body['data']).map((event) => object(object(event['data'])['detail']));
    const seenGone = Object.fromEntries(
      ROLES.map((role) => [
        role,
        seen.find(({ credential }) => credential === leases[role])?.['seen_gone'],
      ]),
    );
    expect(seenGone).toEqual({
      'cloud-denied': true,
      code: true,
      cluster: true,
      upstream: true,
      legacy: false,
    });
  });
});
