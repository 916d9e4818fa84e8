import { createServer } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CountersignError,
  eachItem,
  generateKey,
  openClient,
  type RecordedEvent,
} from '../../sdk/index.ts';
import { vote } from '../support/client.ts';
import {
  answerUnavailable,
  answerWith,
  listen,
  loseAnswer,
  loseCall,
  network,
} from '../support/network.ts';
import {
  adminClient,
  agentClient,
  policyWithForbiddenRole,
  team,
  type Team,
} from '../support/sdk.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
let members: Team;

beforeAll(async () => {
  service = await startService({ env: { COUNTERSIGN_POLICY: await policyWithForbiddenRole() } });
  members = await team(service);
});
afterAll(() => service.close());

const order = { purpose: 'order support', ttlSeconds: 900 };

async function errorOf(call: Promise<unknown>): Promise<CountersignError> {
  const error = await call.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof CountersignError) return error;
  throw new Error(`expected a CountersignError, got ${String(error)}`);
}

describe('signing in', () => {
  it('twenty calls at once sign in once', async () => {
    const net = network();
    const client = agentClient(service, members, { fetch: net.fetch });
    await Promise.all(Array.from({ length: 20 }, () => client.tasks.list()));
    expect(net.passed.filter(({ path }) => path === '/oauth2/token')).toHaveLength(1);
  });

  it('a token is renewed before it ends', async () => {
    const net = network();
    const real = agentClient(service, members);
    const short = { access_token: await real.accessToken(), token_type: 'Bearer', scope: 'agent' };
    net.next('POST', /token$/, answerWith(200, { ...short, expires_in: 1 }));
    const client = agentClient(service, members, { fetch: net.fetch });
    await client.tasks.list();
    await client.tasks.list();
    expect(net.passed.filter(({ path }) => path === '/oauth2/token')).toHaveLength(1);
    await new Promise((resolve) => setTimeout(resolve, 850));
    await client.tasks.list();
    expect(net.passed.filter(({ path }) => path === '/oauth2/token')).toHaveLength(2);
  });

  it('a token that is refused is replaced once, and the call goes on', async () => {
    const net = network();
    const broken = { access_token: 'no.such.token', token_type: 'Bearer', scope: 'agent' };
    net.next('POST', /token$/, answerWith(200, { ...broken, expires_in: 900 }));
    const client = agentClient(service, members, { fetch: net.fetch });
    expect((await client.tasks.list()).data).toBeInstanceOf(Array);
    expect(net.passed.map(({ path }) => path)).toEqual([
      '/oauth2/token',
      '/v1/tasks',
      '/oauth2/token',
      '/v1/tasks',
    ]);
  });

  it('an assertion whose answer was lost is never sent again', async () => {
    const net = network();
    net.next('POST', /token$/, loseAnswer);
    const client = agentClient(service, members, { fetch: net.fetch });
    expect((await client.tasks.list()).data).toBeInstanceOf(Array);
  });

  it('a key that is not the agent’s is refused as invalid_client, without a retry', async () => {
    const net = network();
    const stranger = { ...members, key: await generateKey() };
    const client = agentClient(service, stranger, { fetch: net.fetch });
    const error = await errorOf(client.tasks.list());
    expect(error).toMatchObject({ code: 'invalid_client', status: 401 });
    expect(net.passed).toHaveLength(1);
  });

  it('a private key that stays in WebCrypto signs in as well', async () => {
    const { agent } = members;
    const credential = { agent: agent.id, key: agent.key.privateKey };
    const client = openClient({ url: service.url, credential });
    expect((await client.tasks.list()).data).toBeInstanceOf(Array);
  });
});

describe('repeating', () => {
  it('a call that was answered 503 is repeated under the same key and has one effect', async () => {
    const net = network();
    net.next('POST', /tasks$/, answerUnavailable, answerUnavailable);
    const client = agentClient(service, members, { fetch: net.fetch });
    const purpose = 'answered twice with 503';
    const task = await client.tasks.start({ ...order, purpose });
    const keys = net.passed
      .filter(({ path }) => path === '/v1/tasks')
      .map((each) => each.idempotencyKey);
    expect(keys).toHaveLength(3);
    expect(new Set(keys).size).toBe(1);
    const made: string[] = [];
    for await (const each of eachItem((cursor) => client.tasks.list({ limit: 2, cursor })))
      if (each.purpose === purpose) made.push(each.id);
    expect(made).toEqual([task.id]);
  });

  it('a credential whose answer was lost is the same one, and opens', async () => {
    const net = network();
    const client = agentClient(service, members, { fetch: net.fetch });
    const task = await client.tasks.start(order);
    net.next('POST', /credentials$/, loseAnswer);
    const outcome = await client.credentials.request(task.id, { role: 'orders-readonly' });
    expect(outcome).toMatchObject({ outcome: 'issued', material: { kind: 'postgres' } });
    expect((await client.credentials.list(task.id)).data).toHaveLength(1);
    await client.tasks.complete(task.id);
  });

  it('two calls with one key of the caller’s own have one effect and one answer', async () => {
    const client = agentClient(service, members);
    const idempotencyKey = 'order-4711';
    const [first, second] = await Promise.all([
      client.tasks.start(order, { idempotencyKey }),
      client.tasks.start(order, { idempotencyKey }),
    ]);
    expect(second.id).toBe(first.id);
  });

  it('a refusal is not repeated, and says its code, status, sentence and request id', async () => {
    const net = network();
    const client = agentClient(service, members, { fetch: net.fetch });
    const task = await client.tasks.start(order);
    const error = await errorOf(client.credentials.request(task.id, { role: 'no-such-role' }));
    expect(error).toMatchObject({ name: 'CountersignError', code: 'role_unknown', status: 422 });
    expect(error.detail).toContain('orders-readonly');
    expect(error.requestId).toMatch(/^[0-9a-f-]{36}$/);
    expect(net.passed.filter(({ path }) => path.endsWith('/credentials'))).toHaveLength(1);
  });

  it('a server that never answers is given up when the time is over', async () => {
    const net = network();
    net.next('GET', /agents$/, ...Array.from({ length: 50 }, () => loseCall));
    const began = Date.now();
    const error = await errorOf(
      adminClient(service, { fetch: net.fetch, retrySeconds: 1 }).agents.list(),
    );
    expect(error).toMatchObject({ code: 'unreachable', status: null });
    expect(Date.now() - began).toBeLessThan(1_500);
    expect(net.passed.length).toBeGreaterThan(2);
  });

  it('a call that hangs ends when its signal is aborted', async () => {
    const silent = createServer(() => undefined);
    const port = await listen(silent);
    const client = openClient({ url: `http://127.0.0.1:${port}`, credential: { token: 'x' } });
    const error = await errorOf(client.requests.get('req_1', { signal: AbortSignal.timeout(100) }));
    expect(error.code).toBe('aborted');
    silent.closeAllConnections();
    silent.close();
  });

  it('a token never follows a redirect', async () => {
    const heard: unknown[] = [];
    const elsewhere = createServer((request, response) => {
      heard.push(request.headers.authorization);
      response.end('{"data":[],"next_cursor":null}');
    });
    const location = `http://127.0.0.1:${await listen(elsewhere)}/v1/agents`;
    const redirecting = createServer((_request, response) =>
      response.writeHead(307, { location }).end(),
    );
    const url = `http://127.0.0.1:${await listen(redirecting)}`;
    const error = await errorOf(openClient({ url, credential: { token: 't' } }).agents.list());
    expect(error).toMatchObject({ code: 'bad_answer', status: 307 });
    expect(heard).toEqual([]);
    elsewhere.close();
    redirecting.close();
  });

  it('an answer that is not Countersign’s is named as such', async () => {
    const net = network();
    net.next('GET', /version$/, () => Promise.resolve(new Response('<html>hello</html>')));
    const error = await errorOf(adminClient(service, { fetch: net.fetch }).version());
    expect(error.code).toBe('bad_answer');
  });
});

describe('credentials', () => {
  it('what policy forbids is an outcome with its reasons, not an error', async () => {
    const client = agentClient(service, members);
    const task = await client.tasks.start(order);
    const outcome = await client.credentials.request(task.id, { role: 'vault' });
    expect(outcome).toMatchObject({
      outcome: 'denied',
      evaluation: { policy_version: task.policy_version },
    });
  });

  it('a held credential is collected once people agreed, once, by whoever asked', async () => {
    const client = agentClient(service, members);
    const task = await client.tasks.start(order);
    const asked = { role: 'orders-write', reason: 'refund order 7' };
    const held = await client.credentials.request(task.id, asked);
    if (held.outcome !== 'held') throw new Error(`expected held, got ${held.outcome}`);
    const waiting = client.requests.wait(held.request.id, { timeoutSeconds: 20 });
    await vote(members.approver, held.request.id, 'approve');
    expect((await waiting).state).toBe('approved');
    const { material, credential } = await client.requests.collect(held.request.id, held.sealKey);
    expect(material.kind).toBe('postgres');
    expect(credential.request).toBe(held.request.id);
    expect(credential).not.toHaveProperty('sealed');
    const again = await errorOf(client.requests.collect(held.request.id, held.sealKey));
    expect(again.code).toBe('already_collected');
    await client.tasks.complete(task.id);
  });

  it('an agent that lost its key after people agreed collects with another one', async () => {
    const client = agentClient(service, members);
    const task = await client.tasks.start(order);
    const asked = { role: 'orders-write', reason: 'refund order 9' };
    const held = await client.credentials.request(task.id, asked);
    if (held.outcome !== 'held') throw new Error(`expected held, got ${held.outcome}`);
    await vote(members.approver, held.request.id, 'approve');
    await client.requests.wait(held.request.id, { timeoutSeconds: 20 });
    const { material } = await client.requests.collect(held.request.id, await generateKey());
    expect(material.kind).toBe('postgres');
    await client.tasks.complete(task.id);
  });

  it('an agent that lost its key while people decide asks again and can open what it gets', async () => {
    const client = agentClient(service, members);
    const task = await client.tasks.start(order);
    const asked = { role: 'orders-write', reason: 'refund order 8' };
    const first = await client.credentials.request(task.id, asked);
    const second = await client.credentials.request(task.id, asked);
    if (first.outcome !== 'held' || second.outcome !== 'held') throw new Error('expected held');
    expect(second.request.id).toBe(first.request.id);
    await vote(members.approver, second.request.id, 'approve');
    const { material } = await client.requests.collect(second.request.id, second.sealKey);
    expect(material.kind).toBe('postgres');
    await client.tasks.complete(task.id);
  });

  it('waiting for people ends when its time is over, and the request stays open', async () => {
    const client = agentClient(service, members);
    const task = await client.tasks.start(order);
    const held = await client.credentials.request(task.id, { role: 'orders-write', reason: 'r' });
    if (held.outcome !== 'held') throw new Error(`expected held, got ${held.outcome}`);
    const began = Date.now();
    const seen = await client.requests.wait(held.request.id, { timeoutSeconds: 1 });
    expect(seen.state).toBe('pending');
    expect(Date.now() - began).toBeLessThan(3_000);
    expect((await client.requests.cancel(held.request.id)).state).toBe('cancelled');
  });
});

describe('the other routes', () => {
  it('people, agents, tokens, reviews, policies and the version are typed calls', async () => {
    const client = adminClient(service);
    const invited = await client.people.invite({
      name: 'Reader',
      roles: ['auditor'],
      groups: ['audit'],
    });
    expect(invited.sign_in_url).toContain('/sign-in/');
    expect((await client.people.change(invited.id, { groups: [] })).groups).toEqual([]);
    expect((await client.people.link(invited.id)).sign_in_url).not.toBe(invited.sign_in_url);
    const agent = await client.agents.get(members.agent.id);
    expect(agent.name).toBe(members.agent.name);
    const token = await agentClient(service, members).accessToken();
    expect(await client.introspect(token)).toMatchObject({ active: true, sub: agent.id });
    expect(await client.introspect('nonsense')).toEqual({ active: false });
    const review = await client.reviews.open({ title: 'Quarter' });
    expect((await client.reviews.get(review.id)).lines.length).toBeGreaterThan(0);
    expect((await client.reports.lifecycleCsv()).split('\r\n')[0]).toContain('agent_name');
    const active = await client.policies.active();
    expect(await client.policies.propose(active.files)).toEqual({ version: active.version });
    expect((await client.version()).webhook_key).toMatch(/^whpk_/);
  });

  it('following events gives each one once, and then the new ones', async () => {
    const client = agentClient(service, members);
    const task = await client.tasks.start(order);
    const seen: RecordedEvent[] = [];
    const stop = new AbortController();
    const following = (async () => {
      const events = client.events.follow(
        { task: task.id },
        { everySeconds: 0.1, signal: stop.signal },
      );
      for await (const event of events) seen.push(event);
    })();
    await client.tasks.complete(task.id, { waitSeconds: 20 });
    await expect
      .poll(() => seen.map(({ type }) => type))
      .toEqual([
        'dev.countersign.task.started.v1',
        'dev.countersign.task.ending.v1',
        'dev.countersign.task.completed.v1',
      ]);
    stop.abort();
    await expect(following).rejects.toMatchObject({ code: 'aborted' });
  });

  it('an id from elsewhere cannot lead a call to another path', async () => {
    const error = await errorOf(adminClient(service).agents.get('x/../../v1/people'));
    expect(error.code).toBe('not_found');
  });

  it('an address with a path is refused before anything is sent', () => {
    expect(() =>
      openClient({ url: 'http://localhost:8080/v1', credential: { token: 't' } }),
    ).toThrow(CountersignError);
  });
});
