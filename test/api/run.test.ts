import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { detailsOf, seen, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  eventually,
  list,
  newKey,
  object,
  opened,
  text,
  vote,
  type Reply,
} from '../support/client.ts';

let cast: Cast;
let root: postgres.Sql;
let task: string;

beforeAll(async () => {
  cast = await startCast();
  root = postgres(cast.service.sample.target, { max: 1, onnotice: () => undefined });
  task = await startTask(cast.agent);
});
afterAll(async () => {
  await root.end({ timeout: 1 });
  await cast.close();
});

const run = (more: JsonObject, headers: Record<string, string> = {}): Promise<Reply> =>
  cast.agent.call(
    'POST',
    '/v1/run',
    { task, role: 'orders-readonly', seal_to: cast.seal.publicJwk, ...more },
    headers,
  );

const write = (statement: string, more: JsonObject = {}, headers = {}): Promise<Reply> =>
  run({ role: 'orders-write', statement, reason: 'a complaint', ...more }, headers);

const resultOf = async (reply: Reply): Promise<JsonObject> =>
  opened(reply.body['sealed'], cast.seal);

const rowsOf = async (reply: Reply): Promise<JsonValue | undefined> =>
  (await resultOf(reply))['rows'];

const requestIn = (reply: Reply): string => text(object(reply.body['request'])['id']);

/** The state of an order, as the cast's own reader sees it. */
async function stateOf(order: number): Promise<JsonValue | undefined> {
  return rowsOf(
    await run({ statement: 'select state from orders where id = $1', parameters: [order] }),
  );
}

async function runOf(request: string): Promise<JsonObject> {
  const reply = await cast.agent.call('GET', `/v1/runs?request=${request}`);
  return list(reply.body['data'])[0] ?? {};
}

/** Waits until a request was carried out, and reads its run with the result. */
async function carriedOut(request: string): Promise<Reply> {
  await eventually(async () => (await seen(cast.service, request))['state'] !== 'approved');
  return cast.agent.call('GET', `/v1/runs/${text((await runOf(request))['id'])}`);
}

describe('a statement that policy plainly permits', () => {
  it('is run at once, and its rows are sealed to whoever asked', async () => {
    const reply = await run({
      statement: 'select id, item, null as nothing from orders where id <= $1 order by id',
      parameters: [2],
    });
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({ state: 'done', outcome: 'read', effect: 'read', rows: 2 });
    expect(await resultOf(reply)).toMatchObject({
      kind: 'rows',
      rows: [
        ['1', 'chair', null],
        ['2', 'desk', null],
      ],
      row_count: 2,
      is_cut: false,
    });
    expect(reply.text).not.toContain('chair');
  });

  it('I3: leaves no login behind', async () => {
    const reply = await run({ statement: 'select 1 from orders' });
    const credential = text(reply.body['credential']);
    await eventually(async () => {
      const lease = await cast.agent.call('GET', `/v1/credentials/${credential}`);
      return lease.body['state'] === 'revoked';
    });
    const [left] = await root<{ there: boolean }[]>`
      select exists (select from pg_roles where rolname = ${`cs_${credential.slice(4)}`}) as there`;
    expect(left?.there).toBe(false);
  });

  it('I8: repeated with its key is the same run and the same bytes', async () => {
    const headers = { 'idempotency-key': 'run-once' };
    const statement = 'select txid_current_if_assigned(), count(*) from orders';
    const first = await run({ statement: 'select count(*) from orders' }, headers);
    const second = await run({ statement: 'select count(*) from orders' }, headers);
    expect(second.text).toBe(first.text);
    expect(second.headers.get('idempotent-replayed')).toBe('true');
    expect((await run({ statement }, headers)).body['code']).toBe('idempotency_mismatch');
  });

  it('is kept to the rows and the time it asked for', async () => {
    const cut = await run({ statement: 'select id from orders', max_rows: 3 });
    expect(await resultOf(cut)).toMatchObject({ row_count: 12, is_cut: true });
    expect(await rowsOf(cut)).toHaveLength(3);
  });

  it('that the target refuses has failed, with the reason only for whoever asked', async () => {
    const reply = await run({ statement: 'select hidden_column from orders' });
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({ state: 'failed', code: '42703', rows: null });
    expect(reply.text).not.toContain('hidden_column');
    expect(object(await resultOf(reply))).toMatchObject({ kind: 'error', code: '42703' });
  });

  it('I1: has an event before it and one after it', async () => {
    const reply = await run({ statement: 'select 1 from orders' });
    const events = await admin(cast.service).call('GET', `/v1/events?task=${task}&limit=500`);
    const types = list(events.body['data'])
      .filter((event) => object(object(event['data'])['detail'])['run'] === reply.body['id'])
      .map((event) => event['type']);
    expect(types).toEqual(['dev.countersign.run.intended.v1', 'dev.countersign.run.finished.v1']);
  });
});

describe('a statement is one statement, and no more than its text says', () => {
  it.each([
    ['two statements', 'select 1 from orders; select 2 from orders'],
    ['a transaction', 'commit'],
    ['a setting', 'set role orders_write'],
    ['nothing', '-- nothing'],
  ])('%s is refused before anything is made', async (_what, statement) => {
    expect((await run({ statement })).body['code']).toBe('statement_refused');
  });

  it.each([
    ['what writes', "update orders set state = 'stolen'"],
    [
      'a read that writes on the side',
      'with x as (delete from orders returning id) select * from x',
    ],
    ['what cannot be read', 'do $$ begin delete from orders; end $$'],
    ['a program', "copy orders to program 'cat'"],
    ['a grant', 'grant orders_write to orders_read'],
  ])('%s is no read, whatever role it comes with', async (_what, statement) => {
    expect((await run({ statement })).body['code']).toBe('denied');
  });

  it('what a function would do takes the rights of the role', async () => {
    const reply = await run({
      statement:
        'select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()',
    });
    expect(reply.body).toMatchObject({ state: 'failed', code: '42501' });
  });

  it('text and parameters with a NUL are refused', async () => {
    expect((await run({ statement: 'select \u0000' })).status).toBe(400);
    expect((await run({ statement: 'select $1::text', parameters: ['a\u0000b'] })).status).toBe(
      400,
    );
  });

  it('only roles of a database run statements', async () => {
    expect((await run({ role: 'reports-api', statement: 'select 1' })).body['code']).toBe(
      'statement_refused',
    );
  });

  it('nobody runs anything under the task of another agent, or once it has ended', async () => {
    const ended = await startTask(cast.agent);
    await cast.agent.call('POST', `/v1/tasks/${ended}/complete`, {}, { prefer: 'wait=10' });
    const late = await run({ task: ended, statement: 'select 1 from orders' });
    expect(late.body['code']).toBe('task_not_running');
    const nobody = await run({ task: 'tsk_00000000000000000000000000', statement: 'select 1' });
    expect(nobody.status).toBe(404);
  });
});

describe('I2: a statement that people agreed to', () => {
  it('I2: is shown word for word with what the target plans, and then runs exactly once', async () => {
    const statement = 'update orders set state = $1 where id = 3';
    const held = await write(statement, { parameters: ['refunded'], reason: 'order 3' });
    expect(held.status).toBe(202);
    const request = requestIn(held);
    const action = object(object(held.body['request'])['action']);
    expect(action).toMatchObject({
      action: 'statement:run',
      parameters: {
        statement,
        parameters: ['refunded'],
        effect: 'write',
        max_affected_rows: null,
        preview: { does: 'update', tables: ['public.orders'] },
      },
    });
    expect(await stateOf(3)).toEqual([['placed']]);
    expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
    const done = await carriedOut(request);
    expect(done.body).toMatchObject({ state: 'done', outcome: 'committed', rows: 1, request });
    expect(await stateOf(3)).toEqual([['refunded']]);
    expect((await seen(cast.service, request))['state']).toBe('consumed');
    expect(await detailsOf(cast.service, request, 'permit.redeemed')).toHaveLength(1);
    expect(await detailsOf(cast.service, request, 'receipt.recorded')).toEqual([
      expect.objectContaining({
        outcome: 'committed',
        digest_matches: true,
        effect: done.body['id'],
      }),
    ]);
  });

  it('I2: is another one when a blank, a comment or a parameter differs', async () => {
    const first = requestIn(await write('delete from orders where id = 12'));
    const same = requestIn(await write('delete from orders where id = 12'));
    expect(same).toBe(first);
    const others = await Promise.all([
      write('delete from orders where id  = 12'),
      write('delete from orders where id = 12 -- really'),
      write('delete from orders where id = $1', { parameters: [12] }),
      write('delete from orders where id = $1', { parameters: [11] }),
      write('delete from orders where id = 12', { max_affected_rows: 1 }),
    ]);
    const all = new Set([first, ...others.map(requestIn)]);
    expect(all.size).toBe(6);
    expect(await stateOf(12)).toEqual([['placed']]);
  });

  it('I2: is given as no credential: there is nothing to collect', async () => {
    const request = requestIn(await write("update orders set state = 'x' where id = 4"));
    const taken = await cast.agent.call('POST', `/v1/requests/${request}/collect`, {});
    expect(taken.status).toBe(404);
    await vote(cast.approver, request, 'deny');
    expect(await stateOf(4)).toEqual([['placed']]);
    expect(await runOf(request)).toEqual({});
  });

  it('I4: cannot be agreed to by whoever owns the agent', async () => {
    const request = requestIn(await write("update orders set state = 'x' where id = 5"));
    expect((await vote(cast.owner, request, 'approve')).body['code']).toBe('self_approval');
  });

  it('that changes more rows than was agreed to changes none', async () => {
    const held = await write("update orders set state = 'all' where id > 5", {
      max_affected_rows: 2,
    });
    const request = requestIn(held);
    await vote(cast.approver, request, 'approve');
    const done = await carriedOut(request);
    expect(done.body).toMatchObject({ state: 'failed', code: 'too_many_rows', rows: null });
    expect((await seen(cast.service, request))['state']).toBe('failed');
    expect(await stateOf(6)).toEqual([['placed']]);
  });

  it('is asked for with a reason where the role is given only with one', async () => {
    for (const reason of [undefined, '', '  ']) {
      const reply = await run({
        role: 'orders-write',
        statement: "update orders set state = 'x' where id = 11",
        ...(reason !== undefined && { reason }),
      });
      expect([reply.status, reply.body['code']]).toEqual([422, 'reason_required']);
    }
  });

  it('that changes rows beside what it returns is shown as what it does, and held to the same limit', async () => {
    const held = await write(
      'with gone as (delete from orders where id in (9, 10) returning id) select count(*) from gone',
      { max_affected_rows: 1 },
    );
    const request = requestIn(held);
    const { preview } = object(object(object(held.body['request'])['action'])['parameters']);
    expect(preview).toMatchObject({ does: 'delete', tables: ['public.orders'] });
    await vote(cast.approver, request, 'approve');
    const done = await carriedOut(request);
    expect(done.body).toMatchObject({ state: 'failed', code: 'too_many_rows', rows: null });
    expect(await stateOf(9)).toEqual([['placed']]);
  });

  it('that can be read no further than its text is held to its limit by what it really changed', async () => {
    const held = await write('do $$ begin delete from orders where id in (9, 10); end $$', {
      max_affected_rows: 1,
    });
    const request = requestIn(held);
    await vote(cast.approver, request, 'approve');
    const done = await carriedOut(request);
    expect(done.body).toMatchObject({ state: 'failed', code: 'too_many_rows' });
    expect(await stateOf(9)).toEqual([['placed']]);
  });

  it('that the target would not even plan is put before nobody', async () => {
    const reply = await write('update orders set no_such_column = 1');
    expect(reply.status).toBe(422);
    expect(reply.body).toMatchObject({ code: 'statement_failed', target_code: '42703' });
  });

  it('that cannot be read is shown as such, without a plan', async () => {
    const held = await write("do $$ begin update orders set state = 'x' where id = 7; end $$");
    const parameters = object(object(object(held.body['request'])['action'])['parameters']);
    expect(parameters).toMatchObject({ effect: 'opaque' });
    expect(parameters).not.toHaveProperty('preview');
  });

  it('I3: is not committed when the agent was stopped while it ran', async () => {
    const slow = "update orders set state = 'late' where id = 8 and pg_sleep(3) is not null";
    const request = requestIn(await write(slow));
    await vote(cast.approver, request, 'approve');
    await eventually(async () => (await runOf(request))['state'] === 'running');
    await cast.agent.call(
      'POST',
      `/v1/tasks/${task}/fail`,
      { reason: 'stop' },
      { prefer: 'wait=20' },
    );
    await eventually(async () => (await runOf(request))['state'] === 'failed');
    task = await startTask(cast.agent);
    expect(await stateOf(8)).toEqual([['placed']]);
  });
});

describe('I5: what a statement reads', () => {
  it('I5: is in no table, no event and no answer for anybody else', async () => {
    const marker = 'marker-in-a-row-7f3a';
    const reply = await run({
      statement: 'select $1::text from orders limit 1',
      parameters: [marker],
    });
    expect(await rowsOf(reply)).toEqual([[marker]]);
    const sql = cast.service.database.owner.sql;
    const tables = await sql<{ name: string }[]>`
      select tablename as name from pg_tables where schemaname = 'public'`;
    for (const { name } of tables) {
      const [found] = await sql<{ there: boolean }[]>`
        select exists (select from ${sql(name)} t where t::text like ${`%${marker}%`}) as there`;
      expect([name, found?.there]).toEqual([name, false]);
    }
    const asPerson = await cast.approver.call('GET', `/v1/runs/${text(reply.body['id'])}`);
    expect(asPerson.body).not.toHaveProperty('sealed');
    const other = await newKey();
    await expect(opened(reply.body['sealed'], other)).rejects.toThrow(
      'decryption operation failed',
    );
  });
});
