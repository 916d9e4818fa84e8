import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { detailsOf, hold, seen, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  anyone,
  list,
  newKey,
  object,
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
let second: TestPerson;
let stranger: TestPerson;
let ownedByApprover: TestAgent;

const OWNERS = '  groups: [data-owners]\n';

beforeAll(async () => {
  cast = await startCast();
  const { service, approver } = cast;
  await activateRoles(cast, [
    { name: 'pair', routes: { pair: `${OWNERS}  quorum: 2\n` } },
    { name: 'fresh', routes: { fresh: `${OWNERS}  strength: fresh\n` } },
    { name: 'web-only', routes: { 'web-only': `${OWNERS}  channels: [web]\n` } },
    {
      name: 'both',
      routes: { easy: OWNERS, hard: `${OWNERS}  strength: fresh\n` },
    },
  ]);
  second = await person(service, 'Bea', ['data-owners']);
  stranger = await person(service, 'Stan', ['visitors']);
  const admitter = await person(service, 'Abe', ['admins']);
  ownedByApprover = await admittedAgent(service, approver.id, admitter);
});
afterAll(() => cast.close());

const ask = async (role: string, more: JsonObject = {}, agent: Caller = cast.agent) =>
  (await hold(agent, cast.seal, { role }, more)).request;

/** Makes somebody's session older than what counts as fresh. */
async function grownOld(who: TestPerson): Promise<void> {
  await cast.service.database.owner.sql`
    update session set created_at = now() - interval '20 minutes' where person = ${who.id}`;
}

const wrongCard = (voter: Caller, request: string): Promise<Reply> =>
  voter.call('POST', `/v1/requests/${request}/votes`, {
    decision: 'approve',
    shown: 'sha256:00',
  });

const refusalCodes = async (request: string): Promise<string[]> =>
  (await detailsOf(cast.service, request, 'vote.refused')).map((each) => text(each['code']));

describe('refusals come in the order of the contract, and each is an event', () => {
  it('human, not self, eligible, strength, state and time, already voted, shown', async () => {
    const { service, agent, owner, approver } = cast;
    const tired = await person(service, 'Tia', ['data-owners']);
    await grownOld(tired);
    // Decided already, wants a fresh sign-in, and the card is wrong: what is checked first is what is said.
    const done = await ask('fresh');
    expect((await vote(approver, done, 'approve')).status).toBe(201);
    const onDone = [];
    for (const voter of [agent, admin(service), owner, stranger, tired, second])
      onDone.push(text((await wrongCard(voter, done)).body['code']));
    expect(onDone).toEqual([
      'human_required',
      'human_required',
      'self_approval',
      'not_eligible',
      'stronger_auth_required',
      'already_decided',
    ]);
    expect(await refusalCodes(done)).toEqual(onDone);
    const open = await ask('pair');
    expect((await vote(approver, open, 'approve')).status).toBe(201);
    const onOpen = [];
    for (const voter of [approver, second])
      onOpen.push(text((await wrongCard(voter, open)).body['code']));
    expect(onOpen).toEqual(['already_voted', 'shown_mismatch']);
    expect(await refusalCodes(open)).toEqual(onOpen);
  });

  it('a vote.refused event says who tried, as what, through which channel', async () => {
    const request = await ask('pair');
    await wrongCard(cast.agent, request);
    await wrongCard(stranger, request);
    const details = await detailsOf(cast.service, request, 'vote.refused');
    expect(details).toEqual([
      {
        code: 'human_required',
        person: null,
        principal: 'agent',
        channel: 'api',
        decision: 'approve',
      },
      {
        code: 'not_eligible',
        person: stranger.id,
        principal: 'person',
        channel: 'api',
        decision: 'approve',
      },
    ]);
  });
});

describe('SEC-A1 (I4): nobody approves for themselves', () => {
  it('I4: the owner of the agent is barred, though an approver', async () => {
    const request = await ask('pair', {}, ownedByApprover);
    const reply = await vote(cast.approver, request, 'approve');
    expect(reply.status).toBe(403);
    expect(reply.body['code']).toBe('self_approval');
  });

  it('I4: the human behind the task is barred, verified or merely claimed', async () => {
    const { approver, agent } = cast;
    const claimed = await ask('pair', { triggered_by: approver.id });
    expect((await vote(approver, claimed, 'approve')).body['code']).toBe('self_approval');
    const proof = await approver.call('POST', '/v1/session/trigger-proof', { agent: agent.id });
    const verified = await ask('pair', {
      triggered_by: approver.id,
      trigger_proof: text(proof.body['trigger_proof']),
    });
    expect((await vote(approver, verified, 'approve')).body['code']).toBe('self_approval');
    expect((await vote(second, verified, 'approve')).status).toBe(201);
  });

  it('I4: whoever registered an agent does not admit it', async () => {
    const { approver, owner, service } = cast;
    const registered = await approver.call('POST', '/v1/agents', {
      name: 'self-made-bot',
      kind: 'ai_agent',
      owner: owner.id,
      team: 'core',
      purpose: 'support',
      keys: [(await newKey()).publicJwk],
    });
    const request = text(registered.body['request']);
    expect((await vote(approver, request, 'approve')).body['code']).toBe('self_approval');
    const other = await person(service, 'Ana', ['admins']);
    expect((await vote(other, request, 'approve')).status).toBe(201);
  });

  it('I4: whoever proposed a policy does not activate it', async () => {
    const { service } = cast;
    const proposer = await person(service, 'Pam', ['admins'], { roles: ['admin'] });
    const active = await proposer.call('GET', '/v1/policies/active');
    const files = object(active.body['files']);
    const proposed = await proposer.call('POST', '/v1/policies', {
      files: { ...files, 'main.cedar': `${text(files['main.cedar'])}\n// one more line\n` },
    });
    const request = text(object(proposed.body['request'])['id']);
    expect((await vote(proposer, request, 'approve')).body['code']).toBe('self_approval');
    expect((await seen(service, request))['state']).toBe('pending');
  });

  it('I4: no agent and no stored token can vote, not even on what another agent asked for', async () => {
    const { service, agent } = cast;
    const request = await ask('pair', {}, ownedByApprover);
    const shown = text((await seen(service, request))['shown']);
    const body = { decision: 'approve', shown };
    const byToken = await admin(service).call('POST', `/v1/requests/${request}/votes`, body);
    expect(byToken.body['code']).toBe('human_required');
    const byOther = await agent.call('POST', `/v1/requests/${request}/votes`, body);
    expect([byOther.status, byOther.body['code']]).toEqual([403, 'human_required']);
    expect((await seen(service, request))['votes']).toEqual([]);
  });
});

describe('SEC-A9: a quorum', () => {
  it('counts distinct humans', async () => {
    const { approver, service } = cast;
    const request = await ask('pair');
    expect((await vote(approver, request, 'approve')).status).toBe(201);
    expect((await vote(approver, request, 'approve')).body['code']).toBe('already_voted');
    expect((await seen(service, request))['state']).toBe('pending');
    const last = await vote(second, request, 'approve');
    expect(object(last.body['request'])['state']).toBe('approved');
  });

  it('forgets the vote of whoever left the group or was deactivated before it was reached', async () => {
    const { approver, service } = cast;
    const mover = await person(service, 'Mo', ['data-owners']);
    const leaver = await person(service, 'Lea', ['data-owners']);
    const request = await ask('pair');
    expect((await vote(mover, request, 'approve')).status).toBe(201);
    await admin(service).call('PATCH', `/v1/people/${mover.id}`, { groups: [] });
    expect(object((await vote(leaver, request, 'approve')).body['request'])['state']).toBe(
      'pending',
    );
    await admin(service).call('PATCH', `/v1/people/${leaver.id}`, { state: 'deactivated' });
    expect(object((await vote(second, request, 'approve')).body['request'])['state']).toBe(
      'pending',
    );
    expect(list((await seen(service, request))['routes'])[0]?.['approvals']).toBe(1);
    expect((await vote(approver, request, 'approve')).status).toBe(201);
    const [approved] = await detailsOf(service, request, 'request.approved');
    expect(approved?.['approved_by']).toHaveLength(2);
    expect(approved?.['approved_by']).toEqual(expect.arrayContaining([approver.id, second.id]));
  });

  it('does not change any more once it was reached', async () => {
    const { service } = cast;
    const voter = await person(service, 'Vic', ['data-owners']);
    const request = await ask('fresh');
    expect((await vote(voter, request, 'approve')).status).toBe(201);
    await admin(service).call('PATCH', `/v1/people/${voter.id}`, { state: 'deactivated' });
    expect(['approved', 'consumed']).toContain(text((await seen(service, request))['state']));
  });

  it('is never reached by a vote that its route does not take: too weak, or by another channel', async () => {
    const { service, approver } = cast;
    const tired = await person(service, 'Ted', ['data-owners']);
    await grownOld(tired);
    const request = await ask('both');
    // Good enough for the easy route alone.
    expect((await vote(tired, request, 'approve')).status).toBe(201);
    const routes = list((await seen(service, request))['routes']);
    const approvals = Object.fromEntries(
      routes.map((route) => [text(route['name']), route['approvals']]),
    );
    expect(approvals).toEqual({ easy: 1, hard: 0 });
    expect((await seen(service, request))['state']).toBe('pending');
    const [cast1] = await detailsOf(service, request, 'vote.cast');
    expect(cast1?.['routes']).toEqual(['easy']);
    const decided = await vote(approver, request, 'approve');
    expect(object(decided.body['request'])['state']).toBe('approved');
    const webOnly = await ask('web-only');
    const byApi = await vote(approver, webOnly, 'approve');
    expect(byApi.body['code']).toBe('stronger_auth_required');
  });
});

describe('late votes', () => {
  it('are told what was decided, and by whom', async () => {
    const { approver } = cast;
    const request = await ask('fresh');
    expect((await vote(approver, request, 'deny', { reason: 'no' })).status).toBe(201);
    const late = await vote(second, request, 'approve');
    expect(late.status).toBe(409);
    expect(late.body).toMatchObject({
      code: 'already_decided',
      state: 'denied',
      decided_by: approver.id,
    });
  });

  it('I6: a vote after the deadline is refused and the expiry is recorded as one, by nobody', async () => {
    const { service, approver } = cast;
    const request = await ask('fresh');
    await service.database.owner.sql`
      update request set expires_at = now() - interval '1 second' where id = ${request}`;
    const late = await vote(approver, request, 'approve');
    expect(late.status).toBe(410);
    expect(late.body['code']).toBe('request_expired');
    expect(await seen(service, request)).toMatchObject({ state: 'expired', votes: [] });
    expect(await detailsOf(service, request, 'request.expired')).toHaveLength(1);
    expect(await detailsOf(service, request, 'request.denied')).toEqual([]);
  });
});

describe('votes at the same moment', () => {
  it('come to exactly one outcome', async () => {
    const { service } = cast;
    const names = Array.from({ length: 20 }, (_, at) => `Voter ${at}`);
    const voters: TestPerson[] = [];
    for (const name of names) voters.push(await person(service, name, ['data-owners']));
    const request = await ask('fresh');
    const replies = await Promise.all(
      voters.map((voter, at) => vote(voter, request, at % 2 === 0 ? 'approve' : 'deny')),
    );
    const won = replies.findIndex(({ status }) => status === 201);
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(1);
    const lost = replies.filter(({ status }) => status !== 201);
    const said = lost.map(({ body }) => `${text(body['code'])} ${text(body['decided_by'])}`);
    expect(new Set(said)).toEqual(new Set([`already_decided ${voters[won]?.id ?? ''}`]));
    const approved = await detailsOf(service, request, 'request.approved');
    const denied = await detailsOf(service, request, 'request.denied');
    expect(approved.length + denied.length).toBe(1);
    expect(await refusalCodes(request)).toHaveLength(19);
    const pair = await ask('pair');
    const both = await Promise.all(voters.map((voter) => vote(voter, pair, 'approve')));
    expect(both.filter(({ status }) => status === 201)).toHaveLength(2);
    expect(await detailsOf(service, pair, 'permit.issued')).toHaveLength(1);
  });
});

describe('a vote needs its person there', () => {
  it('is not taken without the CSRF token, or after signing out', async () => {
    const { service, approver } = cast;
    const request = await ask('pair');
    const body = { decision: 'approve', shown: text((await seen(service, request))['shown']) };
    const path = `/v1/requests/${request}/votes`;
    const forged = await anyone(service).call('POST', path, body, { cookie: approver.cookie });
    expect(forged.body['code']).toBe('forbidden');
    const gone = await person(service, 'Gil', ['data-owners']);
    await gone.call('DELETE', '/v1/session');
    const late = await gone.call('POST', path, body);
    expect(late.status).toBe(401);
    expect((await seen(service, request))['votes']).toEqual([]);
  });
});
