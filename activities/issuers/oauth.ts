// Tokens of other authorization servers, got as one of their clients. Ended by RFC 7009 and looked at by RFC 7662,
// where the server has these; where it has not, that is said.
import { oauthScope, type OauthScope, type OauthTarget } from '../../commands/access/oauth.ts';
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
import type { TokenKeys } from '../../keys/tokens.ts';
import type { Sent } from '../egress.ts';
import { callTarget, codeOf, forEach, membersOf, refusedWith, retryAt, textOf } from './http.ts';
import { done, doneUnlessUnheard, failed, hasLapsed, lapsed, waitFor } from './lapse.ts';
import type { World } from './world.ts';

/** The type of our assertions as a client, so that no other word of ours can stand in for one. */
const CLIENT_ASSERTION = 'client-authentication+jwt';
const ASSERTION_SECONDS = 60;

export function oauthIssuer(world: World, tokens: TokenKeys): Issuer {
  const server = (ref: TargetRef): Server => openServer(world, tokens, ref);
  return {
    issue: async (lease) => issueToken(world, server(lease.target), lease),
    revoke: (ref, leases) => forEach(leases, (lease) => revoke(world, () => server(ref), lease)),
    verifyDead: (ref, leases) => forEach(leases, (lease) => look(world, () => server(ref), lease)),
    // No standard lets a client ask which tokens it has.
    list: () => Promise.resolve(null),
  };
}

interface Server {
  target: OauthTarget;
  /** Posts a form as the client that we are there. */
  post(url: string, form: URLSearchParams): Promise<Sent>;
}

function openServer(world: World, tokens: TokenKeys, { definition }: TargetRef): Server {
  if (definition?.issuer !== 'oauth') throw unconfigured();
  const { client_secret_from: name } = definition;
  const secret = name === undefined ? null : world.secrets(name);
  if (name !== undefined && secret === null) throw unconfigured();
  return {
    target: definition,
    post: async (url, form) => {
      const headers: Record<string, string> = {
        accept: 'application/json',
        'content-type': 'application/x-www-form-urlencoded',
      };
      const body = new URLSearchParams(form);
      if (definition.authentication === 'client_secret_basic')
        headers['authorization'] = basic(definition.client_id, secret ?? '');
      else body.set('client_id', definition.client_id);
      if (definition.authentication === 'client_secret_post')
        body.set('client_secret', secret ?? '');
      if (definition.authentication === 'private_key_jwt')
        for (const [key, value] of await assertion(world, tokens, definition)) body.set(key, value);
      return callTarget(world.egress, url, { method: 'POST', headers, body: body.toString() });
    },
  };
}

const unconfigured = (): TargetError =>
  new TargetError('target_not_configured', { nothingMade: true });

/** RFC 6749 §2.3.1: both parts are form-encoded before they are put together. */
function basic(id: string, secret: string): string {
  const encoded = (part: string): string => new URLSearchParams({ '': part }).toString().slice(1);
  return `Basic ${Buffer.from(`${encoded(id)}:${encoded(secret)}`).toString('base64')}`;
}

/** RFC 7523 §2.2: our own word for who we are, which the server checks against our published keys. */
async function assertion(
  world: World,
  tokens: TokenKeys,
  target: OauthTarget,
): Promise<[string, string][]> {
  const word = await tokens.sign(CLIENT_ASSERTION, {
    iss: target.client_id,
    sub: target.client_id,
    aud: target.assertion_audience ?? target.token_endpoint,
    exp: Math.floor(world.now() / 1000) + ASSERTION_SECONDS,
  });
  return [
    ['client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'],
    ['client_assertion', word],
  ];
}

/** The server's own word for what is wrong (RFC 6749 §5.2). */
function reasonOf(answer: Sent): string {
  const { error } = membersOf(answer);
  return typeof error === 'string' ? codeOf(error) : `status_${answer.status}`;
}

async function issueToken(world: World, server: Server, lease: LeaseToIssue): Promise<Issued> {
  const { definition: role } = lease;
  if (role.issuer !== 'oauth') throw new TypeError('this role is not an OAuth one');
  if (world.now() > Date.parse(lease.issueBy))
    throw new TargetError('too_late', { nothingMade: true });
  const asked = oauthScope(role, lease.options);
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    scope: asked.scopes.join(' '),
    ...(role.audience !== undefined && { audience: role.audience }),
  });
  for (const resource of asked.resources) form.append('resource', resource);
  const answer = await server.post(server.target.token_endpoint, form);
  if (answer.status !== 200) throw refusedWith(reasonOf(answer), answer);
  return tokenIn(world, server, asked, answer);
}

async function tokenIn(
  world: World,
  server: Server,
  asked: OauthScope,
  answer: Sent,
): Promise<Issued> {
  const members = membersOf(answer);
  const token = textOf(members, 'access_token');
  const given = typeof members['scope'] === 'string' ? members['scope'].split(' ') : asked.scopes;
  const isBearer = textOf(members, 'token_type').toLowerCase() === 'bearer';
  const isWider = given.some((each) => each !== '' && !asked.scopes.includes(each));
  if (!isBearer || isWider) {
    const { revocation_endpoint: url } = server.target;
    if (url !== undefined) await server.post(url, tokenForm(token)).catch(() => undefined);
    throw new TargetError(isBearer ? 'wider_than_asked' : 'token_type_unknown');
  }
  const { expires_in: said } = members;
  const lives = typeof said === 'number' && said > 0 ? said : server.target.token_seconds;
  const diesAt = new Date(world.now() + lives * 1000).toISOString();
  return {
    material: {
      kind: 'oauth',
      access_token: token,
      token_type: 'Bearer',
      scopes: given.filter((each) => each !== ''),
      resources: asked.resources,
      token_expires_at: diesAt,
    },
    handle: token,
    diesAt,
  };
}

const tokenForm = (token: string): URLSearchParams =>
  new URLSearchParams({ token, token_type_hint: 'access_token' });

async function revoke(world: World, open: () => Server, lease: LeaseToEnd): Promise<RevokeOutcome> {
  const now = world.now();
  if (hasLapsed(lease, now)) return done(lease);
  try {
    const server = open();
    const { revocation_endpoint: url } = server.target;
    if (url === undefined || lease.handles.length === 0) return waitFor(lease, now);
    for (const token of lease.handles) {
      const answer = await server.post(url, tokenForm(token));
      if (answer.status !== 200)
        return failed(lease, reasonOf(answer), retryAt(answer, world.now()));
    }
    return doneUnlessUnheard(lease, world.now());
  } catch (error) {
    if (error instanceof TargetError) return failed(lease, error.code);
    throw error;
  }
}

/** What the server says of each token. One that says nothing leaves only its word that it revoked them. */
async function look(world: World, open: () => Server, lease: LeaseToEnd): Promise<Death> {
  const now = world.now();
  if (hasLapsed(lease, now) || lease.handles.length === 0) return lapsed(lease, now);
  try {
    const server = open();
    const { introspection_endpoint: url, revocation_endpoint: revocation } = server.target;
    if (url === undefined)
      return revocation === undefined || lease.unheard ? 'alive' : 'unknowable';
    for (const token of lease.handles) {
      const answer = await server.post(url, tokenForm(token));
      if (answer.status !== 200 || membersOf(answer)['active'] !== false) return 'alive';
    }
    return lease.unheard ? lapsed(lease, now) : 'gone';
  } catch (error) {
    if (error instanceof TargetError) return 'alive';
    throw error;
  }
}
