import { createPublicKey, verify } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { text as readAll } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkDestination, isPrivate, openEgress } from '../../activities/egress.ts';
import { hold, startCast, startTask, type Cast } from '../support/cast.ts';
import { anyone, askCredential, eventually, text, vote } from '../support/client.ts';
import { listen } from '../support/network.ts';

interface Called {
  headers: IncomingHttpHeaders;
  body: string;
}

let cast: Cast;
/** Reachable from outside, so that its own loopback is nobody's business. */
let guarded: Cast;
let server: Server;
let url: string;
const calls: Called[] = [];
let statuses: number[] = [];

beforeAll(async () => {
  cast = await startCast();
  guarded = await startCast({ env: { HOST: '0.0.0.0' } });
  server = createServer((request, response) => {
    void readAll(request).then((body) => {
      calls.push({ headers: request.headers, body });
      const status = statuses.shift() ?? 204;
      response.writeHead(status, status === 302 ? { location: `${url}/elsewhere` } : {}).end();
    });
  });
  url = `http://127.0.0.1:${await listen(server)}`;
});
afterAll(async () => {
  await cast.close();
  await guarded.close();
  server.close();
});

const callsAbout = (request: string): Called[] =>
  calls.filter(({ body }) => body.includes(request));

const decided = async (next: number[]): Promise<string> => {
  statuses = next;
  const { request } = await hold(cast.agent, cast.seal, { callback: { url } });
  expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
  return request;
};

/** Standard Webhooks, asymmetric: verified with nothing but the public key of /version. */
async function isSigned({ headers, body }: Called): Promise<boolean> {
  const { body: version } = await anyone(cast.service).call('GET', '/version');
  const x = Buffer.from(text(version['webhook_key']).slice('whpk_'.length), 'base64');
  const key = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: x.toString('base64url') },
    format: 'jwk',
  });
  const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
  const signature = String(headers['webhook-signature']).replace('v1a,', '');
  return verify(null, Buffer.from(signed), key, Buffer.from(signature, 'base64'));
}

describe('a callback', () => {
  it('says what was decided, and is signed for anybody to verify', async () => {
    const request = await decided([]);
    await eventually(() => Promise.resolve(callsAbout(request).length > 0), 'the callback');
    const [call] = callsAbout(request);
    if (!call) throw new Error('nothing came');
    expect(JSON.parse(call.body)).toMatchObject({
      type: 'request.decided',
      data: { request, state: 'approved' },
    });
    expect(await isSigned(call)).toBe(true);
    expect(await isSigned({ ...call, body: call.body.replace('approved', 'denied') })).toBe(false);
    const age = Date.now() / 1000 - Number(call.headers['webhook-timestamp']);
    expect(Math.abs(age)).toBeLessThan(60);
    expect(call.headers['authorization']).toBeUndefined();
    expect(call.headers['cookie']).toBeUndefined();
  });

  it('is tried again under the same id until it is heard', async () => {
    const request = await decided([500, 503, 204]);
    await eventually(() => Promise.resolve(callsAbout(request).length >= 3), 'three tries', 25_000);
    const ids = callsAbout(request).map(({ headers }) => headers['webhook-id']);
    expect(new Set(ids).size).toBe(1);
  });

  it('follows no redirect', async () => {
    const request = await decided([302, 204]);
    await eventually(() => Promise.resolve(callsAbout(request).length >= 2), 'the next try');
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(callsAbout(request)).toHaveLength(2);
  });

  it('is not tried again once the receiver says that nobody listens there', async () => {
    const request = await decided([410]);
    await eventually(() => Promise.resolve(callsAbout(request).length > 0), 'the callback');
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(callsAbout(request)).toHaveLength(1);
  });
});

const REFUSED = [
  'http://203.0.113.9/hook',
  'http://example.com/hook',
  'https://127.0.0.1/hook',
  'https://localhost/hook',
  'https://localhost./hook',
  'https://0.0.0.0/hook',
  'https://[::1]/hook',
  'https://[::]/hook',
  'https://[::ffff:127.0.0.1]/hook',
  'https://[::ffff:a9fe:a9fe]/hook',
  'https://[64:ff9b::a9fe:a9fe]/hook',
  'https://[2002:7f00:1::]/hook',
  'https://[fe80::1]/hook',
  'https://[fd00::1]/hook',
  'https://169.254.169.254/latest/meta-data',
  'https://2852039166/latest/meta-data',
  'https://0xa9fea9fe/',
  'https://0251.0376.0251.0376/',
  'https://127.1/hook',
  'https://10.0.0.1/hook',
  'https://172.16.0.1/hook',
  'https://192.168.1.1/hook',
  'https://100.64.0.1/hook',
  'https://user:password@example.com/hook',
  'ftp://example.com/hook',
  'file:///etc/passwd',
  'gopher://example.com/',
  'javascript:alert(1)',
  '//example.com/hook',
  'example.com',
  '',
];

describe('a callback to where it must not go', () => {
  it.each(REFUSED)('%s is refused when it is asked for', async (address) => {
    const { agent, seal } = guarded;
    const task = await startTask(agent);
    const reply = await askCredential(agent, task, {
      role: 'orders-write',
      seal_to: seal.publicJwk,
      reason: 'refund',
      callback: { url: address },
    });
    expect(`${reply.status} ${text(reply.body['code'])}`).toBe('422 callback_refused');
  });

  it('is judged by the number its name leads to, before anything is sent', async () => {
    const policy = { allow: [], loopback: false };
    await expect(checkDestination('https://localhost/hook', policy)).rejects.toThrow('private');
    // A name that leads nowhere just now is judged whenever it is called.
    await checkDestination('https://no-such-name.invalid/hook', policy);
    const egress = openEgress(policy);
    const message = { method: 'POST' as const, headers: {}, body: '', timeoutMs: 1_000 };
    await expect(egress('https://localhost/hook', message)).rejects.toThrow('private');
    await expect(egress('https://[::ffff:10.0.0.1]/', message)).rejects.toThrow('private');
  });

  it('knows which addresses are public', () => {
    for (const address of ['8.8.8.8', '1.1.1.1', '2606:4700:4700::1111'])
      expect(isPrivate(address)).toBe(false);
    for (const address of ['198.18.0.1', '224.0.0.1', '255.255.255.255', '2001:db8::1', 'text'])
      expect(isPrivate(address)).toBe(true);
  });
});
