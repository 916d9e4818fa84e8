// Every kind of access at once, as policy gives it through the whole service: each target with a real server or its
// stand-in, one role that is given plainly, one that people have to agree to, and one whose target refuses us.
import { randomBytes } from 'node:crypto';
import type { JSONWebKeySet } from 'jose';
import { IAM_KEYS, ROLE_ARN, startFakeAws, type FakeAws } from '../fakes/aws.ts';
import { startFakeGithub, type FakeGithub } from '../fakes/github.ts';
import { startFakeKubernetes, type FakeKubernetes } from '../fakes/kubernetes.ts';
import type { AddedAccess } from './access.ts';
import {
  CLIENT_SECRET,
  RESOURCE,
  startAuthorizationServer,
  type AuthorizationServer,
} from './authorization-server.ts';
import type { Cast } from './cast.ts';
import { anyone } from './client.ts';
import { startMariaDb, type MariaDb } from './mariadb.ts';
import { startRedis, type Redis } from './redis.ts';
import { selfSigned, type TlsPair } from './tls.ts';

export interface EveryKind {
  github: FakeGithub;
  kubernetes: FakeKubernetes;
  shop: MariaDb;
  cache: Redis;
  server: AuthorizationServer;
  tls: TlsPair;
  /** What a service is started with to reach them. */
  env: Record<string, string>;
  /** What nobody but the service may know of them, by what it is. */
  secrets: Record<string, string>;
  close(): Promise<void>;
}

/** A password that is wrong, and a secret all the same. */
const WRONG = `wrong-${randomBytes(12).toString('hex')}`;

export async function startEveryKind(): Promise<EveryKind> {
  const tls = await selfSigned();
  const [github, kubernetes, server, shop, cache] = await Promise.all([
    startFakeGithub(),
    startFakeKubernetes(tls),
    startAuthorizationServer({ keys: [] }),
    startMariaDb(),
    startRedis({ aclFile: true }),
  ]);
  const wrong = (url: string): string => url.replace('issuer-password', WRONG);
  return {
    ...{ github, kubernetes, shop, cache, server, tls },
    env: {
      IAM_KEY_ID: IAM_KEYS.accessKeyId,
      IAM_KEY: IAM_KEYS.secretAccessKey,
      GITHUB_KEY: github.privateKey,
      CLUSTER_TOKEN: kubernetes.token,
      CLUSTER_CA: tls.cert,
      UPSTREAM_SECRET: CLIENT_SECRET,
      WRONG_SECRET: WRONG,
      SHOP_URL: shop.url,
      SHOP_CA: shop.ca,
      SHOP_WRONG_URL: wrong(shop.url),
      CACHE_URL: cache.url,
      CACHE_CA: cache.ca,
      CACHE_WRONG_URL: wrong(cache.url),
    },
    secrets: {
      'secret of the IAM keys': IAM_KEYS.secretAccessKey,
      'secret of the OAuth client': CLIENT_SECRET,
      'line of the key of the GitHub App': github.privateKey.split('\n')[3] ?? '',
      'token of ours at the cluster': kubernetes.token,
      'password of ours at the databases': 'issuer-password',
      'password that a target refused': WRONG,
    },
    close: async () => {
      for (const each of [github, kubernetes, server, shop, cache]) await each.close();
    },
  };
}

/** An AWS account that trusts this service and its agent. */
export async function startAccount(cast: Cast): Promise<FakeAws> {
  const published = (await anyone(cast.service).call('GET', '/.well-known/jwks.json')).text;
  return startFakeAws({
    issuer: cast.service.publicUrl,
    audience: 'sts.amazonaws.com',
    jwks: () => asKeySet(JSON.parse(published)),
    subjects: [`agent:${cast.agent.name}`],
  });
}

/** Our own JWKS, as published. */
const asKeySet = (published: unknown): JSONWebKeySet => published as JSONWebKeySet;

const targetsOf = ({ github, kubernetes, server }: EveryKind, aws: FakeAws) => {
  const upstream = {
    issuer: 'oauth',
    token_endpoint: server.tokenEndpoint,
    revocation_endpoint: server.revocationEndpoint,
    introspection_endpoint: server.introspectionEndpoint,
    client_id: 'basic client',
  };
  const cluster = {
    issuer: 'kubernetes',
    api: kubernetes.url,
    namespace: kubernetes.namespace,
    ca_from: 'CLUSTER_CA',
  };
  return {
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
    kubernetes: { ...cluster, token_from: 'CLUSTER_TOKEN' },
    upstream: { ...upstream, client_secret_from: 'UPSTREAM_SECRET' },
    shop: { issuer: 'mysql', url_from: 'SHOP_URL', ca_from: 'SHOP_CA' },
    cache: { issuer: 'redis', url_from: 'CACHE_URL', ca_from: 'CACHE_CA' },
    'kubernetes-wrong': { ...cluster, token_from: 'WRONG_SECRET' },
    'upstream-wrong': { ...upstream, client_secret_from: 'WRONG_SECRET' },
    'shop-wrong': { issuer: 'mysql', url_from: 'SHOP_WRONG_URL', ca_from: 'SHOP_CA' },
    'cache-wrong': { issuer: 'redis', url_from: 'CACHE_WRONG_URL', ca_from: 'CACHE_CA' },
  };
};

const ROLES: Record<string, object> = {
  login: { issuer: 'postgres', target: 'sample', member_of: ['orders_read'] },
  shop: { issuer: 'mysql', target: 'shop', member_of: ['orders_read'] },
  cache: {
    issuer: 'redis',
    target: 'cache',
    keys_read: ['orders:*'],
    commands: ['get'],
    backstop: 'none',
  },
  api: { issuer: 'jwt', audience: 'https://reports.example' },
  mesh: { issuer: 'x509', accepted_by: 'the mesh', relying_parties: 'check_revocation' },
  cloud: { issuer: 'aws', target: 'aws', role_arn: ROLE_ARN, revoke: { deny_policy: true } },
  code: {
    issuer: 'github',
    target: 'github',
    repositories: ['orders'],
    permissions: { contents: 'read' },
  },
  cluster: { issuer: 'kubernetes', target: 'kubernetes', service_account: 'orders-reader' },
  upstream: {
    issuer: 'oauth',
    target: 'upstream',
    scopes: ['orders.read'],
    resources: [RESOURCE],
  },
  legacy: { issuer: 'static', secret: 'legacy-api', concurrent: 10 },
};

/** Of each kind one, by a name that says what it opens. */
export const ROLE_NAMES = Object.keys(ROLES);
/** Roles whose target refuses whatever we ask. */
export const REFUSED_NAMES = ['shop', 'cache', 'cluster', 'upstream'].map(
  (name) => `${name}-wrong`,
);

/** What policy says of them. A role `x` is given plainly, `x-held` once people agreed. */
export function accessToAll(every: EveryKind, aws: FakeAws): AddedAccess {
  const named = (ending: string, change: (role: object) => object = (role) => role) =>
    ROLE_NAMES.map(
      (name) => [`${name}${ending}`, change({ title: name, ...ROLES[name] })] as const,
    );
  const refused = named('-wrong', (role) => ({
    ...role,
    ...('target' in role && { target: `${String(role.target)}-wrong` }),
  })).filter(([name]) => REFUSED_NAMES.includes(name));
  return {
    targets: targetsOf(every, aws),
    roles: Object.fromEntries([...named(''), ...named('-held'), ...refused]),
    held: ROLE_NAMES.map((name) => `${name}-held`),
  };
}
