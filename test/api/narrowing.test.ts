// Approving less than was asked for: what people left of it is what is shown from then on, approved, and issued.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { actionDigest, type Action } from '../../domain/action.ts';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, detailsOf, hold, seen, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  eventually,
  list,
  object,
  opened,
  person,
  text,
  vote,
  type Reply,
  type TestPerson,
} from '../support/client.ts';
import { withRoles } from '../support/policies.ts';

let cast: Cast;
let second: TestPerson;

const OWNERS = '  groups: [data-owners]\n';
const CODE = `
targets:
  code:
    issuer: github
    app: Iv1.test
    installation: 7
    private_key_from: NO_SUCH_KEY
`;

beforeAll(async () => {
  cast = await startCast();
  second = await person(cast.service, 'Bea', ['data-owners']);
  await changePolicy(cast.service, cast.approver, (files) => {
    const changed = withRoles(files, [
      { name: 'pair', routes: { pair: `${OWNERS}  quorum: 2\n` } },
      { name: 'single', routes: { single: OWNERS } },
      { name: 'brief', routes: { brief: OWNERS } },
    ]);
    const roles = text(changed['roles.yaml']).replace(/^targets:\n/m, CODE.trimStart());
    return {
      ...changed,
      'main.cedar': `${changed['main.cedar'] ?? ''}
@id("take-code")
@approval("single")
permit (principal is Agent, action == Action::"credential:request", resource == Role::"code");

@id("very-brief")
@approval("pair")
permit (principal is Agent, action == Action::"credential:request", resource == Role::"brief")
when { context.ttl_seconds < 60 };
`,
      'roles.yaml': `${roles}
  code:
    title: Code
    issuer: github
    target: code
    repositories: [api, docs, web]
    permissions: { contents: write, issues: read }
`,
    };
  });
});
afterAll(() => cast.close());

const ask = (role: string, more: JsonObject = {}) =>
  hold(cast.agent, cast.seal, { role, ttl_seconds: 900, ...more });

const approveLess = (voter: TestPerson, request: string, narrow: JsonObject): Promise<Reply> =>
  vote(voter, request, 'approve', { narrow });

const collect = (request: string, body: JsonObject = {}): Promise<Reply> =>
  cast.agent.call('POST', `/v1/requests/${request}/collect`, body);

/** The callers' JSON is an action of ours. */
const asAction = (value: JsonObject): Action => value as unknown as Action;

describe('an approver leaves less of it', () => {
  it('what is issued is what was left: shorter, and good for less long', async () => {
    const { request } = await ask('single');
    const reply = await approveLess(second, request, { ttl_seconds: 120, valid_seconds: 60 });
    expect(reply.status).toBe(201);
    const now = await seen(cast.service, request);
    const narrowed = object(now['narrowed']);
    expect(narrowed).toMatchObject({
      by: [second.id],
      limits: { ttl_seconds: 120, valid_seconds: 60 },
      action: { parameters: { ttl_seconds: 120 } },
    });
    expect(now['action']).toMatchObject({ parameters: { ttl_seconds: 900 } });
    expect(narrowed['digest']).toBe(actionDigest(asAction(object(narrowed['action']))));
    expect(narrowed['digest']).not.toBe(now['digest']);
    const good = Date.parse(text(now['approved_until'])) - Date.parse(text(now['decided_at']));
    expect(good).toBe(60_000);
    const given = await collect(request);
    expect(given.status).toBe(201);
    expect((await opened(given.body['sealed'], cast.seal))['kind']).toBe('jwt');
    // Nothing that was approved outlives its approval, which is the shorter of both here.
    expect(given.body['expires_at']).toBe(now['approved_until']);
  });

  it('the permit is for what was left, and what was asked for is another action', async () => {
    const { request } = await ask('single');
    await approveLess(second, request, { ttl_seconds: 120 });
    const now = await seen(cast.service, request);
    const [row] = await cast.service.database.owner.sql`
      select digest from permit where request = ${request}`;
    expect(row?.['digest']).toBe(object(now['narrowed'])['digest']);
    const wide = await collect(request, { action: object(now['action']) });
    expect(wide.body['code']).toBe('digest_mismatch');
    const exact = await collect(request, { action: object(object(now['narrowed'])['action']) });
    expect(exact.status).toBe(201);
    const lasts =
      Date.parse(text(exact.body['expires_at'])) - Date.parse(text(exact.body['issued_at']));
    expect(lasts).toBeLessThanOrEqual(120_000);
  });

  it('a repository and a level can be taken out of what a role gives', async () => {
    const { request } = await ask('code');
    const narrow = { options: { repositories: ['api'], permissions: { contents: 'read' } } };
    expect((await approveLess(second, request, narrow)).status).toBe(201);
    expect(object((await seen(cast.service, request))['narrowed'])).toMatchObject({
      action: { parameters: { options: narrow.options } },
    });
  });

  it('the log says that it was narrowed, by whom and to which action, and not how', async () => {
    const { request } = await ask('single');
    await approveLess(second, request, { ttl_seconds: 77 });
    await eventually(async () => text((await seen(cast.service, request))['credential']) !== '');
    const [cast1] = await detailsOf(cast.service, request, 'vote.cast');
    const [approved] = await detailsOf(cast.service, request, 'request.approved');
    const [issued] = await detailsOf(cast.service, request, 'permit.issued');
    const [redeemed] = await detailsOf(cast.service, request, 'permit.redeemed');
    expect(cast1).toMatchObject({ narrows: true, within_shown: true, shown_covers_action: true });
    expect(approved).toMatchObject({
      narrowed_by: [second.id],
      within_votes: true,
      effective_ref: cast1?.['approves_ref'],
    });
    expect(issued?.['effective_ref']).toBe(approved?.['effective_ref']);
    expect(redeemed?.['effective_ref']).toBe(approved?.['effective_ref']);
    for (const detail of [cast1, approved, issued])
      expect(JSON.stringify(detail)).not.toMatch(/\b77\b/);
  });

  it('the verdict finds it bound: run is approved is shown, or less', async () => {
    const verdict = await eventuallyJudged('single');
    const binding = list(object(object(verdict['layers'])['operation'])['tests']).find(
      (test) => test['id'] === 'binding',
    );
    expect(binding).toMatchObject({ exceptions: 0 });
    expect(Number(binding?.['population'])).toBeGreaterThanOrEqual(2);
  });
});

/** The verdict, once the log has what happened here. */
async function eventuallyJudged(control: string): Promise<JsonObject> {
  let verdict: JsonObject = {};
  await eventually(async () => {
    const reply = await admin(cast.service).call('GET', `/v1/controls/${control}/verdict`);
    verdict = reply.body;
    const tests = list(object(object(verdict['layers'])['operation'])['tests']);
    return tests.some((test) => test['id'] === 'binding' && Number(test['population']) >= 2);
  }, 'a verdict on two uses');
  return verdict;
}

describe('several approvers', () => {
  it('the tightest of all their limits holds, and a vote for all of it stays good', async () => {
    const { request } = await ask('pair');
    expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
    expect((await approveLess(second, request, { ttl_seconds: 300 })).status).toBe(201);
    const now = await seen(cast.service, request);
    expect(now['state']).not.toBe('pending');
    expect(object(now['narrowed'])).toMatchObject({
      by: [second.id],
      action: { parameters: { ttl_seconds: 300 } },
    });
  });

  it('whoever votes next sees what is left, and votes on that or less', async () => {
    const { request } = await ask('pair');
    const before = text((await seen(cast.service, request))['shown']);
    await approveLess(cast.approver, request, { ttl_seconds: 300, valid_seconds: 600 });
    const stale = await second.call('POST', `/v1/requests/${request}/votes`, {
      decision: 'approve',
      shown: before,
    });
    expect(stale.body['code']).toBe('shown_mismatch');
    expect((await approveLess(second, request, { ttl_seconds: 301 })).body).toMatchObject({
      code: 'narrowing_refused',
      limit: 'ttl_seconds',
    });
    expect((await approveLess(second, request, { ttl_seconds: 200 })).status).toBe(201);
    const now = await seen(cast.service, request);
    expect(object(now['narrowed'])).toMatchObject({
      by: [cast.approver.id, second.id],
      limits: { ttl_seconds: 200, valid_seconds: 600 },
    });
    const [approved] = await detailsOf(cast.service, request, 'request.approved');
    expect(approved?.['narrowed_by']).toEqual([cast.approver.id, second.id]);
  });

  it('what somebody took away stays away once their vote counts no more', async () => {
    const third = await person(cast.service, 'Cal', ['data-owners']);
    const leaver = await person(cast.service, 'Lea', ['data-owners']);
    const { request } = await ask('pair');
    await approveLess(leaver, request, { ttl_seconds: 100 });
    await admin(cast.service).call('PATCH', `/v1/people/${leaver.id}`, { state: 'deactivated' });
    expect((await vote(third, request, 'approve')).status).toBe(201);
    expect((await seen(cast.service, request))['state']).toBe('pending');
    expect((await vote(second, request, 'approve')).status).toBe(201);
    expect(object((await seen(cast.service, request))['narrowed'])).toMatchObject({
      action: { parameters: { ttl_seconds: 100 } },
    });
  });
});

describe('what is no narrowing is refused, and is an event', () => {
  it.each<[string, JsonObject, string]>([
    ['longer', { ttl_seconds: 901 }, 'ttl_seconds'],
    ['good for longer than the route lets it be', { valid_seconds: 901 }, 'valid_seconds'],
    ['more often', { uses: 2 }, 'uses'],
    ['a start that nobody proposed', { not_before: '2030-01-01T00:00:00Z' }, 'not_before'],
    ['an option that the role has not', { options: { scopes: ['all'] } }, 'options.scopes'],
  ])('%s', async (_name, narrow, limit) => {
    const { request } = await ask('single');
    const refused = await approveLess(second, request, narrow);
    expect(refused.status).toBe(422);
    expect(refused.body).toMatchObject({ code: 'narrowing_refused', limit });
    const [event] = await detailsOf(cast.service, request, 'vote.refused');
    expect(event).toMatchObject({ code: 'narrowing_refused', person: second.id });
    const now = await seen(cast.service, request);
    expect(now).toMatchObject({ state: 'pending', narrowed: null, votes: [] });
  });

  it('a denial narrows nothing, and a narrowing says something', async () => {
    const { request } = await ask('single');
    const denied = await vote(second, request, 'deny', { narrow: { ttl_seconds: 10 } });
    expect(denied.body['code']).toBe('narrowing_refused');
    expect((await approveLess(second, request, {})).status).toBe(400);
    expect((await approveLess(second, request, { role: 'admin' })).status).toBe(400);
  });

  it('what policy would ask other people about, once it is less', async () => {
    const { request } = await ask('brief');
    const refused = await approveLess(second, request, { ttl_seconds: 59 });
    expect(refused.status).toBe(422);
    expect(refused.body).toMatchObject({ code: 'narrowing_refused' });
    expect(await seen(cast.service, request)).toMatchObject({ state: 'pending', votes: [] });
    expect((await approveLess(second, request, { ttl_seconds: 60 })).status).toBe(201);
    expect((await collect(request)).status).toBe(201);
  });

  it('a repository that the role has not cannot be slipped in', async () => {
    const { request } = await ask('code', { options: { repositories: ['api'] } });
    const wider = await approveLess(second, request, {
      options: { repositories: ['api', 'docs'] },
    });
    expect(wider.body).toMatchObject({ code: 'narrowing_refused', limit: 'options.repositories' });
    const empty = await approveLess(second, request, { options: { repositories: [] } });
    expect(empty.body['code']).toBe('narrowing_refused');
  });
});
