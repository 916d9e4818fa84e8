import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { isObject } from '../../activities/issuers/http.ts';
import { oauthIssuer } from '../../activities/issuers/oauth.ts';
import { oauthAccess, oauthRole, oauthTarget } from '../../commands/access/oauth.ts';
import type { Issuer, LeaseToIssue } from '../../commands/credentials/issuer.ts';
import { Refusal } from '../../domain/refusal.ts';
import { json, startServer, type Given, type Received } from '../fakes/server.ts';
import {
  CLIENT_SECRET,
  RESOURCE,
  startAuthorizationServer,
  type AuthorizationServer,
} from '../support/authorization-server.ts';
import { text } from '../support/client.ts';
import {
  endings,
  leaseOn,
  refusalOf,
  testWorld,
  toEnd,
  type TestWorld,
} from '../support/issuing.ts';
import { fileKey, tokensOf } from '../support/signing.ts';

const tokens = await tokensOf([await fileKey('active')]);
const strangers = await tokensOf([await fileKey('active')]);
let server: AuthorizationServer;
let world: TestWorld;
let issuer: Issuer;

beforeAll(async () => {
  // It warns of what a test setup lacks.
  vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  server = await startAuthorizationServer({ keys: tokens.jwks.keys });
});
afterAll(async () => {
  await server.close();
  vi.restoreAllMocks();
});
beforeEach(() => {
  world = testWorld({ SECRET: CLIENT_SECRET, WRONG: 'not the secret' });
  issuer = oauthIssuer(world, tokens);
});

const CLIENTS: Record<string, object> = {
  client_secret_basic: { client_id: 'basic client', client_secret_from: 'SECRET' },
  client_secret_post: { client_id: 'post-client', client_secret_from: 'SECRET' },
  private_key_jwt: { client_id: 'key-client' },
};
const target = (more: object = {}, authentication = 'client_secret_basic') =>
  oauthTarget.parse({
    issuer: 'oauth',
    token_endpoint: server.tokenEndpoint,
    revocation_endpoint: server.revocationEndpoint,
    introspection_endpoint: server.introspectionEndpoint,
    authentication,
    ...CLIENTS[authentication],
    ...more,
  });
const role = (more: object = {}) =>
  oauthRole.parse({
    issuer: 'oauth',
    target: 'orders',
    title: 'Orders API',
    scopes: ['orders.read', 'orders.write'],
    resources: [RESOURCE],
    ...more,
  });
const lease = (more: Partial<LeaseToIssue> = {}, roleMore: object = {}, at = target()) =>
  leaseOn(world, role(roleMore), at, more);

/** What the server itself says of a token. */
async function introspected(token: string) {
  const reply = await fetch(server.introspectionEndpoint, {
    method: 'POST',
    body: new URLSearchParams({ token, client_id: 'post-client', client_secret: CLIENT_SECRET }),
  });
  const said: unknown = await reply.json();
  return isObject(said) ? said : {};
}

describe('a token of another authorization server (oidc-provider)', () => {
  it.each(Object.keys(CLIENTS))('is had, seen and ended as a client by %s', async (method) => {
    const asked = lease({}, {}, target({}, method));
    const issued = await issuer.issue(asked);
    const token = text(issued.material['access_token']);
    const said = await introspected(token);
    expect(said['active']).toBe(true);
    expect(text(said['scope']).split(' ').toSorted()).toEqual(['orders.read', 'orders.write']);
    expect(said['aud']).toBe(RESOURCE);
    expect(Math.abs(Date.parse(issued.diesAt ?? '') / 1000 - Number(said['exp']))).toBeLessThan(5);
    const ending = [toEnd(asked, issued)];
    expect(await issuer.verifyDead(asked.target, ending)).toEqual(['alive']);
    expect(await endings(issuer, asked, ending)).toEqual(['done gone over']);
    expect((await introspected(token))['active']).toBe(false);
    expect(await endings(issuer, asked, ending)).toEqual(['done gone over']);
  });

  it('has fewer scopes where options ask for fewer', async () => {
    const options = await oauthAccess.readOptions(role(), { scopes: ['orders.read'] });
    const { material } = await issuer.issue(lease({ options }));
    expect((await introspected(text(material['access_token'])))['scope']).toBe('orders.read');
    expect(material['scopes']).toEqual(['orders.read']);
  });

  it.each<[string, LeaseToIssue['options']]>([
    ['another scope', { scopes: ['orders.admin'] }],
    ['two scopes spelt as one', { scopes: ['orders.read orders.admin'] }],
    ['another resource', { resources: ['https://elsewhere.example/'] }],
    ['no scope, which would be the default ones', { scopes: [] }],
    ['something else', { audience: 'x' }],
  ])('is refused options with %s', async (_what, options) => {
    const refused = await Promise.resolve()
      .then(() => oauthAccess.readOptions(role(), options))
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Refusal);
    await expect(issuer.issue(lease({ options }))).rejects.toBeInstanceOf(Refusal);
  });

  it.each<[string, () => LeaseToIssue, string]>([
    [
      'with the wrong secret',
      () => lease({}, {}, target({ client_secret_from: 'WRONG' })),
      'invalid_client, nothing made',
    ],
    [
      'without one',
      () => lease({}, {}, target({ client_secret_from: 'NONE' })),
      'target_not_configured, nothing made',
    ],
    [
      'for scopes that the client has not',
      () => lease({}, { scopes: ['orders.admin'], resources: [] }),
      'invalid_scope, nothing made',
    ],
    [
      'after its time',
      () => lease({ issueBy: new Date(0).toISOString() }),
      'too_late, nothing made',
    ],
  ])('is not had %s', async (_what, asked, code) => {
    expect(await refusalOf(issuer.issue(asked()))).toBe(code);
  });

  it('is not had with an assertion that others signed, or that is for somebody else', async () => {
    const asked = lease({}, {}, target({}, 'private_key_jwt'));
    expect(await refusalOf(oauthIssuer(world, strangers).issue(asked))).toBe(
      'invalid_client, nothing made',
    );
    const elsewhere = target({ assertion_audience: 'https://x.example' }, 'private_key_jwt');
    expect(await refusalOf(issuer.issue(lease({}, {}, elsewhere)))).toBe(
      'invalid_client, nothing made',
    );
  });
});

describe('a server that does otherwise than asked', () => {
  const seen: string[] = [];
  /** Issues through a server that answers like this; what became of it, and which tokens it was told to revoke. */
  async function through(
    answer: (received: Received) => Given,
    use: (asked: LeaseToIssue) => Promise<unknown>,
  ): Promise<void> {
    seen.length = 0;
    const other = await startServer((received) => {
      seen.push(
        `${received.url.pathname} ${new URLSearchParams(received.body).get('token') ?? ''}`,
      );
      return answer(received);
    });
    const at = target({
      token_endpoint: `${other.url}/token`,
      revocation_endpoint: `${other.url}/revoke`,
      introspection_endpoint: `${other.url}/introspect`,
    });
    await use(lease({}, {}, at));
    await other.close();
  }
  const GOOD = { access_token: 'abc', token_type: 'bearer', expires_in: 60 };

  it.each<[string, object, string]>([
    ['more scopes than asked', { ...GOOD, scope: 'orders.read orders.admin' }, 'wider_than_asked'],
    ['a token that is no bearer token', { ...GOOD, token_type: 'DPoP' }, 'token_type_unknown'],
  ])('gives %s: it is revoked and given to nobody', async (_what, body, code) => {
    await through(
      () => json(200, body),
      async (asked) => expect(await refusalOf(issuer.issue(asked))).toBe(code),
    );
    expect(seen).toEqual(['/token ', '/revoke abc']);
  });

  it.each<[string, Given, string]>([
    ['no token', json(200, { token_type: 'Bearer' }), 'bad_answer'],
    ['a page', { status: 200, body: '<html>' }, 'bad_answer'],
    ['a refusal that quotes', json(400, { error: 'abc def "secret"' }), 'refused, nothing made'],
    ['a fault', { status: 503 }, 'status_503'],
    ['a way elsewhere', { status: 302, headers: { location: 'https://x.example' } }, 'status_302'],
  ])('answers %s, and that is no token', async (_what, answer, code) => {
    await through(
      () => answer,
      async (asked) => expect(await refusalOf(issuer.issue(asked))).toBe(code),
    );
  });

  it('does not say how long a token lives: then it is what policy says of the server', async () => {
    await through(
      () => json(200, { access_token: 'abc', token_type: 'Bearer' }),
      async (asked) => {
        const { diesAt } = await issuer.issue(asked);
        expect(Math.abs(Date.parse(diesAt ?? '') - world.now() - 3_600_000)).toBeLessThan(2_000);
      },
    );
  });

  it('says it is busy: the token is not taken for dead, and is tried when the server says', async () => {
    await through(
      ({ url }) =>
        url.pathname === '/token'
          ? json(200, GOOD)
          : { status: 503, headers: { 'retry-after': '90' } },
      async (asked) => {
        const ending = [toEnd(asked, await issuer.issue(asked))];
        expect(await endings(issuer, asked, ending)).toEqual(['status_503 alive open']);
        const [outcome] = await issuer.revoke(asked.target, ending);
        expect(Date.parse(outcome?.tryAt ?? '') - world.now()).toBeGreaterThan(85_000);
      },
    );
  });

  it('says that it revoked and still takes the token: it is not dead', async () => {
    await through(
      ({ url }) => {
        if (url.pathname === '/token') return json(200, GOOD);
        return url.pathname === '/revoke' ? { status: 200 } : json(200, { active: true });
      },
      async (asked) => {
        const ending = [toEnd(asked, await issuer.issue(asked))];
        expect(await endings(issuer, asked, ending)).toEqual(['done alive open']);
      },
    );
  });
});

describe('what policy may say', () => {
  it('is a secret where one is used, and none where a key is', () => {
    const base = { issuer: 'oauth', token_endpoint: 'https://as.example/token', client_id: 'x' };
    const isTaken = (more: object) => oauthTarget.safeParse({ ...base, ...more }).success;
    expect(isTaken({})).toBe(false);
    expect(isTaken({ client_secret_from: 'SECRET' })).toBe(true);
    expect(isTaken({ authentication: 'private_key_jwt', client_secret_from: 'SECRET' })).toBe(
      false,
    );
    expect(isTaken({ authentication: 'private_key_jwt' })).toBe(true);
    expect(oauthRole.safeParse({ ...role(), scopes: [] }).success).toBe(false);
  });
});
