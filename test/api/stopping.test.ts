// Stopping much at once, and what keeps failing: orders to revoke, the kill switch, giving up by a person's word.
import { randomUUID } from 'node:crypto';
import type { Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { hold, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  eventually,
  list,
  object,
  person,
  registerAgent,
  requestToken,
  clientAssertion,
  text,
  vote,
  type Reply,
  type TestAgent,
  type TestPerson,
} from '../support/client.ts';
import {
  asSuperuser,
  eventsAbout,
  giveLogin,
  opensDoor,
  stateOf,
  sweepNow,
  unmark,
} from '../support/leases.ts';

let cast: Cast;
let target: Sql;
let administrator: TestPerson;

beforeAll(async () => {
  cast = await startCast();
  target = asSuperuser(cast.service);
  administrator = await person(cast.service, 'Adam', ['admins'], { roles: ['admin'] });
});
afterAll(async () => {
  await target.end();
  await cast.close();
});

const revokeBy = (by: string, id: string, more: JsonObject = {}): Promise<Reply> =>
  admin(cast.service).call(
    'POST',
    '/v1/revocations',
    { by, id, reason: 'test', ...more },
    { prefer: 'wait=20' },
  );

describe('an order to revoke', () => {
  it('I8: that was waited for is repeated as what it came to', async () => {
    const login = await giveLogin(cast);
    const order = { by: 'task', id: login.task, reason: 'test' };
    const key = { 'idempotency-key': randomUUID() };
    const send = (headers: Record<string, string>): Promise<Reply> =>
      admin(cast.service).call('POST', '/v1/revocations', order, { ...key, ...headers });
    const first = await send({ prefer: 'wait=20' });
    expect([first.status, first.body['alive']]).toEqual([200, 0]);
    for (const headers of [{}, { prefer: 'wait=20' }]) {
      const again = await send(headers);
      expect([again.status, again.text]).toEqual([first.status, first.text]);
      expect(again.headers.get('idempotent-replayed')).toBe('true');
    }
  });

  describe('by', () => {
    let other: TestAgent;
    beforeAll(async () => {
      other = await admittedAgent(cast.service, cast.owner.id, cast.approver, { team: 'ops' });
    });
    const names: [string, (login: { task: string }) => string][] = [
      ['role', () => 'orders-readonly'],
      ['agent', () => other.id],
      ['team', () => 'ops'],
      ['target', () => 'sample'],
      ['issuer', () => 'postgres'],
      ['task', ({ task }) => task],
      ['chain', () => other.id],
    ];

    it.each(names)('%s ends what it names and nothing else', async (by, idOf) => {
      const theirs = await giveLogin({ agent: other });
      const ours = await giveLogin(cast);
      const done = await revokeBy(by, idOf(theirs));
      expect([done.status, done.body['alive']]).toEqual([200, 0]);
      expect(await opensDoor(theirs)).toBe(false);
      expect(await opensDoor(ours)).toBe(!['role', 'target', 'issuer'].includes(by));
      const [ended] = await eventsAbout(cast.service, text(done.body['id']), 'revocation.done');
      expect(ended).toMatchObject({ credentials: done.body['credentials'], not_seen_gone: 0 });
      await cast.agent.call('POST', `/v1/tasks/${ours.task}/complete`, {}, { prefer: 'wait=20' });
    });
  });

  it('that is only tried changes nothing, and says what would end', async () => {
    const login = await giveLogin(cast);
    const tried = await revokeBy('agent', cast.agent.id, { dry_run: true });
    expect(tried.body).toMatchObject({ dry_run: true, credentials: 1, first: [login.id] });
    expect(await stateOf(cast.service, login.id)).toBe('active');
    expect(await opensDoor(login)).toBe(true);
  });

  it('with a name that nothing has is refused, so that a slip is seen', async () => {
    for (const by of ['role', 'team', 'agent', 'task', 'credential', 'target', 'issuer', 'chain'])
      expect([by, (await revokeBy(by, 'nothing')).status]).toEqual([by, 404]);
  });

  it('that cannot be carried out says how many are alive and failing', async () => {
    const login = await giveLogin(cast);
    const restore = await unmark(target, login.user);
    const ordered = await admin(cast.service).call('POST', '/v1/revocations', {
      by: 'credential',
      id: login.id,
      reason: 'test',
    });
    expect(ordered.status).toBe(202);
    const path = `/v1/revocations/${text(ordered.body['id'])}`;
    await eventually(async () => {
      const { body } = await admin(cast.service).call('GET', path);
      return body['failing'] === 1 && body['alive'] === 1 && body['done_at'] === null;
    });
    const failing = await admin(cast.service).call('GET', '/v1/credentials?state=revoke_failed');
    const row = list(failing.body['data']).find(({ id }) => id === login.id);
    expect(row).toMatchObject({ last_error: 'name_not_ours', because: 'revoked', seen_gone: null });
    expect(typeof row?.['next_try_at']).toBe('string');
    await restore();
    await eventually(async () => {
      const { body } = await admin(cast.service).call('GET', path);
      return body['alive'] === 0 && body['done_at'] !== null;
    });
  });
});

describe('giving up on a revocation', () => {
  it('takes a person who administers, a reason, and failures; the login is still looked for', async () => {
    const login = await giveLogin(cast);
    const close = (body: JsonObject, who = administrator as Pick<TestPerson, 'call'>) =>
      who.call('POST', `/v1/credentials/${login.id}/force-close`, body);
    expect((await close({ reason: 'x' })).body['code']).toBe('wrong_state');
    const restore = await unmark(target, login.user);
    await cast.agent.call('POST', `/v1/tasks/${login.task}/complete`, {});
    await eventually(async () => {
      const { body } = await admin(cast.service).call('GET', `/v1/credentials/${login.id}`);
      return Number(body['attempts']) >= 1;
    });
    expect((await close({ reason: 'too soon' })).body['code']).toBe('wrong_state');
    await eventually(async () => {
      const { body } = await admin(cast.service).call('GET', `/v1/credentials/${login.id}`);
      return Number(body['attempts']) >= 3;
    });
    expect((await close({ reason: 'x' }, admin(cast.service))).status).toBe(403);
    expect((await close({ reason: 'x' }, cast.agent)).status).toBe(403);
    expect((await close({ reason: 'x' }, cast.owner)).status).toBe(403);
    expect((await close({})).status).toBe(400);
    const before = await admin(cast.service).call('GET', `/v1/tasks/${login.task}`);
    expect(before.body['state']).toBe('ending');
    const closed = await close({ reason: 'the database is gone for good' });
    expect(closed.body).toMatchObject({ state: 'force_closed', seen_gone: false });
    const [said] = await eventsAbout(cast.service, login.id, 'credential.force_closed');
    expect(said).toMatchObject({ code: 'name_not_ours' });
    await eventually(async () => {
      const { body } = await admin(cast.service).call('GET', `/v1/tasks/${login.task}`);
      return body['state'] === 'completed';
    });
    await sweepNow(cast.service);
    await sweepNow(cast.service);
    // Said once, and not at every look.
    expect(await eventsAbout(cast.service, login.id, 'runtime.observed')).toEqual([]);
    expect(await stateOf(cast.service, login.id)).toBe('force_closed');
    await restore();
    await sweepNow(cast.service);
    expect(await opensDoor(login)).toBe(false);
    const found = await eventsAbout(cast.service, login.id, 'runtime.observed');
    expect(found).toMatchObject([{ kind: 'force_closed_login', outcome: 'removed' }]);
    const { body } = await admin(cast.service).call('GET', `/v1/credentials/${login.id}`);
    expect(body).toMatchObject({ state: 'force_closed', seen_gone: true });
  });
});

describe('the sweep', () => {
  it('ends a lease whose login somebody dropped, and says so', async () => {
    const login = await giveLogin(cast);
    const kept = await giveLogin(cast);
    await target.unsafe(`DROP OWNED BY "${login.user}"; DROP ROLE "${login.user}"`);
    await sweepNow(cast.service);
    await eventually(async () => (await stateOf(cast.service, login.id)) === 'revoked');
    const { body } = await cast.agent.call('GET', `/v1/credentials/${login.id}`);
    expect(body).toMatchObject({ because: 'vanished', seen_gone: true });
    const [found] = await eventsAbout(cast.service, login.id, 'runtime.observed');
    expect(found).toMatchObject({ kind: 'login_vanished', credential: login.id });
    expect(await stateOf(cast.service, kept.id)).toBe('active');
    expect(await opensDoor(kept)).toBe(true);
  });
});

describe('the kill switch', () => {
  const kill = (body: JsonObject): Promise<Reply> =>
    admin(cast.service).call(
      'POST',
      '/v1/kill',
      { reason: 'test', ...body },
      { prefer: 'wait=20' },
    );

  it('for a team stops its agents, ends their tasks and revokes, and leaves the others alone', async () => {
    const theirs = await admittedAgent(cast.service, cast.owner.id, cast.approver, { team: 'red' });
    const waiting = await registerAgent(cast.service, cast.owner.id, { team: 'red' });
    const login = await giveLogin({ agent: theirs });
    const ours = await giveLogin(cast);
    const killed = await kill({ scope: 'team', id: 'red' });
    expect([killed.status, object(killed.body['revocation'])['alive']]).toEqual([200, 0]);
    expect(killed.body).toMatchObject({ stop: null, agents: 1, tasks: 1 });
    expect(await opensDoor(login)).toBe(false);
    expect(await opensDoor(ours)).toBe(true);
    const task = await admin(cast.service).call('GET', `/v1/tasks/${login.task}`);
    expect(['ending', 'killed']).toContain(task.body['state']);
    const pending = await admin(cast.service).call(
      'GET',
      `/v1/agents/${text(waiting.reply.body['id'])}`,
    );
    expect(pending.body['state']).toBe('rejected');
    expect((await theirs.call('GET', '/v1/tasks')).status).toBe(403);
  });

  it('for everything takes the word, and then nothing starts until people lift it', async () => {
    const login = await giveLogin(cast);
    const { request } = await hold(cast.agent, cast.seal);
    const waiting = await registerAgent(cast.service, cast.owner.id);
    const late = text(waiting.reply.body['request']);
    const unsaid = await kill({ scope: 'everything' });
    expect([unsaid.status, unsaid.body['code']]).toEqual([422, 'confirmation_required']);
    expect(await stateOf(cast.service, login.id)).toBe('active');

    const killed = await kill({ scope: 'everything', confirm: 'everything' });
    expect([killed.status, object(killed.body['revocation'])['alive']]).toEqual([200, 0]);
    expect(await opensDoor(login)).toBe(false);
    const status = await admin(cast.service).call('GET', '/v1/kill');
    expect(object(status.body['stop'])['id']).toBe(killed.body['stop']);

    const token = await requestToken(
      cast.service,
      await clientAssertion(cast.service, cast.agent.id, cast.agent.key),
    );
    expect(token.status).toBe(401);
    expect(
      (await cast.agent.call('POST', '/v1/tasks', { purpose: 'x', ttl_seconds: 5 })).status,
    ).toBe(403);
    expect((await registerAgent(cast.service, cast.owner.id)).reply.body['code']).toBe('stopped');
    const resumed = await admin(cast.service).call(
      'POST',
      `/v1/agents/${cast.agent.id}/resume`,
      {},
    );
    expect(resumed.body['code']).toBe('stopped');
    // Approved while everything is stopped, it still does not come to life.
    await vote(cast.approver, late, 'approve');
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const admitted = await admin(cast.service).call(
      'GET',
      `/v1/agents/${text(waiting.reply.body['id'])}`,
    );
    expect(admitted.body['state']).toBe('requested');
    const held = await admin(cast.service).call('GET', `/v1/requests/${request}`);
    expect(held.body['state']).toBe('cancelled');

    const asked = await admin(cast.service).call('POST', '/v1/kill/lift', { reason: 'all clear' });
    expect(asked.status).toBe(202);
    expect(object((await admin(cast.service).call('GET', '/v1/kill')).body['stop'])['id']).toBe(
      killed.body['stop'],
    );
    const again = await admin(cast.service).call('POST', '/v1/kill/lift', { reason: 'all clear' });
    const lifting = text(object(asked.body['request'])['id']);
    expect(object(again.body['request'])['id']).toBe(lifting);
    expect((await vote(cast.owner, lifting, 'approve')).status).toBe(403);
    await vote(cast.approver, lifting, 'approve');
    await eventually(
      async () => (await admin(cast.service).call('GET', '/v1/kill')).body['stop'] === null,
    );
    expect(await stateOf(cast.service, login.id)).toBe('revoked');
    expect(await opensDoor(login)).toBe(false);
    const still = await admin(cast.service).call('GET', `/v1/agents/${cast.agent.id}`);
    expect(still.body['state']).toBe('suspended');
    const back = await admin(cast.service).call('POST', `/v1/agents/${cast.agent.id}/resume`, {});
    expect(back.body['state']).toBe('active');
    const lifted = await admin(cast.service).call('GET', '/v1/events?type=kill.lifted');
    expect(list(lifted.body['data'])).toHaveLength(1);
  });

  it('that nothing is stopped by cannot be lifted', async () => {
    const asked = await admin(cast.service).call('POST', '/v1/kill/lift', { reason: 'x' });
    expect(asked.body['code']).toBe('wrong_state');
  });
});

describe('while an agent is being given things', () => {
  it('I3: the kill switch leaves nothing alive, whatever was under way', async () => {
    const busy = await admittedAgent(cast.service, cast.owner.id, cast.approver, { team: 'busy' });
    const task = await startTask(busy);
    const first = await giveLogin({ agent: busy }, {}, task);
    const asking = Promise.allSettled(
      Array.from({ length: 12 }, () => giveLogin({ agent: busy }, {}, task)),
    );
    await new Promise((resolve) => setTimeout(resolve, 60));
    const killed = await admin(cast.service).call(
      'POST',
      '/v1/kill',
      { scope: 'agent', id: busy.id, reason: 'test' },
      { prefer: 'wait=30' },
    );
    expect(killed.status).toBe(200);
    const given = await asking;
    expect(await opensDoor(first)).toBe(false);
    const logins = given.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    for (const login of logins.filter(({ url }) => url !== ''))
      expect(await opensDoor(login)).toBe(false);
    const rows = await target<{ n: string }[]>`
      select count(*)::text as n from pg_roles where rolname = any(${logins.map(({ user }) => user)})`;
    expect(rows[0]?.n).toBe('0');
  });
});

describe('a suspension under a target that refuses', () => {
  it('answers with what is still alive', async () => {
    const other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const login = await giveLogin({ agent: other });
    const restore = await unmark(target, login.user);
    const suspended = await admin(cast.service).call('POST', `/v1/agents/${other.id}/suspend`, {});
    expect(suspended.body).toMatchObject({ state: 'suspended', alive: 1 });
    await restore();
  });
});
