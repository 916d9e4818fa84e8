// Standing grants: people agree once to a bound, and nothing outside it, after it or against them passes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  eventually,
  list,
  object,
  person,
  text,
  vote,
  type Reply,
  type TestAgent,
  type TestPerson,
} from '../support/client.ts';
import { activateRoles } from '../support/policies.ts';

let cast: Cast;
let admitter: TestPerson;

const OWNERS = '  groups: [data-owners]\n';
const STANDING = `${OWNERS}  standing: { max_seconds: 86400, max_uses: 50 }\n`;

beforeAll(async () => {
  cast = await startCast();
  await activateRoles(cast, [
    { name: 'standing', routes: { standing: STANDING } },
    { name: 'changing', routes: { changing: STANDING } },
    { name: 'late', routes: { late: STANDING } },
    { name: 'never', routes: { never: OWNERS } },
    { name: 'half', routes: { 'half-a': STANDING, 'half-b': OWNERS } },
  ]);
  admitter = await person(cast.service, 'Abe', ['admins']);
});
afterAll(() => cast.close());

const newAgent = (): Promise<TestAgent> => admittedAgent(cast.service, cast.owner.id, admitter);

const wish = (more: JsonObject = {}): JsonObject => ({
  role: 'standing',
  uses: 3,
  for_seconds: 3600,
  reason: 'nightly refunds',
  ...more,
});

/** Asks for a grant, has it approved, and waits until it is open. */
async function granted(agent: TestAgent, more: JsonObject = {}): Promise<string> {
  const asked = await agent.call('POST', '/v1/grants', wish(more));
  expect(asked.status).toBe(202);
  const request = text(object(asked.body['request'])['id']);
  expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
  let id = '';
  await eventually(async () => {
    const { body } = await agent.call('GET', '/v1/grants');
    const found = list(body['data']).find((each) => each['request'] === request);
    id = text(found?.['id']);
    return id !== '';
  }, 'the grant');
  return id;
}

async function use(agent: TestAgent, more: JsonObject = {}, task: JsonObject = {}): Promise<Reply> {
  return askCredential(agent, await startTask(agent, task), {
    role: 'standing',
    seal_to: cast.seal.publicJwk,
    reason: 'refund',
    ...more,
  });
}

const shown = async (id: string): Promise<JsonObject> =>
  (await admin(cast.service).call('GET', `/v1/grants/${id}`)).body;

const eventsOf = async (agent: TestAgent, type: string): Promise<JsonObject[]> => {
  const path = `/v1/events?agent=${agent.id}&type=${type}&limit=500`;
  const { body } = await admin(cast.service).call('GET', path);
  return list(body['data']).map((event) => object(event['data']));
};

describe('D13: a standing grant', () => {
  it('gives what it covers without asking, says so each time, and is spent after its uses', async () => {
    const agent = await newAgent();
    const id = await granted(agent, { uses: 2 });
    const first = await use(agent);
    const second = await use(agent, { ttl_seconds: 60 });
    expect([first.status, second.status]).toEqual([201, 201]);
    expect([first.body['grant'], second.body['grant']]).toEqual([id, id]);
    expect(first.body['request']).toBeNull();
    const third = await use(agent);
    expect(third.status).toBe(202);
    expect(await shown(id)).toMatchObject({ state: 'spent', uses: 2, used: 2 });
    const used = (await eventsOf(agent, 'grant.used')).map((data) => object(data['detail']));
    expect(used.map((detail) => detail['use'])).toEqual([1, 2]);
    const permits = used.map((detail) => detail['permit']);
    expect(new Set(permits).size).toBe(2);
    for (const type of ['permit.issued', 'permit.redeemed'])
      expect(
        (await eventsOf(agent, type))
          .map((data) => object(data['detail']))
          .filter((detail) => detail['grant'] === id)
          .map((detail) => detail['permit']),
      ).toEqual(permits);
  });

  it('is never asked of nobody: it waits for people, who see how often and for how long', async () => {
    const agent = await newAgent();
    const asked = await agent.call('POST', '/v1/grants', wish());
    expect(asked.status).toBe(202);
    const request = object(asked.body['request']);
    expect(object(request['action'])).toMatchObject({
      action: 'grant:open',
      parameters: { uses: 3, for_seconds: 3600, purpose: null },
    });
    expect((await use(agent)).status).toBe(202);
    const again = await agent.call('POST', '/v1/grants', wish());
    expect(object(again.body['request'])['id']).toBe(request['id']);
    const page = await cast.approver.call('GET', `/requests/${text(request['id'])}`);
    expect(page.text).toContain('STANDING');
  });

  it.each([
    ['a route that does not allow it', { role: 'never' }],
    ['one of two routes that does not', { role: 'half' }],
    ['longer than its route allows', { for_seconds: 86_401 }],
    ['more often than its route allows', { uses: 51 }],
    ['a role that nobody is asked about', { role: 'reports-api' }],
  ])('is refused at once for %s', async (_what, more) => {
    const agent = await newAgent();
    const reply = await agent.call('POST', '/v1/grants', wish(more));
    expect([reply.status, reply.body['code']]).toEqual([403, 'standing_refused']);
  });

  it.each([
    ['for longer than was agreed', { ttl_seconds: 301 }, {}],
    ['for another purpose', {}, { purpose: 'something else' }],
    ['for another role', { role: 'changing' }, {}],
  ])('does not cover what is asked for %s', async (_what, more, task) => {
    const agent = await newAgent();
    const id = await granted(agent, { ttl_seconds: 300, purpose: 'order support' });
    const reply = await use(agent, { ttl_seconds: 300, ...more }, task);
    expect(reply.status).toBe(202);
    expect((await use(agent, { ttl_seconds: 300 })).body['grant']).toBe(id);
    expect(await shown(id)).toMatchObject({ used: 1 });
  });

  it('is no more than its approvers left of it', async () => {
    const agent = await newAgent();
    const asked = await agent.call('POST', '/v1/grants', wish({ ttl_seconds: 600 }));
    const request = text(object(asked.body['request'])['id']);
    const narrow = { ttl_seconds: 60 };
    expect((await vote(cast.approver, request, 'approve', { narrow })).status).toBe(201);
    let id: string | undefined;
    await eventually(async () => {
      const { body } = await agent.call('GET', '/v1/grants');
      id = list(body['data']).map((each) => text(each['id']))[0];
      return id !== undefined;
    }, 'the grant');
    expect(await shown(id ?? '')).toMatchObject({ ttl_seconds: 60 });
    expect((await use(agent, { ttl_seconds: 61 })).status).toBe(202);
    expect((await use(agent, { ttl_seconds: 60 })).body['grant']).toBe(id);
  });

  it('is nobody else’s: another agent of the same owner asks as everybody does', async () => {
    const id = await granted(await newAgent());
    expect((await use(await newAgent())).status).toBe(202);
    expect(await shown(id)).toMatchObject({ used: 0 });
  });

  it('I4: is not used by whoever agreed to it, by setting off the task themselves', async () => {
    const agent = await newAgent();
    const id = await granted(agent);
    const own = await use(agent, {}, { triggered_by: cast.approver.id });
    // The only approver of the route set it off: it takes another person, and there is none.
    expect([own.status, own.body['code']]).toEqual([409, 'no_approver']);
    expect(await shown(id)).toMatchObject({ used: 0 });
    const other = await use(agent, {}, { triggered_by: cast.owner.id });
    expect(other.body['grant']).toBe(id);
  });

  it('I4: is not approved by the owner, nor by the person who asked for it', async () => {
    const asker = await person(cast.service, 'Asa', ['data-owners', 'admins'], {
      roles: ['approver', 'admin'],
    });
    const agent = await newAgent();
    const asked = await asker.call('POST', '/v1/grants', { ...wish(), agent: agent.id });
    const request = text(object(asked.body['request'])['id']);
    const codes = [];
    for (const voter of [asker, cast.owner, agent, admin(cast.service)])
      codes.push((await vote(voter, request, 'approve')).body['code']);
    expect(codes).toEqual(['self_approval', 'self_approval', 'human_required', 'human_required']);
  });

  it('I3: gives nothing that outlives it, and takes back what it gave when it is revoked', async () => {
    const agent = await newAgent();
    const id = await granted(agent, { for_seconds: 120 });
    const { expires_at: ends } = await shown(id);
    const credential = await use(agent, { ttl_seconds: 900 });
    expect(credential.body['expires_at']).toBe(ends);
    const stranger = await person(cast.service, 'Stan', ['visitors']);
    const refused = await stranger.call('POST', `/v1/grants/${id}/revoke`, {});
    expect([refused.status, refused.body['code']]).toEqual([403, 'forbidden']);
    const revoked = await cast.owner.call('POST', `/v1/grants/${id}/revoke`, { reason: 'done' });
    expect(revoked.body['state']).toBe('revoked');
    await eventually(async () => {
      const path = `/v1/credentials/${text(credential.body['id'])}`;
      return (await agent.call('GET', path)).body['state'] === 'revoked';
    }, 'the credential gone');
    expect((await use(agent)).status).toBe(202);
    const again = await cast.owner.call('POST', `/v1/grants/${id}/revoke`, {});
    expect(again.body['ended_at']).toBe(revoked.body['ended_at']);
  });

  it('is over with its time, whether or not a worker has noted it, and its approvers are warned', async () => {
    const agent = await newAgent();
    const id = await granted(agent, { for_seconds: 3600 });
    const { owner } = cast.service.database;
    await owner.sql`update standing_grant set created_at = now() - interval '59 minutes',
      expires_at = now() + interval '2 seconds' where id = ${id}`;
    await owner.sql`insert into wake (workflow, kind, agent, sequence, at)
      values (${agent.id}, 'agent', ${agent.id}, 1, now())
      on conflict (workflow) do update set sequence = wake.sequence + 1`;
    await owner.sql`select pg_notify('countersign_wake', '')`;
    await eventually(async () => (await shown(id))['state'] === 'expired', 'its end');
    expect((await use(agent)).status).toBe(202);
    const [warning] = (await eventsOf(agent, 'grant.expiring')).map((data) =>
      object(data['detail']),
    );
    expect(warning).toMatchObject({ grant: id, uses_left: 3, approvers: [cast.approver.id] });
    const [ended] = (await eventsOf(agent, 'grant.ended')).map((data) => object(data['detail']));
    expect(ended).toMatchObject({ grant: id, state: 'expired', because: 'time' });
  });

  it('is void once its agent was suspended: resuming brings it not back', async () => {
    const agent = await newAgent();
    const id = await granted(agent);
    await admin(cast.service).call('POST', `/v1/agents/${agent.id}/suspend`, {});
    await admin(cast.service).call('POST', `/v1/agents/${agent.id}/resume`, {});
    expect(await shown(id)).toMatchObject({ state: 'voided', because: 'agent_suspended' });
  });

  it('is void once somebody else answers for its agent', async () => {
    const agent = await newAgent();
    const id = await granted(agent);
    const heir = await person(cast.service, 'Hal', ['engineering']);
    const asked = await admin(cast.service).call('POST', `/v1/agents/${agent.id}/owner`, {
      owner: heir.id,
    });
    await vote(admitter, text(object(asked.body['request'])['id']), 'approve');
    await eventually(async () => (await shown(id))['state'] === 'voided', 'the void grant');
    expect(await shown(id)).toMatchObject({ because: 'owner_changed' });
    expect((await use(agent)).status).toBe(202);
  });

  it('is void once its route has another rule', async () => {
    const agent = await newAgent();
    const kept = await granted(agent);
    const id = await granted(agent, { role: 'changing' });
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'routes.yaml': (files['routes.yaml'] ?? '').replace(
        `changing:\n  title: changing\n${STANDING}`,
        `changing:\n  title: changing\n${STANDING}  strength: fresh\n`,
      ),
    }));
    expect(await shown(id)).toMatchObject({ state: 'voided', because: 'policy_changed' });
    expect((await use(agent, { role: 'changing' })).status).toBe(202);
    expect((await use(agent)).body['grant']).toBe(kept);
  });

  it('is used no more often than was agreed, however many ask at once', async () => {
    const agent = await newAgent();
    const id = await granted(agent, { uses: 5 });
    const task = await startTask(agent);
    await askCredential(agent, task, { role: 'reports-api', seal_to: cast.seal.publicJwk });
    const replies = await Promise.all(
      Array.from({ length: 200 }, () =>
        agent.call('POST', `/v1/tasks/${task}/credentials`, {
          role: 'standing',
          seal_to: cast.seal.publicJwk,
          reason: 'refund',
        }),
      ),
    );
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(5);
    expect(replies.filter(({ status }) => status === 202)).toHaveLength(195);
    expect(await shown(id)).toMatchObject({ state: 'spent', used: 5 });
    const uses = (await eventsOf(agent, 'grant.used')).map((data) => object(data['detail'])['use']);
    expect(uses).toEqual([1, 2, 3, 4, 5]);
  });

  it('I8: a repeated call uses it once', async () => {
    const agent = await newAgent();
    const id = await granted(agent);
    const task = await startTask(agent);
    const ask = { role: 'standing', seal_to: cast.seal.publicJwk, reason: 'refund' };
    const key = { 'idempotency-key': 'the-same-refund' };
    const first = await askCredential(agent, task, ask, key);
    const again = await askCredential(agent, task, ask, key);
    expect(again.body).toEqual(first.body);
    expect(await shown(id)).toMatchObject({ used: 1 });
  });
});

describe('the verdict on a control with a standing grant', () => {
  it('counts its uses on their own line, and none as an approval or a violation', async () => {
    const agent = await newAgent();
    await granted(agent, { role: 'late' });
    await use(agent, { role: 'late' });
    await use(agent, { role: 'late' });
    let tests: JsonObject[] = [];
    const uses = (): JsonObject | undefined => tests.find(({ id }) => id === 'standing_use');
    await eventually(async () => {
      const reply = await admin(cast.service).call('GET', '/v1/controls/late/verdict');
      tests = list(object(object(reply.body['layers'])['operation'])['tests']);
      return uses()?.['population'] === 2;
    }, 'the two uses in the verdict');
    expect(uses()).toMatchObject({ state: 'effective', exceptions: 0 });
    expect(tests.map((test) => test['exceptions'])).toEqual(tests.map(() => 0));
  });
});

describe('a credential from a grant', () => {
  it('I3: is renewed as far as its grant goes, and no further', async () => {
    const agent = await newAgent();
    const id = await granted(agent, { role: 'late', ttl_seconds: 600 });
    const { owner } = cast.service.database;
    const given = await use(agent, { role: 'late', ttl_seconds: 60 });
    const renew = (): Promise<Reply> =>
      agent.call('POST', `/v1/credentials/${text(given.body['id'])}/renew`, {
        ttl_seconds: 900,
        seal_to: cast.seal.publicJwk,
      });
    await owner.sql`update standing_grant set expires_at = now() + interval '300 seconds' where id = ${id}`;
    const renewed = await renew();
    expect(renewed.status).toBe(200);
    expect(renewed.body['expires_at']).toBe((await shown(id))['expires_at']);
    const capped = await renew();
    expect([capped.status, capped.body['code']]).toEqual([409, 'renewal_capped']);
  });
});
