// Client certificates: the connection's own, or a trusted proxy's word for one, let in whom policy says and nobody else.
import { request } from 'node:https';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tryPort } from '../../cli/embedded/process.ts';
import type { JsonObject } from '../../domain/json.ts';
import { OID } from '../../keys/x509/certificate.ts';
import { context, encode, sequence } from '../../keys/x509/der.ts';
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
import { admin, admittedAgent, list, object, text, type TestAgent } from '../support/client.ts';

const DOMAIN = 'partner.example';
const ID = `spiffe://${DOMAIN}/ns/shop/agent`;
const HEADER = 'x-client-cert';

const partner = authorityOf('partner', { uris: [`spiffe://${DOMAIN}`] });
const corp = authorityOf('corp');
const old = authorityOf('old', { notBefore: hours(-48), notAfter: hours(-24) });
const stranger = authorityOf('corp');

const dns = (name: string) => ({
  id: OID.subjectAltName,
  critical: false,
  value: sequence(encode(context(2, false), Buffer.from(name))),
});
const svid = (shape: Shape = {}, issuer = partner) =>
  certificateOf({ uris: [ID], ...shape }, issuer);
const client = (shape: Shape = {}, issuer = corp) =>
  certificateOf({ subject: 'bot', more: [dns('bot.corp.example')], ...shape }, issuer);

let cast: Cast;
let bot: TestAgent;
let named: TestAgent;
let tlsPort: number;

beforeAll(async () => {
  tlsPort = (await tryPort(0, '127.0.0.1')) ?? 0;
  const server = certificateOf({ subject: 'localhost' }, corp);
  const x5c = (authority: TestAuthority) => ({
    kty: 'EC',
    use: 'x509-svid',
    x5c: [authority.der.toString('base64')],
  });
  cast = await startCast({
    env: {
      COUNTERSIGN_TLS_PORT: String(tlsPort),
      COUNTERSIGN_TLS_CERT: pemOf(server),
      COUNTERSIGN_TLS_KEY: keyPemOf(server),
      COUNTERSIGN_CLIENT_CERT_HEADER: HEADER,
      COUNTERSIGN_CLIENT_CERT_PROXIES: '127.0.0.1',
      PARTNER_BUNDLE: JSON.stringify({ keys: [x5c(partner)] }),
      CORP_CA: pemOf(corp),
      OLD_CA: pemOf(old),
    },
  });
  const newAgent = () => admittedAgent(cast.service, cast.owner.id, cast.approver);
  [bot, named] = [await newAgent(), await newAgent()];
  const federation = `
trust_domains:
  ${DOMAIN}: { bundle_from: PARTNER_BUNDLE }
certificate_authorities:
  corp: { ca_from: CORP_CA }
  old: { ca_from: OLD_CA }
ways_in:
  - { agent: ${bot.name}, spiffe_id: "${ID}" }
  - { agent: ${bot.name}, certificate_authority: corp, san_dns: bot.corp.example }
  - { agent: ${named.name}, certificate_authority: corp, subject_dn: CN=named }
  - { agent: ${bot.name}, certificate_authority: old, san_dns: bot.corp.example }
  - { agent: ${bot.name}, certificate_authority: corp, subject_dn: CN=both }
  - { agent: ${named.name}, certificate_authority: corp, subject_dn: CN=both }
  - { agent: ${bot.name}, certificate_authority: corp, san_uri: "urn:bot:1" }
`;
  await changePolicy(cast.service, cast.approver, (files) => ({
    ...files,
    'federation.yaml': federation,
  }));
}, 120_000);
afterAll(() => cast.close());

interface Answer {
  status: number;
  body: JsonObject;
}

/** Calls the TLS listener, with or without a certificate, on a connection of its own. */
function call(
  options: { path: string; chain?: TestAuthority[]; form?: Record<string, string> } & {
    headers?: Record<string, string>;
  },
): Promise<Answer> {
  const [leaf] = options.chain ?? [];
  const body = options.form && new URLSearchParams(options.form).toString();
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port: tlsPort,
        path: options.path,
        method: body === undefined ? 'GET' : 'POST',
        headers: {
          host: `localhost:${tlsPort}`,
          ...(body !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }),
          ...options.headers,
        },
        rejectUnauthorized: false,
        agent: false,
        ...(leaf && { cert: (options.chain ?? []).map(pemOf).join(''), key: keyPemOf(leaf) }),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const said: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
          resolve({ status: response.statusCode ?? 0, body: object(said as JsonObject) });
        });
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

const FORM = { grant_type: 'client_credentials' };
const signIn = (chain: TestAuthority[], more: Record<string, string> = {}): Promise<Answer> =>
  call({ path: '/oauth2/token', chain, form: { ...FORM, ...more } });

const outcome = ({ status, body }: Answer): string =>
  status === 200 ? '200' : `${status} ${text(body['error'])}`;
const REFUSED = '401 invalid_client';

/** Whose events tell of the newest sign-in. */
async function lastSignIn(agent: TestAgent): Promise<JsonObject> {
  const path = `/v1/events?agent=${agent.id}&type=agent.signed_in&limit=500`;
  const events = list((await admin(cast.service).call('GET', path)).body['data']);
  return object(object(events.at(-1)?.['data'])['detail']);
}

describe('a connection with a client certificate', () => {
  it('signs in by an X.509-SVID, and says by which', async () => {
    expect(outcome(await signIn([svid()]))).toBe('200');
    const { method, certificate } = await lastSignIn(bot);
    expect(method).toBe('x509_svid');
    expect(text(object(certificate)['thumbprint'])).toMatch(/^[\w-]{43}$/);
    expect(text(object(certificate)['serial'])).toMatch(/^[0-9a-f]+$/);
    expect(outcome(await signIn([svid()], { client_id: ID }))).toBe('200');
  });

  it('signs in by a certificate of an authority of one’s own, by any of its names', async () => {
    expect(outcome(await signIn([client()]))).toBe('200');
    expect((await lastSignIn(bot))['method']).toBe('tls_client_auth');
    expect(outcome(await signIn([client({ subject: 'named', more: [] })]))).toBe('200');
    expect((await lastSignIn(named))['method']).toBe('tls_client_auth');
    expect(outcome(await signIn([client({ uris: ['urn:bot:1'], more: [] })]))).toBe('200');
  });

  it('signs in through an authority between, which it sends along', async () => {
    const between = certificateOf({ subject: 'between', isAuthority: true, pathLength: 0 }, corp);
    const leaf = client({}, between);
    expect(outcome(await signIn([leaf, between]))).toBe('200');
    expect(outcome(await signIn([leaf]))).toBe(REFUSED);
  });

  it.each<[string, () => TestAuthority[]]>([
    ['of another authority of the same name', () => [client({}, stranger)]],
    [
      'signed by itself',
      () => [certificateOf({ subject: 'bot', more: [dns('bot.corp.example')] }, null)],
    ],
    ['of an authority that expired', () => [client({}, old)]],
    ['that expired', () => [client({ notBefore: hours(-3), notAfter: hours(-2) })]],
    ['that is not good yet', () => [client({ notBefore: hours(2), notAfter: hours(3) })]],
    ['that is an authority itself', () => [client({ isAuthority: true, usage: [0, 5] })]],
    ['for servers only', () => [client({ purposes: [OID.serverAuth] })]],
    [
      'of a name that only begins alike',
      () => [client({ more: [dns('bot.corp.example.evil.example')] })],
    ],
    ['of a name under that name', () => [client({ more: [dns('a.bot.corp.example')] })]],
    ['of no name of the policy', () => [client({ subject: 'other', more: [] })]],
    [
      'under a leaf that signs',
      () => {
        const leaf = client();
        return [client({ subject: 'named', more: [] }, { ...leaf, name: 'bot' }), leaf];
      },
    ],
    [
      'with a restriction that nobody knows',
      () => [
        client({
          more: [
            dns('bot.corp.example'),
            { id: '1.3.6.1.4.1.1', critical: true, value: sequence() },
          ],
        }),
      ],
    ],
    ['that is an SVID of an authority of one’s own', () => [svid({}, corp)]],
    ['that is an SVID with two SPIFFE IDs', () => [svid({ uris: [ID, `${ID}2`] })]],
    ['that is an SVID of the trust domain itself', () => [svid({ uris: [`spiffe://${DOMAIN}`] })]],
    [
      'that is an SVID of another trust domain',
      () => [svid({ uris: ['spiffe://evil.example/ns/shop/agent'] })],
    ],
    ['that is an SVID of another workload', () => [svid({ uris: [`${ID}/x`] })]],
    ['of a partner, for a name of one’s own', () => [client({}, partner)]],
  ])('%s signs nobody in', async (_what, chain) => {
    expect(outcome(await signIn(chain()))).toBe(REFUSED);
  });

  it('that leads to two agents needs to say which', async () => {
    const both = () => [client({ subject: 'both', more: [] })];
    expect(outcome(await signIn(both()))).toBe(REFUSED);
    expect(outcome(await signIn(both(), { client_id: named.id }))).toBe('200');
    expect(outcome(await signIn(both(), { client_id: cast.agent.id }))).toBe(REFUSED);
  });

  it('can be made without a certificate, and then proves nothing', async () => {
    expect((await call({ path: '/version' })).status).toBe(200);
    expect(outcome(await signIn([]))).toBe('400 invalid_request');
  });

  it('is not believed about another certificate by its own header', async () => {
    const headers = { [HEADER]: encodeURIComponent(pemOf(svid())) };
    const bare = await call({ path: '/oauth2/token', form: FORM, headers });
    expect(outcome(bare)).toBe('400 invalid_request');
    const other = await call({
      path: '/oauth2/token',
      form: FORM,
      headers,
      chain: [client({ subject: 'named', more: [] })],
    });
    expect(outcome(other)).toBe('200');
    expect(await agentOf(other)).toBe(named.id);
  });

  it('I3: dies with the suspension of its agent', async () => {
    const chain = [client({ subject: 'named', more: [] })];
    const { body } = await signIn(chain);
    const headers = { authorization: `Bearer ${text(body['access_token'])}` };
    const show = { path: `/v1/agents/${named.id}`, headers, chain };
    expect((await call(show)).status).toBe(200);
    await admin(cast.service).call('POST', `/v1/agents/${named.id}/suspend`, {});
    expect((await call(show)).status).toBe(403);
    expect(outcome(await signIn(chain))).toBe(REFUSED);
    await admin(cast.service).call('POST', `/v1/agents/${named.id}/resume`, {});
    expect((await call(show)).status).toBe(401);
  });
});

const agentOf = ({ body }: Answer): Promise<string> => {
  const [, claims = ''] = text(body['access_token']).split('.');
  const parsed = JSON.parse(Buffer.from(claims, 'base64url').toString('utf8')) as JsonObject;
  return Promise.resolve(text(parsed['sub']));
};

describe('a proxy in front that ends TLS', () => {
  const through = async (value: string): Promise<string> => {
    const reply = await fetch(`${cast.service.url}/oauth2/token`, {
      method: 'POST',
      headers: { [HEADER]: value },
      body: new URLSearchParams(FORM),
    });
    const body = (await reply.json()) as JsonObject;
    return reply.status === 200 ? '200' : `${reply.status} ${text(body['error'] ?? body['code'])}`;
  };

  it('is believed about the certificate that it saw, in either form', async () => {
    expect(await through(encodeURIComponent(pemOf(svid())))).toBe('200');
    expect(await through(`:${svid().der.toString('base64')}:`)).toBe('200');
    const between = certificateOf({ subject: 'between', isAuthority: true }, corp);
    const chain = pemOf(client({}, between)) + pemOf(between);
    expect(await through(encodeURIComponent(chain))).toBe('200');
  });

  it('does not make a certificate good', async () => {
    expect(await through(encodeURIComponent(pemOf(client({}, stranger))))).toBe(REFUSED);
  });

  it.each([
    ['nonsense', 'nonsense'],
    ['half a percent sign', '%E0%A4%A'],
    ['bytes that are no certificate', ':AAAA:'],
    [
      'a certificate with bytes behind it',
      `:${Buffer.concat([svid().der, Buffer.from([0])]).toString('base64')}:`,
    ],
  ])('that sends %s is refused', async (_what, value) => {
    expect(await through(value)).toBe('400 invalid_request');
  });
});

describe('I6: an authority that cannot be had', () => {
  it('lets nobody in, and keeps nobody out whom another lets in', async () => {
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'federation.yaml': (files['federation.yaml'] ?? '').replace(
        'certificate_authorities:',
        'certificate_authorities:\n  missing: { ca_from: NOT_SET }',
      ),
    }));
    expect(outcome(await signIn([client()]))).toBe('200');
    expect(outcome(await signIn([client({}, stranger)]))).toBe('503 temporarily_unavailable');
  });
});

describe('the metadata of the server', () => {
  it('say where to come with a certificate', async () => {
    const { body } = await admin(cast.service).call(
      'GET',
      '/.well-known/oauth-authorization-server',
    );
    expect(object(body['mtls_endpoint_aliases'])['token_endpoint']).toBe(
      `https://localhost:${tlsPort}/oauth2/token`,
    );
  });
});
