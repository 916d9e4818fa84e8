// A Kubernetes API server to stand in for the real one: Secrets, token requests and reviews, over TLS, with its own
// refusals. Its tokens are signed, and are good only as long as the object they are bound to exists.
import { randomUUID } from 'node:crypto';
import { generateKeyPair, jwtVerify, SignJWT } from 'jose';
import type { JsonObject } from '../../domain/json.ts';
import {
  emptyDirectory,
  listAt,
  pageOf,
  type KubernetesDirectory,
} from './kubernetes-directory.ts';
import { json, startServer, type Given, type Received } from './server.ts';

export interface FakeKubernetes {
  url: string;
  namespace: string;
  /** The bearer token of our own service account there. */
  token: string;
  /** Secrets by name. */
  secrets: Map<string, KubernetesSecret>;
  /** What else the cluster has, as it is listed. */
  directory: KubernetesDirectory;
  /** What our account may do, as `verb resource`. */
  allowed: Set<string>;
  /** What the next answers are instead, oldest first. */
  instead: Given[];
  /** What happens just before a call is answered. */
  meanwhile: ((method: string, path: string) => void) | null;
  /** Whether a token works when it is presented to the API server. */
  takes(token: string): Promise<boolean>;
  close(): Promise<void>;
}

export interface KubernetesSecret {
  uid: string;
  metadata: JsonObject;
}

const API_AUDIENCE = 'https://kubernetes.default.svc';
const ACCOUNTS: Record<string, string> = { 'orders-reader': randomUUID() };

class StatusError extends Error {
  readonly status: number;
  readonly reason: string;
  constructor(status: number, reason: string) {
    super(reason);
    this.status = status;
    this.reason = reason;
  }
}

const statusOf = (code: number, reason: string): Given =>
  json(code, {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `refused: ${reason}`,
    reason,
    code,
  });

export async function startFakeKubernetes(
  tls: { key: string; cert: string },
  now: () => number = Date.now,
): Promise<FakeKubernetes> {
  const keys = await generateKeyPair('RS256');
  const fake: FakeKubernetes = {
    url: '',
    namespace: 'agents',
    token: `sa-${randomUUID()}`,
    secrets: new Map(),
    directory: emptyDirectory(),
    allowed: new Set([
      'create secrets',
      'get secrets',
      'list secrets',
      'delete secrets',
      'list serviceaccounts',
      'list rolebindings',
      'list clusterrolebindings',
      'create serviceaccounts/token',
      'create tokenreviews',
    ]),
    instead: [],
    meanwhile: null,
    takes: async (token) => (await review(token, [API_AUDIENCE])) !== null,
    close: () => server.close(),
  };
  /** The subject of a token that is good for one of these audiences now, or null. */
  const review = async (token: string, audiences: string[]): Promise<string | null> => {
    try {
      const { payload } = await jwtVerify(token, keys.publicKey, {
        audience: audiences,
        currentDate: new Date(now()),
      });
      const bound = payload['kubernetes.io'] as { secret: { name: string; uid: string } };
      return fake.secrets.get(bound.secret.name)?.uid === bound.secret.uid
        ? (payload.sub ?? null)
        : null;
    } catch {
      return null;
    }
  };
  const signed = (account: string, spec: TokenSpec): Promise<string> =>
    new SignJWT({
      'kubernetes.io': { namespace: fake.namespace, secret: spec.boundObjectRef },
    })
      .setProtectedHeader({ alg: 'RS256' })
      .setSubject(`system:serviceaccount:${fake.namespace}:${account}`)
      .setAudience(spec.audiences)
      .setIssuedAt(Math.floor(now() / 1000))
      .setExpirationTime(Math.floor(now() / 1000) + spec.expirationSeconds)
      .sign(keys.privateKey);
  const server = await startServer(async (received) => {
    try {
      fake.meanwhile?.(received.method, received.url.pathname);
      const [instead] = fake.instead.splice(0, 1);
      return instead ?? (await answer(fake, received, { review, signed, now }));
    } catch (error) {
      if (error instanceof StatusError) return statusOf(error.status, error.reason);
      throw error;
    }
  }, tls);
  fake.url = server.url;
  return fake;
}

interface TokenSpec {
  audiences: string[];
  expirationSeconds: number;
  boundObjectRef: { kind: string; apiVersion: string; name: string; uid: string };
}

interface Authority {
  review: (token: string, audiences: string[]) => Promise<string | null>;
  signed: (account: string, spec: TokenSpec) => Promise<string>;
  now: () => number;
}

function answer(fake: FakeKubernetes, received: Received, authority: Authority): Promise<Given> {
  const { method, url, headers } = received;
  if (headers.authorization !== `Bearer ${fake.token}`) throw new StatusError(401, 'Unauthorized');
  if (received.body !== '' && headers['content-type'] !== 'application/json')
    throw new StatusError(415, 'UnsupportedMediaType');
  const body = asObject(received.body === '' ? {} : JSON.parse(received.body));
  const may = (what: string): void => {
    if (!fake.allowed.has(what)) throw new StatusError(403, 'Forbidden');
  };
  const below = `/api/v1/namespaces/${fake.namespace}/`;
  if (method === 'POST' && url.pathname === '/apis/authentication.k8s.io/v1/tokenreviews') {
    may('create tokenreviews');
    return reviewed(body, authority);
  }
  const list = method === 'GET' ? listAt(fake.directory, url, fake.namespace) : null;
  if (list) {
    may(`list ${list.resource}`);
    return Promise.resolve(json(200, pageOf(list.items, url, headers.accept ?? '')));
  }
  if (!url.pathname.startsWith(below)) throw new StatusError(403, 'Forbidden');
  const [resource, name, subresource] = url.pathname.slice(below.length).split('/');
  if (resource === 'serviceaccounts' && subresource === 'token' && method === 'POST') {
    may('create serviceaccounts/token');
    return requested(fake, name ?? '', body, authority);
  }
  if (resource !== 'secrets') throw new StatusError(404, 'NotFound');
  if (method === 'POST') {
    may('create secrets');
    return Promise.resolve(created(fake, body));
  }
  may(name === undefined ? 'list secrets' : method === 'GET' ? 'get secrets' : 'delete secrets');
  if (name === undefined) return Promise.resolve(listed(fake, url));
  return Promise.resolve(method === 'GET' ? read(fake, name) : deleted(fake, name, body));
}

/** What clients of the tests send is JSON; each member is looked at before it is used. */
const asObject = (value: unknown): JsonObject => value as JsonObject;
const asText = (value: unknown): string => (typeof value === 'string' ? value : '');
const asSpec = (value: unknown): TokenSpec => value as TokenSpec;

const secretBody = (fake: FakeKubernetes, name: string): JsonObject => ({
  kind: 'Secret',
  apiVersion: 'v1',
  metadata: { ...fake.secrets.get(name)?.metadata, uid: fake.secrets.get(name)?.uid ?? '' },
});

function created(fake: FakeKubernetes, body: JsonObject): Given {
  const metadata = asObject(body['metadata']);
  const name = asText(metadata['name']);
  if (body['kind'] !== 'Secret' || body['apiVersion'] !== 'v1')
    throw new StatusError(400, 'BadRequest');
  const isName = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name);
  const labels = Object.values(asObject(metadata['labels'] ?? {}));
  const areLabels = labels.every((each) =>
    /^([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?$/.test(asText(each)),
  );
  const areTexts = Object.values(asObject(metadata['annotations'] ?? {})).every(
    (each) => typeof each === 'string',
  );
  if (!isName || !areLabels || !areTexts) throw new StatusError(422, 'Invalid');
  if (fake.secrets.has(name)) throw new StatusError(409, 'AlreadyExists');
  fake.secrets.set(name, { uid: randomUUID(), metadata });
  return json(201, secretBody(fake, name));
}

function read(fake: FakeKubernetes, name: string): Given {
  if (!fake.secrets.has(name)) throw new StatusError(404, 'NotFound');
  return json(200, secretBody(fake, name));
}

function deleted(fake: FakeKubernetes, name: string, options: JsonObject): Given {
  const found = fake.secrets.get(name);
  if (!found) throw new StatusError(404, 'NotFound');
  const { uid } = asObject(options['preconditions'] ?? {});
  if (uid !== undefined && uid !== found.uid) throw new StatusError(409, 'Conflict');
  fake.secrets.delete(name);
  return json(200, { kind: 'Status', apiVersion: 'v1', status: 'Success' });
}

/** Two at a time, so that whoever does not ask for the rest does not get it. */
function listed(fake: FakeKubernetes, url: URL): Given {
  const wanted = (url.searchParams.get('labelSelector') ?? '')
    .split(',')
    .map((each) => each.split('='));
  const names = [...fake.secrets]
    .filter(([, { metadata }]) =>
      wanted.every(([key = '', value]) => asObject(metadata['labels'] ?? {})[key] === value),
    )
    .map(([name]) => name)
    .toSorted();
  const start = Number(url.searchParams.get('continue') ?? 0);
  return json(200, {
    kind: 'SecretList',
    metadata: { continue: start + 2 < names.length ? String(start + 2) : '' },
    items: names.slice(start, start + 2).map((name) => secretBody(fake, name)),
  });
}

async function requested(
  fake: FakeKubernetes,
  account: string,
  body: JsonObject,
  { signed, now }: Authority,
): Promise<Given> {
  if (ACCOUNTS[account] === undefined) throw new StatusError(404, 'NotFound');
  const spec = asSpec(body['spec']);
  const { boundObjectRef: bound, expirationSeconds: seconds } = spec;
  if (body['kind'] !== 'TokenRequest' || !(seconds >= 600)) throw new StatusError(422, 'Invalid');
  const secret = fake.secrets.get(bound.name);
  if (bound.kind !== 'Secret' || bound.apiVersion !== 'v1' || !secret)
    throw new StatusError(404, 'NotFound');
  if (secret.uid !== bound.uid) throw new StatusError(409, 'Conflict');
  const audiences = spec.audiences.length === 0 ? [API_AUDIENCE] : spec.audiences;
  return json(201, {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    spec: { ...spec, audiences },
    status: {
      token: await signed(account, { ...spec, audiences }),
      expirationTimestamp: new Date(now() + seconds * 1000).toISOString(),
    },
  });
}

async function reviewed(body: JsonObject, { review }: Authority): Promise<Given> {
  const { token, audiences } = asObject(body['spec']);
  const wanted =
    Array.isArray(audiences) && audiences.length > 0 ? audiences.map(asText) : [API_AUDIENCE];
  const subject = await review(asText(token), wanted);
  return json(201, {
    kind: 'TokenReview',
    apiVersion: 'authentication.k8s.io/v1',
    status:
      subject === null
        ? { user: {}, error: 'invalid bearer token' }
        : { authenticated: true, user: { username: subject }, audiences: wanted },
  });
}
