// Installation tokens of a GitHub App. The app's own word is signed for each call; the token is its own handle,
// because GitHub ends one only for whoever presents it.
import { createPrivateKey, sign, type KeyObject } from 'node:crypto';
import { githubScope, isWithinScope, type GithubTarget } from '../../commands/access/github.ts';
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
import type { Sent } from '../egress.ts';
import { discoverApp, type GithubApp } from './github-discovery.ts';
import { callTarget, forEach, isObject, membersOf, refusedWith, retryAt, textOf } from './http.ts';
import { done, doneUnlessUnheard, failed, hasLapsed, lapsed, waitFor } from './lapse.ts';
import type { World } from './world.ts';

/** The version of the API that this was written for; GitHub keeps old ones for years. */
const API_VERSION = '2022-11-28';
/** GitHub takes ten minutes at most, and its clock may be ahead or behind. */
const WORD_SECONDS = 540;
const CLOCK_SECONDS = 60;

export function githubIssuer(world: World): Issuer {
  return {
    issue: (lease) => issueToken(world, lease),
    revoke: (ref, leases) => forEach(leases, (lease) => revokeTokens(world, ref, lease)),
    verifyDead: (ref, leases) => forEach(leases, (lease) => look(world, ref, lease)),
    // GitHub lists the installations of an app, and not their tokens.
    list: () => Promise.resolve(null),
    discover: (ref, roles) => discoverApp(appOf(world, ref), roles),
  };
}

function appOf(world: World, ref: TargetRef): GithubApp {
  const target = githubTargetOf(ref);
  return {
    installation: target.installation,
    now: world.now,
    call: (method, path, bearer, body = '') => call(world, target, { method, path, bearer, body }),
    word: () => wordOf(world, target),
    refusal: (answer) => refusedWith(reasonOf(answer), answer),
  };
}

function githubTargetOf({ definition }: TargetRef): GithubTarget {
  if (definition?.issuer !== 'github')
    throw new TargetError('target_not_configured', { nothingMade: true });
  return definition;
}

async function issueToken(world: World, lease: LeaseToIssue): Promise<Issued> {
  const { definition: role } = lease;
  if (role.issuer !== 'github') throw new TypeError('this role is not a GitHub one');
  const target = githubTargetOf(lease.target);
  const scope = githubScope(role, lease.options);
  const word = wordOf(world, target);
  if (world.now() > Date.parse(lease.issueBy))
    throw new TargetError('too_late', { nothingMade: true });
  const answer = await call(world, target, {
    method: 'POST',
    path: `/app/installations/${target.installation}/access_tokens`,
    bearer: word,
    body: JSON.stringify(scope),
  });
  if (answer.status !== 201) throw refusedWith(reasonOf(answer), answer);
  const members = membersOf(answer);
  const token = textOf(members, 'token');
  const permissions = isObject(members['permissions']) ? members['permissions'] : {};
  if (
    !isWithinScope(scope, { repositories: repositoriesIn(members['repositories']), permissions })
  ) {
    await endToken(world, target, token);
    throw new TargetError('wider_than_asked');
  }
  const diesAt = new Date(textOf(members, 'expires_at')).toISOString();
  return {
    material: {
      kind: 'github',
      token,
      api: target.api,
      repositories: scope.repositories,
      permissions: scope.permissions,
      token_expires_at: diesAt,
    },
    handle: token,
    diesAt,
  };
}

/** The names of repositories in an answer; null where it does not say, which means all of them. */
const repositoriesIn = (list: unknown): string[] | null =>
  Array.isArray(list)
    ? list.map((each: unknown) => (isObject(each) ? textOf(each, 'name') : ''))
    : null;

/** The app's own word (RFC 7519), which GitHub takes under RS256 only. */
function wordOf(world: World, { app, private_key_from: name }: GithubTarget): string {
  const key = privateKey(world.secrets(name));
  const now = Math.floor(world.now() / 1000);
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = [
    part({ alg: 'RS256', typ: 'JWT' }),
    part({ iat: now - CLOCK_SECONDS, exp: now + WORD_SECONDS, iss: app }),
  ].join('.');
  return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`;
}

/** PEM as GitHub hands it out; an environment may spell its line ends as `\n`. */
function privateKey(pem: string | null): KeyObject {
  if (pem === null) throw new TargetError('target_not_configured', { nothingMade: true });
  try {
    const key = createPrivateKey(pem.replaceAll(String.raw`\n`, '\n'));
    if (key.asymmetricKeyType === 'rsa') return key;
  } catch {
    // What is wrong with a key is not told: the message could quote it.
  }
  throw new TargetError('private_key_unreadable', { nothingMade: true });
}

interface GithubCall {
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  bearer: string;
  body?: string;
}

const call = (
  world: World,
  target: GithubTarget,
  { method, path, bearer, body = '' }: GithubCall,
): Promise<Sent> =>
  callTarget(world.egress, `${target.api.replace(/\/$/, '')}${path}`, {
    method,
    headers: {
      accept: 'application/vnd.github+json',
      authorization: `Bearer ${bearer}`,
      'user-agent': 'countersign',
      'x-github-api-version': API_VERSION,
      ...(body !== '' && { 'content-type': 'application/json' }),
    },
    body,
  });

const REASONS: Record<number, string> = {
  401: 'app_not_recognised',
  403: 'forbidden',
  404: 'installation_not_found',
  422: 'scope_not_installed',
};

const isLimited = ({ status, headers }: Sent): boolean =>
  status === 429 ||
  (status === 403 &&
    (headers['retry-after'] !== undefined || headers['x-ratelimit-remaining'] === '0'));

const reasonOf = (answer: Sent): string =>
  isLimited(answer) ? 'rate_limited' : (REASONS[answer.status] ?? 'refused');

/** When GitHub takes calls again, by either of its two ways of saying so. */
function limitEnds(answer: Sent, now: number): string | null {
  const reset = Number(answer.headers['x-ratelimit-reset'] ?? Number.NaN);
  return (
    retryAt(answer, now) ?? (Number.isNaN(reset) ? null : new Date(reset * 1000).toISOString())
  );
}

const endToken = (world: World, target: GithubTarget, token: string): Promise<Sent> =>
  call(world, target, { method: 'DELETE', path: '/installation/token', bearer: token });

async function revokeTokens(
  world: World,
  ref: TargetRef,
  lease: LeaseToEnd,
): Promise<RevokeOutcome> {
  // Of an attempt that a crash cut short nobody knows the token, so nobody can end it.
  if (lease.handles.length === 0) return waitFor(lease, world.now());
  try {
    const target = githubTargetOf(ref);
    for (const token of lease.handles) {
      const answer = await endToken(world, target, token);
      // 401: it is no token any more.
      if (answer.status !== 204 && answer.status !== 401)
        return failed(lease, reasonOf(answer), limitEnds(answer, world.now()));
    }
    return doneUnlessUnheard(lease, world.now());
  } catch (error) {
    if (hasLapsed(lease, world.now())) return done(lease);
    if (error instanceof TargetError) return failed(lease, error.code);
    throw error;
  }
}

/** Presents each token once more: GitHub says 401 to what is none. */
async function look(world: World, ref: TargetRef, lease: LeaseToEnd): Promise<Death> {
  const now = world.now();
  if (hasLapsed(lease, now)) return 'gone';
  if (lease.handles.length === 0) return lapsed(lease, now);
  try {
    const target = githubTargetOf(ref);
    for (const token of lease.handles) {
      const path = '/installation/repositories?per_page=1';
      const answer = await call(world, target, { method: 'GET', path, bearer: token });
      if (answer.status !== 401) return 'alive';
    }
    return lease.unheard ? lapsed(lease, now) : 'gone';
  } catch (error) {
    if (error instanceof TargetError) return 'alive';
    throw error;
  }
}
