// The access request profile: a denial that people could lift, how it is taken to them, and what they see.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import {
  askingAs,
  contextOf,
  OTHERS,
  problem,
  publish,
  PUBLISHING,
  taskOf,
  withApproval,
  type Asking,
} from '../support/access-requests.ts';
import { evaluation, startAccess, tuple, type AccessCast } from '../support/authzen.ts';
import { detailsOf, seen } from '../support/cast.ts';
import { admin, list, object, person, text, vote, type Caller } from '../support/client.ts';

let cast: AccessCast;
let point: Caller;
let at: Asking;
beforeAll(async () => {
  cast = await startAccess(PUBLISHING);
  point = cast.point;
  at = askingAs(cast);
});
afterAll(() => cast.close());

describe('a denial', () => {
  it('that people could lift says so, until when, and what to send', async () => {
    const context = contextOf(await evaluation(point, publish()));
    expect(context).toMatchObject({
      reason: 'approval_required',
      access_request: { display: { title: 'Publishing takes a data owner' } },
    });
    const minutes =
      (Date.parse(text(object(context['access_request'])['expires_at'])) - Date.now()) / 60_000;
    expect(minutes).toBeGreaterThan(5);
    expect(minutes).toBeLessThanOrEqual(10);
  });

  it('that nobody can lift, or that is lifted elsewhere, does not', async () => {
    const forbidden = await evaluation(point, tuple('bob', 'write', 'record-1'));
    expect(contextOf(forbidden)).not.toHaveProperty('access_request');
    const own = await evaluation(point, {
      subject: { type: 'Agent', id: cast.agent.id },
      action: { name: 'credential:request' },
      resource: { type: 'Role', id: 'orders-write' },
    });
    expect(contextOf(own)).toMatchObject({ reason: 'approval_required' });
    expect(contextOf(own)).not.toHaveProperty('access_request');
  });
});

describe('from denial to access', () => {
  it('people are asked what was denied, and the same question asked with their approval is a yes, once', async () => {
    const question = publish({ subject: { role: 'editor' } });
    const task = await at.asked(question, { context: { business_justification: 'quarter end' } });
    expect(taskOf(await at.status(task))['status']).toBe('pending');
    expect((await at.status(task)).headers.get('retry-after')).toBe('5');
    const approval = await at.approved(task);
    const yes = await at.again(question, approval);
    expect(yes.body['decision']).toBe(true);
    expect(contextOf(yes)['approval']).toEqual({
      id: approval['id'],
      approved_until: approval['approved_until'],
    });
    expect((await seen(cast.service, task))['state']).toBe('consumed');
    expect(await detailsOf(cast.service, task, 'permit.redeemed')).toHaveLength(1);
    const second = await at.again(question, approval);
    expect(second.body['decision']).toBe(false);
    expect(contextOf(second)).toMatchObject({ reason: 'approval_used', next_action: 'request' });
    expect(contextOf(second)).toHaveProperty('access_request.expires_at');
    expect(taskOf(await at.status(task))['status']).toBe('approved');
  });

  it('an approval alone is no access: without it the answer stays no', async () => {
    const question = publish();
    await at.approved(await at.asked(question));
    expect((await evaluation(point, question)).body['decision']).toBe(false);
  });

  it('the same call again, by its Idempotency-Key, is the same yes; under another key it is none', async () => {
    const question = publish();
    const approval = await at.approved(await at.asked(question));
    const headers = { 'idempotency-key': `use-once` };
    const first = await at.again(question, approval, headers);
    const replay = await at.again(question, approval, headers);
    expect([first.body['decision'], replay.text]).toEqual([true, first.text]);
    expect(replay.headers.get('idempotent-replayed')).toBe('true');
    const other = await at.again(question, approval, { 'idempotency-key': `use-other` });
    expect(other.body['decision']).toBe(false);
  });

  it('two at the same moment are one yes', async () => {
    const question = publish();
    const approval = await at.approved(await at.asked(question));
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => at.again(question, approval)),
    );
    expect(answers.filter(({ body }) => body['decision'] === true)).toHaveLength(1);
  });

  it('is one use, by whichever of its two doors: evaluated again, or redeemed as a permit', async () => {
    const redeemable = async (question: JsonObject) => {
      const request = await at.asked(question);
      const approval = await at.approved(request);
      const permit = text((await point.call('GET', `/v1/requests/${request}/permit`)).body['id']);
      const action = object((await seen(cast.service, request))['action']);
      const redeem = () => point.call('POST', `/v1/permits/${permit}/redeem`, { action });
      return { approval, redeem };
    };
    const one = publish();
    const first = await redeemable(one);
    expect((await first.redeem()).status).toBe(200);
    expect((await at.again(one, first.approval)).body['decision']).toBe(false);
    const other = publish();
    const second = await redeemable(other);
    expect((await at.again(other, second.approval)).body['decision']).toBe(true);
    expect((await second.redeem()).body['code']).toBe('permit_used');
    const third = publish();
    const both = await redeemable(third);
    const [redeemed, again] = await Promise.all([both.redeem(), at.again(third, both.approval)]);
    expect([redeemed.status === 200, again.body['decision']].filter(Boolean)).toHaveLength(1);
  });

  it('one call that uses an approval twice gets one yes', async () => {
    const question = publish();
    const approval = await at.approved(await at.asked(question));
    const use = withApproval(question, approval);
    const { body } = await point.call('POST', '/access/v1/evaluations', {
      evaluations: [use, use],
    });
    expect(list(body['evaluations']).map((each) => each['decision'])).toEqual([true, false]);
  });
});

describe('a submission', () => {
  it('for another question than was denied is refused, by one byte', async () => {
    for (const [, change] of OTHERS) {
      const question = publish();
      const reply = await at.submit(change(question), await at.denied(question));
      expect(problem(reply)).toEqual([400, 'invalid_denial_binding']);
    }
  });

  it('of a denial that was told to somebody else, or to nobody, is refused', async () => {
    const question = publish();
    const others = await at.denied(question, admin(cast.service));
    expect(problem(await at.submit(question, others))).toEqual([400, 'invalid_denial_binding']);
    const made = { ...others, evaluation_id: 'evl_00000000000000000000000000' };
    expect(problem(await at.submit(question, made))).toEqual([400, 'invalid_denial_binding']);
  });

  it('with another expires_at than it was told, or a token that we never gave, is refused', async () => {
    const question = publish();
    const denial = await at.denied(question);
    const longer = { ...denial, expires_at: '2099-01-01T00:00:00Z' };
    expect(problem(await at.submit(question, longer))).toEqual([400, 'invalid_denial_binding']);
    const token = { ...denial, binding_token: 'eyJhbGciOiJub25lIn0.e30.' };
    expect(problem(await at.submit(question, token))).toEqual([400, 'invalid_denial_binding']);
    expect((await at.submit(question, denial)).status).toBe(202);
  });

  it('of a denial that is too old is refused', async () => {
    const question = publish();
    const denial = await at.denied(question);
    const { sql } = cast.service.database.owner;
    await sql`update access_denial set expires_at = now() - interval '1 second'
      where id = ${text(denial['evaluation_id'])}`;
    expect(problem(await at.submit(question, denial))).toEqual([410, 'expired_denial']);
  });

  it('without a denial, or with several questions, is no submission', async () => {
    const question = publish();
    expect((await at.submit(question, {})).status).toBe(400);
    const items = { items: [question] };
    expect((await at.submit(question, await at.denied(question), items)).status).toBe(400);
  });

  it('twice is one task, by its key or by what it asks; under the same key nothing else is taken', async () => {
    const question = publish();
    const denial = await at.denied(question);
    const headers = { 'idempotency-key': `submit-once` };
    const first = await at.submit(question, denial, {}, headers);
    const replay = await at.submit(question, denial, {}, headers);
    expect(replay.text).toBe(first.text);
    const other = await at.submit(question, denial, { client: { name: 'another' } }, headers);
    expect(problem(other)).toEqual([409, 'duplicate_request']);
    const justified = { context: { business_justification: 'other words' } };
    const folded = await at.submit(question, await at.denied(question), justified);
    expect(taskOf(folded)['id']).toBe(taskOf(first)['id']);
    const task = text(taskOf(first)['id']);
    const folds = await detailsOf(cast.service, task, 'access.requested');
    expect(folds.map((each) => each['folded'])).toEqual([false, true]);
  });

  it('many at the same moment are one task', async () => {
    const question = publish();
    const denials = await Promise.all(Array.from({ length: 6 }, () => at.denied(question)));
    const replies = await Promise.all(denials.map((denial) => at.submit(question, denial)));
    expect(new Set(replies.map((reply) => taskOf(reply)['id'])).size).toBe(1);
  });
});

describe('a task', () => {
  it('of another caller is none: not to be seen, and not to be cancelled', async () => {
    const task = await at.asked(publish());
    const other = cast.agent;
    expect(problem(await at.status(task, other))).toEqual([404, 'unknown_task']);
    const path = `/access/v1/requests/${task}/cancel`;
    expect(problem(await other.call('POST', path, {}))).toEqual([404, 'unknown_task']);
    expect(taskOf(await at.status(task))['status']).toBe('pending');
  });

  it('that is no access request is none', async () => {
    const { sql } = cast.service.database.owner;
    const [row] = await sql<{ id: string }[]>`select id from request order by id limit 1`;
    expect(problem(await at.status(row?.id ?? '', admin(cast.service)))).toEqual([
      404,
      'unknown_task',
    ]);
  });

  it('is cancelled once, and what nobody decided leads nowhere', async () => {
    const task = await at.asked(publish());
    const cancel = () =>
      point.call('POST', `/access/v1/requests/${task}/cancel`, { reason: 'moot' });
    expect(taskOf(await cancel())['status']).toBe('cancelled');
    expect(problem(await cancel())).toEqual([409, 'invalid_task_state']);
    expect((await at.status(task)).body).not.toHaveProperty('result');
  });

  it('that is approved is not cancelled any more', async () => {
    const task = await at.asked(publish());
    await at.approved(task);
    const reply = await point.call('POST', `/access/v1/requests/${task}/cancel`, {});
    expect(problem(reply)).toEqual([409, 'invalid_task_state']);
  });

  it('that people denied says so, and has no approval', async () => {
    const task = await at.asked(publish());
    await vote(cast.approver, task, 'deny', { reason: 'no' });
    const { body } = await at.status(task);
    expect([object(body['task'])['status'], body['result']]).toEqual(['denied', undefined]);
  });
});

describe('what people are shown', () => {
  it('is whom and what it is about, all of it marked as a claim of whoever asks', async () => {
    const question = publish({ subject: { role: 'editor' } });
    const task = await at.asked(question, {
      context: { business_justification: 'quarter end' },
      client: { name: 'gateway-eu' },
    });
    const { sql } = cast.service.database.owner;
    const [row] = await sql<
      { action: JsonObject }[]
    >`select action from request where id = ${task}`;
    const page = await fetch(`${cast.service.url}/requests/${task}`, {
      headers: { cookie: cast.approver.cookie, accept: 'text/html' },
    });
    const html = await page.text();
    for (const shown of [
      'alice',
      'publish',
      'editor',
      'quarter end',
      'gateway-eu',
      cast.point.name,
    ])
      expect(html).toContain(shown);
    expect(object(row?.action['parameters'])['subject']).toEqual({
      type: 'user',
      id: 'alice',
      properties: { role: 'editor' },
    });
  });
});

describe('I4: nobody approves for themselves', () => {
  const route = { roles: ['approver'] };

  it('I4: not the person it is about, by their id or by their address', async () => {
    const mail = 'paula@example.org';
    const paula = await person(cast.service, 'Paula', ['data-owners'], { ...route, email: mail });
    for (const subject of [
      { type: 'Person', id: paula.id },
      { type: 'user', id: 'Paula@Example.org' },
      { type: 'user', id: paula.id },
      { type: 'user', id: 'u-17', properties: { email: mail } },
    ]) {
      const question = { ...publish(), subject, action: { name: 'promote' } };
      const task = await at.asked(question);
      expect((await vote(paula, task, 'approve')).body['code']).toBe('self_approval');
      expect((await vote(cast.approver, task, 'approve')).status).toBe(201);
    }
  });

  it('I4: not who stands behind the agent it is about, nor behind the enforcement point', async () => {
    const { sql } = cast.service.database.owner;
    await sql`update person set groups = array['data-owners'] where id = ${cast.owner.id}`;
    const subject = { type: 'Agent', id: cast.agent.id };
    const about = await at.asked({ ...publish(), subject, action: { name: 'promote' } });
    const by = await at.asked(publish());
    for (const task of [about, by])
      expect((await vote(cast.owner, task, 'approve')).body['code']).toBe('self_approval');
  });
});
