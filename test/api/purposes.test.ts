// A changed goal is a new evaluation: a task says what it is for out of what policy knows, and what it holds does not
// outlive a change of that unless policy plainly permits it for the new one.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { changePolicy, detailsOf, hold, seen, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  eventually,
  list,
  object,
  text,
  vote,
} from '../support/client.ts';
import { adding, all, replacing } from '../support/policy-files.ts';

let cast: Cast;
let before: string;
beforeAll(async () => {
  cast = await startCast();
  before = await start('anything that comes to mind');
  const taxonomy = adding(
    'purposes.yaml',
    `billing.reconcile: { title: Reconcile invoices, business_function: finance }
orders.support: { title: Help customers, business_function: support }
reports.read: { title: Read reports, business_function: support, actions: [credential:request reports-api] }`,
  );
  const gate = replacing(
    'main.cedar',
    '@id("call-reports")\n',
    '@id("gated-reports")\n@approval("orders-write")\npermit (principal is Agent, action == Action::"credential:request", resource == Role::"reports-api") when { context has business_function && context.business_function == "finance" };\n\n@id("call-reports")\n',
  );
  await changePolicy(cast.service, cast.approver, all(taxonomy, gate));
});
afterAll(() => cast.close());

const ask = (task: string, role: string) =>
  askCredential(cast.agent, task, { role, seal_to: cast.seal.publicJwk, reason: 'to work' });

const begin = (purpose: string) =>
  cast.agent.call('POST', '/v1/tasks', { purpose, ttl_seconds: 900 });

async function start(purpose: string): Promise<string> {
  return text((await begin(purpose)).body['id']);
}

const change = (task: string, purpose: string, reason = 'asked to') =>
  cast.agent.call('POST', `/v1/tasks/${task}/purpose`, { purpose, reason });

const stateOf = async (credential: string) =>
  (await admin(cast.service).call('GET', `/v1/credentials/${credential}`)).body['state'];

const becauseOf = async (task: string) => {
  const path = `/v1/events?task=${task}&type=dev.countersign.credential.revoke_intended.v1`;
  const { body } = await admin(cast.service).call('GET', path);
  return list(body['data']).map((event) => object(object(event['data'])['detail'])['because']);
};

describe('a task', () => {
  it('is for something that policy knows, and a refusal names what there is', async () => {
    const refused = await begin('steal everything');
    expect([refused.status, refused.body['code']]).toEqual([422, 'purpose_unknown']);
    expect(refused.body['purposes']).toEqual([
      'billing.reconcile',
      'orders.support',
      'reports.read',
    ]);
    expect((await begin('orders.support')).status).toBe(201);
  });

  it('of before policy knew purposes is given nothing until it says one', async () => {
    const denied = await ask(before, 'orders-readonly');
    expect(denied.status).toBe(403);
    expect(JSON.stringify(denied.body)).toContain('the purpose of this task is none');
    expect((await change(before, 'orders.support')).status).toBe(200);
    expect((await ask(before, 'orders-readonly')).status).toBe(201);
  });
});

describe('a changed goal', () => {
  it('ends what policy does not permit for it, and leaves what it does', async () => {
    const task = await start('orders.support');
    const orders = text((await ask(task, 'orders-readonly')).body['id']);
    const reports = text((await ask(task, 'reports-api')).body['id']);
    const changed = await change(task, 'reports.read');
    expect([changed.status, changed.body['purpose']]).toEqual([200, 'reports.read']);
    expect(await becauseOf(task)).toEqual(['purpose_changed']);
    await eventually(async () => (await stateOf(orders)) === 'revoked');
    expect(await stateOf(reports)).toBe('active');
  });

  it('ends what people would be asked about for it, and asking again asks them', async () => {
    const task = await start('orders.support');
    expect((await ask(task, 'reports-api')).status).toBe(201);
    await change(task, 'billing.reconcile');
    expect(await becauseOf(task)).toEqual(['purpose_changed']);
    expect((await ask(task, 'reports-api')).status).toBe(202);
  });

  it('closes what people were asked, and no approval for the old one is carried out', async () => {
    const { service, approver, agent, seal } = cast;
    const waiting = await hold(agent, seal, {}, { purpose: 'orders.support' });
    await change(waiting.task, 'billing.reconcile');
    expect((await seen(service, waiting.request))['state']).toBe('superseded');
    const late = await vote(approver, waiting.request, 'approve');
    expect([late.status, late.body['code']]).toEqual([409, 'already_decided']);
    expect(text(late.body['detail'])).toContain('the purpose of its task changed');

    const approved = await hold(agent, seal, {}, { purpose: 'orders.support' });
    await vote(approver, approved.request, 'approve');
    await eventually(async () => (await seen(service, approved.request))['credential'] !== null);
    await change(approved.task, 'billing.reconcile');
    const collected = await agent.call('POST', `/v1/requests/${approved.request}/collect`, {});
    expect([collected.status, collected.body['code']]).toEqual([409, 'not_approved']);
    expect(await becauseOf(approved.task)).toEqual(['purpose_changed']);
  });

  it('ends what people agreed to for the old one even after it was collected', async () => {
    const { service, approver, agent, seal } = cast;
    const { task, request } = await hold(agent, seal, {}, { purpose: 'orders.support' });
    await vote(approver, request, 'approve');
    await eventually(
      async () => (await agent.call('POST', `/v1/requests/${request}/collect`, {})).status === 201,
    );
    await change(task, 'billing.reconcile');
    const credential = text((await seen(service, request))['credential']);
    await eventually(async () => (await stateOf(credential)) === 'revoked');
    expect(await becauseOf(task)).toEqual(['purpose_changed']);
  });

  it('is on record with counts in public and its words in private', async () => {
    const task = await start('orders.support');
    await ask(task, 'orders-readonly');
    await change(task, 'reports.read', 'the customer asked for a report');
    const path = `/v1/events?task=${task}&type=dev.countersign.task.purpose_changed.v1`;
    const [event] = list((await admin(cast.service).call('GET', path)).body['data']);
    const data = object(event?.['data']);
    expect(data['detail']).toEqual({
      by: { type: 'agent', id: cast.agent.id },
      kept: 0,
      revoked: 1,
      requests_closed: 0,
    });
    expect(JSON.stringify(data)).not.toContain('the customer');
    expect(object(event?.['disclosed'])).toMatchObject({
      purpose: 'reports.read',
      replaces: 'orders.support',
      reason: 'the customer asked for a report',
    });
  });

  it('takes an idempotency key, a purpose that policy knows, another one, and a running task of one’s own', async () => {
    const task = await start('orders.support');
    expect((await change(task, 'x')).body['code']).toBe('purpose_unknown');
    expect((await change(task, 'orders.support')).body['code']).toBe('wrong_state');
    const other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const path = `/v1/tasks/${task}/purpose`;
    const body = { purpose: 'reports.read', reason: 'mine now' };
    expect((await other.call('POST', path, body)).status).toBe(404);
    expect((await cast.owner.call('POST', path, body)).status).toBe(403);
    const key = { 'Idempotency-Key': 'once' };
    const first = await cast.agent.call('POST', path, body, key);
    const again = await cast.agent.call('POST', path, body, key);
    expect([first.status, again.status, again.headers.get('idempotent-replayed')]).toEqual([
      200,
      200,
      'true',
    ]);
    await cast.agent.call('POST', `/v1/tasks/${task}/complete`, {});
    expect((await change(task, 'orders.support')).body['code']).toBe('task_not_running');
  });
});

it('nobody’s request of another task is touched', async () => {
  const { agent, seal, service } = cast;
  const kept = await hold(agent, seal, {}, { purpose: 'orders.support' });
  await change(await start('orders.support'), 'reports.read');
  expect((await seen(service, kept.request))['state']).toBe('pending');
  expect(await detailsOf(service, kept.request, 'dev.countersign.request.superseded.v1')).toEqual(
    [],
  );
});
