import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  bearer,
  clientAssertion,
  eventually,
  list,
  object,
  opened,
  person,
  postForm,
  text,
  vote,
  type Reply,
  type TestAgent,
  type TestPerson,
} from '../support/client.ts';
import {
  childTask,
  delegated,
  exchange,
  handOn,
  startWith,
  subjectToken,
} from '../support/delegation.ts';

let cast: Cast;
/** Agents of one team, each with an owner of its own. */
let parent: TestAgent;
let child: TestAgent;
let third: TestAgent;
let owners: TestPerson[];

beforeAll(async () => {
  cast = await startCast();
  const { service, approver } = cast;
  owners = await Promise.all(['Paul', 'Carl', 'Thea'].map((name) => person(service, name, [])));
  const made: TestAgent[] = [];
  for (const owner of owners) made.push(await admittedAgent(service, owner.id, approver));
  [parent, child, third] = asThree(made);
});
afterAll(() => cast.close());

function asThree(made: TestAgent[]): [TestAgent, TestAgent, TestAgent] {
  const [a, b, c] = made;
  if (!a || !b || !c) throw new Error('three agents were admitted');
  return [a, b, c];
}

const fresh = (more: JsonObject = {}): Promise<TestAgent> =>
  admittedAgent(cast.service, cast.owner.id, cast.approver, more);

/** A refusal of the token endpoint, in one line. */
const saysOf = ({ status, body }: Reply): string =>
  `${status} ${text(body['error'])}: ${text(body['error_description'])}`;

const introspected = async (token: string): Promise<JsonObject> => {
  const headers = { authorization: `Bearer ${cast.service.adminToken}` };
  const reply = await postForm(cast.service, '/oauth2/introspect', { token }, headers);
  return reply.body;
};

const stateOf = async (task: string): Promise<string> => {
  const { body } = await admin(cast.service).call('GET', `/v1/tasks/${task}`);
  return text(body['state']);
};

describe('a delegated token', () => {
  it('names whoever acts outermost and the agent whose task it is as its subject', async () => {
    const { service } = cast;
    const task = await startTask(parent);
    const first = await delegated(service, parent, task, child);
    expect(decodeJwt(first)).toMatchObject({
      sub: parent.id,
      act: { sub: child.id },
      client_id: child.id,
      task_id: task,
    });
    const started = await startWith(service, first);
    expect(started.body).toMatchObject({
      parent: task,
      agent: child.id,
      chain: [child.id, parent.id],
    });
    const deeper = await delegated(service, child, text(started.body['id']), third);
    expect(decodeJwt(deeper)).toMatchObject({
      sub: parent.id,
      act: { sub: third.id, act: { sub: child.id } },
      client_id: third.id,
    });
    expect(decodeJwt(deeper)['may_act']).toBeUndefined();
    expect(await introspected(deeper)).toMatchObject({
      active: true,
      sub: parent.id,
      client_id: third.id,
      act: { sub: third.id, act: { sub: child.id } },
      task_id: text(started.body['id']),
    });
  });

  it('starts tasks and opens nothing else', async () => {
    const token = await delegated(cast.service, parent, await startTask(parent), child);
    const caller = bearer(cast.service, token);
    for (const path of ['/v1/tasks', `/v1/agents/${child.id}`, '/v1/requests'])
      expect((await caller.call('GET', path)).status).toBe(403);
  });

  it('what is handed on is good for its agent to exchange, and opens nothing itself', async () => {
    const { service } = cast;
    const token = await subjectToken(parent, await startTask(parent), child);
    expect((await bearer(service, token).call('GET', '/v1/tasks')).status).toBe(401);
    expect(saysOf(await exchange(service, third, token))).toMatch(
      /^400 invalid_request: .*another/,
    );
    expect(saysOf(await exchange(service, parent, token))).toMatch(/^400 invalid_request/);
    expect((await exchange(service, child, token)).status).toBe(200);
  });

  it('is exchanged once, however many try', async () => {
    const token = await subjectToken(parent, await startTask(parent), child);
    const tries = Array.from({ length: 6 }, () => exchange(cast.service, child, token));
    const replies = await Promise.all(tries);
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(saysOf(await exchange(cast.service, child, token))).toMatch(/already exchanged/);
  });

  it('never lasts longer than what it comes from, nor than the task', async () => {
    const { service } = cast;
    const short = await startTask(parent, { ttl_seconds: 60 });
    const { deadline_at: deadline } = (await parent.call('GET', `/v1/tasks/${short}`)).body;
    const token = await delegated(service, parent, short, child, { ttl_seconds: 900 });
    expect((decodeJwt(token).exp ?? 0) * 1000).toBeLessThanOrEqual(Date.parse(text(deadline)));
    const long = await startTask(parent);
    const subject = await subjectToken(parent, long, child, { ttl_seconds: 20 });
    const { body } = await exchange(service, child, subject);
    const got = decodeJwt(text(body['access_token'])).exp ?? 0;
    expect(got).toBeLessThanOrEqual(decodeJwt(subject).exp ?? 0);
  });

  it('has no wider scope and no other audience than what it comes from', async () => {
    const { service } = cast;
    const task = await startTask(parent);
    const roles = { roles: ['reports-api'] };
    const ask = async (more: Record<string, string>) =>
      exchange(service, child, await subjectToken(parent, task, child, roles), more);
    for (const scope of [
      'task role:orders-write',
      'role:*',
      'agent',
      'task role:reports-api agent',
    ])
      expect(saysOf(await ask({ scope }))).toMatch(/^400 invalid_scope/);
    for (const audience of ['https://reports.example', 'https://elsewhere.example'])
      expect(saysOf(await ask({ audience }))).toMatch(/^400 invalid_target/);
    expect(saysOf(await ask({ resource: 'https://reports.example' }))).toMatch(
      /^400 invalid_target/,
    );
    const narrow = await ask({ scope: 'task', audience: service.publicUrl });
    expect(narrow.body).toMatchObject({ scope: 'task' });
    const started = await startWith(service, text(narrow.body['access_token']));
    expect(started.body['roles']).toEqual([]);
  });

  it('does not come from a token that an agent signed in with, nor from one of somebody else', async () => {
    const { service } = cast;
    const own = await parent.token();
    expect(saysOf(await exchange(service, child, own))).toMatch(/not made to be exchanged/);
    const foreign = await clientAssertion(service, parent.id, parent.key);
    for (const token of [foreign, 'a.b.c', ''])
      expect(saysOf(await exchange(service, child, token))).toMatch(/^400 invalid_request/);
    const token = await subjectToken(parent, await startTask(parent), child);
    const type = { requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' };
    expect(saysOf(await exchange(service, child, token, type))).toMatch(/^400 invalid_request/);
  });

  it('takes an actor token of the client itself, and of nobody else', async () => {
    const { service } = cast;
    const token = await subjectToken(parent, await startTask(parent), child);
    const type = { actor_token_type: 'urn:ietf:params:oauth:token-type:access_token' };
    const other = { actor_token: await third.token(), ...type };
    expect(saysOf(await exchange(service, child, token, other))).toMatch(/another agent/);
    const alone = { actor_token: await child.token() };
    expect(saysOf(await exchange(service, child, token, alone))).toMatch(/sent together/);
    const own = { actor_token: await child.token(), ...type };
    expect((await exchange(service, child, token, own)).status).toBe(200);
  });
});

describe('a chain', () => {
  it('never comes back to an agent that is in it', async () => {
    const { service } = cast;
    const task = await startTask(parent);
    const below = await childTask(service, parent, task, child);
    for (const [from, under, to] of [
      [parent, task, parent],
      [child, below, parent],
      [child, below, child],
    ] as const) {
      const refused = await handOn(from, under, to);
      expect([refused.status, refused.body['code']]).toEqual([403, 'delegation_refused']);
    }
  });

  it('has five agents at most', async () => {
    const { service } = cast;
    const agents = [parent, child, third, await fresh(), await fresh(), await fresh()];
    let task = await startTask(parent);
    for (const [index, to] of agents.slice(1, 5).entries()) {
      const from = agents[index];
      if (!from) throw new Error('every agent but the first has one before it');
      task = await childTask(service, from, task, to);
    }
    const [, , , , fifth, sixth] = agents;
    if (!fifth || !sixth) throw new Error('six agents were admitted');
    const { body } = await fifth.call('GET', `/v1/tasks/${task}`);
    expect(body['chain']).toEqual(
      agents
        .slice(0, 5)
        .map(({ id }) => id)
        .toReversed(),
    );
    const refused = await handOn(fifth, task, sixth);
    expect([refused.status, refused.body['code']]).toEqual([403, 'delegation_refused']);
  });

  it('is refused where policy does not let its subject hand on, or its actor act', async () => {
    const { service } = cast;
    const stranger = await fresh({ team: 'finance' });
    const task = await startTask(parent);
    const said = saysOf(
      await exchange(service, stranger, await subjectToken(parent, task, stranger)),
    );
    expect(said).toMatch(/^400 invalid_request: Policy does not let/);
    const events = await admin(service).call('GET', `/v1/events?task=${task}&limit=500`);
    const decided = list(events.body['data']).find(({ type }) =>
      text(type).includes('evaluation.decided'),
    );
    expect(object(decided?.['data'])['decision']).toBe('deny');
  });
});

describe('a delegated task', () => {
  it('never outlives its parent', async () => {
    const { service } = cast;
    const task = await startTask(parent, { ttl_seconds: 300 });
    const { deadline_at: deadline } = (await parent.call('GET', `/v1/tasks/${task}`)).body;
    const token = await delegated(service, parent, task, child);
    const started = await startWith(service, token, { ttl_seconds: 86_400 });
    expect(started.body['deadline_at']).toBe(deadline);
  });

  it('ends when its parent does, and its parent ends when all of it is seen gone', async () => {
    const { service, seal } = cast;
    const task = await startTask(parent);
    const below = await childTask(service, parent, task, child);
    const deepest = await childTask(service, child, below, third);
    const order = { role: 'orders-readonly', seal_to: seal.publicJwk };
    const issued = await askCredential(third, deepest, order);
    expect(issued.status).toBe(201);
    expect((await parent.call('GET', `/v1/tasks/${task}`)).body['alive']).toBe(1);
    const late = await delegated(service, parent, task, child);
    const handed = await subjectToken(parent, task, child);
    const done = await parent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: 'wait=20' });
    expect([done.status, done.body['state'], done.body['alive']]).toEqual([200, 'completed', 0]);
    expect([await stateOf(below), await stateOf(deepest)]).toEqual(['killed', 'killed']);
    const { body } = await third.call('GET', `/v1/credentials/${text(issued.body['id'])}`);
    expect(body['state']).toBe('revoked');
    expect((await startWith(service, late)).status).toBe(401);
    expect(saysOf(await exchange(service, child, handed))).toMatch(/^400 invalid_request/);
    expect((await introspected(late))['active']).toBe(false);
    expect((await handOn(parent, task, child)).body['code']).toBe('task_not_running');
  });

  it('is set off by whoever set off its parent, and by nobody else', async () => {
    const { service, approver } = cast;
    const [paul] = owners;
    const task = await startTask(parent, { triggered_by: approver.id });
    const token = await delegated(service, parent, task, child);
    const other = await startWith(service, token, { triggered_by: paul?.id ?? '' });
    expect(other.body['code']).toBe('invalid_request');
    const started = await startWith(service, token);
    expect(started.body).toMatchObject({
      triggered_by: approver.id,
      triggered_by_proof: 'claimed',
    });
  });

  it('gives the roles that were handed on, and no other', async () => {
    const { service, seal } = cast;
    const task = await startTask(parent);
    const below = await childTask(service, parent, task, child, { roles: ['reports-api'] });
    const ask = (role: string) => askCredential(child, below, { role, seal_to: seal.publicJwk });
    expect((await ask('orders-readonly')).body['code']).toBe('delegation_refused');
    const issued = await ask('reports-api');
    const { token } = await opened(issued.body['sealed'], seal);
    const spiffe = ({ name }: TestAgent): string => `spiffe://countersign.local/agent/${name}`;
    expect(decodeJwt(text(token))).toMatchObject({
      sub: spiffe(parent),
      act: { sub: spiffe(child) },
      client_id: child.id,
    });
    const wider = await handOn(child, below, third, { roles: ['orders-readonly'] });
    expect(wider.body['code']).toBe('delegation_refused');
    const all = await handOn(child, below, third);
    expect(all.body['roles']).toEqual(['reports-api']);
  });

  it('stopping any agent of the chain ends it, and every token of it, at once', async () => {
    const { service, seal } = cast;
    const top = await fresh();
    const middle = await fresh();
    const task = await startTask(top);
    const below = await childTask(service, top, task, middle);
    const deepest = await childTask(service, middle, below, third);
    const token = await delegated(service, middle, below, third);
    const handed = await subjectToken(middle, below, third);
    await admin(service).call('POST', `/v1/agents/${top.id}/suspend`, { reason: 'test' });
    expect((await startWith(service, token)).status).toBe(401);
    expect(saysOf(await exchange(service, third, handed))).toMatch(/^400 invalid_request/);
    expect((await introspected(token))['active']).toBe(false);
    const order = { role: 'reports-api', seal_to: seal.publicJwk };
    expect((await askCredential(third, deepest, order)).body['code']).toBe('task_not_running');
    await eventually(async () => (await stateOf(deepest)) === 'killed');
    expect(await stateOf(task)).toBe('running');
    await admin(service).call('POST', `/v1/agents/${top.id}/resume`, {});
    expect((await startWith(service, token)).status).toBe(401);
  });
});

describe('what is asked for under a delegated task', () => {
  it('needs the permission of everybody in the chain: a no to one is a no', async () => {
    const { service, seal, approver } = cast;
    const forbidden = await fresh({ purpose: 'no reports' });
    await changePolicy(service, approver, (files) => ({
      ...files,
      'main.cedar': `${files['main.cedar'] ?? ''}
@id("no-reports")
@title("This agent reads no reports")
forbid (
  principal == Agent::"${forbidden.id}",
  action == Action::"credential:request",
  resource == Role::"reports-api"
);
`,
    }));
    const order = { role: 'reports-api', seal_to: seal.publicJwk };
    const through = await childTask(service, forbidden, await startTask(forbidden), child);
    expect((await askCredential(child, through, order)).body['code']).toBe('denied');
    const itself = await childTask(service, child, await startTask(child), forbidden);
    expect((await askCredential(forbidden, itself, order)).body['code']).toBe('denied');
    expect((await askCredential(child, await startTask(child), order)).status).toBe(201);
  });

  it('I4: is decided by no owner of any agent in the chain, and by nobody who set off its parent', async () => {
    const { service, seal } = cast;
    const groups = { groups: ['data-owners'] };
    for (const each of owners) await admin(service).call('PATCH', `/v1/people/${each.id}`, groups);
    const trigger = await person(service, 'Trudy', ['data-owners']);
    const task = await startTask(parent, { triggered_by: trigger.id });
    const below = await childTask(service, parent, task, child);
    const deepest = await childTask(service, child, below, third);
    const reply = await askCredential(third, deepest, {
      role: 'orders-write',
      seal_to: seal.publicJwk,
      reason: 'refund',
    });
    const held = object(reply.body['request']);
    const request = text(held['id']);
    expect(object(held['action'])['actor_chain']).toEqual(
      [third, child, parent].map(({ id }) => ({ type: 'agent', id })),
    );
    expect(object(held['action'])['subject']).toEqual({ type: 'agent', id: parent.id });
    for (const each of [...owners, trigger])
      expect((await vote(each, request, 'approve')).body['code']).toBe('self_approval');
    expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
    const collected = await waitAndCollect(request);
    expect(collected.status).toBe(201);
    const events = await admin(service).call('GET', `/v1/events?task=${deepest}&limit=500`);
    for (const name of [
      'task.started',
      'evaluation.decided',
      'request.opened',
      'credential.issued',
    ])
      expect(chainOf(list(events.body['data']), name)).toEqual([third.id, child.id, parent.id]);
    const away = { groups: [] };
    for (const each of owners) await admin(service).call('PATCH', `/v1/people/${each.id}`, away);
  });

  const waitAndCollect = async (request: string): Promise<Reply> => {
    await eventually(async () => {
      const { body } = await third.call('GET', `/v1/requests/${request}`);
      return body['collectable'] === true;
    });
    return third.call('POST', `/v1/requests/${request}/collect`, {});
  };

  const chainOf = (events: JsonObject[], name: string): string[] => {
    const found = events.find(({ type }) => text(type).includes(`.${name}.`));
    return list(object(found?.['data'])['actor_chain'])
      .filter(({ type }) => type === 'agent')
      .map(({ id }) => text(id));
  };
});
