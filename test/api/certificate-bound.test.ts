// Tokens bound to a certificate (RFC 8705), from sign-in to use, over the real listener and through a proxy: of no use
// to whoever lacks its key.
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { request as requestInClear } from 'node:http';
import { request as requestByTls } from 'node:https';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tryPort } from '../../cli/embedded/process.ts';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, startCast, type Cast } from '../support/cast.ts';
import {
  authorityOf,
  certificateOf,
  hours,
  keyPemOf,
  pemOf,
  type Shape,
  type TestAuthority,
} from '../support/certificates.ts';
import {
  admittedAgent,
  asClient,
  clientAssertion,
  newKey,
  object,
  opened,
  text,
  type TestAgent,
  type TestKey,
} from '../support/client.ts';
import { dpopProof, exchange, subjectToken } from '../support/delegation.ts';

const DOMAIN = 'partner.example';
const ID = `spiffe://${DOMAIN}/ns/shop/agent`;
const HEADER = 'client-cert';

const partner = authorityOf('partner', { uris: [`spiffe://${DOMAIN}`] });
const corp = authorityOf('corp');
const svid = (shape: Shape = {}) => certificateOf({ uris: [ID], ...shape }, partner);
const ofCorp = (shape: Shape = {}) => certificateOf({ subject: 'bot', ...shape }, corp);

const printOf = ({ der }: TestAuthority): string =>
  createHash('sha256').update(der).digest('base64url');

let cast: Cast;
let bot: TestAgent;
let tlsPort: number;

beforeAll(async () => {
  tlsPort = (await tryPort(0, '127.0.0.1')) ?? 0;
  const server = certificateOf({ subject: 'localhost' }, corp);
  const bundle = { keys: [{ use: 'x509-svid', x5c: [partner.der.toString('base64')] }] };
  cast = await startCast({
    env: {
      COUNTERSIGN_TLS_PORT: String(tlsPort),
      COUNTERSIGN_TLS_CERT: pemOf(server),
      COUNTERSIGN_TLS_KEY: keyPemOf(server),
      COUNTERSIGN_CLIENT_CERT_HEADER: HEADER,
      COUNTERSIGN_CLIENT_CERT_PROXIES: '127.0.0.1',
      PARTNER_BUNDLE: JSON.stringify(bundle),
      CORP_CA: pemOf(corp),
    },
  });
  bot = await admittedAgent(cast.service, cast.owner.id, cast.approver);
  await changePolicy(cast.service, cast.approver, (files) => ({
    ...files,
    'roles.yaml': `${(files['roles.yaml'] ?? '').trimEnd()}\n    binding: mtls\n`,
    'federation.yaml': `
trust_domains:
  ${DOMAIN}: { bundle_from: PARTNER_BUNDLE }
certificate_authorities:
  corp: { ca_from: CORP_CA }
ways_in:
  - { agent: ${bot.name}, spiffe_id: "${ID}" }
  - { agent: ${bot.name}, certificate_authority: corp, subject_dn: CN=bot }
`,
  }));
}, 120_000);
afterAll(() => cast.close());

interface Answer {
  status: number;
  body: JsonObject;
  challenge: string;
}

interface Sent {
  path: string;
  method?: 'GET' | 'POST';
  /** The certificate of the connection: null over TLS without one, and undefined in clear. */
  certificate?: TestAuthority | null;
  /** Where the call comes from; the proxy is at 127.0.0.1. */
  from?: string;
  headers?: string[];
  form?: Record<string, string>;
  json?: JsonObject;
}

function call({
  path,
  certificate,
  from,
  headers = [],
  form,
  json,
  ...sent
}: Sent): Promise<Answer> {
  const isTls = certificate !== undefined;
  const { port, host } = new URL(cast.service.publicUrl);
  const body = json ? JSON.stringify(json) : form && new URLSearchParams(form).toString();
  const type = json ? 'application/json' : 'application/x-www-form-urlencoded';
  const options = {
    host: '127.0.0.1',
    port: isTls ? tlsPort : Number(port),
    path,
    method: sent.method ?? (body === undefined ? 'GET' : 'POST'),
    headers: [
      ...['host', isTls ? `localhost:${tlsPort}` : host],
      ...(body === undefined
        ? []
        : ['content-type', type, 'content-length', String(Buffer.byteLength(body))]),
      ...headers,
    ],
    agent: false as const,
    ...(from !== undefined && { localAddress: from }),
  };
  const tls = {
    rejectUnauthorized: false,
    ...(certificate && { cert: pemOf(certificate), key: keyPemOf(certificate) }),
  };
  return new Promise((resolve, reject) => {
    const made = isTls ? requestByTls({ ...options, ...tls }) : requestInClear(options);
    made.once('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const said: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8') || '{}');
        const challenge = response.headers['www-authenticate'] ?? '';
        resolve({ status: response.statusCode ?? 0, body: object(said as JsonObject), challenge });
      });
    });
    made.once('error', reject);
    made.end(body);
  });
}

const SIGN_IN = { grant_type: 'client_credentials' };

async function tokenFor(
  certificate: TestAuthority,
  more: Record<string, string> = {},
): Promise<string> {
  const { status, body } = await call({
    ...{ path: '/oauth2/token', certificate, form: { ...SIGN_IN, ...more } },
  });
  expect([status, body['token_type']]).toEqual([200, 'Bearer']);
  return text(body['access_token']);
}

const bearerHeader = (token: string): string[] => ['authorization', `Bearer ${token}`];

/** What a call with this token comes to. */
async function used(token: string, sent: Partial<Sent>): Promise<string> {
  const headers = [...bearerHeader(token), ...(sent.headers ?? [])];
  const { status, challenge } = await call({ path: '/v1/tasks', ...sent, headers });
  return `${status} ${challenge}`.trim();
}

const UNBOUND = '401 Bearer error="invalid_token"';

const keysOf = (privateKey: KeyObject) => ({
  privateKey,
  publicKey: createPublicKey(privateKey),
});

const keysOfAgent = ({ privateJwk }: TestKey) =>
  keysOf(createPrivateKey({ key: { ...privateJwk }, format: 'jwk' }));

/** A certificate that an agent made itself for its registered key. */
const selfMade = (key: TestKey, shape: Shape = {}): TestAuthority =>
  certificateOf({ subject: 'self', keys: keysOfAgent(key), ...shape }, null);

async function introspected(token: string): Promise<JsonObject> {
  const headers = bearerHeader(cast.service.adminToken);
  return (await call({ path: '/oauth2/introspect', form: { token }, headers })).body;
}

describe('a token that was signed in for over a certificate', () => {
  const ways: [string, () => Promise<[TestAuthority, Record<string, string>]>][] = [
    ['by an X.509-SVID', () => Promise.resolve([svid(), {}])],
    ['by a certificate of an authority of one’s own', () => Promise.resolve([ofCorp(), {}])],
    [
      'by a certificate that the agent made for its own key',
      () => Promise.resolve([selfMade(bot.key), { client_id: bot.id }]),
    ],
    [
      'by a signed assertion, with any certificate',
      async () => [
        certificateOf({ subject: 'anything' }, null),
        asClient(await clientAssertion(cast.service, bot.id, bot.key)),
      ],
    ],
  ];

  it.each(ways)(
    '%s is bound to it, says so, and opens the API together with it',
    async (_how, way) => {
      const [certificate, form] = await way();
      const token = await tokenFor(certificate, form);
      const cnf = { 'x5t#S256': printOf(certificate) };
      expect(decodeJwt(token)).toMatchObject({ sub: bot.id, cnf });
      expect(await introspected(token)).toMatchObject({ active: true, token_type: 'Bearer', cnf });
      expect(await used(token, { certificate })).toBe('200');
    },
  );

  it('is refused without that certificate, and with every other one', async () => {
    const certificate = svid();
    const token = await tokenFor(certificate);
    const keys = keysOf(certificate.privateKey);
    const between: (TestAuthority | null | undefined)[] = [
      null,
      undefined,
      svid(),
      // The same name and the same key, in another certificate.
      svid({ keys }),
      ofCorp(),
      certificateOf({ uris: [ID] }, authorityOf('partner')),
    ];
    for (const other of between)
      expect(await used(token, other === undefined ? {} : { certificate: other })).toBe(UNBOUND);
    expect(await used(token, { certificate })).toBe('200');
  });

  it('is refused everywhere alike: where nobody has to be, at introspection, and at revocation', async () => {
    const token = await tokenFor(svid());
    const stranger = svid();
    for (const path of ['/version', '/v1/svid/bundles', '/oauth2/introspect', '/oauth2/revoke'])
      expect([
        path,
        await used(token, {
          ...{ path, certificate: stranger },
          ...(path.startsWith('/oauth2') && { form: { token } }),
        }),
      ]).toEqual([path, UNBOUND]);
    expect(await introspected(token)).toMatchObject({ active: true });
  });

  it('is no token for a proof of possession, with the certificate or without', async () => {
    const certificate = svid();
    const token = await tokenFor(certificate);
    const url = `https://localhost:${tlsPort}/v1/tasks`;
    const proof = await dpopProof(await newKey(), { method: 'GET', url, token });
    const headers = ['authorization', `DPoP ${token}`, 'dpop', proof];
    for (const other of [certificate, null]) {
      const { status, challenge } = await call({ path: '/v1/tasks', certificate: other, headers });
      expect([status, challenge]).toEqual([401, expect.stringMatching(/^DPoP error=/)]);
    }
  });

  it('and by a proof as well is bound to the key of the proof, which the certificate cannot stand in for', async () => {
    const certificate = svid();
    const key = await newKey();
    const proofFor = (path: string, token?: string) =>
      dpopProof(key, {
        method: token === undefined ? 'POST' : 'GET',
        url: `https://localhost:${tlsPort}${path}`,
        ...(token !== undefined && { token }),
      });
    const signedIn = await call({
      ...{ path: '/oauth2/token', certificate, form: SIGN_IN },
      headers: ['dpop', await proofFor('/oauth2/token')],
    });
    expect([signedIn.status, signedIn.body['token_type']]).toEqual([200, 'DPoP']);
    const token = text(signedIn.body['access_token']);
    expect(await used(token, { certificate })).toMatch(/^401 DPoP error="invalid_token"/);
    const headers = ['authorization', `DPoP ${token}`, 'dpop', await proofFor('/v1/tasks', token)];
    expect((await call({ path: '/v1/tasks', certificate: null, headers })).status).toBe(200);
  });
});

describe('a certificate that an agent made itself', () => {
  const signIn = async (certificate: TestAuthority, client: string): Promise<string> => {
    const form = { ...SIGN_IN, client_id: client };
    const { status, body } = await call({ path: '/oauth2/token', certificate, form });
    return `${status} ${text(body['error'])}`.trim();
  };
  const REFUSED = '401 invalid_client';

  it('lets nobody in by a key that is not the agent’s, or not of this agent', async () => {
    expect(await signIn(selfMade(await newKey()), bot.id)).toBe(REFUSED);
    expect(await signIn(selfMade(cast.agent.key), bot.id)).toBe(REFUSED);
    expect(await signIn(selfMade(bot.key), cast.agent.id)).toBe(REFUSED);
    expect(await signIn(selfMade(bot.key), bot.name)).toBe(REFUSED);
    expect(await signIn(selfMade(bot.key), 'agt_00000000000000000000000000')).toBe(REFUSED);
    const { status } = await call({
      ...{ path: '/oauth2/token', certificate: selfMade(bot.key), form: SIGN_IN },
    });
    expect(status).toBe(401);
  });

  it('is in time, and signed by its own key', async () => {
    const past = { notBefore: hours(-2), notAfter: hours(-1) };
    expect(await signIn(selfMade(bot.key, past), bot.id)).toBe(REFUSED);
    const future = { notBefore: hours(1), notAfter: hours(2) };
    expect(await signIn(selfMade(bot.key, future), bot.id)).toBe(REFUSED);
    const privateKey = createPrivateKey({ key: { ...bot.key.privateJwk }, format: 'jwk' });
    const keys = { privateKey, publicKey: createPublicKey(privateKey) };
    const other = certificateOf({ subject: 'x', keys }, authorityOf('x'));
    expect(await signIn(other, bot.id)).toBe(REFUSED);
  });

  it('I3: dies with the key, and so does what was signed in with it', async () => {
    const agent = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const certificate = selfMade(agent.key);
    const token = await tokenFor(certificate, { client_id: agent.id });
    expect(await used(token, { certificate })).toBe('200');
    await cast.service.database.owner.sql`
      update agent_key set state = 'revoked' where agent = ${agent.id}`;
    expect(await used(token, { certificate })).toBe(UNBOUND);
    expect(await signIn(certificate, agent.id)).toBe(REFUSED);
  });
});

describe('through a proxy that ends TLS', () => {
  const said = (certificate: TestAuthority): string[] => [
    HEADER,
    `:${certificate.der.toString('base64')}:`,
  ];

  it('a bound token is good with the certificate that the proxy saw, and with no other', async () => {
    const certificate = svid();
    const token = await tokenFor(certificate);
    expect(await used(token, { headers: said(certificate) })).toBe('200');
    const inPem = [HEADER, encodeURIComponent(pemOf(certificate))];
    expect(await used(token, { headers: inPem })).toBe('200');
    expect(await used(token, { headers: said(svid()) })).toBe(UNBOUND);
    expect(await used(token, {})).toBe(UNBOUND);
  });

  it('the header of anybody else is a caller’s word about itself, at sign-in and at the API', async () => {
    const certificate = svid();
    const token = await tokenFor(certificate);
    for (const from of ['127.0.0.2', '127.0.0.3']) {
      expect(await used(token, { from, headers: said(certificate) })).toBe(UNBOUND);
      const signIn = { path: '/oauth2/token', form: SIGN_IN, from, headers: said(certificate) };
      expect((await call(signIn)).body['error']).toBe('invalid_request');
    }
    // Nor is it that of a connection that proved another certificate, or none.
    for (const own of [svid(), null])
      expect(await used(token, { certificate: own, headers: said(certificate) })).toBe(UNBOUND);
  });

  it('two headers are none: which one the proxy wrote, nobody knows', async () => {
    const certificate = svid();
    const token = await tokenFor(certificate);
    for (const headers of [
      [...said(certificate), ...said(svid())],
      [...said(svid()), ...said(certificate)],
      [...said(certificate), ...said(certificate)],
      [HEADER, `:${certificate.der.toString('base64')}:;a=b`],
      [HEADER, `${encodeURIComponent(pemOf(certificate))}, ${encodeURIComponent(pemOf(svid()))}`],
    ])
      expect(await used(token, { headers })).toBe('400');
  });
});

describe('what is handed on', () => {
  it('stays bound: a token for a certificate is exchanged only over one', async () => {
    const certificate = svid();
    const token = await tokenFor(certificate);
    const headers = bearerHeader(token);
    const json = { purpose: 'order support', ttl_seconds: 600 };
    const started = await call({ path: '/v1/tasks', certificate, headers, json });
    const handed = await call({
      ...{ path: `/v1/tasks/${text(started.body['id'])}/delegations`, certificate, headers },
      json: { agent: cast.agent.id },
    });
    expect(handed.status).toBe(201);
    const subject = text(handed.body['subject_token']);
    expect(decodeJwt(subject)['cnf']).toEqual({ 'x5t#S256': printOf(certificate) });
    const bare = await exchange(cast.service, cast.agent, subject);
    expect([bare.status, bare.body['error']]).toEqual([400, 'invalid_request']);
    const other = certificateOf({ subject: 'other' }, null);
    const form = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: subject,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      ...asClient(await clientAssertion(cast.service, cast.agent.id, cast.agent.key)),
    };
    const { status, body } = await call({ path: '/oauth2/token', certificate: other, form });
    expect(status).toBe(200);
    expect(decodeJwt(text(body['access_token']))['cnf']).toEqual({ 'x5t#S256': printOf(other) });
    expect(await used(text(body['access_token']), { certificate })).toBe(UNBOUND);
  });

  it('to nobody is bound to nothing', async () => {
    const task = text(
      (
        await cast.agent.call('POST', '/v1/tasks', {
          purpose: 'order support',
          ttl_seconds: 600,
        })
      ).body['id'],
    );
    const subject = await subjectToken(cast.agent, task, bot);
    expect(decodeJwt(subject)['cnf']).toBeUndefined();
  });
});

describe('a role whose tokens are bound to a certificate', () => {
  it('gives them for the one of the call, and to nobody without', async () => {
    const certificate = svid();
    const headers = bearerHeader(await tokenFor(certificate));
    const json = { purpose: 'order support', ttl_seconds: 600 };
    const task = text((await call({ path: '/v1/tasks', certificate, headers, json })).body['id']);
    const order = { role: 'reports-api', seal_to: { ...cast.seal.publicJwk } };
    const path = `/v1/tasks/${task}/credentials`;
    const given = await call({ path, certificate, headers, json: order });
    expect(given.status).toBe(201);
    const { token } = await opened(given.body['sealed'], cast.seal);
    const cnf = { 'x5t#S256': printOf(certificate) };
    expect(decodeJwt(text(token))['cnf']).toEqual(cnf);
    expect(await introspected(text(token))).toMatchObject({ active: true, cnf });
  });
});
