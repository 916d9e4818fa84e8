// What an approval is good for: the very question that people saw, by whoever asked it, while it lasts and while policy
// lets it through. Everything that is a little different is a no.
import { createServer, type Server } from 'node:http';
import { text as readAll } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
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
import { countEvents, evaluation, startAccess, type AccessCast } from '../support/authzen.ts';
import { changePolicy } from '../support/cast.ts';
import { admin, eventually, object, text, vote, type Caller } from '../support/client.ts';
import { listen } from '../support/network.ts';
import { adding, replacing } from '../support/policy-files.ts';

let cast: AccessCast;
let at: Asking;
let server: Server;
let url: string;
const called: { headers: Record<string, unknown>; body: JsonObject }[] = [];
beforeAll(async () => {
  cast = await startAccess(PUBLISHING);
  at = askingAs(cast);
  server = createServer((request, response) => {
    void readAll(request).then((body) => {
      called.push({ headers: request.headers, body: JSON.parse(body) as JsonObject });
      response.writeHead(204).end();
    });
  });
  url = `http://127.0.0.1:${await listen(server)}`;
});
afterAll(async () => {
  await cast.close();
  server.close();
});

describe('an approval is good for nothing else', () => {
  it.each(OTHERS)('%s is out of its scope, and does not use it up', async (_what, change) => {
    const question = publish();
    const approval = await at.approved(await at.asked(question));
    const other = await at.again(change(question), approval);
    expect(other.body['decision']).toBe(false);
    expect(contextOf(other)).toMatchObject({ reason: 'out_of_scope', next_action: 'request' });
    expect((await at.again(question, approval)).body['decision']).toBe(true);
  });

  it('members of the context that no rule can see change nothing', async () => {
    const question = publish();
    const approval = await at.approved(await at.asked(question));
    const timed = { ...question, context: { time: '2026-06-27T18:03-07:00' } };
    expect((await at.again(timed, approval)).body['decision']).toBe(true);
  });

  it('for another caller there is no such approval, and it is not used up', async () => {
    const question = publish();
    const approval = await at.approved(await at.asked(question));
    const other = await at.again(question, approval, {}, admin(cast.service));
    expect(other.body['decision']).toBe(false);
    expect(contextOf(other)).toMatchObject({
      reason: 'approval_unverifiable',
      next_action: 'none',
    });
    expect((await at.again(question, approval)).body['decision']).toBe(true);
  });

  it.each<[string, JsonValue]>([
    ['one that does not exist', { id: 'prm_00000000000000000000000000' }],
    ['one without an id', { approved_until: '2099-01-01T00:00:00Z' }],
    ['a text', 'prm_x'],
    ['nothing', null],
  ])('%s is none', async (_what, approval) => {
    const reply = await at.again(publish(), approval);
    expect(reply.body['decision']).toBe(false);
    expect(contextOf(reply)['reason']).toBe('approval_unverifiable');
  });

  it('the approval of another kind of request is none', async () => {
    const { sql } = cast.service.database.owner;
    const [row] = await sql<{ id: string }[]>`select id from permit order by id limit 1`;
    const reply = await at.again(publish(), { id: row?.id ?? '' });
    expect(contextOf(reply)['reason']).toBe('approval_unverifiable');
  });

  it('what a caller says of how long it lasts counts for nothing', async () => {
    const question = publish();
    const approval = await at.approved(await at.asked(question));
    await lapse(text(approval['id']));
    const late = await at.again(question, { ...approval, approved_until: '2099-01-01T00:00:00Z' });
    expect(late.body['decision']).toBe(false);
    expect(contextOf(late)).toMatchObject({ reason: 'approval_expired', next_action: 'request' });
  });

  it('nor does it last longer than was asked for', async () => {
    const question = publish();
    const requested = new Date(Date.now() + 3_000).toISOString();
    const approval = await at.approved(
      await at.asked(question, { requested_access: { requested_until: requested } }),
    );
    expect(approval['approved_until']).toBe(requested);
    await eventually(() => Promise.resolve(Date.now() > Date.parse(requested) + 100));
    expect(contextOf(await at.again(question, approval))['reason']).toBe('approval_expired');
  });
});

/** Sets the clock of an approval back, as if it had been given long ago. */
async function lapse(permit: string): Promise<void> {
  const { sql } = cast.service.database.owner;
  await sql`update permit set expires_at = now() - interval '1 second' where id = ${permit}`;
  await sql`update request set approved_until = now() - interval '1 second'
    where id = (select request from permit where id = ${permit})`;
}

describe('a call back', () => {
  it('tells whoever asked that it is decided, with their state, and grants nothing', async () => {
    const callback = { endpoint: url, state: 'opaque-1', events: ['approved'] };
    const task = await at.asked(publish(), { callback });
    await at.approved(task);
    await eventually(() => Promise.resolve(aboutTask(task).length === 1), 'the call back');
    const [{ headers, body } = { headers: {}, body: {} }] = aboutTask(task);
    expect(body).toEqual({
      state: 'opaque-1',
      task: {
        id: task,
        status: 'approved',
        status_endpoint: `${cast.service.publicUrl}/access/v1/requests/${task}`,
      },
    });
    expect(headers['webhook-signature']).toMatch(/^v1a,/);
  });

  it('is not made about ends that nobody wants to hear of', async () => {
    const callback = { endpoint: url, events: ['approved'] };
    const task = await at.asked(publish(), { callback });
    await vote(cast.approver, task, 'deny');
    const other = await at.asked(publish(), { callback: { endpoint: url } });
    await vote(cast.approver, other, 'deny');
    await eventually(() => Promise.resolve(aboutTask(other).length === 1), 'the other call back');
    expect(aboutTask(task)).toEqual([]);
  });

  it('goes to no address that we may not call', async () => {
    const question = publish();
    const callback = { endpoint: 'http://169.254.169.254/latest' };
    const reply = await at.submit(question, await at.denied(question), { callback });
    expect(reply.status).toBe(422);
  });

  const aboutTask = (task: string) =>
    called.filter(({ body }) => object(body['task'])['id'] === task);
});

describe('what changes underneath', () => {
  it('a policy that forbids it by now is stronger than the approval', async () => {
    const question = publish();
    const approval = await at.approved(await at.asked(question));
    const headers = { 'idempotency-key': 'stale-yes' };
    const earlier = publish();
    const used = await at.approved(await at.asked(earlier));
    expect((await at.again(earlier, used, headers)).body['decision']).toBe(true);
    const waiting = await at.asked(publish());
    await changePolicy(
      cast.service,
      cast.approver,
      adding(
        'records.cedar',
        '@id("no-more")\nforbid (principal, action == Action::"publish", resource);',
      ),
    );
    const reply = await at.again(question, approval);
    expect(reply.body['decision']).toBe(false);
    expect(contextOf(reply)).toMatchObject({ reason: 'policy_denied', next_action: 'none' });
    expect(contextOf(reply)).not.toHaveProperty('access_request');
    // I6: nothing keeps a yes, not even under its own key.
    expect((await at.again(earlier, used, headers)).body['decision']).toBe(false);
    expect(taskOf(await at.status(waiting))['status']).toBe('cancelled');
    const denial = await at.submit(question, {
      evaluation_id: 'evl_x',
      expires_at: '2026-01-01T00:00:00Z',
    });
    expect(problem(denial)).toEqual([400, 'invalid_denial_binding']);
  });

  it('a gate whose rule is another by now is not the one that was passed', async () => {
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'records.cedar': (files['records.cedar'] ?? '').split('@id("no-more")')[0] ?? '',
    }));
    const question = publish();
    const task = await at.asked(question);
    const approval = await at.approved(task);
    await changePolicy(
      cast.service,
      cast.approver,
      replacing('routes.yaml', 'valid_seconds: 600\n', 'valid_seconds: 300\n'),
    );
    const reply = await at.again(question, approval);
    expect(reply.body['decision']).toBe(false);
    expect(contextOf(reply)).toMatchObject({ reason: 'approval_expired', next_action: 'request' });
    expect(taskOf(await at.status(task))['status']).toBe('failed');
  });

  it('a denial that is permitted by now is not taken to people', async () => {
    const question = publish();
    const denial = await at.denied(question);
    await changePolicy(
      cast.service,
      cast.approver,
      replacing('records.cedar', '@id("publish")\n@approval("records")\n', '@id("publish")\n'),
    );
    expect(problem(await at.submit(question, denial))).toEqual([400, 'not_requestable']);
    expect((await evaluation(cast.point, question)).body['decision']).toBe(true);
  });

  it('once everything is stopped, no approval is good and nobody is asked', async () => {
    const question = { ...publish(), action: { name: 'promote' } };
    const caller = admin(cast.service);
    const denial = await at.denied(question, caller);
    const approval = await approvedBy(caller, question);
    const other = { ...publish(), action: { name: 'promote' } };
    const late = await at.denied(other, caller);
    expect(denial['expires_at']).not.toBeNull();
    const everything = { scope: 'everything', confirm: 'everything', reason: 'test' };
    await caller.call('POST', '/v1/kill', everything);
    const reply = await evaluation(caller, withApproval(question, approval));
    expect([reply.body['decision'], contextOf(reply)['reason']]).toEqual([false, 'stopped']);
    expect((await at.submit(other, late, {}, {}, caller)).status).toBe(403);
    expect(await countEvents(cast, 'request.consumed')).toBeGreaterThan(5);
  });

  async function approvedBy(caller: Caller, question: JsonObject): Promise<JsonObject> {
    const reply = await at.submit(question, await at.denied(question, caller), {}, {}, caller);
    const task = text(taskOf(reply)['id']);
    await vote(cast.approver, task, 'approve');
    return object(object((await at.status(task, caller)).body['result'])['approval']);
  }
});
