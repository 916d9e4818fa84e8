// What an API answers, or does instead: of everything it is said truly what came of the call.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startFakeTickets, type FakeTickets } from '../fakes/tickets.ts';
import { requestIn, startCalling, type Calling } from '../support/calling.ts';
import { changePolicy, seen, type Cast } from '../support/cast.ts';
import { text, vote } from '../support/client.ts';

let calling: Calling;
let cast: Cast;
let tickets: FakeTickets;

beforeAll(async () => {
  calling = await startCalling();
  ({ cast, tickets } = calling);
});
afterEach(() => {
  tickets.instead.length = 0;
});
afterAll(() => calling.end());

describe('an API that behaves badly', () => {
  it('is reported as what it answered, an error or not', async () => {
    tickets.instead.push((response) => {
      response.writeHead(500).end('sorry');
    });
    const reply = await calling.get(40);
    expect(reply.body).toMatchObject({ state: 'done', status: 500, bytes: 5, sends: 1 });
    expect(await calling.answerOf(reply)).toMatchObject({ status: 500, body: 'sorry' });
  });

  it('is not followed where it sends us', async () => {
    const trap = await startFakeTickets(calling.token);
    tickets.instead.push((response) => {
      response.writeHead(302, { location: `${trap.url}/latest/meta-data` }).end();
    });
    const reply = await calling.get(41);
    expect(await calling.answerOf(reply)).toMatchObject({
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
        etag: `"${calling.token}"`,
        'set-cookie': calling.token,
      });
      response.end(
        [
          calling.token,
          Buffer.from(`x${calling.token}y`).toString('base64'),
          encodeURIComponent(calling.token),
        ].join(' '),
      );
    });
    const reply = await calling.get(42);
    expect(reply.body).toMatchObject({ is_masked: true });
    const answer = JSON.stringify(await calling.answerOf(reply));
    expect(answer).not.toContain(calling.token);
    expect(answer).not.toContain(Buffer.from(calling.token).toString('base64').slice(4, 20));
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
    const reply = await calling.get(43);
    expect(reply.body).toMatchObject({ state: 'done', bytes: 1024 * 1024, is_cut: true });
    expect(text((await calling.answerOf(reply))['body'])).toHaveLength(1024 * 1024);
  });

  it('that packs its answer all the same is handed on without it', async () => {
    tickets.instead.push((response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('packed');
    });
    expect(await calling.answerOf(await calling.get(44))).toMatchObject({
      status: 200,
      body: '',
      is_cut: true,
    });
  });

  it('that never ends its answer is cut off, and its status counts', async () => {
    tickets.instead.push((response) => {
      response.writeHead(200);
      const drip = setInterval(() => response.write('.'), 100);
      response.on('close', () => clearInterval(drip));
    });
    expect((await calling.get(45)).body).toMatchObject({
      state: 'done',
      status: 200,
      is_cut: true,
    });
  });

  it('that says nothing is asked again where that does no harm, and not for ever', async () => {
    tickets.instead.push((_response, socket) => socket.destroy());
    expect((await calling.get(46)).body).toMatchObject({ state: 'done', status: 200, sends: 2 });
    for (let time = 0; time < 3; time += 1)
      tickets.instead.push((_response, socket) => socket.end('garbage\r\n\r\n'));
    expect((await calling.get(47)).body).toMatchObject({ state: 'failed', status: null, sends: 3 });
    expect(calling.about('47')).toHaveLength(3);
  });

  it('that says nothing to a search, which policy does not say is safe, is asked once', async () => {
    const before = tickets.received.length;
    tickets.instead.push((_response, socket) => socket.destroy());
    const reply = await calling.ask({ call: 'search', body: { text: 'x' } });
    expect(reply.body).toMatchObject({ state: 'failed', sends: 1 });
    expect(tickets.received.length - before).toBe(1);
  });

  it('that says nothing to what changes something leaves it unknown, and is never asked again', async () => {
    const request = requestIn(await calling.close('48'));
    tickets.instead.push(() => undefined);
    await vote(cast.approver, request, 'approve');
    const done = await calling.carriedOut(request);
    expect(done.body).toMatchObject({
      state: 'unknown',
      code: 'timed_out',
      sends: 1,
      status: null,
    });
    expect((await seen(cast.service, request))['state']).toBe('failed');
    expect(calling.changes('48')).toHaveLength(1);
  });

  it('that takes idempotency keys is sent the same one again, and does it once', async () => {
    const request = requestIn(await calling.pay('49'));
    tickets.instead.push((_response, socket) => socket.destroy());
    await vote(cast.approver, request, 'approve');
    const done = await calling.carriedOut(request);
    expect(done.body).toMatchObject({ state: 'done', status: 200, sends: 2 });
    expect([
      ...new Set(calling.changes('49').map(({ headers }) => headers['idempotency-key'])),
    ]).toEqual([done.body['id']]);
    expect([...tickets.payments.keys()].filter((key) => key === done.body['id'])).toHaveLength(1);
  });
});

describe('I5: what we sign in with', () => {
  it('I5: is in no table, no event and no answer', async () => {
    await calling.get(50);
    const { sql } = cast.service.database.owner;
    const tables = await sql<{ name: string }[]>`
      select tablename as name from pg_tables where schemaname = 'public'`;
    for (const { name } of tables) {
      const [found] = await sql<{ there: boolean }[]>`
        select exists (select from ${sql(name)} t where t::text like ${`%${calling.token}%`}) as there`;
      expect([name, found?.there]).toEqual([name, false]);
    }
  });

  it('I6: that is not configured means that nothing goes out', async () => {
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'upstreams.yaml': (files['upstreams.yaml'] ?? '').replace('TICKETS_TOKEN', 'NOT_THERE'),
    }));
    const before = tickets.connections;
    expect((await calling.get(51)).body).toMatchObject({
      state: 'failed',
      code: 'upstream_not_configured',
      sends: 0,
    });
    expect(tickets.connections).toBe(before);
  });
});
