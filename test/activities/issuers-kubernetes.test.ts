import { decodeJwt } from 'jose';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { kubernetesIssuer } from '../../activities/issuers/kubernetes.ts';
import { kubernetesRole, kubernetesTarget } from '../../commands/access/kubernetes.ts';
import type { Issuer, LeaseToIssue } from '../../commands/credentials/issuer.ts';
import { bodyOf } from '../../domain/id.ts';
import { startFakeKubernetes, type FakeKubernetes } from '../fakes/kubernetes.ts';
import { text } from '../support/client.ts';
import {
  endings,
  leaseOn,
  refusalOf,
  testWorld,
  toEnd,
  type TestWorld,
} from '../support/issuing.ts';
import { selfSigned, type TlsPair } from '../support/tls.ts';

const secrets: Record<string, string> = {};
let tls: TlsPair;
let world: TestWorld;
let cluster: FakeKubernetes;
let issuer: Issuer;
let theirs: Issuer;

beforeAll(async () => {
  tls = await selfSigned();
  secrets['OTHER_CA'] = (await selfSigned()).cert;
});
beforeEach(async () => {
  world = testWorld(secrets);
  cluster = await startFakeKubernetes(tls, () => world.now());
  secrets['CA'] = tls.cert;
  secrets['TOKEN'] = cluster.token;
  secrets['WRONG'] = 'wrong-token';
  issuer = kubernetesIssuer(world, 'countersign ours');
  theirs = kubernetesIssuer(world, 'countersign theirs');
  return () => cluster.close();
});

const target = (more: object = {}) =>
  kubernetesTarget.parse({
    issuer: 'kubernetes',
    api: cluster.url,
    namespace: cluster.namespace,
    token_from: 'TOKEN',
    ca_from: 'CA',
    ...more,
  });
const role = (more: object = {}) =>
  kubernetesRole.parse({
    issuer: 'kubernetes',
    target: 'cluster',
    title: 'Read orders',
    service_account: 'orders-reader',
    ...more,
  });
const lease = (more: Partial<LeaseToIssue> = {}, roleMore: object = {}, targetMore: object = {}) =>
  leaseOn(world, role(roleMore), target(targetMore), more);
const nameOf = ({ credential }: LeaseToIssue): string => `countersign-${bodyOf(credential)}`;

describe('a token of a service account', () => {
  it('is bound to a Secret that is named by its lease and carries our labels', async () => {
    const asked = lease();
    const { material, diesAt } = await issuer.issue(asked);
    const token = text(material['token']);
    expect(await cluster.takes(token)).toBe(true);
    const { sub, 'kubernetes.io': bound } = decodeJwt<{ 'kubernetes.io': { secret: object } }>(
      token,
    );
    expect(sub).toBe('system:serviceaccount:agents:orders-reader');
    expect(bound.secret).toMatchObject({
      name: nameOf(asked),
      uid: cluster.secrets.get(nameOf(asked))?.uid ?? '',
    });
    // Ten minutes at least, whatever the lease says, and that is what is said of it.
    expect(Date.parse(diesAt ?? '')).toBeGreaterThan(world.now() + 590_000);
    expect(Date.parse(diesAt ?? '')).toBeLessThan(world.now() + 610_000);
  });

  it('is for the audiences of its role', async () => {
    const { material } = await issuer.issue(lease({}, { audiences: ['vault', 'registry'] }));
    expect(decodeJwt(text(material['token'])).aud).toEqual(['vault', 'registry']);
    expect(await cluster.takes(text(material['token']))).toBe(false);
  });

  it.each<[string, Partial<LeaseToIssue>, object, object, string]>([
    [
      'for an account that is not',
      {},
      { service_account: 'nobody' },
      {},
      'not_found, nothing made',
    ],
    ['by somebody unknown', {}, {}, { token_from: 'WRONG' }, 'unauthorized, nothing made'],
    ['in another namespace', {}, {}, { namespace: 'kube-system' }, 'forbidden, nothing made'],
    [
      'without a token of ours',
      {},
      {},
      { token_from: 'NONE' },
      'target_not_configured, nothing made',
    ],
    ['without its authority', {}, {}, { ca_from: 'NONE' }, 'target_not_configured, nothing made'],
    ['by a server that others vouch for', {}, {}, { ca_from: 'OTHER_CA' }, 'unreachable'],
    ['by a server that nobody vouches for', {}, {}, { ca_from: undefined }, 'unreachable'],
    ['after its time', { issueBy: new Date(0).toISOString() }, {}, {}, 'too_late, nothing made'],
  ])(
    'is not made %s, and no Secret is left behind',
    async (_what, more, roleMore, targetMore, code) => {
      expect(await refusalOf(issuer.issue(lease(more, roleMore, targetMore)))).toBe(code);
      expect(cluster.secrets.size).toBe(0);
    },
  );

  it('is not made where we may not: what was made for it goes again', async () => {
    cluster.allowed.delete('create serviceaccounts/token');
    expect(await refusalOf(issuer.issue(lease()))).toBe('forbidden, nothing made');
    expect(cluster.secrets.size).toBe(0);
  });

  it('is ended where its time to be made passed while it was made', async () => {
    const asked = lease();
    cluster.meanwhile = (_method, path) => {
      if (path.endsWith('/token')) world.pass(31);
    };
    expect(await refusalOf(issuer.issue(asked))).toBe('too_late');
    expect(cluster.secrets.size).toBe(0);
  });

  it('is refused where it is not bound to what we can delete', async () => {
    const asked = lease();
    cluster.meanwhile = (method, path) => {
      if (method === 'POST' && path.endsWith('/token'))
        cluster.instead.push({
          status: 201,
          body: JSON.stringify({
            spec: {},
            status: { token: 'x.y.z', expirationTimestamp: world.at(600) },
          }),
        });
    };
    expect(await refusalOf(issuer.issue(asked))).toBe('token_not_bound');
  });
});

describe('the end of a token', () => {
  it('is not claimed for a token that the API server still takes, whatever its audience', async () => {
    const asked = lease({}, { audiences: ['vault'] });
    const issued = await issuer.issue(asked);
    const [uid] = [...cluster.secrets.values()].map((each) => each.uid);
    // The object seems gone to whoever looks for it, and the token is good all the same.
    cluster.instead.push({ status: 404, body: '{}' });
    expect(uid).toBeDefined();
    expect(await issuer.verifyDead(asked.target, [toEnd(asked, issued)])).toEqual(['alive']);
  });

  it('deletes the very Secret that was looked at, and not one that took its name meanwhile', async () => {
    const asked = lease();
    await issuer.issue(asked);
    cluster.meanwhile = (method) => {
      const found = cluster.secrets.get(nameOf(asked));
      if (method === 'DELETE' && found) found.uid = 'another';
    };
    expect(await endings(issuer, asked, [toEnd(asked, null)])).toEqual(['conflict alive open']);
    cluster.meanwhile = null;
    expect(await endings(issuer, asked, [toEnd(asked, null)])).toEqual(['done gone over']);
  });

  it('is not claimed while we may not, or the cluster is away; and one failing holds up no other', async () => {
    const asked = lease();
    const ending = [toEnd(asked, await issuer.issue(asked))];
    cluster.allowed.delete('delete secrets');
    expect(await endings(issuer, asked, ending)).toEqual(['forbidden alive open']);
    cluster.allowed.add('delete secrets');
    const other = lease();
    ending.push(toEnd(other, await issuer.issue(other)));
    cluster.instead.push({ status: 500, body: '{}' });
    const outcomes = await issuer.revoke(asked.target, ending);
    expect(new Set(outcomes.map(({ code }) => code))).toEqual(new Set([null, 'status_500']));
    await cluster.close();
    expect(await endings(issuer, asked, ending.slice(0, 1))).toEqual(['unreachable alive open']);
    const unknown = { ...asked, target: { name: 'cluster', definition: null } };
    expect(await endings(issuer, unknown, ending.slice(0, 1))).toEqual([
      'target_not_configured alive open',
    ]);
    world.pass(640);
    expect(await endings(issuer, unknown, ending.slice(0, 1))).toEqual(['done gone over']);
  });
});

describe('the list of what is out there', () => {
  it('has all of ours, page after page, and nothing of others', async () => {
    const leases = Array.from({ length: 5 }, () => lease());
    for (const each of leases) await issuer.issue(each);
    await theirs.issue(lease());
    cluster.secrets.set('countersign-not-a-lease', { uid: 'x', metadata: { labels: {} } });
    expect(new Set(await issuer.list(lease().target))).toEqual(
      new Set(leases.map(({ credential }) => credential)),
    );
  });

  it('is not empty where it cannot be had', async () => {
    cluster.allowed.delete('list secrets');
    await expect(issuer.list(lease().target)).rejects.toThrow('forbidden');
  });
});
