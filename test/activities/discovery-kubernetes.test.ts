// Discovery of a Kubernetes namespace: its service accounts, what they are bound to, and tokens that never expire.
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { kubernetesIssuer } from '../../activities/issuers/kubernetes.ts';
import { kubernetesRole, kubernetesTarget } from '../../commands/access/kubernetes.ts';
import { TargetError, type Issuer } from '../../commands/credentials/issuer.ts';
import type { Census, Found } from '../../domain/found-identity.ts';
import type { JsonObject } from '../../domain/json.ts';
import { startFakeKubernetes, type FakeKubernetes } from '../fakes/kubernetes.ts';
import { testWorld, type TestWorld } from '../support/issuing.ts';
import { selfSigned, type TlsPair } from '../support/tls.ts';

const MARKER = 'hunter2-is-the-token';
const secrets: Record<string, string> = {};
let tls: TlsPair;
let world: TestWorld;
let cluster: FakeKubernetes;
let issuer: Issuer;

beforeAll(async () => {
  tls = await selfSigned();
});
beforeEach(async () => {
  world = testWorld(secrets);
  cluster = await startFakeKubernetes(tls, () => world.now());
  secrets['CA'] = tls.cert;
  secrets['TOKEN'] = cluster.token;
  issuer = kubernetesIssuer(world, 'countersign ours');
  return () => cluster.close();
});

const role = kubernetesRole.parse({
  issuer: 'kubernetes',
  target: 'cluster',
  title: 'Read',
  service_account: 'orders-reader',
});
async function census(): Promise<Census> {
  if (!issuer.discover) throw new Error('it has no discovery');
  const definition = kubernetesTarget.parse({
    issuer: 'kubernetes',
    api: cluster.url,
    namespace: cluster.namespace,
    token_from: 'TOKEN',
    ca_from: 'CA',
  });
  return issuer.discover({ name: 'cluster', definition }, new Map([['reads', role]]));
}
const named = ({ found }: Census, name: string): Found['facts'] | undefined =>
  found.find((each) => each.name === name)?.facts;
const account = (name: string): JsonObject => ({
  metadata: { name, uid: `uid-${name}`, creationTimestamp: '2025-01-02T03:04:05Z' },
});
const legacy = (name: string, of: string, labels: JsonObject = {}): JsonObject => ({
  type: 'kubernetes.io/service-account-token',
  metadata: {
    name,
    uid: `uid-${name}`,
    creationTimestamp: '2023-01-02T03:04:05Z',
    annotations: { 'kubernetes.io/service-account.name': of },
    labels,
  },
  data: { token: Buffer.from(MARKER).toString('base64') },
});
const binding = (to: string, subjects: JsonObject[], kind = 'ClusterRole'): JsonObject => ({
  roleRef: { kind, name: to },
  subjects,
});
const subject = (namespace: string, name: string): JsonObject => ({
  kind: 'ServiceAccount',
  namespace,
  name,
});

describe('the service accounts of a namespace', () => {
  it('are all found, with what they are bound to, and ours is told apart', async () => {
    const claims = Buffer.from(
      JSON.stringify({ sub: `system:serviceaccount:${cluster.namespace}:countersign` }),
    ).toString('base64url');
    cluster.token = `x.${claims}.x`;
    secrets['TOKEN'] = cluster.token;
    const { directory } = cluster;
    directory.serviceaccounts.push(
      ...['boss', 'plain', 'clerk', 'countersign', 'last'].map((name) => account(name)),
    );
    directory.clusterrolebindings.push(
      binding('view', [subject('agents', 'plain')]),
      binding('cluster-admin', [subject('agents', 'boss'), subject('kube-system', 'stranger')]),
      binding('metrics', [{ kind: 'Group', name: 'system:serviceaccounts:agents' }]),
    );
    directory.rolebindings.push(
      binding('cluster-admin', [subject('agents', 'clerk')]),
      binding('cluster-admin', [subject('agents', 'last')], 'Role'),
    );
    const all = await census();
    expect(all.gaps).toEqual([]);
    expect(all.found.map(({ name }) => name)).toEqual([
      ...['boss', 'clerk', 'countersign', 'last', 'plain'].map((name) => `agents/${name}`),
      'kube-system/stranger',
    ]);
    expect(named(all, 'agents/boss')).toMatchObject({
      isSuperuser: true,
      groups: ['cluster-admin', 'metrics'],
      createdAt: '2025-01-02T03:04:05.000Z',
      unknown: ['used_at'],
    });
    expect(named(all, 'agents/plain')).toMatchObject({
      isSuperuser: false,
      groups: ['metrics', 'view'],
    });
    // Everything within a namespace, and a role that only is called so, are not everything.
    expect(named(all, 'agents/clerk')?.isSuperuser).toBe(false);
    expect(named(all, 'agents/last')).toMatchObject({
      isSuperuser: false,
      groups: ['metrics', 'role cluster-admin in the namespace'],
    });
    expect(named(all, 'kube-system/stranger')?.isSuperuser).toBe(true);
    expect(named(all, 'agents/countersign')?.serves).toBe('issuer');
  });

  it('may do everything where everybody may', async () => {
    cluster.directory.serviceaccounts.push(account('plain'));
    cluster.directory.clusterrolebindings.push(
      binding('cluster-admin', [{ kind: 'Group', name: 'system:authenticated' }]),
    );
    expect(named(await census(), 'agents/plain')?.isSuperuser).toBe(true);
  });
});

describe('tokens that never expire', () => {
  it('are found with their age and use, and go around a role of the same account', async () => {
    cluster.directory.secrets.push(
      legacy('orders-reader-token-x', 'orders-reader', {
        'kubernetes.io/legacy-token-last-used': '2026-11-01',
      }),
      legacy('old-token', 'boss', { 'kubernetes.io/legacy-token-invalid-since': '2026-01-01' }),
      { type: 'Opaque', metadata: { name: 'password', uid: 'x' } },
    );
    cluster.directory.clusterrolebindings.push(
      binding('cluster-admin', [subject('agents', 'boss')]),
    );
    const all = await census();
    expect(named(all, 'agents/orders-reader-token-x')).toMatchObject({
      reaches: ['reads'],
      usedAt: '2026-11-01T00:00:00.000Z',
      secretChangedAt: '2023-01-02T03:04:05.000Z',
      expiresAt: null,
      unknown: [],
    });
    expect(named(all, 'agents/old-token')).toMatchObject({
      isSuperuser: true,
      isEnabled: false,
      usedAt: null,
      unknown: ['used_at'],
    });
    expect(all.found.filter(({ kind }) => kind === 'service_account_token')).toHaveLength(2);
  });

  it('I5: never travel: only what is written about them is asked for', async () => {
    cluster.directory.secrets.push(legacy('orders-reader-token-x', 'orders-reader'));
    const sent: string[] = [];
    const { egress } = world;
    issuer = kubernetesIssuer(
      {
        ...world,
        egress: async (url, message) => {
          const answer = await egress(url, message);
          sent.push(answer.body);
          return answer;
        },
      },
      'countersign ours',
    );
    expect(named(await census(), 'agents/orders-reader-token-x')).toBeDefined();
    expect(sent.length).toBeGreaterThan(2);
    expect(sent.join('')).not.toContain(Buffer.from(MARKER).toString('base64'));
  });
});

describe('what the API server does not tell', () => {
  beforeEach(() => {
    cluster.directory.serviceaccounts.push(account('plain'));
    cluster.directory.secrets.push(legacy('a-token', 'plain'));
  });

  it.each([
    ['list serviceaccounts', 'service_account', 'service_account_token'],
    ['list secrets', 'service_account_token', 'service_account'],
  ])('I6: is a gap and not an empty list: %s', async (right, missing, there) => {
    cluster.allowed.delete(right);
    const { found, gaps } = await census();
    expect(gaps).toEqual([{ kind: missing, code: 'forbidden' }]);
    expect(found.map(({ kind }) => kind)).toEqual([there]);
  });

  it('I6: is unknown and not nothing: what accounts are bound to', async () => {
    cluster.allowed.delete('list clusterrolebindings');
    const { found, gaps } = await census();
    expect(gaps).toEqual([{ kind: 'service_account', code: 'bindings_forbidden' }]);
    for (const { facts } of found) expect(facts.unknown).toContain('privileges');
    cluster.allowed.add('list clusterrolebindings').delete('list rolebindings');
    const again = await census();
    expect(again.gaps).toEqual([]);
    for (const { facts } of again.found) expect(facts.unknown).toContain('privileges');
  });

  it('I6: is everything where both lists are refused, our token is wrong, or nobody answers', async () => {
    cluster.allowed.delete('list serviceaccounts');
    cluster.allowed.delete('list secrets');
    await expect(census()).rejects.toEqual(new TargetError('forbidden'));
    secrets['TOKEN'] = 'wrong';
    await expect(census()).rejects.toEqual(new TargetError('unauthorized'));
    await cluster.close();
    await expect(census()).rejects.toEqual(new TargetError('unreachable'));
  });
});
