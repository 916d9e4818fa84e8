import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { startFakeTickets, type FakeTickets } from '../fakes/tickets.ts';
import { changePolicy, detailsOf, seen, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  eventually,
  list,
  object,
  opened,
  text,
  vote,
  type Reply,
} from '../support/client.ts';
import { withTickets } from '../support/upstreams.ts';

const TOKEN = `marker-${randomBytes(18).toString('hex')}`;

let cast: Cast;
let tickets: FakeTickets;
let task: string;

beforeAll(async () => {
  tickets = await startFakeTickets(TOKEN);
  cast = await startCast({ env: { TICKETS_TOKEN: TOKEN } });
  await changePolicy(cast.service, cast.approver, (files) =>
    withTickets(files, { base: tickets.url }),
  );
  task = await startTask(cast.agent);
});
afterEach(() => {
  tickets.instead.length = 0;
});
afterAll(async () => {
  await cast.close();
  await tickets.close();
});

const ask = (more: JsonObject, headers: Record<string, string> = {}): Promise<Reply> =>
  cast.agent.call(
    'POST',
    '/v1/run',
    { task, upstream: 'tickets', seal_to: cast.seal.publicJwk, ...more },
    headers,
  );
const get = (ticket: string | number, more: JsonObject = {}, headers = {}): Promise<Reply> =>
  ask({ call: 'get-ticket', params: { ticket }, ...more }, headers);
const close = (ticket: string, more: JsonObject = {}): Promise<Reply> =>
  ask({ call: 'close-ticket', params: { ticket }, body: { state: 'closed' }, ...more });
const pay = (ticket: string, more: JsonObject = {}): Promise<Reply> =>
  ask({ call: 'pay', params: { ticket }, body: { cents: 500 }, ...more });

const answerOf = (reply: Reply): Promise<JsonObject> => opened(reply.body['sealed'], cast.seal);
const requestIn = (reply: Reply): string => text(object(reply.body['request'])['id']);
const parametersIn = (reply: Reply): JsonObject =>
  object(object(object(reply.body['request'])['action'])['parameters']);
const about = (ticket: string) =>
  tickets.received.filter(({ target }) => target.includes(`/tickets/${ticket}`));
const changes = (ticket: string) => about(ticket).filter(({ method }) => method !== 'GET');

async function runOf(request: string): Promise<JsonObject> {
  const reply = await cast.agent.call('GET', `/v1/runs?request=${request}`);
  return list(reply.body['data'])[0] ?? {};
}

/** Waits until a request was carried out, and reads its run with the answer. */
async function carriedOut(request: string): Promise<Reply> {
  await eventually(async () => (await seen(cast.service, request))['state'] !== 'approved');
  return cast.agent.call('GET', `/v1/runs/${text((await runOf(request))['id'])}`);
}

describe('a call that policy plainly permits', () => {
  it('is made at once with our secret, and its answer is sealed to whoever asked', async () => {
    const reply = await get(1, { query: { fields: 'a&b' }, headers: { 'Accept-Language': 'de' } });
    expect([reply.status, reply.text]).toEqual([201, expect.any(String)]);
    expect(reply.body).toMatchObject({
      state: 'done',
      outcome: 'answered',
      effect: 'read',
      upstream: 'tickets',
      call: 'get-ticket',
      role: null,
      credential: null,
      status: 200,
      sends: 1,
      is_cut: false,
      is_masked: false,
    });
    const answer = await answerOf(reply);
    expect(answer).toMatchObject({ kind: 'answer', status: 200, encoding: 'utf8' });
    expect(JSON.parse(text(answer['body']))).toMatchObject({ ticket: '1', state: 'open' });
    expect(tickets.received.at(-1)).toMatchObject({
      target: '/tickets/1?fields=a%26b',
      headers: { accept: 'application/json', 'accept-language': 'de' },
    });
    expect(reply.text).not.toContain('not-for-cards');
  });

  it('I8: repeated with its key is the same run and the same bytes, and goes out once', async () => {
    const headers = { 'idempotency-key': 'call-once' };
    const first = await get(2, {}, headers);
    const second = await get(2, {}, headers);
    expect(second.text).toBe(first.text);
    expect(about('2')).toHaveLength(1);
    expect((await get(3, {}, headers)).body['code']).toBe('idempotency_mismatch');
    expect(about('3')).toHaveLength(0);
  });

  it('I1: has an event before it, one when it goes out, and one after it', async () => {
    const reply = await get(4);
    const events = await admin(cast.service).call('GET', `/v1/events?task=${task}&limit=500`);
    const types = list(events.body['data'])
      .filter((event) => object(object(event['data'])['detail'])['run'] === reply.body['id'])
      .map((event) => text(event['type']).split('.').slice(2, 4).join('.'));
    expect(types).toEqual(['run.intended', 'run.sent', 'run.finished']);
  });

  it('is denied where policy says so of what is filled in', async () => {
    const reply = await get(13);
    expect([reply.status, reply.body['code']]).toEqual([403, 'denied']);
    expect(about('13')).toHaveLength(0);
  });
});

describe('nothing but what the policy lists goes out', () => {
  it.each<[string, JsonObject, string]>([
    ['another API', { upstream: 'nobody', call: 'x' }, 'upstream_unknown'],
    ['another call', { call: 'constructor' }, 'call_refused'],
    [
      'a path that leads elsewhere',
      { call: 'get-ticket', params: { ticket: '../admin' } },
      'call_refused',
    ],
    ['an encoded separator', { call: 'get-ticket', params: { ticket: 'a%2fb' } }, 'call_refused'],
    [
      'another line of the header',
      { call: 'get-ticket', params: { ticket: '1' }, headers: { 'accept-language': 'de\r\nx: y' } },
      'call_refused',
    ],
    [
      'a header of ours',
      { call: 'get-ticket', params: { ticket: '1' }, headers: { authorization: 'Bearer x' } },
      'call_refused',
    ],
    [
      'another query',
      { call: 'get-ticket', params: { ticket: '1' }, query: { admin: true } },
      'call_refused',
    ],
    [
      'a body where there is none',
      { call: 'get-ticket', params: { ticket: '1' }, body: null },
      'call_refused',
    ],
  ])('%s is refused, and says what there is', async (_what, more, code) => {
    const before = tickets.connections;
    const reply = await ask(more);
    expect([reply.status, reply.body['code']]).toEqual([422, code]);
    expect(tickets.connections).toBe(before);
  });

  it.each<[string, JsonObject, string]>([
    ['a statement and a call', { call: 'search', statement: 'select 1' }, '/upstream'],
    ['half a call', {}, '/call'],
  ])('%s is no body that this takes', async (_what, more, pointer) => {
    const reply = await ask(more);
    expect(reply.status).toBe(400);
    expect(list(reply.body['errors'])[0]?.['pointer']).toBe(pointer);
  });

  it('and nobody calls anything under a task that has ended', async () => {
    const ended = await startTask(cast.agent);
    await cast.agent.call('POST', `/v1/tasks/${ended}/complete`, {}, { prefer: 'wait=10' });
    expect((await get(5, { task: ended })).body['code']).toBe('task_not_running');
    expect(about('5')).toHaveLength(0);
  });
});

describe('I2: a call that people agreed to', () => {
  it('I2: is shown as it goes out, with what it would change, and then goes out exactly once', async () => {
    const held = await close('30', { reason: 'solved' });
    expect(held.status).toBe(202);
    expect(parametersIn(held)).toMatchObject({
      call: 'close-ticket',
      method: 'PATCH',
      url: `${tickets.url}/tickets/30`,
      headers: { accept: 'application/json' },
      body: { state: 'closed' },
      effect: 'write',
      retry: 'never',
      preview: {
        call: 'get-ticket',
        status: 200,
        is_cut: false,
        text: '{"api_key":"[redacted]","state":"open","ticket":"30"}',
      },
    });
    expect(changes('30')).toHaveLength(0);
    const request = requestIn(held);
    expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
    const done = await carriedOut(request);
    expect(done.body).toMatchObject({ state: 'done', outcome: 'answered', status: 200, request });
    expect(await answerOf(done)).toMatchObject({ status: 200 });
    expect(changes('30').map(({ body }) => body)).toEqual(['{"state":"closed"}']);
    expect((await seen(cast.service, request))['state']).toBe('consumed');
    expect(await detailsOf(cast.service, request, 'permit.redeemed')).toHaveLength(1);
    expect(await detailsOf(cast.service, request, 'receipt.recorded')).toEqual([
      expect.objectContaining({
        outcome: 'answered',
        digest_matches: true,
        effect: done.body['id'],
      }),
    ]);
  });

  it('I2: is another one when a value or a byte of its body differs, and the same one when nothing does', async () => {
    const first = requestIn(await close('31'));
    expect(requestIn(await close('31'))).toBe(first);
    const others = await Promise.all([
      close('32'),
      close('31', { body: { state: 'Closed' } }),
      close('31', { headers: { 'accept-language': 'de' } }),
    ]);
    expect(new Set([first, ...others.map(requestIn)]).size).toBe(4);
    expect(changes('31')).toHaveLength(0);
  });

  it('I2: that people deny never goes out', async () => {
    const request = requestIn(await close('33'));
    await vote(cast.approver, request, 'deny');
    expect(await runOf(request)).toEqual({});
    expect(changes('33')).toHaveLength(0);
  });

  it('I4: cannot be agreed to by whoever owns the agent', async () => {
    const request = requestIn(await close('34'));
    expect((await vote(cast.owner, request, 'approve')).body['code']).toBe('self_approval');
  });

  it('I3: does not go out when its task ended before', async () => {
    const other = await startTask(cast.agent);
    const request = requestIn(await close('35', { task: other }));
    await cast.service.database.owner.sql`
      update task set deadline_at = now() + interval '1 second' where id = ${other}`;
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await vote(cast.approver, request, 'approve');
    await eventually(async () => (await seen(cast.service, request))['state'] !== 'pending');
    await eventually(async () => (await seen(cast.service, request))['state'] !== 'approved');
    expect(changes('35')).toHaveLength(0);
  });

  it('I2: that policy would now make another call of does not go out', async () => {
    const request = requestIn(await close('36'));
    const elsewhere = await startFakeTickets(TOKEN);
    // As an upgrade would, past the people who would have to agree.
    const before = await admin(cast.service).call('GET', '/v1/policies/active');
    const files = object(before.body['files']);
    const swap = (base: string) =>
      changePolicy(cast.service, cast.approver, () => withTickets(withoutTickets(files), { base }));
    await swap(elsewhere.url);
    const state = text((await seen(cast.service, request))['state']);
    if (state === 'pending') await vote(cast.approver, request, 'approve');
    await eventually(async () =>
      ['failed', 'superseded'].includes(text((await seen(cast.service, request))['state'])),
    );
    await swap(tickets.url);
    expect(changes('36')).toHaveLength(0);
    expect(elsewhere.received).toHaveLength(0);
    await elsewhere.close();
  });

  it('whose preview the agent may not read is shown without one', async () => {
    const held = await ask({ call: 'purge', params: { ticket: '37' } });
    expect(parametersIn(held)).not.toHaveProperty('preview');
    expect(about('37')).toHaveLength(0);
  });
});

/** The files of a policy as they were before the API came. */
function withoutTickets(files: JsonObject): Record<string, string> {
  const kept = Object.entries(files).filter(([name]) => name !== 'upstreams.yaml');
  return Object.fromEntries(
    kept.map(([name, content]) => [
      name,
      text(content).replace(/\n@id\("read-tickets"\)[^]*$/, ''),
    ]),
  );
}

describe('an API that behaves badly', () => {
  it('is reported as what it answered, an error or not', async () => {
    tickets.instead.push((response) => {
      response.writeHead(500).end('sorry');
    });
    const reply = await get(40);
    expect(reply.body).toMatchObject({ state: 'done', status: 500, bytes: 5, sends: 1 });
    expect(await answerOf(reply)).toMatchObject({ status: 500, body: 'sorry' });
  });

  it('is not followed where it sends us', async () => {
    const trap = await startFakeTickets(TOKEN);
    tickets.instead.push((response) => {
      response.writeHead(302, { location: `${trap.url}/latest/meta-data` }).end();
    });
    const reply = await get(41);
    expect(await answerOf(reply)).toMatchObject({
      status: 302,
      headers: { location: `${trap.url}/latest/meta-data` },
    });
    expect(trap.connections).toBe(0);
    await trap.close();
  });

  it('I5: that repeats our secret is masked, and the receipt says so', async () => {
    tickets.instead.push((response) => {
      response.writeHead(200, {
        'content-type': 'text/plain',
        etag: `"${TOKEN}"`,
        'set-cookie': TOKEN,
      });
      response.end(
        [TOKEN, Buffer.from(`x${TOKEN}y`).toString('base64'), encodeURIComponent(TOKEN)].join(' '),
      );
    });
    const reply = await get(42);
    expect(reply.body).toMatchObject({ is_masked: true });
    const answer = JSON.stringify(await answerOf(reply));
    expect(answer).not.toContain(TOKEN);
    expect(answer).not.toContain(Buffer.from(TOKEN).toString('base64').slice(4, 20));
    expect(answer).not.toContain('set-cookie');
    expect(answer).toContain('[masked]');
  });

  it('that sends ten megabytes is cut at one, and says so', async () => {
    tickets.instead.push((response) => {
      response.writeHead(200);
      for (let megabyte = 0; megabyte < 10; megabyte += 1)
        response.write(Buffer.alloc(1024 * 1024, 97));
      response.end();
    });
    const reply = await get(43);
    expect(reply.body).toMatchObject({ state: 'done', bytes: 1024 * 1024, is_cut: true });
    expect(text((await answerOf(reply))['body'])).toHaveLength(1024 * 1024);
  });

  it('that packs its answer all the same is handed on without it', async () => {
    tickets.instead.push((response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('packed');
    });
    expect(await answerOf(await get(44))).toMatchObject({ status: 200, body: '', is_cut: true });
  });

  it('that never ends its answer is cut off, and its status counts', async () => {
    tickets.instead.push((response) => {
      response.writeHead(200);
      const drip = setInterval(() => response.write('.'), 100);
      response.on('close', () => clearInterval(drip));
    });
    expect((await get(45)).body).toMatchObject({ state: 'done', status: 200, is_cut: true });
  });

  it('that says nothing is asked again where that does no harm, and not for ever', async () => {
    tickets.instead.push((_response, socket) => socket.destroy());
    expect((await get(46)).body).toMatchObject({ state: 'done', status: 200, sends: 2 });
    for (let time = 0; time < 3; time += 1)
      tickets.instead.push((_response, socket) => socket.end('garbage\r\n\r\n'));
    expect((await get(47)).body).toMatchObject({ state: 'failed', status: null, sends: 3 });
    expect(about('47')).toHaveLength(3);
  });

  it('that says nothing to a search, which policy does not say is safe, is asked once', async () => {
    const before = tickets.received.length;
    tickets.instead.push((_response, socket) => socket.destroy());
    const reply = await ask({ call: 'search', body: { text: 'x' } });
    expect(reply.body).toMatchObject({ state: 'failed', sends: 1 });
    expect(tickets.received.length - before).toBe(1);
  });

  it('that says nothing to what changes something leaves it unknown, and is never asked again', async () => {
    const request = requestIn(await close('48'));
    tickets.instead.push(() => undefined);
    await vote(cast.approver, request, 'approve');
    const done = await carriedOut(request);
    expect(done.body).toMatchObject({
      state: 'unknown',
      code: 'timed_out',
      sends: 1,
      status: null,
    });
    expect((await seen(cast.service, request))['state']).toBe('failed');
    expect(changes('48')).toHaveLength(1);
  });

  it('that takes idempotency keys is sent the same one again, and does it once', async () => {
    const request = requestIn(await pay('49'));
    tickets.instead.push((_response, socket) => socket.destroy());
    await vote(cast.approver, request, 'approve');
    const done = await carriedOut(request);
    expect(done.body).toMatchObject({ state: 'done', status: 200, sends: 2 });
    expect([...new Set(changes('49').map(({ headers }) => headers['idempotency-key']))]).toEqual([
      done.body['id'],
    ]);
    expect([...tickets.payments.keys()].filter((key) => key === done.body['id'])).toHaveLength(1);
  });
});

describe('I5: what we sign in with', () => {
  it('I5: is in no table, no event and no answer', async () => {
    await get(50);
    const { sql } = cast.service.database.owner;
    const tables = await sql<{ name: string }[]>`
      select tablename as name from pg_tables where schemaname = 'public'`;
    for (const { name } of tables) {
      const [found] = await sql<{ there: boolean }[]>`
        select exists (select from ${sql(name)} t where t::text like ${`%${TOKEN}%`}) as there`;
      expect([name, found?.there]).toEqual([name, false]);
    }
  });

  it('I6: that is not configured means that nothing goes out', async () => {
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'upstreams.yaml': (files['upstreams.yaml'] ?? '').replace('TICKETS_TOKEN', 'NOT_THERE'),
    }));
    const before = tickets.connections;
    expect((await get(51)).body).toMatchObject({
      state: 'failed',
      code: 'upstream_not_configured',
      sends: 0,
    });
    expect(tickets.connections).toBe(before);
  });
});
