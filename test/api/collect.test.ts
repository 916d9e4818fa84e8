import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { work } from '../../cli/worker.ts';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, detailsOf, hold, seen, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  eventually,
  object,
  text,
  vote,
  type Reply,
} from '../support/client.ts';
import { activateRoles } from '../support/policies.ts';

let cast: Cast;
beforeAll(async () => {
  cast = await startCast();
  await activateRoles(cast, [
    { name: 'gated', routes: { gated: '  groups: [data-owners]\n' } },
    { name: 'doomed', routes: { doomed: '  groups: [data-owners]\n' } },
  ]);
});
afterAll(() => cast.close());

async function approved(more: JsonObject = { role: 'gated' }): Promise<string> {
  const { request } = await hold(cast.agent, cast.seal, more);
  expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
  return request;
}

const collect = (
  request: string,
  body: JsonObject = {},
  headers: Record<string, string> = {},
): Promise<Reply> => cast.agent.call('POST', `/v1/requests/${request}/collect`, body, headers);

const permitState = async (request: string): Promise<string> => {
  const [row] = await cast.service.database.owner.sql<{ state: string }[]>`
    select state from permit where request = ${request}`;
  return row?.state ?? 'none';
};

const leasesOf = (request: string) =>
  cast.service.database.owner.sql<
    { id: string; state: string; sealed: string | null }[]
  >`select id, state, sealed from credential where request = ${request} order by id`;

const refusedUses = async (request: string): Promise<string[]> =>
  (await detailsOf(cast.service, request, 'permit.refused')).map((each) => text(each['code']));

describe('I2: an approval is good for exactly what was approved, once', () => {
  it('I2: it is collected once, and a second attempt is an event', async () => {
    const request = await approved();
    expect((await collect(request)).status).toBe(201);
    expect((await collect(request)).body['code']).toBe('already_collected');
    expect(await refusedUses(request)).toEqual(['already_collected']);
    expect(await detailsOf(cast.service, request, 'permit.redeemed')).toHaveLength(1);
    expect(await permitState(request)).toBe('redeemed');
  });

  it('SEC-A4 (I2): a changed parameter is another action, which nobody approved', async () => {
    const request = await approved();
    const action = object((await seen(cast.service, request))['action']);
    const wider = { ...action, parameters: { ttl_seconds: 86_400 } };
    const extended = { ...action, more: true };
    expect((await collect(request, { action: wider })).body['code']).toBe('digest_mismatch');
    expect((await collect(request, { action: extended })).body['code']).toBe('digest_mismatch');
    expect((await collect(request, { action })).status).toBe(201);
    expect(await refusedUses(request)).toEqual(['digest_mismatch', 'digest_mismatch']);
  });

  it('I2: what another agent asked for is not there', async () => {
    const { service, owner, approver } = cast;
    const other = await admittedAgent(service, owner.id, approver);
    const request = await approved();
    const stolen = await other.call('POST', `/v1/requests/${request}/collect`, {});
    expect(stolen.status).toBe(404);
    expect((await collect(request)).status).toBe(201);
  });

  it('SEC-A8 (I2): twenty collecting at once get one credential between them', async () => {
    const request = await approved();
    const replies = await Promise.all(Array.from({ length: 20 }, () => collect(request)));
    const codes = replies.map(({ status, body }) =>
      status === 201 ? 'collected' : text(body['code']),
    );
    expect(codes.filter((code) => code === 'collected')).toHaveLength(1);
    expect(codes.filter((code) => code === 'already_collected')).toHaveLength(19);
    const leases = await leasesOf(request);
    expect(leases.map(({ state }) => state)).toEqual(['active']);
  });

  it('I2: the table itself refuses a second live lease on one permit', async () => {
    const request = await approved();
    await collect(request);
    const twice = cast.service.database.owner.sql`
      insert into credential (id, task, agent, chain, role, issuer, target, options, revocable, holder, state, permit, issue_attempt,
        issue_by, created_at, expires_at, dies_at, seal_thumbprint)
      select 'crd_00000000000000000000000000', task, agent, chain, role, issuer, target, options, revocable, holder, 'pending', permit, 1,
        issue_by, created_at, expires_at, dies_at, seal_thumbprint from credential where request = ${request}`;
    await expect(twice).rejects.toThrow('credential_permit_once');
  });
});

describe('what was not approved, or no longer is', () => {
  it('cannot be collected before the decision, after a no, or without one', async () => {
    const { request } = await hold(cast.agent, cast.seal, { role: 'gated' });
    const early = await collect(request);
    expect(early.body).toMatchObject({ code: 'not_approved', state: 'pending' });
    await vote(cast.approver, request, 'deny');
    expect((await collect(request)).body).toMatchObject({ code: 'not_approved', state: 'denied' });
    const withdrawn = await hold(cast.agent, cast.seal, { role: 'gated' });
    await cast.agent.call('POST', `/v1/requests/${withdrawn.request}/cancel`, {});
    const late = await collect(withdrawn.request);
    expect(late.body).toMatchObject({ code: 'not_approved', state: 'cancelled' });
  });

  it('an expired approval can never be collected', async () => {
    const { sql } = cast.service.database.owner;
    const request = await approved();
    await sql`update request set approved_until = now() - interval '1 second' where id = ${request}`;
    const late = await collect(request);
    expect(late.status).toBe(410);
    expect(late.body['code']).toBe('approval_lapsed');
    expect((await collect(request)).body['code']).toBe('approval_lapsed');
  });

  it('what ended before it was collected leaves room to ask again', async () => {
    const { request, task } = await hold(cast.agent, cast.seal, { role: 'gated', ttl_seconds: 1 });
    await vote(cast.approver, request, 'approve');
    const action = object((await seen(cast.service, request))['action']);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect((await collect(request)).body['code']).toBe('approval_lapsed');
    const again = await askCredential(cast.agent, task, {
      role: 'gated',
      ttl_seconds: 1,
      seal_to: cast.seal.publicJwk,
      reason: text(object(action['context'])['reason']),
    });
    expect(again.status).toBe(202);
    expect(text(object(again.body['request'])['id'])).not.toBe(request);
  });

  it('nothing is collected once its task is over', async () => {
    const { request, task } = await hold(cast.agent, cast.seal, { role: 'gated' });
    await vote(cast.approver, request, 'approve');
    await cast.agent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: 'wait=20' });
    const late = await collect(request);
    expect(late.status).toBe(409);
    expect(late.body['code']).toBe('task_not_running');
  });
});

const without = (role: string) => (files: Record<string, string>) => ({
  ...files,
  'main.cedar': `${files['main.cedar'] ?? ''}
@id("no-${role}")
forbid (principal, action == Action::"credential:request", resource == Role::"${role}");
`,
});

describe('I2: today’s policy is asked again', () => {
  it('I2: what was issued and is now forbidden is revoked instead of handed over', async () => {
    const request = await approved({ role: 'doomed' });
    await eventually(
      async () => (await seen(cast.service, request))['collectable'] === true,
      'the issue',
    );
    await changePolicy(cast.service, cast.approver, without('doomed'));
    const refused = await collect(request);
    expect(refused.status).toBe(409);
    expect(refused.body['code']).toBe('policy_changed');
    expect(await permitState(request)).toBe('voided');
    expect(await detailsOf(cast.service, request, 'permit.voided')).toHaveLength(1);
    await eventually(async () => (await leasesOf(request))[0]?.state === 'revoked', 'the end');
    expect((await collect(request)).body['code']).toBe('policy_changed');
  });

  it('I2: nothing is issued when policy changed between the approval and its use', async () => {
    const { service, approver } = cast;
    const { sql } = service.database.owner;
    const before = text((await admin(service).call('GET', '/v1/policies/active')).body['version']);
    const changed = await changePolicy(service, approver, without('gated'));
    await sql`update active_policy set version = ${before}`;
    const { request } = await hold(cast.agent, cast.seal, { role: 'gated' });
    await service.stopWorker();
    expect((await vote(approver, request, 'approve')).status).toBe(201);
    await sql`update active_policy set version = ${text(changed.body['version'])}`;
    const again = await work(service.config);
    try {
      await eventually(
        async () => (await seen(service, request))['state'] === 'failed',
        'the refusal',
      );
    } finally {
      await again.close();
    }
    expect((await collect(request)).body['code']).toBe('policy_changed');
    expect(await permitState(request)).toBe('voided');
    expect(await leasesOf(request)).toEqual([]);
  });
});
