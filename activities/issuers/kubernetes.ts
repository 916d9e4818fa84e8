// Tokens of Kubernetes service accounts. Each is bound to an empty Secret of ours that is named by the lease: with
// the Secret goes the token, and the Secrets that carry our labels are the list of what is out there.
import { createHash } from 'node:crypto';
import { TOKEN_SECONDS_MIN, type KubernetesTarget } from '../../commands/access/kubernetes.ts';
import {
  TargetError,
  type Death,
  type Issued,
  type Issuer,
  type LeaseToEnd,
  type LeaseToIssue,
  type RevokeOutcome,
  type TargetRef,
} from '../../commands/credentials/issuer.ts';
import { bodyOf, isId, type Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { Sent } from '../egress.ts';
import { callTarget, codeOf, forEach, isObject, membersOf, refusedWith, textOf } from './http.ts';
import { discoverCluster, type ClusterApi } from './kubernetes-discovery.ts';
import { done, failed, hasLapsed, lapsed } from './lapse.ts';
import type { World } from './world.ts';

const MANAGED = 'app.kubernetes.io/managed-by';
const DEPLOYMENT = 'countersign.dev/deployment';
const ATTEMPT = 'countersign.dev/attempt';
const NAME_PREFIX = 'countersign-';
/** Secrets that are listed in one answer, and how often more of them are asked for. */
const PAGE = 500;
const PAGES_MAX = 100;

const secretName = (credential: Id<'credential'>): string => `${NAME_PREFIX}${bodyOf(credential)}`;

/** `mark` tells our Secrets from those of every other deployment. */
export function kubernetesIssuer(world: World, mark: string): Issuer {
  const deployment = createHash('sha256').update(mark).digest('hex').slice(0, 32);
  const cluster = (ref: TargetRef): Cluster => openCluster(world, ref, deployment);
  return {
    issue: async (lease) => issueToken(world, cluster(lease.target), lease),
    revoke: (ref, leases) => forEach(leases, (lease) => revoke(world, () => cluster(ref), lease)),
    verifyDead: (ref, leases) => forEach(leases, (lease) => look(world, () => cluster(ref), lease)),
    list: async (ref) => listSecrets(cluster(ref)),
    discover: async (ref, roles) => discoverCluster(clusterApi(world, cluster(ref)), roles),
  };
}

/** The API server of one target, as it is called from here. */
interface Cluster {
  target: KubernetesTarget;
  deployment: string;
  /** Below the namespace of the target where the path does not begin with a slash. */
  call(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: JsonObject,
    accept?: string,
  ): Promise<Sent>;
}

function openCluster(world: World, { definition }: TargetRef, deployment: string): Cluster {
  if (definition?.issuer !== 'kubernetes')
    throw new TargetError('target_not_configured', { nothingMade: true });
  const token = world.secrets(definition.token_from);
  const authority = definition.ca_from === undefined ? null : world.secrets(definition.ca_from);
  if (token === null || (definition.ca_from !== undefined && authority === null))
    throw new TargetError('target_not_configured', { nothingMade: true });
  const root = definition.api.replace(/\/$/, '');
  const call: Cluster['call'] = (method, path, body, accept = 'application/json') =>
    callTarget(
      world.egress,
      `${root}${path.startsWith('/') ? path : `/api/v1/namespaces/${definition.namespace}/${path}`}`,
      {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          accept,
          'user-agent': 'countersign',
          ...(body && { 'content-type': 'application/json' }),
        },
        body: body ? JSON.stringify(body) : '',
        ...(authority !== null && { authorities: authority }),
      },
    );
  return { target: definition, deployment, call };
}

const clusterApi = (world: World, cluster: Cluster): ClusterApi => ({
  namespace: cluster.target.namespace,
  token: world.secrets(cluster.target.token_from) ?? '',
  now: world.now,
  get: (path, accept) => cluster.call('GET', path, undefined, accept),
  refusal: (answer) => refusedWith(reasonOf(answer), answer),
});

/** The API server's own word for what is wrong (`Status.reason`). */
function reasonOf(answer: Sent): string {
  const { reason } = membersOf(answer);
  return typeof reason === 'string' && reason !== '' ? codeOf(reason) : `status_${answer.status}`;
}

async function issueToken(world: World, cluster: Cluster, lease: LeaseToIssue): Promise<Issued> {
  const { definition: role } = lease;
  if (role.issuer !== 'kubernetes') throw new TypeError('this role is not a Kubernetes one');
  const isLate = (): boolean => world.now() > Date.parse(lease.issueBy);
  if (isLate()) throw new TargetError('too_late', { nothingMade: true });
  const uid = await makeSecret(cluster, lease);
  try {
    const seconds = Math.ceil((Date.parse(lease.expiresAt) - world.now()) / 1000);
    const answer = await cluster.call('POST', `serviceaccounts/${role.service_account}/token`, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {
        audiences: role.audiences,
        expirationSeconds: Math.max(TOKEN_SECONDS_MIN, seconds),
        boundObjectRef: {
          apiVersion: 'v1',
          kind: 'Secret',
          name: secretName(lease.credential),
          uid,
        },
      },
    });
    if (answer.status !== 201) throw refusedWith(reasonOf(answer), answer);
    if (isLate()) throw new TargetError('too_late');
    return tokenIn(cluster, membersOf(answer), role.service_account);
  } catch (error) {
    // Nothing is left of what was not handed out; should this fail too, the reaper and the sweep find it.
    await deleteSecret(cluster, lease.credential, uid).catch(() => undefined);
    throw error;
  }
}

function tokenIn({ target }: Cluster, members: JsonObject, account: string): Issued {
  const status = isObject(members['status']) ? members['status'] : {};
  const spec = isObject(members['spec']) ? members['spec'] : {};
  const token = textOf(status, 'token');
  const diesAt = new Date(textOf(status, 'expirationTimestamp')).toISOString();
  // An old server that ignores the binding would give a token that nothing of ours ends.
  if (!isObject(spec['boundObjectRef'])) throw new TargetError('token_not_bound');
  return {
    material: {
      kind: 'kubernetes',
      token,
      api: target.api,
      namespace: target.namespace,
      service_account: account,
      token_expires_at: diesAt,
    },
    handle: token,
    diesAt,
  };
}

/** Makes the object that the token will be bound to, in place of what an earlier attempt made; answers its uid. */
async function makeSecret(cluster: Cluster, lease: LeaseToIssue): Promise<string> {
  const name = secretName(lease.credential);
  const body: JsonObject = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name,
      labels: { [MANAGED]: 'countersign', [DEPLOYMENT]: cluster.deployment },
      annotations: { [ATTEMPT]: String(lease.attempt) },
    },
    type: 'countersign.dev/lease',
    immutable: true,
  };
  for (const isAgain of [false, true]) {
    const made = await cluster.call('POST', 'secrets?fieldManager=countersign', body);
    if (made.status === 201) return textOf(metadataOf(membersOf(made)), 'uid');
    if (made.status !== 409 || isAgain) throw refusedWith(reasonOf(made), made);
    const earlier = await findSecret(cluster, lease.credential);
    if (earlier && earlier.attempt > lease.attempt) throw new TargetError('superseded');
    if (earlier) await deleteSecret(cluster, lease.credential, earlier.uid);
  }
  throw new TargetError('name_taken');
}

interface Found {
  uid: string;
  attempt: number;
}

const metadataOf = (object: JsonObject): JsonObject =>
  isObject(object['metadata']) ? object['metadata'] : {};

/** The object of a lease, or null where there is none. Throws where somebody else's has its name. */
async function findSecret(cluster: Cluster, credential: Id<'credential'>): Promise<Found | null> {
  const answer = await cluster.call('GET', `secrets/${secretName(credential)}`);
  if (answer.status === 404) return null;
  if (answer.status !== 200) throw refusedWith(reasonOf(answer), answer);
  const metadata = metadataOf(membersOf(answer));
  if (metadata['name'] !== secretName(credential)) throw new TargetError('bad_answer');
  const labels = isObject(metadata['labels']) ? metadata['labels'] : {};
  const annotations = isObject(metadata['annotations']) ? metadata['annotations'] : {};
  if (labels[DEPLOYMENT] !== cluster.deployment) throw new TargetError('name_not_ours');
  return { uid: textOf(metadata, 'uid'), attempt: Number(annotations[ATTEMPT] ?? 0) };
}

/** Deletes exactly this object, and not one that was made under its name since. */
async function deleteSecret(
  cluster: Cluster,
  credential: Id<'credential'>,
  uid: string,
): Promise<void> {
  const answer = await cluster.call('DELETE', `secrets/${secretName(credential)}`, {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    gracePeriodSeconds: 0,
    preconditions: { uid },
  });
  if (answer.status !== 200 && answer.status !== 202 && answer.status !== 404)
    throw refusedWith(reasonOf(answer), answer);
}

async function revoke(
  world: World,
  open: () => Cluster,
  lease: LeaseToEnd,
): Promise<RevokeOutcome> {
  try {
    const cluster = open();
    const found = await findSecret(cluster, lease.credential);
    if (found) await deleteSecret(cluster, lease.credential, found.uid);
    return done(lease);
  } catch (error) {
    if (!(error instanceof TargetError)) throw error;
    return hasLapsed(lease, world.now()) ? done(lease) : failed(lease, error.code);
  }
}

/** Looks for the object, and has the API server judge the token where it is known. */
async function look(world: World, open: () => Cluster, lease: LeaseToEnd): Promise<Death> {
  try {
    const cluster = open();
    if (await findSecret(cluster, lease.credential)) return 'alive';
    for (const token of lease.handles) if (await isTaken(cluster, token)) return 'alive';
    return 'gone';
  } catch (error) {
    if (error instanceof TargetError) return lapsed(lease, world.now());
    throw error;
  }
}

/**
 * Whether the API server still takes a token. The audiences are those in the token itself: asked about another, it
 * would say no to a token that is very much alive.
 */
async function isTaken(cluster: Cluster, token: string): Promise<boolean> {
  const answer = await cluster.call('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { token, audiences: audiencesOf(token) },
  });
  if (answer.status !== 201 && answer.status !== 200) throw refusedWith(reasonOf(answer), answer);
  const { status } = membersOf(answer);
  return !isObject(status) || status['authenticated'] === true;
}

function audiencesOf(token: string): string[] {
  try {
    const claims: unknown = JSON.parse(
      Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'),
    );
    const audiences = isObject(claims) ? claims['aud'] : [];
    return [audiences ?? []].flat().filter((each) => typeof each === 'string');
  } catch {
    return [];
  }
}

async function listSecrets(cluster: Cluster): Promise<Id<'credential'>[]> {
  const selector = encodeURIComponent(`${MANAGED}=countersign,${DEPLOYMENT}=${cluster.deployment}`);
  const found: Id<'credential'>[] = [];
  let next = '';
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const answer = await cluster.call(
      'GET',
      `secrets?labelSelector=${selector}&limit=${PAGE}&continue=${encodeURIComponent(next)}`,
    );
    if (answer.status !== 200) throw refusedWith(reasonOf(answer), answer);
    const { items, metadata } = membersOf(answer);
    // No list is not an empty one: a sweep would take every lease for vanished.
    if (!Array.isArray(items)) throw new TargetError('bad_answer');
    for (const item of items)
      found.push(...leaseOfSecret(isObject(item) ? metadataOf(item)['name'] : null));
    next =
      isObject(metadata) && typeof metadata['continue'] === 'string' ? metadata['continue'] : '';
    if (next === '') break;
  }
  return found;
}

function leaseOfSecret(name: unknown): Id<'credential'>[] {
  if (typeof name !== 'string' || !name.startsWith(NAME_PREFIX)) return [];
  const id = `crd_${name.slice(NAME_PREFIX.length)}`;
  return isId('credential', id) ? [id] : [];
}
