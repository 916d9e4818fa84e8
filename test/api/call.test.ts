import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { startFakeTickets, type FakeTickets } from '../fakes/tickets.ts';
import { requestIn, startCalling, type Calling } from '../support/calling.ts';
import { changePolicy, detailsOf, seen, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  eventually,
  list,
  object,
  text,
  vote,
  type Reply,
} from '../support/client.ts';
import { childTask } from '../support/delegation.ts';
import { withTickets } from '../support/upstreams.ts';

let calling: Calling;
let cast: Cast;
let tickets: FakeTickets;
let task: string;

beforeAll(async () => {
  calling = await startCalling();
  ({ cast, tickets, task } = calling);
});
afterAll(() => calling.end());

const parametersIn = (reply: Reply): JsonObject =>
  object(object(object(reply.body['request'])['action'])['parameters']);

describe('a call that policy plainly permits', () => {
  it('is made at once with our secret, and its answer is sealed to whoever asked', async () => {
    const reply = await calling.get(1, {
      query: { fields: 'a&b' },
      headers: { 'Accept-Language': 'de' },
    });
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
    const answer = await calling.answerOf(reply);
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
    const first = await calling.get(2, {}, headers);
    const second = await calling.get(2, {}, headers);
    expect(second.text).toBe(first.text);
    expect(calling.about('2')).toHaveLength(1);
    expect((await calling.get(3, {}, headers)).body['code']).toBe('idempotency_mismatch');
    expect(calling.about('3')).toHaveLength(0);
  });

  it('I1: has an event before it, one when it goes out, and one after it', async () => {
    const reply = await calling.get(4);
    const events = await admin(cast.service).call('GET', `/v1/events?task=${task}&limit=500`);
    const types = list(events.body['data'])
      .filter((event) => object(object(event['data'])['detail'])['run'] === reply.body['id'])
      .map((event) => text(event['type']).split('.').slice(2, 4).join('.'));
    expect(types).toEqual(['run.intended', 'run.sent', 'run.finished']);
  });

  it('is denied where policy says so of what is filled in', async () => {
    const reply = await calling.get(13);
    expect([reply.status, reply.body['code']]).toEqual([403, 'denied']);
    expect(calling.about('13')).toHaveLength(0);
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
    const reply = await calling.ask(more);
    expect([reply.status, reply.body['code']]).toEqual([422, code]);
    expect(tickets.connections).toBe(before);
  });

  it.each<[string, JsonObject, string]>([
    ['a statement and a call', { call: 'search', statement: 'select 1' }, '/upstream'],
    ['half a call', {}, '/call'],
  ])('%s is no body that this takes', async (_what, more, pointer) => {
    const reply = await calling.ask(more);
    expect(reply.status).toBe(400);
    expect(list(reply.body['errors'])[0]?.['pointer']).toBe(pointer);
  });

  it('and a task that was handed on has the calls that it was handed on with', async () => {
    const child = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const under = async (roles: string[]): Promise<Reply> => {
      const below = await childTask(cast.service, cast.agent, task, child, { roles });
      const order = { upstream: 'tickets', call: 'get-ticket', params: { ticket: 14 } };
      const sealTo = cast.seal.publicJwk;
      return child.call('POST', '/v1/run', { task: below, seal_to: sealTo, ...order });
    };
    expect((await under(['orders-readonly'])).body['code']).toBe('delegation_refused');
    expect(calling.about('14')).toHaveLength(0);
    expect((await under(['tickets'])).body).toMatchObject({ state: 'done', status: 200 });
  });

  it('and nobody sees or makes calls under the task of another agent', async () => {
    const other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const order = { task, upstream: 'tickets', call: 'get-ticket', params: { ticket: 15 } };
    const reply = await other.call('POST', '/v1/run', { ...order, seal_to: cast.seal.publicJwk });
    expect(reply.status).toBe(404);
    expect(calling.about('15')).toHaveLength(0);
    const mine = text((await calling.get(16)).body['id']);
    expect((await other.call('GET', `/v1/runs/${mine}`)).status).toBe(404);
    const person = await cast.approver.call('GET', `/v1/runs/${mine}`);
    expect(person.body).not.toHaveProperty('sealed');
  });

  it('and nobody calls anything under a task that has ended', async () => {
    const ended = await startTask(cast.agent);
    await cast.agent.call('POST', `/v1/tasks/${ended}/complete`, {}, { prefer: 'wait=10' });
    expect((await calling.get(5, { task: ended })).body['code']).toBe('task_not_running');
    expect(calling.about('5')).toHaveLength(0);
  });
});

describe('I2: a call that people agreed to', () => {
  it('I2: is shown as it goes out, with what it would change, and then goes out exactly once', async () => {
    const held = await calling.close('30', { reason: 'solved' });
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
    expect(calling.changes('30')).toHaveLength(0);
    const request = requestIn(held);
    expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
    const done = await calling.carriedOut(request);
    expect(done.body).toMatchObject({ state: 'done', outcome: 'answered', status: 200, request });
    expect(await calling.answerOf(done)).toMatchObject({ status: 200 });
    expect(calling.changes('30').map(({ body }) => body)).toEqual(['{"state":"closed"}']);
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
    const first = requestIn(await calling.close('31'));
    expect(requestIn(await calling.close('31'))).toBe(first);
    const others = await Promise.all([
      calling.close('32'),
      calling.close('31', { body: { state: 'Closed' } }),
      calling.close('31', { headers: { 'accept-language': 'de' } }),
    ]);
    expect(new Set([first, ...others.map(requestIn)]).size).toBe(4);
    expect(calling.changes('31')).toHaveLength(0);
  });

  it('I2: that people deny never goes out', async () => {
    const request = requestIn(await calling.close('33'));
    await vote(cast.approver, request, 'deny');
    expect(await calling.runOf(request)).toEqual({});
    expect(calling.changes('33')).toHaveLength(0);
  });

  it('I4: cannot be agreed to by whoever owns the agent', async () => {
    const request = requestIn(await calling.close('34'));
    expect((await vote(cast.owner, request, 'approve')).body['code']).toBe('self_approval');
  });

  it('I3: does not go out when its task ended before', async () => {
    const other = await startTask(cast.agent);
    const request = requestIn(await calling.close('35', { task: other }));
    await cast.service.database.owner.sql`
      update task set deadline_at = now() + interval '1 second' where id = ${other}`;
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await vote(cast.approver, request, 'approve');
    await eventually(async () => (await seen(cast.service, request))['state'] !== 'pending');
    await eventually(async () => (await seen(cast.service, request))['state'] !== 'approved');
    expect(calling.changes('35')).toHaveLength(0);
  });

  it('I2: that policy would now make another call of does not go out', async () => {
    const request = requestIn(await calling.close('36'));
    const elsewhere = await startFakeTickets(calling.token);
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
    expect(calling.changes('36')).toHaveLength(0);
    expect(elsewhere.received).toHaveLength(0);
    await elsewhere.close();
  });

  it('whose preview the agent may not read is shown without one, and it is not made', async () => {
    const held = await calling.close('13');
    expect(held.status).toBe(202);
    expect(parametersIn(held)).toMatchObject({ call: 'close-ticket', effect: 'write' });
    expect(parametersIn(held)).not.toHaveProperty('preview');
    expect(calling.about('13')).toHaveLength(0);
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
