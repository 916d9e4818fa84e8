// A GitHub API to stand in for the real one: it checks an app's word, narrows tokens as GitHub does, and refuses in
// GitHub's own shapes.
import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { jwtVerify } from 'jose';
import type { JsonObject } from '../../domain/json.ts';
import { json, startServer, type Given, type Received } from './server.ts';

/** Made once: what is slow about an app is its key. */
const { privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
});

const INSTALLED = ['orders', 'billing', 'website'];
const GRANTED: Record<string, string> = { contents: 'write', issues: 'write', metadata: 'read' };
const LEVELS = ['read', 'write', 'admin'];

export interface FakeGithub {
  url: string;
  app: string;
  installation: number;
  /** PKCS#1, as GitHub hands keys out. */
  privateKey: string;
  /** Tokens that work now. */
  tokens: Map<string, GivenToken>;
  /** What the app may do there. */
  granted: Record<string, string>;
  /** Installations of the app, as GitHub tells of them. */
  installations: JsonObject[];
  /** Deploy keys by the full name of their repository. */
  deployKeys: Map<string, JsonObject[]>;
  /** What the next answers are instead, oldest first. */
  instead: Given[];
  /** What happens just before a call is answered. */
  meanwhile: ((method: string, path: string) => void) | null;
  /** Adds this to what tokens are made for, as GitHub must never do. */
  widen: { repositories: string[] | null; permissions: Record<string, string> } | null;
  close(): Promise<void>;
}

interface GivenToken {
  repositories: string[];
  permissions: Record<string, string>;
  expires: number;
}

const problem = (status: number, message: string, headers: Record<string, string> = {}): Given =>
  json(status, { message, documentation_url: 'https://docs.github.com/rest' }, headers);

export async function startFakeGithub(now: () => number = Date.now): Promise<FakeGithub> {
  const fake: FakeGithub = {
    url: '',
    app: 'Iv23liExampleClient',
    installation: 4711,
    privateKey,
    tokens: new Map(),
    granted: { ...GRANTED },
    installations: [],
    deployKeys: new Map(INSTALLED.map((name) => [`acme/${name}`, []])),
    instead: [],
    meanwhile: null,
    widen: null,
    close: () => server.close(),
  };
  const server = await startServer((received) => answer(fake, received, now()));
  fake.url = server.url;
  return fake;
}

async function answer(fake: FakeGithub, received: Received, now: number): Promise<Given> {
  const { method, url, headers } = received;
  fake.meanwhile?.(method, url.pathname);
  const [instead] = fake.instead.splice(0, 1);
  if (instead) return instead;
  if (headers['user-agent'] === undefined)
    return problem(403, 'Request forbidden by administrative rules.');
  if (headers['x-github-api-version'] !== '2022-11-28')
    return problem(400, 'Unsupported API version');
  const bearer = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1] ?? '';
  if (method === 'POST' && /^\/app\/installations\/\d+\/access_tokens$/.test(url.pathname))
    return (await isApp(fake, bearer, now))
      ? makeToken(fake, url.pathname, asObject(JSON.parse(received.body)), now)
      : problem(401, 'A JSON web token could not be decoded');
  if (method === 'GET' && url.pathname === '/app/installations')
    return (await isApp(fake, bearer, now))
      ? json(200, pageOf(fake.installations, url))
      : problem(401, 'A JSON web token could not be decoded');
  const token = fake.tokens.get(bearer);
  if (!token || token.expires <= now) return problem(401, 'Bad credentials');
  if (method === 'DELETE' && url.pathname === '/installation/token') {
    fake.tokens.delete(bearer);
    return { status: 204 };
  }
  if (method === 'GET' && url.pathname === '/installation/repositories')
    return json(200, {
      total_count: fake.deployKeys.size,
      repositories: pageOf(
        [...fake.deployKeys.keys()].map((name) => ({ full_name: name })),
        url,
      ),
    });
  const [, repository = ''] = /^\/repos\/(.+)\/keys$/.exec(decodeURIComponent(url.pathname)) ?? [];
  const keys = fake.deployKeys.get(repository);
  if (method === 'GET' && keys)
    return token.permissions['administration'] === undefined
      ? problem(403, 'Resource not accessible by integration')
      : json(200, pageOf(keys, url));
  return problem(404, 'Not Found');
}

/** GitHub gives thirty where nobody says how many, and a hundred at most. */
function pageOf(all: readonly JsonObject[], url: URL): JsonObject[] {
  const size = Math.min(Number(url.searchParams.get('per_page') ?? 30), 100);
  const page = Number(url.searchParams.get('page') ?? 1);
  return all.slice((page - 1) * size, page * size);
}

/** RS256 only, ten minutes at most, issued in the past, by the app. */
async function isApp(fake: FakeGithub, word: string, now: number): Promise<boolean> {
  try {
    const { payload } = await jwtVerify(word, createPublicKey(fake.privateKey), {
      algorithms: ['RS256'],
      issuer: fake.app,
      currentDate: new Date(now),
      requiredClaims: ['iat', 'exp'],
    });
    const { exp = 0, iat = Infinity } = payload;
    return iat <= now / 1000 && exp - now / 1000 <= 600;
  } catch {
    return false;
  }
}

/** Only called with what a client of the tests sent as JSON. */
const asObject = (value: unknown): JsonObject => value as JsonObject;

function makeToken(fake: FakeGithub, path: string, asked: JsonObject, now: number): Given {
  if (!path.includes(`/${fake.installation}/`)) return problem(404, 'Not Found');
  const names = asked['repositories'];
  const wanted = Array.isArray(names) ? names.map(String) : INSTALLED;
  if (wanted.some((name) => !INSTALLED.includes(name.toLowerCase())))
    return problem(
      422,
      'There is at least one repository that does not exist or is not accessible.',
    );
  const levels = Object.entries(asked['permissions'] ?? fake.granted).map(
    ([name, level]) => [name, String(level)] as const,
  );
  const isGranted = ([name, level]: readonly [string, string]): boolean =>
    LEVELS.indexOf(level) <= LEVELS.indexOf(fake.granted[name] ?? '');
  if (!levels.every(isGranted))
    return problem(422, 'The permissions requested are not granted to this installation.');
  const token = `ghs_${fake.installation}_${randomBytes(90).toString('base64url')}`;
  const expires = now + 3_600_000;
  const permissions = {
    metadata: 'read',
    ...Object.fromEntries(levels),
    ...fake.widen?.permissions,
  };
  const repositories = [...wanted, ...(fake.widen?.repositories ?? [])];
  fake.tokens.set(token, { repositories, permissions, expires });
  const isAll = names === undefined || fake.widen?.repositories === null;
  return json(201, {
    token,
    // GitHub tells whole seconds.
    expires_at: new Date(expires).toISOString().replace(/\.\d+Z$/, 'Z'),
    permissions,
    repository_selection: isAll ? 'all' : 'selected',
    ...(!isAll && { repositories: repositories.map((name, id) => ({ id, name })) }),
  });
}
