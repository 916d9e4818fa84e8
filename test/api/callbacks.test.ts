import { createPublicKey, verify } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { text as readAll } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tryPort } from '../../cli/embedded/process.ts';
import { serve } from '../../cli/serve.ts';
import { hold, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  anyone,
  askCredential,
  bearer,
  eventually,
  object,
  text,
  vote,
} from '../support/client.ts';
import { listen } from '../support/network.ts';
import type { TestService } from '../support/service.ts';

interface Called {
  headers: IncomingHttpHeaders;
  body: string;
}

let cast: Cast;
let server: Server;
let url: string;
const calls: Called[] = [];
let statuses: number[] = [];

beforeAll(async () => {
  cast = await startCast();
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

  it('says that the agent is asked something, once per question and without its words', async () => {
    const { request } = await hold(cast.agent, cast.seal, { callback: { url } });
    const asked = await cast.approver.call('POST', `/v1/requests/${request}/questions`, {
      to: 'agent',
      text: 'Which order is it?',
    });
    const { id } = object(asked.body['question']);
    await eventually(() => Promise.resolve(callsAbout(request).length > 0), 'the callback');
    const [call] = callsAbout(request);
    expect(JSON.parse(call?.body ?? '')).toMatchObject({
      type: 'request.asked',
      data: { request, question: id },
    });
    expect(call?.headers['webhook-id']).toBe(`msg_${text(id)}`);
    expect(call?.body).not.toContain('order');
    expect(call && (await isSigned(call))).toBe(true);
    expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
    await eventually(() => Promise.resolve(callsAbout(request).length > 1), 'the decision');
    const types = callsAbout(request).map(
      ({ body }) => (JSON.parse(body) as { type: string }).type,
    );
    expect(types).toEqual(['request.asked', 'request.decided']);
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

it('I8: a repeated call is answered as it was, though its callback would be refused now', async () => {
  const task = await startTask(cast.agent);
  const token = await cast.agent.token();
  const ask = (service: Pick<TestService, 'url'>, key: string) =>
    askCredential(
      bearer({ ...cast.service, ...service }, token),
      task,
      {
        ...{ role: 'orders-write', reason: 'to be repeated' },
        ...{ seal_to: cast.seal.publicJwk, callback: { url } },
      },
      { 'idempotency-key': key },
    );
  const first = await ask(cast.service, 'callback');
  expect(first.status).toBe(202);
  const port = (await tryPort(0, '127.0.0.1')) ?? 0;
  // To a process that can be reached from outside, its own loopback is nobody's callback.
  const strict = await serve({ ...cast.service.config, host: '0.0.0.0', port });
  try {
    const there = { url: `http://127.0.0.1:${port}` };
    const again = await ask(there, 'callback');
    expect([again.status, again.text]).toEqual([202, first.text]);
    expect((await ask(there, 'another')).body['code']).toBe('callback_refused');
  } finally {
    await strict.close();
  }
});
