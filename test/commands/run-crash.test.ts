// A process that runs a statement dies at every point there is: what people agreed to happens once, whatever is left
// behind, and is never said to have failed when it was committed.
import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openService, type Service } from '../../cli/compose.ts';
import { asAgentId } from '../../commands/agents/agents.ts';
import { fulfilRequest } from '../../commands/approvals/fulfil.ts';
import { TargetError } from '../../commands/credentials/issuer.ts';
import type { Deps } from '../../commands/deps.ts';
import { fingerprintOf } from '../../commands/once.ts';
import { sweepRuns } from '../../commands/runs/fulfil-run.ts';
import { requestRun } from '../../commands/runs/run-door.ts';
import { statementDoor } from '../../commands/runs/run-statement.ts';
import type { Call } from '../../commands/unit.ts';
import { readPublicKey } from '../../keys/public-key.ts';
import { seen, startCast, startTask, type Cast } from '../support/cast.ts';
import { list, object, opened, text, vote } from '../support/client.ts';

let cast: Cast;
let own: Service;
let root: postgres.Sql;
let task: string;
const call: Call = { principal: { kind: 'workflow', id: 'test' }, traceId: null };

beforeAll(async () => {
  cast = await startCast();
  task = await startTask(cast.agent);
  // Its workflow has to own it; after that nobody but this test carries anything out.
  await cast.agent.call('POST', '/v1/run', {
    task,
    role: 'orders-readonly',
    seal_to: cast.seal.publicJwk,
    statement: 'select 1 from orders',
  });
  await cast.service.stopWorker();
  // However long this file takes, it is the worker that was just there.
  await cast.service.database.owner.sql`update worker set seen_at = now() + interval '1 hour'`;
  own = await openService(cast.service.config, 'test', 4);
  const url = new URL(cast.service.sample.target);
  root = postgres(url.href, { max: 1, onnotice: () => undefined });
});
afterAll(async () => {
  await root.end({ timeout: 1 });
  await own.close();
  await cast.close();
});

// Nor does anybody number events, which would soon stop everything else: they are as good as new before each test.
beforeEach(() => cast.service.database.owner.sql`update log_pending set at = now()`);

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

/** The service with a target that answers, and then takes its time until it may go on. */
function heldBeforeCommit(): { deps: Deps; reached: Promise<void>; release: () => void } {
  const gate = signal();
  const arrival = signal();
  const { runner } = own.deps;
  const deps: Deps = {
    ...own.deps,
    runner: {
      ...runner,
      run: (material, statement, beforeCommit) =>
        runner.run(material, statement, async (ran) => {
          arrival.give();
          await gate.given;
          await beforeCommit(ran);
        }),
    },
  };
  return { deps, reached: arrival.given, release: gate.give };
}

/** An approved statement that leaves a mark each time it is committed. */
async function approvedMark(): Promise<{ request: string; mark: string }> {
  const mark = randomUUID();
  const held = await cast.agent.call('POST', '/v1/run', {
    task,
    role: 'orders-write',
    reason: 'a new order',
    seal_to: cast.seal.publicJwk,
    statement: `insert into orders (customer, item, cents) values (1, $1, 1) returning item`,
    parameters: [mark],
  });
  const request = text(object(held.body['request'])['id']);
  expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
  return { request, mark };
}

async function marks(mark: string): Promise<number> {
  const reply = await cast.agent.call('POST', '/v1/run', {
    task,
    role: 'orders-readonly',
    seal_to: cast.seal.publicJwk,
    statement: 'select count(*)::text from orders where item = $1',
    parameters: [mark],
  });
  const { rows } = await opened(reply.body['sealed'], cast.seal);
  return Number(/\d+/.exec(JSON.stringify(rows))?.[0]);
}

const runOf = async (request: string) => {
  const reply = await cast.agent.call('GET', `/v1/runs?request=${request}`);
  return list(reply.body['data'])[0] ?? {};
};

describe('REL: a process that dies while it runs an approved statement', () => {
  it.each(['run:redeemed', 'run:intended', 'run:login', 'run:ran', 'run:kept', 'run:committed'])(
    'at %s leaves what runs exactly once',
    async (point) => {
      const { request, mark } = await approvedMark();
      await expect(fulfilRequest(dyingAt(point), call, request)).rejects.toThrow('died');
      expect(await marks(mark)).toBe(point === 'run:committed' ? 1 : 0);
      for (let again = 0; again < 3; again += 1)
        if ((await fulfilRequest(own.deps, call, request)).outcome === 'done') break;
      expect(await marks(mark)).toBe(1);
      const run = await runOf(request);
      expect(run).toMatchObject({ state: 'done', outcome: 'committed', rows: 1 });
      expect((await seen(cast.service, request))['state']).toBe('consumed');
      const result = await cast.agent.call('GET', `/v1/runs/${text(run['id'])}`);
      expect(await opened(result.body['sealed'], cast.seal)).toMatchObject({ rows: [[mark]] });
      await fulfilRequest(own.deps, call, request);
      expect(await marks(mark)).toBe(1);
    },
  );

  it('and never comes back is found by the sweep once nobody may run it', async () => {
    const { request, mark } = await approvedMark();
    await expect(fulfilRequest(dyingAt('run:kept'), call, request)).rejects.toThrow('died');
    await cast.service.database.owner.sql`
      update request set state = 'failed' where id = ${request}`;
    await sweepRuns(own.deps, call);
    expect(await runOf(request)).toMatchObject({ state: 'failed', code: 'aborted', rows: null });
    expect(await marks(mark)).toBe(0);
  });

  it('after the commit is found to have run, even when nobody may run it any more', async () => {
    const { request, mark } = await approvedMark();
    await expect(fulfilRequest(dyingAt('run:committed'), call, request)).rejects.toThrow('died');
    await cast.service.database.owner.sql`
      update request set state = 'failed' where id = ${request}`;
    await sweepRuns(own.deps, call);
    expect(await runOf(request)).toMatchObject({ state: 'done', outcome: 'committed', rows: 1 });
    expect(await marks(mark)).toBe(1);
  });

  it('only seems dead is too late to commit once another has taken over', async () => {
    const { request, mark } = await approvedMark();
    const slow = heldBeforeCommit();
    const next = heldBeforeCommit();
    const first = fulfilRequest(slow.deps, call, request);
    await slow.reached;
    const second = fulfilRequest(next.deps, call, request);
    await next.reached;
    slow.release();
    expect(await first).toMatchObject({ outcome: 'later', code: 'superseded' });
    next.release();
    expect(await second).toEqual({ outcome: 'done' });
    expect(await marks(mark)).toBe(1);
    expect(await runOf(request)).toMatchObject({ state: 'done', outcome: 'committed' });
  });

  it('I3: does not commit when the task was ended between the statement and its commit', async () => {
    const { request, mark } = await approvedMark();
    const slow = heldBeforeCommit();
    const running = fulfilRequest(slow.deps, call, request);
    await slow.reached;
    const ending = task;
    task = await startTask(cast.agent);
    await cast.agent.call('POST', `/v1/tasks/${ending}/fail`, { reason: 'stop' });
    slow.release();
    expect(await running).toMatchObject({ outcome: 'failed', code: 'task_not_running' });
    expect((await seen(cast.service, request))['state']).toBe('failed');
    await cast.service.database.owner.sql`update task set owned_at = now() where id = ${task}`;
    expect(await marks(mark)).toBe(0);
  });

  it('I5: its login is ours while it runs: no agent renews it, or is given it anew', async () => {
    const { request } = await approvedMark();
    const slow = heldBeforeCommit();
    const running = fulfilRequest(slow.deps, call, request);
    await slow.reached;
    const credential = text((await runOf(request))['credential']);
    for (const body of [{}, { seal_to: cast.seal.publicJwk }]) {
      const renewed = await cast.agent.call('POST', `/v1/credentials/${credential}/renew`, body);
      expect([renewed.status, renewed.body['code']]).toEqual([409, 'not_renewable']);
    }
    const taken = await cast.agent.call('POST', `/v1/requests/${request}/collect`, {});
    expect(taken.status).toBe(404);
    slow.release();
    expect(await running).toEqual({ outcome: 'done' });
  });

  it('I3: does not commit what has expired, even when nobody was there to end it', async () => {
    const { request, mark } = await approvedMark();
    const slow = heldBeforeCommit();
    const running = fulfilRequest(slow.deps, call, request);
    await slow.reached;
    await cast.service.database.owner.sql`
      update credential set expires_at = now() where request = ${request}`;
    slow.release();
    expect(await running).toMatchObject({ outcome: 'failed', code: 'task_not_running' });
    expect(await marks(mark)).toBe(0);
  });

  it('I8: and cannot tell yet what came of it begins no second run for the same key', async () => {
    const unheard: Deps = {
      ...own.deps,
      runner: {
        ...own.deps.runner,
        run: async (material, statement, beforeCommit) => {
          await own.deps.runner.run(material, statement, (ran) =>
            beforeCommit({ ...ran, transaction: '99' }),
          );
          throw new TargetError('commit_unknown');
        },
        fateOf: () => Promise.resolve('in_progress'),
      },
    };
    const fingerprint = fingerprintOf({});
    const once = { principal: cast.agent.id, route: 'run', key: randomUUID(), fingerprint };
    const asked: Call = {
      principal: { kind: 'agent', id: asAgentId(cast.agent.id) },
      traceId: null,
    };
    const order = {
      task,
      agent: asAgentId(cast.agent.id),
      role: 'orders-readonly',
      statement: 'select 1 from orders',
      parameters: [],
      sealTo: await readPublicKey({ ...cast.seal.publicJwk }, 'seal_key_invalid'),
      maxRows: 1,
      maxAffectedRows: null,
      timeoutSeconds: 5,
      reason: null,
      callbackUrl: null,
    };
    const ask = () =>
      requestRun(unheard, asked, once, statementDoor(unheard, asked, order), {
        ran: ({ id, state }) => ({ status: 201, body: { id, state } }),
        held: () => Promise.reject(new Error('nobody has to agree to this')),
      });
    const first = await ask();
    expect(first).toMatchObject({ body: { state: 'running' } });
    await expect(ask()).rejects.toMatchObject({ code: 'idempotency_in_progress' });
    await cast.service.database.owner.sql`
      update idempotency set locked_until = now() where key = ${once.key}`;
    expect(await ask()).toEqual(first);
  });

  it('whose target has forgotten the transaction says that nobody knows', async () => {
    const { request } = await approvedMark();
    await expect(fulfilRequest(dyingAt('run:committed'), call, request)).rejects.toThrow('died');
    const forgetful: Deps = {
      ...own.deps,
      runner: { ...own.deps.runner, fateOf: () => Promise.resolve('unknown') },
    };
    expect(await fulfilRequest(forgetful, call, request)).toMatchObject({ outcome: 'failed' });
    expect(await runOf(request)).toMatchObject({ state: 'unknown', outcome: null, rows: null });
  });
});
