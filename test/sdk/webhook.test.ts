import { createServer, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeEd25519Key, openEd25519Key } from '../../keys/ed25519.ts';
import { openWebhookSigner } from '../../keys/webhook.ts';
import {
  verifySignal,
  verifyWebhook,
  type ReceivedWebhook,
  type WebhookEvent,
} from '../../sdk/index.ts';
import { vote } from '../support/client.ts';
import { listen } from '../support/network.ts';
import { adminClient, agentClient, team, type Team } from '../support/sdk.ts';
import { startService, type TestService } from '../support/service.ts';

const signer = openWebhookSigner(openEd25519Key(makeEd25519Key()));
const other = openWebhookSigner(openEd25519Key(makeEd25519Key()));
const now = 1_800_000_000;
const body = JSON.stringify({
  type: 'request.decided',
  timestamp: '2027-01-15T08:00:00Z',
  data: { request: 'req_1', state: 'approved' },
});

const received = (more: Partial<ReceivedWebhook> = {}): ReceivedWebhook => ({
  key: signer.publicKey,
  headers: signer.headers('msg_1', now, body),
  body,
  now: now * 1000,
  ...more,
});

const codeOf = (webhook: ReceivedWebhook): Promise<unknown> =>
  verifyWebhook(webhook).then(
    () => 'accepted',
    (error: { code: unknown }) => error.code,
  );

describe('a signal', () => {
  const said = (type: string): ReceivedWebhook => {
    const content = JSON.stringify({
      type,
      timestamp: '2027-01-15T08:00:00Z',
      data: { agent: 'a' },
    });
    return received({ body: content, headers: signer.headers('msg_2', now, content) });
  };

  it('that is signed and fresh is read, and is no decision', async () => {
    expect(await verifySignal(said('agent.suspended'))).toEqual({
      id: 'msg_2',
      type: 'agent.suspended',
      timestamp: '2027-01-15T08:00:00Z',
      data: { agent: 'a' },
    });
    expect(await codeOf(said('agent.suspended'))).toBe('bad_answer');
  });

  it('of an unknown type, a decision, or with another signature is refused', async () => {
    const codes = await Promise.all(
      [
        said('agent.rewarded'),
        received(),
        { ...said('agent.suspended'), key: other.publicKey },
      ].map((each) => verifySignal(each).then(String, (error: { code: unknown }) => error.code)),
    );
    expect(codes).toEqual(['bad_answer', 'bad_answer', 'bad_signature']);
  });
});

describe('a callback', () => {
  it('that is signed and fresh is read', async () => {
    expect(await verifyWebhook(received())).toEqual({
      id: 'msg_1',
      type: 'request.decided',
      timestamp: '2027-01-15T08:00:00Z',
      data: { request: 'req_1', state: 'approved' },
    });
  });

  it.each([
    ['a state that there is not', { data: { request: 'req_1', state: 'agreed' } }],
    ['no request', { data: { state: 'approved' } }],
    ['no data', { data: null }],
    ['data that is a list', { data: ['req_1'] }],
    ['no time', { timestamp: 7 }],
    ['no type', { type: undefined }],
  ])('that is signed and says %s is no decision', async (_what, more) => {
    const content = JSON.stringify({ ...JSON.parse(body), ...more });
    const headers = signer.headers('msg_1', now, content);
    expect(await codeOf(received({ body: content, headers }))).toBe('bad_answer');
  });

  it('that is signed and no JSON at all is no decision', async () => {
    for (const content of ['', 'approved', '7', '[]', 'null'])
      expect(
        await codeOf(received({ body: content, headers: signer.headers('msg_1', now, content) })),
      ).toBe('bad_answer');
  });

  it('is read from bytes, from Headers, and from headers in any case', async () => {
    const headers = signer.headers('msg_1', now, body);
    const upper = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value]),
    );
    expect(await codeOf(received({ body: new TextEncoder().encode(body) }))).toBe('accepted');
    expect(await codeOf(received({ headers: new Headers(headers) }))).toBe('accepted');
    expect(await codeOf(received({ headers: upper }))).toBe('accepted');
  });

  it('with a changed body, id, time or key is refused', async () => {
    const headers = signer.headers('msg_1', now, body);
    const changed = body.replace('approved', 'denied');
    expect(await codeOf(received({ body: changed }))).toBe('bad_signature');
    expect(await codeOf(received({ headers: { ...headers, 'webhook-id': 'msg_2' } }))).toBe(
      'bad_signature',
    );
    const later = { ...headers, 'webhook-timestamp': String(now + 1) };
    expect(await codeOf(received({ headers: later }))).toBe('bad_signature');
    expect(await codeOf(received({ key: other.publicKey }))).toBe('bad_signature');
  });

  it('is accepted five minutes early or late, and not a second more', async () => {
    const at = (seconds: number) => received({ now: (now + seconds) * 1000 });
    expect(await codeOf(at(300))).toBe('accepted');
    expect(await codeOf(at(-300))).toBe('accepted');
    expect(await codeOf(at(301))).toBe('stale_timestamp');
    expect(await codeOf(at(-301))).toBe('stale_timestamp');
  });

  it.each(['NaN', '', '1e10', '-1', 'Infinity', '99999999999999999999'])(
    'with the time "%s" is refused',
    async (timestamp) => {
      const headers = { ...signer.headers('msg_1', now, body), 'webhook-timestamp': timestamp };
      expect(await codeOf(received({ headers }))).toMatch(/^(stale_timestamp|bad_signature)$/);
    },
  );

  it('with several signatures is accepted if one of them fits', async () => {
    const headers = signer.headers('msg_1', now, body);
    const mine = headers['webhook-signature'] ?? '';
    const theirs = other.headers('msg_1', now, body)['webhook-signature'] ?? '';
    const both = { ...headers, 'webhook-signature': `v1,c2VjcmV0 ${theirs} ${mine}` };
    expect(await codeOf(received({ headers: both }))).toBe('accepted');
    const symmetric = { ...headers, 'webhook-signature': mine.replace('v1a,', 'v1,') };
    expect(await codeOf(received({ headers: symmetric }))).toBe('bad_signature');
  });

  it('without a header, or with one twice, is refused', async () => {
    const headers = signer.headers('msg_1', now, body);
    const twice = { ...headers, 'webhook-id': ['msg_1', 'msg_1'] };
    expect(await codeOf(received({ headers: {} }))).toBe('bad_signature');
    expect(await codeOf(received({ headers: twice }))).toBe('bad_signature');
  });

  it('cannot be checked with a key that is not one', async () => {
    expect(await codeOf(received({ key: 'whsec_c2VjcmV0' }))).toBe('invalid_key');
    expect(await codeOf(received({ key: 'whpk_c2VjcmV0' }))).toBe('invalid_key');
  });
});

describe('a real callback', () => {
  let service: TestService;
  let members: Team;
  beforeAll(async () => {
    service = await startService();
    members = await team(service);
  });
  afterAll(() => service.close());

  it('verifies with the key the server publishes', async () => {
    const { webhook_key: key } = await adminClient(service).version();
    const decided: WebhookEvent[] = [];
    const receive = async (request: IncomingMessage): Promise<void> => {
      decided.push(
        await verifyWebhook({ key, headers: request.headers, body: await text(request) }),
      );
    };
    const listener = createServer((request, response) => {
      void receive(request).finally(() => response.writeHead(204).end());
    });
    const port = await listen(listener);
    const client = agentClient(service, members);
    const task = await client.tasks.start({ purpose: 'order support', ttlSeconds: 900 });
    const held = await client.credentials.request(task.id, {
      role: 'orders-write',
      reason: 'refund order 9',
      callbackUrl: `http://127.0.0.1:${port}/decided`,
    });
    if (held.outcome !== 'held') throw new Error(`expected held, got ${held.outcome}`);
    await vote(members.approver, held.request.id, 'approve');
    await expect
      .poll(() => decided.map(({ data }) => data), { timeout: 20_000 })
      .toEqual([{ request: held.request.id, state: 'approved' }]);
    listener.close();
  });
});
