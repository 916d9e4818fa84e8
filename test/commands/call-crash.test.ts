// A process that makes a call dies at every point there is: what people agreed to goes out once, or is said to be
// unknown; and it goes out again only where the policy says that this does no harm.
import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openService, type Service } from '../../cli/compose.ts';
import { asAgentId } from '../../commands/agents/agents.ts';
import { fulfilRequest, type Fulfilment } from '../../commands/approvals/fulfil.ts';
import type { Deps } from '../../commands/deps.ts';
import { fingerprintOf } from '../../commands/once.ts';
import { sweepRuns } from '../../commands/runs/fulfil-run.ts';
import type { CallWish } from '../../commands/runs/http-call.ts';
import { callDoor } from '../../commands/runs/run-call.ts';
import { requestRun } from '../../commands/runs/run-door.ts';
import type { Call } from '../../commands/unit.ts';
import type { JsonObject } from '../../domain/json.ts';
import { readPublicKey } from '../../keys/public-key.ts';
import { startFakeTickets, type FakeTickets } from '../fakes/tickets.ts';
import { changePolicy, detailsOf, seen, startCast, startTask, type Cast } from '../support/cast.ts';
import { admin, list, object, opened, text, vote } from '../support/client.ts';
import { withTickets } from '../support/upstreams.ts';

const TOKEN = `marker-${randomBytes(18).toString('hex')}`;

let cast: Cast;
let own: Service;
let tickets: FakeTickets;
let task: string;
const call: Call = { principal: { kind: 'workflow', id: 'test' }, traceId: null };

beforeAll(async () => {
  tickets = await startFakeTickets(TOKEN);
  cast = await startCast({ env: { TICKETS_TOKEN: TOKEN } });
  await changePolicy(cast.service, cast.approver, (files) =>
    withTickets(files, { base: tickets.url }),
  );
  task = await startTask(cast.agent);
  // Its workflow has to own it; after that nobody but this test carries anything out.
  await ask({ call: 'get-ticket', params: { ticket: 'first' } });
  await cast.service.stopWorker();
  const { sql } = cast.service.database.owner;
  await sql`update worker set seen_at = now() + interval '1 hour'`;
  own = await openService(cast.service.config, 'test', 4);
});
// Likewise the log: nobody numbers events while the worker is stopped.
beforeEach(() => cast.service.database.owner.sql`update log_pending set at = now()`.execute());
afterAll(async () => {
  await own.close();
  await cast.close();
  await tickets.close();
});

const ask = (more: JsonObject) =>
  cast.agent.call('POST', '/v1/run', {
    task,
    upstream: 'tickets',
    seal_to: cast.seal.publicJwk,
    ...more,
  });

/** The service as it is when its process dies at a point: nothing after it happens. */
const dyingAt = (point: string): Deps => ({
  ...own.deps,
  crashPoint: (name) => {
    if (name === point) throw new Error(`died at ${point}`);
  },
});

function signal(): { given: Promise<void>; give: () => void } {
  let give: () => void = () => undefined;
  const given = new Promise<void>((resolve) => (give = resolve));
  return { given, give: () => give() };
}

interface ApprovedCall {
  request: string;
  ticket: string;
}

async function approved(name: string, more: JsonObject = {}): Promise<ApprovedCall> {
  const ticket = randomUUID();
  const held = await ask({ call: name, params: { ticket }, ...more });
  const request = text(object(held.body['request'])['id']);
  expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
  return { request, ticket };
}
const closing = () => approved('close-ticket', { body: { state: 'closed' } });
const paying = () => approved('pay', { body: { cents: 5 } });

const changes = (ticket: string) =>
  tickets.received.filter(({ target, method }) => target.includes(ticket) && method !== 'GET');

const runOf = async (request: string) => {
  const reply = await admin(cast.service).call('GET', `/v1/runs?request=${request}`);
  return list(reply.body['data'])[0] ?? {};
};

/** Lets the time pass after which whoever sent it has died. */
const letTimePass = (request: string) =>
  cast.service.database.owner.sql`
    update run set run_by = now() - interval '1 second' where request = ${request}`;

/** Tries until it is over, as its workflow does. */
async function carryOut(request: string): Promise<Fulfilment> {
  let last: Fulfilment = { outcome: 'later', code: 'not_tried' };
  for (let tries = 0; tries < 4 && last.outcome === 'later'; tries += 1) {
    await letTimePass(request);
    last = await fulfilRequest(own.deps, call, request);
  }
  return last;
}

/** Points at which nothing went out, at which it may have, and at which it is over. */
const BEFORE = ['run:redeemed', 'run:intended', 'run:login'];
const BETWEEN = ['run:sent', 'run:answered'];

describe('REL: a process that dies while it makes an approved call', () => {
  it.each(BEFORE)('at %s has sent nothing, and it goes out exactly once', async (point) => {
    const { request, ticket } = await closing();
    await expect(fulfilRequest(dyingAt(point), call, request)).rejects.toThrow('died');
    expect(changes(ticket)).toHaveLength(0);
    expect(await carryOut(request)).toEqual({ outcome: 'done' });
    expect(changes(ticket)).toHaveLength(1);
    const run = await runOf(request);
    expect(run).toMatchObject({ state: 'done', outcome: 'answered', status: 200, sends: 1 });
    expect((await seen(cast.service, request))['state']).toBe('consumed');
    const result = await cast.agent.call('GET', `/v1/runs/${text(run['id'])}`);
    expect(await opened(result.body['sealed'], cast.seal)).toMatchObject({ status: 200 });
    await fulfilRequest(own.deps, call, request);
    expect(changes(ticket)).toHaveLength(1);
  });

  it.each(BETWEEN)(
    'at %s may have sent it: nobody knows, and it never goes out again',
    async (point) => {
      const { request, ticket } = await closing();
      await expect(fulfilRequest(dyingAt(point), call, request)).rejects.toThrow('died');
      const sent = changes(ticket).length;
      expect(sent).toBe(point === 'run:sent' ? 0 : 1);
      // Its sender could still be waiting for the answer.
      expect(await fulfilRequest(own.deps, call, request)).toEqual({
        outcome: 'later',
        code: 'in_progress',
      });
      expect(await carryOut(request)).toMatchObject({ outcome: 'failed' });
      expect(changes(ticket)).toHaveLength(sent);
      expect(await runOf(request)).toMatchObject({ state: 'unknown', code: 'no_answer', sends: 1 });
      expect((await seen(cast.service, request))['state']).toBe('failed');
      expect(await detailsOf(cast.service, request, 'receipt.recorded')).toEqual([
        expect.objectContaining({ outcome: 'unknown' }),
      ]);
    },
  );

  it('after it was written down is done', async () => {
    const { request, ticket } = await closing();
    await expect(fulfilRequest(dyingAt('run:kept'), call, request)).rejects.toThrow('died');
    expect(await carryOut(request)).toEqual({ outcome: 'done' });
    expect(changes(ticket)).toHaveLength(1);
  });

  it.each(BETWEEN)('at %s sends the same key again where the API takes one', async (point) => {
    const { request, ticket } = await paying();
    await expect(fulfilRequest(dyingAt(point), call, request)).rejects.toThrow('died');
    expect(await carryOut(request)).toEqual({ outcome: 'done' });
    const run = await runOf(request);
    expect(run).toMatchObject({ state: 'done', status: 200, sends: 2 });
    const keys = changes(ticket).map(({ headers }) => headers['idempotency-key']);
    expect(new Set(keys)).toEqual(new Set([run['id']]));
    expect([...tickets.payments.keys()].filter((key) => key === run['id'])).toHaveLength(1);
  });

  it('again and again gives up after three times, and says that nobody knows', async () => {
    const { request, ticket } = await paying();
    for (let death = 0; death < 3; death += 1) {
      await expect(fulfilRequest(dyingAt('run:answered'), call, request)).rejects.toThrow('died');
      await letTimePass(request);
    }
    expect(await carryOut(request)).toMatchObject({ outcome: 'failed' });
    expect(await runOf(request)).toMatchObject({ state: 'unknown', sends: 3 });
    expect(changes(ticket)).toHaveLength(3);
    expect(tickets.payments.size).toBeGreaterThan(0);
  });

  it('only seems dead sends nothing once another has taken over', async () => {
    const { request, ticket } = await closing();
    const arrived = signal();
    const gate = signal();
    const slow: Deps = {
      ...own.deps,
      caller: {
        send: async (message, beforeSend) => {
          arrived.give();
          await gate.given;
          return own.deps.caller.send(message, beforeSend);
        },
      },
    };
    const first = fulfilRequest(slow, call, request);
    await arrived.given;
    expect(await carryOut(request)).toEqual({ outcome: 'done' });
    gate.give();
    expect(await first).toEqual({ outcome: 'done' });
    expect(changes(ticket)).toHaveLength(1);
  });

  it('whose answer comes after somebody gave it up changes nothing any more', async () => {
    const { request, ticket } = await closing();
    const answering: Deps = {
      ...own.deps,
      caller: {
        send: async (message, beforeSend) => {
          const answered = await own.deps.caller.send(message, beforeSend);
          await letTimePass(request);
          await fulfilRequest(own.deps, call, request);
          return answered;
        },
      },
    };
    expect(await fulfilRequest(answering, call, request)).toMatchObject({ outcome: 'failed' });
    expect(await runOf(request)).toMatchObject({ state: 'unknown', status: null });
    expect(changes(ticket)).toHaveLength(1);
  });

  it('and never comes back is found by the sweep once nobody may make it', async () => {
    const sent = await closing();
    const unsent = await closing();
    await expect(fulfilRequest(dyingAt('run:answered'), call, sent.request)).rejects.toThrow(
      'died',
    );
    await expect(fulfilRequest(dyingAt('run:login'), call, unsent.request)).rejects.toThrow('died');
    const { sql } = cast.service.database.owner;
    await sql`update request set state = 'failed' where id in (${sent.request}, ${unsent.request})`;
    await sweepRuns(own.deps, call);
    expect(await runOf(sent.request)).toMatchObject({ state: 'running' });
    await letTimePass(sent.request);
    await sweepRuns(own.deps, call);
    expect(await runOf(sent.request)).toMatchObject({ state: 'unknown', code: 'no_answer' });
    expect(await runOf(unsent.request)).toMatchObject({ state: 'failed', code: 'not_run' });
    expect(changes(unsent.ticket)).toHaveLength(0);
  });
});

describe('I8: a call that was cut short, made again with its key', () => {
  /** One call as its agent makes it, again and again with the same key. */
  async function keyed(wish: Partial<CallWish> & { call: string }) {
    const agent = asAgentId(cast.agent.id);
    const asked: Call = { principal: { kind: 'agent', id: agent }, traceId: null };
    const key = randomUUID();
    const once = { principal: agent, route: 'run', key, fingerprint: fingerprintOf({}) };
    const order = {
      task,
      agent,
      sealTo: await readPublicKey({ ...cast.seal.publicJwk }, 'seal_key_invalid'),
      reason: null,
      callbackUrl: null,
      wish: { upstream: 'tickets', params: {}, query: {}, headers: {}, ...wish },
    };
    const { sql } = cast.service.database.owner;
    return {
      ask: (deps: Deps) =>
        requestRun(deps, asked, once, callDoor(deps, asked, order), {
          ran: ({ id, state, code, sends }) => ({ status: 201, body: { id, state, code, sends } }),
          held: () => Promise.reject(new Error('nobody has to agree to this')),
        }),
      /** Until another may take it over, and until whoever sent it has died. */
      later: async () => {
        await sql`update idempotency set locked_until = now() where key = ${key}`;
        await sql`update run set run_by = now() - interval '1 second' where state = 'running'`;
      },
    };
  }
  const looking = (ticket: string) => ({ call: 'get-ticket', params: { ticket } });

  it('goes out again where that does no harm, as the same run', async () => {
    const ticket = randomUUID();
    const { ask: again, later } = await keyed(looking(ticket));
    await expect(again(dyingAt('run:answered'))).rejects.toThrow('died');
    await expect(again(own.deps)).rejects.toMatchObject({ code: 'idempotency_in_progress' });
    await later();
    const done = await again(own.deps);
    expect(done).toMatchObject({ body: { state: 'done', sends: 2 } });
    const replayed = await again(own.deps);
    expect(replayed).toMatchObject({ replayed: true });
    expect(replayed).toHaveProperty('body', Reflect.get(done, 'body'));
    expect(tickets.received.filter(({ target }) => target.includes(ticket))).toHaveLength(2);
  });

  it('does not go out again where nobody said that it does no harm', async () => {
    const text = randomUUID();
    const { ask: again, later } = await keyed({ call: 'search', body: { text } });
    await expect(again(dyingAt('run:answered'))).rejects.toThrow('died');
    await later();
    expect(await again(own.deps)).toMatchObject({ body: { state: 'failed', code: 'no_answer' } });
    expect(tickets.received.filter(({ body }) => body.includes(text))).toHaveLength(1);
  });

  it('does not go out where its task has ended meanwhile', async () => {
    const ticket = randomUUID();
    const { ask: again, later } = await keyed(looking(ticket));
    await expect(again(dyingAt('run:sent'))).rejects.toThrow('died');
    await later();
    const { sql } = cast.service.database.owner;
    await sql`update task set deadline_at = now() where id = ${task}`;
    expect(await again(own.deps)).toMatchObject({ body: { state: 'failed', sends: 1 } });
    await sql`update task set deadline_at = now() + interval '10 minutes' where id = ${task}`;
    expect(tickets.received.filter(({ target }) => target.includes(ticket))).toHaveLength(0);
  });
});

describe('I3: just before a call goes out', () => {
  /** Carries it out, with this happening once the connection is about to be made. */
  async function meanwhile(request: string, happens: () => Promise<unknown>): Promise<Fulfilment> {
    const deps: Deps = {
      ...own.deps,
      caller: {
        send: async (message, beforeSend) => {
          await happens();
          return own.deps.caller.send(message, beforeSend);
        },
      },
    };
    return fulfilRequest(deps, call, request);
  }

  it.each<[string, (request: string) => Promise<unknown>, string]>([
    [
      'its approval ran out',
      (request) =>
        cast.service.database.owner
          .sql`update request set approved_until = now() where id = ${request}`,
      'approval_lapsed',
    ],
    [
      'its agent was suspended',
      async () =>
        cast.service.database.owner
          .sql`update agent set state = 'suspended' where id = ${cast.agent.id}`,
      'task_not_running',
    ],
    [
      'its task passed its deadline',
      async () =>
        cast.service.database.owner.sql`update task set deadline_at = now() where id = ${task}`,
      'task_not_running',
    ],
  ])('%s, and nothing is sent', async (_what, happens, code) => {
    const { request, ticket } = await closing();
    const connections = tickets.connections;
    const { sql } = cast.service.database.owner;
    try {
      expect(await meanwhile(request, () => happens(request))).toEqual({ outcome: 'failed', code });
    } finally {
      await sql`update agent set state = 'active' where id = ${cast.agent.id}`;
      await sql`update task set deadline_at = now() + interval '10 minutes' where id = ${task}`;
    }
    expect(changes(ticket)).toHaveLength(0);
    expect(await runOf(request)).toMatchObject({ state: 'failed', code, sends: 0 });
    expect(tickets.connections).toBe(connections + 1);
  });

  it('its task was ended, and nothing is sent', async () => {
    const { request, ticket } = await closing();
    expect(
      await meanwhile(request, async () => {
        await cast.agent.call('POST', `/v1/tasks/${task}/fail`, { reason: 'stop' });
        task = await startTask(cast.agent);
        await cast.service.database.owner.sql`update task set owned_at = now() where id = ${task}`;
      }),
    ).toMatchObject({ outcome: 'failed', code: 'task_not_running' });
    expect(changes(ticket)).toHaveLength(0);
  });
});
