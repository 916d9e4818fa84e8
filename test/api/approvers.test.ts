// Who decides: so many of each group, one stage after the other, the owner of what is asked for, and stand-ins.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, detailsOf, hold, seen, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  list,
  object,
  person,
  text,
  vote,
  type Caller,
  type Reply,
  type TestPerson,
} from '../support/client.ts';
import { withRoles } from '../support/policies.ts';

let cast: Cast;
/** In one group each, and in both. */
let sam: TestPerson;
let sue: TestPerson;
let olga: TestPerson;
let both: TestPerson;
/** An approver of nothing. */
let tom: TestPerson;

const SEATS = '  groups: [security, owners]\n  quorum: { security: 1, owners: 1 }\n';
const STAGES =
  '  stages:\n    - { title: Owners, groups: [owners] }\n    - { groups: [security], quorum: 1 }\n';

beforeAll(async () => {
  cast = await startCast();
  const { service } = cast;
  sam = await person(service, 'Sam', ['security']);
  sue = await person(service, 'Sue', ['security']);
  olga = await person(service, 'Olive', ['owners']);
  both = await person(service, 'Bo', ['security', 'owners']);
  tom = await person(service, 'Tom', ['visitors'], { email: 'Tom@Example.com' });
  await person(service, 'Zoe', ['z-one', 'z-two']);
  const proposed = await changePolicy(service, cast.approver, (files) => {
    const changed = withRoles(files, [
      { name: 'seats', routes: { seats: SEATS } },
      { name: 'pair', routes: { pair: '  groups: [security]\n  quorum: 2\n' } },
      { name: 'staged', routes: { staged: STAGES } },
      {
        name: 'lonely',
        routes: { lonely: '  groups: [z-one, z-two]\n  quorum: { z-one: 1, z-two: 1 }\n' },
      },
      {
        name: 'lonely-stages',
        routes: {
          'lonely-stages': '  stages:\n    - groups: [z-one]\n    - groups: [z-two]\n',
        },
      },
      { name: 'owned', routes: { owned: '  resource_owner: true\n' } },
      { name: 'ownerless', routes: { ownerless: '  resource_owner: true\n' } },
    ]);
    const roles = (changed['roles.yaml'] ?? '').replace(
      'audience: https://owned.example\n',
      'audience: https://owned.example\n    owner: tom@example.com\n',
    );
    return { ...changed, 'roles.yaml': roles };
  });
  if (proposed.status !== 202) throw new Error(proposed.text);
});
afterAll(() => cast.close());

const ask = async (role: string): Promise<string> =>
  (await hold(cast.agent, cast.seal, { role })).request;

const approve = (voter: Caller, request: string, more: JsonObject = {}): Promise<Reply> =>
  vote(voter, request, 'approve', more);

/** What a vote came to: its code, or the state of the request after it. */
async function outcome(reply: Promise<Reply>): Promise<string> {
  const { body } = await reply;
  return text(body['code']) || text(object(body['request'])['state']);
}

const stagesOf = async (request: string) => {
  const [route] = list((await seen(cast.service, request))['routes']);
  return list(route?.['stages']).map((stage) => ({
    state: stage['state'],
    seats: list(stage['seats']).map(
      (seat) =>
        `${JSON.stringify([seat['approvals'], seat['quorum']])} ${JSON.stringify(seat['groups'])}`,
    ),
  }));
};

const isOffered = async (voter: Caller, request: string): Promise<boolean> => {
  const { body } = await voter.call('GET', '/v1/requests?state=pending');
  return list(body['data']).some(({ id }) => id === request);
};

const change = (who: TestPerson, body: JsonObject): Promise<Reply> =>
  admin(cast.service).call('PATCH', `/v1/people/${who.id}`, body);

describe('I4: a quorum per group', () => {
  it('is one from each, said per group, and two of one are not enough', async () => {
    const request = await ask('seats');
    expect(await outcome(approve(sam, request))).toBe('pending');
    expect(await outcome(approve(sue, request))).toBe('pending');
    expect(await stagesOf(request)).toEqual([
      { state: 'open', seats: ['[0,1] ["owners"]', '[1,1] ["security"]'] },
    ]);
    const [route] = list((await seen(cast.service, request))['routes']);
    expect([route?.['quorum'], route?.['approvals']]).toEqual([2, 1]);
    expect(await outcome(approve(olga, request))).toBe('approved');
  });

  it('is not reached by one person who is in both', async () => {
    const request = await ask('seats');
    expect(await outcome(approve(both, request))).toBe('pending');
    expect(await outcome(approve(sam, request))).toBe('approved');
  });

  it('is refused at once where the same person would have to fill two seats', async () => {
    for (const role of ['lonely', 'lonely-stages']) {
      const { reply } = await hold(cast.agent, cast.seal, { role });
      expect([reply.status, reply.body['code']]).toEqual([409, 'no_approver']);
    }
    await person(cast.service, 'Zed', ['z-two']);
    for (const role of ['lonely', 'lonely-stages'])
      expect((await hold(cast.agent, cast.seal, { role })).reply.status).toBe(202);
  });
});

describe('stages', () => {
  it('ask their people when the one before is complete, and say so', async () => {
    const request = await ask('staged');
    expect(await isOffered(sam, request)).toBe(false);
    expect(await outcome(approve(sam, request))).toBe('not_your_turn');
    expect(await outcome(vote(sam, request, 'deny'))).toBe('not_your_turn');
    expect(await outcome(approve(tom, request))).toBe('not_eligible');
    expect(await isOffered(olga, request)).toBe(true);
    expect(await outcome(approve(olga, request))).toBe('pending');
    expect(await stagesOf(request)).toEqual([
      { state: 'complete', seats: ['[1,1] ["owners"]'] },
      { state: 'open', seats: ['[0,1] ["security"]'] },
    ]);
    expect(await detailsOf(cast.service, request, 'request.stage_opened')).toEqual([
      { route: 'staged', stage: 2, groups: ['security'] },
    ]);
    expect(await isOffered(sam, request)).toBe(true);
    expect(await outcome(approve(sam, request))).toBe('approved');
    // Afterwards everybody who was ever to be asked is told the same.
    expect(await outcome(approve(sue, request))).toBe('already_decided');
    const casts = await detailsOf(cast.service, request, 'vote.cast');
    expect(casts.map(({ stages }) => stages)).toEqual([{ staged: 0 }, { staged: 1 }]);
  });

  it('I4: one person does not fill two of them', async () => {
    const request = await ask('staged');
    expect(await outcome(approve(both, request))).toBe('pending');
    expect(await outcome(approve(both, request))).toBe('already_voted');
    expect(await outcome(approve(sam, request))).toBe('approved');
  });

  it('I4: a removed person of an earlier stage counts no more before the decision is final', async () => {
    const leaver = await person(cast.service, 'Lea', ['owners']);
    const request = await ask('staged');
    expect(await outcome(approve(leaver, request))).toBe('pending');
    await change(leaver, { groups: [] });
    expect(await outcome(approve(sam, request))).toBe('not_your_turn');
    expect(await outcome(approve(olga, request))).toBe('pending');
    expect(await outcome(approve(sam, request))).toBe('approved');
  });

  it('I4: a vote of a later stage stays one of it when an earlier one opens again', async () => {
    const leaver = await person(cast.service, 'Lia', ['owners']);
    const pairStage = await ask('staged');
    expect(await outcome(approve(leaver, pairStage))).toBe('pending');
    const { sql } = cast.service.database.owner;
    // The last stage asks two here, so that its first vote decides nothing yet.
    await sql`update request set routes = jsonb_set(routes, '{0,rule,stages,1,quorum}', '2') where id = ${pairStage}`;
    expect(await outcome(approve(both, pairStage))).toBe('pending');
    await change(leaver, { state: 'deactivated' });
    expect(await outcome(approve(sam, pairStage))).toBe('not_your_turn');
    expect(await stagesOf(pairStage)).toEqual([
      { state: 'open', seats: ['[0,1] ["owners"]'] },
      { state: 'waiting', seats: ['[1,2] ["security"]'] },
    ]);
    expect(await outcome(approve(olga, pairStage))).toBe('pending');
    expect(await outcome(approve(sam, pairStage))).toBe('approved');
  });
});

describe('the owner of what is asked for', () => {
  it('I4: decides by their address alone, and nobody where none is named', async () => {
    const request = await ask('owned');
    expect(await outcome(approve(sam, request))).toBe('not_eligible');
    const [opened] = await detailsOf(cast.service, request, 'request.opened');
    expect(list(opened?.['routes'])[0]?.['resource_owner']).toEqual({ person: tom.id });
    expect(JSON.stringify(opened)).not.toContain('@');
    expect(await outcome(approve(tom, request))).toBe('approved');
    const { reply } = await hold(cast.agent, cast.seal, { role: 'ownerless' });
    expect(reply.body['code']).toBe('no_approver');
  });
});

const HOUR = 3_600_000;
const inHours = (hours: number): string => new Date(Date.now() + hours * HOUR).toISOString();

const leave = (caller: Caller, who: TestPerson, standIn: string, more: JsonObject = {}) =>
  caller.call('POST', `/v1/people/${who.id}/absences`, {
    stand_in: standIn,
    ends_at: inHours(4),
    ...more,
  });

/** Somebody of a group who is away, and who votes for them. */
async function awayWith(
  groups: string[],
  standIn: TestPerson,
): Promise<TestPerson & { absence: string }> {
  const away = await person(cast.service, 'Ava', groups);
  const reply = await leave(away, away, standIn.id);
  expect(reply.status).toBe(201);
  return { ...away, absence: text(reply.body['id']) };
}

describe('I4: a stand-in', () => {
  it('votes by the rights of whoever is away, is recorded as such, and is the same human', async () => {
    const ava = await awayWith(['owners'], tom);
    const request = await ask('seats');
    expect(await isOffered(tom, request)).toBe(true);
    expect(await outcome(approve(tom, request))).toBe('pending');
    const [detail] = await detailsOf(cast.service, request, 'vote.cast');
    expect(detail).toMatchObject({
      person: tom.id,
      in_stead_of: ava.id,
      absence: ava.absence,
      groups: ['owners'],
    });
    expect(list((await seen(cast.service, request))['votes'])[0]?.['in_stead_of']).toBe(ava.id);
    expect(await outcome(approve(ava, request))).toBe('already_voted');
    expect(await outcome(approve(sam, request))).toBe('approved');
  });

  it('has no vote once whoever is away has voted themselves', async () => {
    const ava = await awayWith(['security'], tom);
    const request = await ask('pair');
    expect(await outcome(approve(ava, request))).toBe('pending');
    expect(await outcome(approve(tom, request, { in_stead_of: ava.id }))).toBe('already_voted');
    expect(list((await seen(cast.service, request))['votes'])).toHaveLength(1);
  });

  it('has one vote, for themselves or for another', async () => {
    const ava = await awayWith(['security'], sue);
    const request = await ask('pair');
    expect(await outcome(approve(sue, request))).toBe('pending');
    const [detail] = await detailsOf(cast.service, request, 'vote.cast');
    expect(detail?.['in_stead_of']).toBeNull();
    expect(await outcome(approve(sue, request, { in_stead_of: ava.id }))).toBe('already_voted');
    const seats = await ask('seats');
    const chosen = await approve(sue, seats, { in_stead_of: ava.id });
    expect(object(chosen.body['vote'])['in_stead_of']).toBe(ava.id);
  });

  it('does not stand in for somebody who stands in, nor for anybody who did not say so', async () => {
    const last = await person(cast.service, 'Lou', ['visitors']);
    const middle = await awayWith(['visitors'], last);
    const ava = await awayWith(['security'], middle);
    const request = await ask('pair');
    expect(await outcome(approve(last, request))).toBe('not_eligible');
    expect(await outcome(approve(last, request, { in_stead_of: ava.id }))).toBe('not_eligible');
    expect(await outcome(approve(tom, request, { in_stead_of: sam.id }))).toBe('not_eligible');
    expect(await outcome(approve(middle, request))).toBe('pending');
  });

  it('is barred where they or whoever is away would be', async () => {
    const away = await person(cast.service, 'Ana', ['security']);
    expect((await leave(away, away, cast.owner.id)).status).toBe(201);
    const request = await ask('pair');
    expect(await outcome(approve(cast.owner, request))).toBe('self_approval');
    await change(cast.owner, { groups: ['engineering', 'security'] });
    expect((await leave(cast.owner, cast.owner, tom.id)).status).toBe(201);
    expect(await outcome(approve(tom, request, { in_stead_of: cast.owner.id }))).toBe(
      'not_eligible',
    );
  });

  it('counts no more once the absence is taken back, and whoever was away votes again', async () => {
    const ava = await awayWith(['security'], tom);
    const request = await ask('pair');
    expect(await outcome(approve(tom, request, { in_stead_of: ava.id }))).toBe('pending');
    const back = await ava.call('DELETE', `/v1/people/${ava.id}/absences/${ava.absence}`);
    expect(back.status).toBe(200);
    const [route] = list((await seen(cast.service, request))['routes']);
    expect(route?.['approvals']).toBe(0);
    expect(await outcome(approve(ava, request))).toBe('pending');
    expect(await outcome(approve(sam, request))).toBe('approved');
  });

  it('counts no more once whoever is away, or the stand-in, may not decide', async () => {
    const deputy = await person(cast.service, 'Dep', ['visitors']);
    const ava = await awayWith(['security'], deputy);
    const approvals = async (request: string) =>
      list((await seen(cast.service, request))['routes'])[0]?.['approvals'];
    const request = await ask('pair');
    expect(await outcome(approve(deputy, request))).toBe('pending');
    expect(await approvals(request)).toBe(1);
    await change(ava, { groups: [] });
    expect(await approvals(request)).toBe(0);
    await change(ava, { groups: ['security'] });
    await change(deputy, { roles: ['owner'] });
    expect(await approvals(request)).toBe(0);
  });

  it('is named by oneself, freshly signed in, or by an administrator; an approver who is not oneself', async () => {
    const { service } = cast;
    const ava = await person(service, 'Eva', ['security']);
    expect((await leave(sam, ava, tom.id)).body['code']).toBe('forbidden');
    expect((await leave(ava, ava, ava.id)).body['code']).toBe('person_unknown');
    const auditor = await person(service, 'Aud', [], { roles: ['auditor'] });
    expect((await leave(ava, ava, auditor.id)).body['code']).toBe('person_unknown');
    expect((await leave(ava, ava, 'psn_nobody')).body['code']).toBe('person_unknown');
    const past = { starts_at: inHours(2), ends_at: inHours(1) };
    expect((await leave(ava, ava, tom.id, past)).body['code']).toBe('invalid_request');
    expect((await leave(ava, ava, tom.id, { ends_at: inHours(24 * 91) })).status).toBe(400);
    await service.database.owner.sql`
      update session set created_at = now() - interval '20 minutes' where person = ${ava.id}`;
    expect((await leave(ava, ava, tom.id)).body['code']).toBe('stronger_auth_required');
    const said = await leave(admin(service), ava, tom.id, { starts_at: inHours(1) });
    expect(said.status).toBe(201);
    expect((await leave(admin(service), ava, sam.id)).body['code']).toBe('wrong_state');
    // Not yet away: nobody votes for them.
    const request = await ask('pair');
    expect(await outcome(approve(tom, request, { in_stead_of: ava.id }))).toBe('not_eligible');
    const listed = await tom.call('GET', `/v1/people/${ava.id}/absences`);
    expect(list(listed.body['data'])).toEqual([said.body]);
  });
});

describe('I9: the verdict', () => {
  it('finds every approval above to be by approvers, each in one seat, from the leaves alone', async () => {
    for (const control of ['seats', 'pair', 'staged', 'owned']) {
      const tests = async (): Promise<JsonObject[]> => {
        const path = `/v1/controls/${control}/verdict`;
        const { body } = await admin(cast.service).call('GET', path);
        return list(object(object(body['layers'])['operation'])['tests']);
      };
      const found = async (id: string): Promise<JsonObject> =>
        (await tests()).find((each) => each['id'] === id) ?? {};
      await expect.poll(async () => (await found('eligibility'))['population']).toBeGreaterThan(0);
      for (const id of ['eligibility', 'independence']) {
        const { exceptions, cases } = await found(id);
        expect([control, id, exceptions, cases]).toEqual([control, id, 0, cases]);
      }
    }
  });
});
