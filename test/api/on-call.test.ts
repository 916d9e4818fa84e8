// Approvers who are on call: asked of PagerDuty and Opsgenie as they really answer, and nobody where they do not.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openEgress } from '../../activities/egress.ts';
import { askOnCall } from '../../activities/on-call.ts';
import type { OnCallSettings } from '../../commands/people/on-call.ts';
import { startFakeOpsgenie, startFakePagerDuty, type FakeOnCall } from '../fakes/on-call.ts';
import { detailsOf, hold, seen, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  eventually,
  list,
  object,
  person,
  text,
  vote,
  type TestPerson,
} from '../support/client.ts';
import { activateRoles } from '../support/policies.ts';

let cast: Cast;
let pagerDuty: FakeOnCall;
let opsgenie: FakeOnCall;
let ann: TestPerson;
let ben: TestPerson;

const SCHEDULE = 'PSCHED1';
const egress = openEgress({ allow: [], loopback: false });

beforeAll(async () => {
  [pagerDuty, opsgenie] = [await startFakePagerDuty(), await startFakeOpsgenie()];
  cast = await startCast();
  ann = await person(cast.service, 'Ann', [], { email: 'ann@example.com' });
  ben = await person(cast.service, 'Ben', [], { email: 'ben@example.com' });
  await activateRoles(cast, [
    { name: 'called', routes: { called: '  on_call: [primary]\n' } },
    {
      name: 'called-late',
      routes: {
        'called-late':
          '  groups: [data-owners]\n  quorum: { data-owners: 1 }\n' +
          '  escalation: [{ after_seconds: 3600, on_call: [primary], for: data-owners }]\n',
      },
    },
  ]);
});
afterAll(async () => {
  await cast.close();
  await pagerDuty.close();
  await opsgenie.close();
});
beforeEach(() => {
  for (const fake of [pagerDuty, opsgenie]) fake.broken = null;
  pagerDuty.shifts = [{ user: { id: 'PANN', email: 'Ann@Example.com' }, schedule: SCHEDULE }];
});

const settings = (fake: FakeOnCall, over: Partial<OnCallSettings> = {}): OnCallSettings => ({
  kind: fake === pagerDuty ? 'pagerduty' : 'opsgenie',
  api_url: fake.url,
  token: fake.token,
  schedule: SCHEDULE,
  people: {},
  ...over,
});

/** Configures the source anew, which has it asked at once, and waits for what it says. */
async function ask(fake: FakeOnCall, over: Partial<OnCallSettings> = {}) {
  const started = new Date().toISOString();
  const path = '/v1/integrations/on-call/primary';
  const reply = await admin(cast.service).call('PUT', path, { ...settings(fake, over) });
  expect([reply.status, reply.body]).toEqual([200, { configured: true }]);
  const answer = async () => {
    const { body } = await admin(cast.service).call('GET', '/v1/on-call');
    return list(body['data']).find((each) => text(each['looked_at']) >= started);
  };
  await eventually(async () => (await answer()) !== undefined, 'an answer of the source');
  const { people, unmatched, code } = (await answer()) ?? {};
  return { people, unmatched, code };
}

describe('asking', () => {
  it('PagerDuty names each user once, whom it has on call for this schedule now', async () => {
    const past = '2020-01-01T00:00:00Z';
    pagerDuty.shifts.push(
      { user: { id: 'PBEN', email: 'ben@example.com' }, schedule: 'POTHER' },
      { user: { id: 'PCY', email: 'cy@example.com' }, schedule: SCHEDULE, end: past },
    );
    expect(await askOnCall(egress, settings(pagerDuty))).toEqual({
      users: [{ id: 'PANN', email: 'Ann@Example.com' }],
    });
  });

  it('PagerDuty is asked page by page until there is no more', async () => {
    pagerDuty.shifts = Array.from({ length: 120 }, (_, at) => ({
      user: { id: `P${at}`, email: `p${at}@example.com` },
      schedule: SCHEDULE,
    }));
    const answer = await askOnCall(egress, settings(pagerDuty));
    expect('users' in answer && answer.users).toHaveLength(120);
  });

  it('Opsgenie names the users of a schedule that is switched on, and nobody of another', async () => {
    opsgenie.schedules = new Map([[SCHEDULE, true]]);
    opsgenie.shifts = [{ user: { id: 'u', email: 'ann@example.com' }, schedule: SCHEDULE }];
    const answer = await askOnCall(egress, settings(opsgenie));
    expect(answer).toEqual({ users: [{ id: 'ann@example.com', email: 'ann@example.com' }] });
    opsgenie.schedules.set(SCHEDULE, false);
    expect(await askOnCall(egress, settings(opsgenie))).toEqual({ users: [] });
    const unknown = settings(opsgenie, { schedule: '../users' });
    expect(await askOnCall(egress, unknown)).toEqual({ code: 'schedule_unknown' });
  });

  it('I6: whatever is not a clear answer is none, and says why', async () => {
    const of = async (fake: FakeOnCall, over = {}): Promise<unknown> =>
      askOnCall(egress, settings(fake, over));
    expect(await of(pagerDuty, { token: 'other' })).toEqual({ code: 'not_allowed' });
    expect(await of(opsgenie, { token: 'other' })).toEqual({ code: 'not_allowed' });
    const answers: [number, string, string][] = [
      [500, '{}', 'not_answered'],
      [302, '{}', 'not_answered'],
      [429, '{}', 'too_often'],
      [200, 'no JSON', 'not_understood'],
      [200, '{"oncalls":[{"user":{}}],"more":false}', 'not_understood'],
    ];
    for (const [status, body, code] of answers) {
      pagerDuty.broken = { status, body };
      expect(await of(pagerDuty)).toEqual({ code });
    }
    expect(await of(pagerDuty, { api_url: 'http://127.0.0.1:1' })).toEqual({ code: 'unreachable' });
  });
});

describe('on-call approvers', () => {
  it('I4: whoever is on call decides, by their address, and is asked about no other route', async () => {
    expect(await ask(pagerDuty)).toEqual({ people: [ann.id], unmatched: 0, code: null });
    const { request } = await hold(cast.agent, cast.seal, { role: 'called' });
    const [route] = list((await seen(cast.service, request))['routes']);
    expect(route?.['groups']).toEqual(['on-call:primary']);
    const [opened] = await detailsOf(cast.service, request, 'request.opened');
    const [inLog] = list(opened?.['routes']);
    expect(inLog?.['on_call']).toEqual({ 'on-call:primary': [ann.id] });
    expect((await vote(ben, request, 'approve')).body['code']).toBe('not_eligible');
    const waiting = await ann.call('GET', '/v1/requests?state=pending');
    expect(list(waiting.body['data']).map((each) => each['id'])).toContain(request);
    const decided = await vote(ann, request, 'approve');
    expect([decided.status, object(decided.body['request'])['state']]).toEqual([201, 'approved']);
    const [cast1] = await detailsOf(cast.service, request, 'vote.cast');
    expect(cast1?.['groups']).toEqual(['on-call:primary']);
    const other = await hold(cast.agent, cast.seal);
    expect((await vote(ann, other.request, 'approve')).body['code']).toBe('not_eligible');
  });

  it('I4: a shift that ended ends the right to decide, though the request was opened in it', async () => {
    await ask(pagerDuty);
    const { request } = await hold(cast.agent, cast.seal, { role: 'called' });
    pagerDuty.shifts = [{ user: { id: 'PBEN', email: 'ben@example.com' }, schedule: SCHEDULE }];
    expect(await ask(pagerDuty)).toMatchObject({ people: [ben.id] });
    expect((await vote(ann, request, 'approve')).body['code']).toBe('not_eligible');
    expect((await vote(ben, request, 'approve')).status).toBe(201);
  });

  it('I6: nobody is on call by a source that does not answer, or whose answer is old', async () => {
    await ask(pagerDuty);
    const { request } = await hold(cast.agent, cast.seal, { role: 'called' });
    await cast.service.database.owner.sql`
      update on_call set looked_at = now() - interval '6 minutes'`;
    expect((await vote(ann, request, 'approve')).body['code']).toBe('not_eligible');
    pagerDuty.broken = { status: 503, body: '' };
    expect(await ask(pagerDuty)).toEqual({ people: [], unmatched: 0, code: 'not_answered' });
    expect((await vote(ann, request, 'approve')).body['code']).toBe('not_eligible');
    const { reply } = await hold(cast.agent, cast.seal, { role: 'called' });
    expect([reply.status, reply.body['code']]).toEqual([409, 'no_approver']);
    expect(text(reply.body['detail'])).toContain('on-call:primary');
    // Others still decide where they are asked, too.
    const late = await hold(cast.agent, cast.seal, { role: 'called-late' });
    expect((await vote(cast.approver, late.request, 'approve')).status).toBe(201);
  });

  it('knows people by the id that an administrator wrote down before their address, and counts strangers', async () => {
    pagerDuty.shifts.push({ user: { id: 'PX', email: 'x@example.com' }, schedule: SCHEDULE });
    const people = { PANN: ben.id };
    expect(await ask(pagerDuty, { people })).toMatchObject({ people: [ben.id], unmatched: 1 });
    const path = '/v1/integrations/on-call/primary';
    const body = { ...settings(pagerDuty, { people: { PANN: 'psn_nobody' } }) };
    const refused = await admin(cast.service).call('PUT', path, body);
    expect(refused.body['code']).toBe('person_unknown');
  });

  it('I5: a token is in no table, event or answer, and gone with its source', async () => {
    await ask(pagerDuty);
    const { sql } = cast.service.database.owner;
    const rows = await sql`select sealed from integration where name = 'on-call/primary'`;
    expect(Buffer.from(rows[0]?.['sealed'] ?? '').toString('latin1')).not.toContain(
      pagerDuty.token,
    );
    const events = await admin(cast.service).call('GET', '/v1/events?limit=500');
    expect(events.text).not.toContain(pagerDuty.token);
    const path = '/v1/integrations/on-call/primary';
    expect((await ann.call('DELETE', path)).status).toBe(403);
    expect((await admin(cast.service).call('DELETE', path)).status).toBe(204);
    const left = await sql`select name from integration where name = 'on-call/primary'`;
    expect(left).toHaveLength(0);
    const now = await admin(cast.service).call('GET', '/v1/on-call');
    expect(list(now.body['data'])).toEqual([]);
  });
});
