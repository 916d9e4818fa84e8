// A target that policy wants seen: while its observer is silent nothing is asked for, given or renewed there, and what
// people agreed to waits for eyes, as long as it is good.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { changePolicy, detailsOf, hold, seen, startCast, type Cast } from '../support/cast.ts';
import { admin, askCredential, eventually, object, text, vote } from '../support/client.ts';
import { replacing } from '../support/policy-files.ts';

let cast: Cast;
beforeAll(async () => {
  // No observer of its own: this test says when one saw.
  cast = await startCast({ env: { COUNTERSIGN_SAMPLE_OBSERVER_URL: '' } });
  await changePolicy(
    cast.service,
    cast.approver,
    replacing('main.cedar', '@risk("medium")', '@risk("medium")\n@requires_sensor("sample")'),
  );
});
afterAll(() => cast.close());

/** The observer proved this many seconds ago that it sees. */
async function sawAgo(seconds: number): Promise<void> {
  await cast.service.database.owner.sql`
    insert into sensor_cursor (target, file, "offset", read_at, reported_at, alive_at, paths)
    values ('sample', 'log', 0, now(), now(), now() - make_interval(secs => ${seconds}), ${`sha256:${'0'.repeat(64)}`})
    on conflict (target) do update set alive_at = excluded.alive_at`;
}

const collect = (request: string) => cast.agent.call('POST', `/v1/requests/${request}/collect`, {});

describe('I6: while nobody independent sees the target', () => {
  it('nobody is even asked, and the answer says why', async () => {
    const never = await hold(cast.agent, cast.seal);
    expect(never.reply.status).toBe(403);
    expect(JSON.stringify(never.reply.body)).toContain('sensor_silent: nobody independent sees');
    await sawAgo(61);
    expect((await hold(cast.agent, cast.seal)).reply.status).toBe(403);
    await sawAgo(0);
    expect((await hold(cast.agent, cast.seal)).reply.status).toBe(202);
  });

  it('what was approved is not carried out, once said on record, and is when somebody sees again', async () => {
    await sawAgo(0);
    const { request } = await hold(cast.agent, cast.seal);
    await sawAgo(3_600);
    expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
    await eventually(async () => (await collect(request)).body['code'] === 'sensor_silent');
    const refused = await collect(request);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
    const type = 'dev.countersign.permit.refused.v1';
    expect((await detailsOf(cast.service, request, type)).map(({ code }) => code)).toEqual([
      'sensor_silent',
    ]);
    expect((await seen(cast.service, request))['state']).toBe('approved');
    await sawAgo(0);
    await eventually(async () => (await collect(request)).status === 201, 'collecting it', 60_000);
  });

  it('what was issued already is not handed over, and is not taken away either', async () => {
    await sawAgo(0);
    const { request } = await hold(cast.agent, cast.seal);
    await vote(cast.approver, request, 'approve');
    await eventually(async () => (await seen(cast.service, request))['credential'] !== null);
    const credential = text((await seen(cast.service, request))['credential']);
    await eventually(async () => {
      const { body } = await admin(cast.service).call('GET', `/v1/credentials/${credential}`);
      return body['state'] === 'active';
    });
    await sawAgo(90);
    expect((await collect(request)).body['code']).toBe('sensor_silent');
    await sawAgo(0);
    expect((await collect(request)).status).toBe(201);
  });

  it('a change of policy leaves what waits, which is still what people were asked', async () => {
    await sawAgo(0);
    const { request } = await hold(cast.agent, cast.seal);
    await sawAgo(90);
    await changePolicy(cast.service, cast.approver, replacing('routes.yaml', 'Admit', 'Let in'));
    expect((await seen(cast.service, request))['state']).toBe('pending');
  });

  it('what needs no eyes goes on', async () => {
    await sawAgo(90);
    const { task } = await hold(cast.agent, cast.seal);
    const reply = await askCredential(cast.agent, task, {
      role: 'orders-readonly',
      seal_to: cast.seal.publicJwk,
    });
    expect([reply.status, object(reply.body)['role']]).toEqual([201, 'orders-readonly']);
  });
});
