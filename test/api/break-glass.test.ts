// Emergency access: two people at least, loud, short, and not again before somebody else has looked at it.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { detailsOf, seen, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  eventually,
  list,
  object,
  opened,
  person,
  text,
  vote,
  type Caller,
  type Reply,
  type TestAgent,
  type TestPerson,
} from '../support/client.ts';
import { activateRoles } from '../support/policies.ts';

let cast: Cast;
let admitter: TestPerson;
let agent: TestAgent;
let task: string;
const people: TestPerson[] = [];

const OWNERS = '  groups: [data-owners]\n';
const glass = (more = ''): string =>
  `${OWNERS}  break_glass: { groups: [on-call]${more === '' ? '' : `, ${more}`} }\n`;

/** Gates of their own, so that a review that one case leaves open is in no other’s way. */
const ROLES = ['plain', 'alone', 'twice', 'race', 'incident', 'review', 'verdict', 'hold'];

beforeAll(async () => {
  cast = await startCast();
  await activateRoles(cast, [
    ...ROLES.map((name) => ({ name, routes: { [name]: glass() } })),
    { name: 'cool', routes: { cool: glass('cooldown_seconds: 3600') } },
    { name: 'closed', routes: { closed: OWNERS } },
    { name: 'half', routes: { 'half-a': glass(), 'half-b': OWNERS } },
  ]);
  admitter = await person(cast.service, 'Abe', ['admins']);
});
afterAll(() => cast.close());

/** Somebody who is on call, and was in no emergency yet. */
async function onCall(name: string): Promise<TestPerson> {
  const made = await person(cast.service, name, ['on-call']);
  people.push(made);
  return made;
}

let pair = 0;
let first: TestPerson;
let second: TestPerson;

beforeEach(async () => {
  pair += 1;
  first = await onCall(`Fay ${pair}`);
  second = await onCall(`Sol ${pair}`);
  agent = await admittedAgent(cast.service, cast.owner.id, admitter);
  task = await startTask(agent);
  // Sessions stay fresh however slow the machine is.
  await cast.service.database.owner.sql`update session set created_at = now()`;
});

const declaration = (role: string, more: JsonObject = {}): JsonObject => ({
  task,
  role,
  reason: 'orders are stuck, nobody answers',
  seal_to: cast.seal.publicJwk,
  ...more,
});

const declare = (who: Caller, role: string, more: JsonObject = {}): Promise<Reply> =>
  who.call('POST', '/v1/break-glass', declaration(role, more));

const requestOf = (reply: Reply): string => text(object(reply.body['request'])['id']);
const idOf = (reply: Reply): string => text(object(reply.body['emergency'])['id']);

const shown = async (id: string): Promise<JsonObject> =>
  (await admin(cast.service).call('GET', `/v1/break-glass/${id}`)).body;

/** Declares, confirms, and waits until access was given. */
async function broken(
  role: string,
  more: JsonObject = {},
  [one, other]: [TestPerson, TestPerson] = [first, second],
): Promise<{ id: string; request: string }> {
  const reply = await declare(one, role, more);
  expect(reply.status).toBe(202);
  const request = requestOf(reply);
  expect((await vote(other, request, 'approve')).status).toBe(201);
  await eventually(async () => (await shown(idOf(reply)))['opened_at'] !== null, 'its opening');
  return { id: idOf(reply), request };
}

/** Ends what was opened, and waits until it is seen gone. */
async function over(request: string): Promise<void> {
  await agent.call('POST', `/v1/tasks/${task}/complete`, {});
  const credential = text((await seen(cast.service, request))['credential']);
  await eventually(async () => {
    const { body } = await admin(cast.service).call('GET', `/v1/credentials/${credential}`);
    return body['state'] === 'revoked';
  }, 'the end of the credential');
}

const account = {
  findings: 'one stuck order was released, nothing else',
  disposition: 'justified',
};
const review = (who: Caller, id: string, more: JsonObject = {}): Promise<Reply> =>
  who.call('POST', `/v1/break-glass/${id}/review`, { ...account, ...more });

const outcome = ({ status, body }: Reply): [number, string] => [status, text(body['code'])];

describe('breaking the glass', () => {
  it('gives a role past its approvers once a second person confirms, for a while, and loudly', async () => {
    const { id, request } = await broken('plain', { incident: 'INC-7' });
    const credential = await first.call('POST', `/v1/break-glass/${id}/collect`, {});
    expect(credential.status).toBe(201);
    expect(await opened(credential.body['sealed'], cast.seal)).toMatchObject({ kind: 'jwt' });
    expect(await shown(id)).toMatchObject({
      state: 'review_open',
      gates: ['plain'],
      people: [first.id, second.id],
      incident: 'INC-7',
    });
    const [declared] = await detailsOf(cast.service, request, 'emergency.declared');
    expect(declared).toMatchObject({ person: first.id, gates: ['plain'], quorum: 2, continues: 0 });
    const [open] = await detailsOf(cast.service, request, 'emergency.opened');
    expect(open).toMatchObject({ people: [first.id, second.id] });
    // Nobody's reason or incident is public.
    expect(JSON.stringify([declared, open])).not.toMatch(/stuck|INC-7/);
    // Somebody who has nothing to do with it is told on whatever page they open.
    const page = await cast.owner.call('GET', '/agents');
    expect(page.text).toContain('The glass is broken');
    const again = await first.call('POST', `/v1/break-glass/${id}/collect`, {});
    expect(outcome(again)).toEqual([409, 'already_collected']);
  });

  it('I4: takes a second human: not the one who declared, the owner, an agent, a token or a stranger', async () => {
    const request = requestOf(await declare(first, 'alone'));
    const stranger = await person(cast.service, 'Stan', ['data-owners']);
    await cast.service.database.owner
      .sql`update person set groups = array['on-call'] where id = ${cast.owner.id}`;
    const codes = [];
    for (const voter of [first, cast.owner, agent, admin(cast.service), stranger])
      codes.push((await vote(voter, request, 'approve')).body['code']);
    expect(codes).toEqual([
      'self_approval',
      'self_approval',
      'human_required',
      'human_required',
      'not_eligible',
    ]);
    expect(await detailsOf(cast.service, request, 'emergency.opened')).toEqual([]);
  });

  it('I4: is not confirmed by somebody whose way in the one who declared made, nor the other way', async () => {
    const boss = await person(cast.service, 'Boss', ['on-call'], { roles: ['approver', 'admin'] });
    await boss.call('POST', `/v1/people/${second.id}/links`, {});
    await cast.service.database.owner.sql`update session set created_at = now()`;
    const mine = requestOf(await declare(boss, 'alone'));
    expect((await vote(second, mine, 'approve')).body['code']).toBe('self_approval');
    const theirs = requestOf(await declare(second, 'alone', { ttl_seconds: 61 }));
    expect(theirs).not.toBe(mine);
    expect((await vote(boss, theirs, 'approve')).body['code']).toBe('self_approval');
  });

  it('declared by two at once is one emergency, which the other may confirm', async () => {
    const one = await declare(first, 'alone');
    const other = await declare(second, 'alone');
    expect([requestOf(other), idOf(other)]).toEqual([requestOf(one), idOf(one)]);
    expect(await shown(idOf(one))).toMatchObject({ people: [first.id], state: 'declared' });
  });

  it('is confirmed by nobody who was deactivated meanwhile', async () => {
    const request = requestOf(await declare(first, 'alone'));
    const third = await onCall(`Tim ${pair}`);
    await admin(cast.service).call('PATCH', `/v1/people/${third.id}`, { state: 'deactivated' });
    expect((await vote(third, request, 'approve')).status).not.toBe(201);
    expect((await seen(cast.service, request))['state']).toBe('pending');
  });

  it('takes a fresh session, of whoever declares and of whoever confirms', async () => {
    const request = requestOf(await declare(first, 'alone'));
    await cast.service.database.owner
      .sql`update session set created_at = now() - interval '20 minutes'`;
    const stale = await declare(first, 'alone', { incident: 'INC-8' });
    expect(outcome(stale)).toEqual([403, 'stronger_auth_required']);
    const late = await vote(second, request, 'approve');
    expect(outcome(late)).toEqual([403, 'stronger_auth_required']);
  });

  it.each<[string, string, number, string]>([
    ['a route that does not have it', 'closed', 403, 'break_glass_refused'],
    ['one of two routes that does not', 'half', 403, 'break_glass_refused'],
    ['a role that nobody is asked about', 'reports-api', 403, 'break_glass_refused'],
    ['a role that does not exist', 'nothing', 422, 'role_unknown'],
  ])('is refused for %s', async (_what, role, status, code) => {
    expect(outcome(await declare(first, role))).toEqual([status, code]);
  });

  it('is declared by nobody else: no agent, no automation, no approver of the gate itself', async () => {
    expect((await declare(agent, 'alone')).status).toBe(403);
    expect((await declare(admin(cast.service), 'alone')).status).toBe(403);
    expect(outcome(await declare(cast.approver, 'alone'))).toEqual([403, 'not_eligible']);
    const { body } = await admin(cast.service).call(
      'GET',
      `/v1/events?agent=${agent.id}&type=emergency.refused`,
    );
    const refused = list(body['data']).map((each) => object(object(each['data'])['detail']));
    expect(refused).toEqual([{ code: 'not_eligible', person: cast.approver.id }]);
  });

  it('is covered by no standing grant, and is no way around a stopped agent', async () => {
    await admin(cast.service).call('POST', `/v1/agents/${agent.id}/suspend`, {});
    expect((await declare(first, 'alone')).status).toBe(403);
  });

  it('I3: gives nothing that outlives what its route allows', async () => {
    const { request } = await broken('hold', { ttl_seconds: 3_600 });
    const body = await seen(cast.service, request);
    const { body: lease } = await admin(cast.service).call(
      'GET',
      `/v1/credentials/${text(body['credential'])}`,
    );
    expect(text(lease['expires_at']) <= text(body['approved_until'])).toBe(true);
  });
});

describe('until its review is closed', () => {
  it('the gate, the agent and its people break no glass again', async () => {
    await broken('twice');
    const [third, fourth] = [await onCall(`Tia ${pair}`), await onCall(`Flo ${pair}`)];
    expect(outcome(await declare(third, 'twice'))).toEqual([409, 'review_open']);
    expect(outcome(await declare(fourth, 'alone'))).toEqual([409, 'review_open']);
    agent = await admittedAgent(cast.service, cast.owner.id, admitter);
    task = await startTask(agent);
    expect(outcome(await declare(first, 'alone'))).toEqual([409, 'review_open']);
    expect(outcome(await declare(second, 'alone'))).toEqual([409, 'review_open']);
    // Nor do they confirm for somebody else.
    const request = requestOf(await declare(third, 'alone'));
    expect((await vote(second, request, 'approve')).body['code']).toBe('self_approval');
  });

  it('of two that were declared before either was opened, one is', async () => {
    const [third, fourth] = [await onCall(`Tia ${pair}`), await onCall(`Flo ${pair}`)];
    const one = requestOf(await declare(first, 'race'));
    const other = requestOf(await declare(third, 'race', { incident: 'INC-9' }));
    await Promise.all([vote(second, one, 'approve'), vote(fourth, other, 'approve')]);
    await eventually(async () => {
      const states = [await seen(cast.service, one), await seen(cast.service, other)];
      return states.some(({ state }) => state === 'failed');
    }, 'the failure of one');
    const uses = [one, other].map((id) => detailsOf(cast.service, id, 'emergency.opened'));
    expect((await Promise.all(uses)).flat()).toHaveLength(1);
    const failed = [one, other].map((id) => detailsOf(cast.service, id, 'request.failed'));
    expect((await Promise.all(failed)).flat()).toEqual([{ code: 'review_open' }]);
  });

  it('one incident goes on with two who were not in it, and each time is counted', async () => {
    await broken('incident', { incident: 'INC-1' });
    const [third, fourth] = [await onCall(`Tia ${pair}`), await onCall(`Flo ${pair}`)];
    const unnamed = await declare(third, 'incident');
    expect(outcome(unnamed)).toEqual([409, 'review_open']);
    const otherwise = await declare(third, 'incident', { incident: 'INC-2' });
    expect(outcome(otherwise)).toEqual([409, 'review_open']);
    const same = await declare(first, 'incident', { incident: 'INC-1' });
    expect(outcome(same)).toEqual([409, 'review_open']);
    const { request } = await broken('incident', { incident: 'INC-1' }, [third, fourth]);
    const [open] = await detailsOf(cast.service, request, 'emergency.opened');
    expect(open).toMatchObject({ continues: 1 });
  });

  it('that is closed by somebody independent, with findings, once it is over, and only once', async () => {
    const { id, request } = await broken('review');
    expect(outcome(await review(cast.approver, id))).toEqual([409, 'wrong_state']);
    await over(request);
    const onlooker = await onCall(`Ola ${pair}`);
    const codes = [];
    for (const who of [first, second, cast.owner, onlooker])
      codes.push((await review(who, id)).body['code']);
    expect(codes).toEqual(['self_approval', 'self_approval', 'self_approval', 'not_eligible']);
    expect((await review(agent, id)).status).toBe(403);
    expect((await review(admin(cast.service), id)).status).toBe(403);
    expect((await review(cast.approver, id, { findings: 'ok' })).status).toBe(400);
    const closed = await review(cast.approver, id);
    expect(closed.body).toMatchObject({
      state: 'reviewed',
      reviewed_by: cast.approver.id,
      disposition: 'justified',
    });
    expect(outcome(await review(cast.approver, id))).toEqual([409, 'already_decided']);
    const [event] = await detailsOf(cast.service, request, 'emergency.reviewed');
    expect(event).toMatchObject({ person: cast.approver.id, disposition: 'justified' });
    expect(JSON.stringify(event)).not.toContain('stuck');
    task = await startTask(agent);
    expect((await declare(first, 'review')).status).toBe(202);
  });

  it('a gate that cools down waits even after that, but for the same incident', async () => {
    const { id, request } = await broken('cool', { incident: 'INC-3' });
    await over(request);
    await review(cast.approver, id);
    task = await startTask(agent);
    expect(outcome(await declare(first, 'cool'))).toEqual([429, 'too_soon']);
    expect((await declare(first, 'cool', { incident: 'INC-3' })).status).toBe(202);
  });
});

describe('the verdict on a gate whose glass was broken', () => {
  it('names each use with what became of it', async () => {
    const { id, request } = await broken('verdict');
    await over(request);
    await review(cast.approver, id);
    let found: JsonObject | undefined;
    await eventually(async () => {
      const path = '/v1/controls/verdict/verdict';
      const { body } = await admin(cast.service).call('GET', path);
      const tests = list(object(object(body['layers'])['operation'])['tests']);
      found = tests.find((test) => test['id'] === 'break_glass');
      return found !== undefined && text(found['says']).includes('1 of 1');
    }, 'the use in the verdict');
    expect(found).toMatchObject({ population: 1, exceptions: 0 });
  });

  it('asking for the role while it is broken still waits for its approvers', async () => {
    const reply = await askCredential(agent, task, {
      role: 'verdict',
      seal_to: cast.seal.publicJwk,
    });
    expect(reply.status).toBe(202);
  });
});
