// The access request profile: a denial that people could lift, what they are asked, and that their approval is good
// for that question alone, once, for whoever asked, while it lasts.
import { createServer, type Server } from 'node:http';
import { text as readAll } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import {
  countEvents,
  evaluation,
  startAccess,
  tuple,
  type AccessCast,
} from '../support/authzen.ts';
import { changePolicy, detailsOf, seen } from '../support/cast.ts';
import {
  admin,
  eventually,
  list,
  object,
  person,
  text,
  vote,
  type Caller,
  type Reply,
} from '../support/client.ts';
import { listen } from '../support/network.ts';
import { adding, all, replacing } from '../support/policy-files.ts';

let cast: AccessCast;
let point: Caller;
let server: Server;
let url: string;
const called: { headers: Record<string, unknown>; body: JsonObject }[] = [];

const PUBLISHING = all(
  replacing(
    'schema.cedarschema',
    'action "read", "write" appliesTo',
    'action "read", "write", "publish" appliesTo',
  ),
  replacing(
    'schema.cedarschema',
    'resource: [record],\n};',
    'resource: [record],\n  context: { audience?: String, note?: String },\n};\n\naction "promote" appliesTo {\n  principal: [user, Agent, Person],\n  resource: [record],\n};',
  ),
  adding(
    'records.cedar',
    '@id("publish")\n@approval("records")\n@title("Publishing takes a data owner")\npermit (principal is user, action == Action::"publish", resource is record);\n' +
      '@id("promote")\n@approval("records")\npermit (principal, action == Action::"promote", resource is record);',
  ),
  adding(
    'routes.yaml',
    'records:\n  title: Records\n  groups: [data-owners]\n  valid_seconds: 600\n',
  ),
);

beforeAll(async () => {
  cast = await startAccess(PUBLISHING);
  point = cast.point;
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

let records = 0;
/** A question about a record that no other test is about. */
const publish = (more: Parameters<typeof tuple>[3] = {}): JsonObject => {
  records += 1;
  return tuple('alice', 'publish', `record-${1000 + records}`, more);
};

const contextOf = ({ body }: Reply): JsonObject => object(body['context']);

/** What a denial hands out to be taken to people. */
async function denied(question: JsonObject, caller: Caller = point): Promise<JsonObject> {
  const context = contextOf(await evaluation(caller, question));
  return {
    evaluation_id: context['evaluation_id'] ?? null,
    evaluated_at: context['evaluated_at'] ?? null,
    reason: context['reason'] ?? null,
    expires_at: object(context['access_request'])['expires_at'] ?? null,
  };
}

const submit = (
  question: JsonObject,
  denial: JsonValue,
  more: JsonObject = {},
  headers: Record<string, string> = {},
  caller: Caller = point,
): Promise<Reply> =>
  caller.call('POST', '/access/v1/requests', { ...question, denial, ...more }, headers);

const taskOf = ({ body }: Reply): JsonObject => object(body['task']);

async function asked(question: JsonObject, more: JsonObject = {}): Promise<string> {
  const reply = await submit(question, await denied(question), more);
  expect(reply.status).toBe(202);
  return text(taskOf(reply)['id']);
}

const status = (task: string, caller: Caller = point): Promise<Reply> =>
  caller.call('GET', `/access/v1/requests/${task}`);

/** Has somebody approve, and says what to evaluate again with. */
async function approved(task: string): Promise<JsonObject> {
  expect((await vote(cast.approver, task, 'approve')).status).toBe(201);
  const { body } = await status(task);
  return object(object(body['result'])['approval']);
}

const withApproval = (question: JsonObject, approval: JsonValue): JsonObject => ({
  ...question,
  context: { ...object(question['context']), approval },
});

const again = (question: JsonObject, approval: JsonValue, headers = {}, caller = point) =>
  evaluation(caller, withApproval(question, approval), headers);

const problem = ({ status: code, body }: Reply): [number, string] => [
  code,
  text(body['type']).split(':').at(-1) ?? '',
];

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
    const task = await asked(question, { context: { business_justification: 'quarter end' } });
    expect(taskOf(await status(task))['status']).toBe('pending');
    expect((await status(task)).headers.get('retry-after')).toBe('5');
    const approval = await approved(task);
    const yes = await again(question, approval);
    expect(yes.body['decision']).toBe(true);
    expect(contextOf(yes)['approval']).toEqual({
      id: approval['id'],
      approved_until: approval['approved_until'],
    });
    expect((await seen(cast.service, task))['state']).toBe('consumed');
    expect(await detailsOf(cast.service, task, 'permit.redeemed')).toHaveLength(1);
    const second = await again(question, approval);
    expect(second.body['decision']).toBe(false);
    expect(contextOf(second)).toMatchObject({ reason: 'approval_used', next_action: 'request' });
    expect(contextOf(second)).toHaveProperty('access_request.expires_at');
    expect(taskOf(await status(task))['status']).toBe('approved');
  });

  it('an approval alone is no access: without it the answer stays no', async () => {
    const question = publish();
    await approved(await asked(question));
    expect((await evaluation(point, question)).body['decision']).toBe(false);
  });

  it('the same call again, by its Idempotency-Key, is the same yes; under another key it is none', async () => {
    const question = publish();
    const approval = await approved(await asked(question));
    const headers = { 'idempotency-key': `use-${records}` };
    const first = await again(question, approval, headers);
    const replay = await again(question, approval, headers);
    expect([first.body['decision'], replay.text]).toEqual([true, first.text]);
    expect(replay.headers.get('idempotent-replayed')).toBe('true');
    const other = await again(question, approval, { 'idempotency-key': `other-${records}` });
    expect(other.body['decision']).toBe(false);
  });

  it('two at the same moment are one yes', async () => {
    const question = publish();
    const approval = await approved(await asked(question));
    const answers = await Promise.all(Array.from({ length: 8 }, () => again(question, approval)));
    expect(answers.filter(({ body }) => body['decision'] === true)).toHaveLength(1);
  });

  it('one call that uses an approval twice gets one yes', async () => {
    const question = publish();
    const approval = await approved(await asked(question));
    const use = withApproval(question, approval);
    const { body } = await point.call('POST', '/access/v1/evaluations', {
      evaluations: [use, use],
    });
    expect(list(body['evaluations']).map((each) => each['decision'])).toEqual([true, false]);
  });
});

/** Questions that are not the one that was approved, by as little as there can be. */
const OTHERS: [string, (question: JsonObject) => JsonObject][] = [
  ['another subject', (question) => ({ ...question, subject: { type: 'user', id: 'alicf' } })],
  [
    'another resource',
    (question) => ({ ...question, resource: { type: 'record', id: 'record-99999' } }),
  ],
  [
    'another property of the subject',
    (question) => ({
      ...question,
      subject: { ...object(question['subject']), properties: { role: 'x' } },
    }),
  ],
  [
    'another property that no rule looks at',
    (question) => ({
      ...question,
      resource: { ...object(question['resource']), properties: { size: 1 } },
    }),
  ],
  ['another context', (question) => ({ ...question, context: { audience: 'everybody' } })],
];

describe('an approval is good for nothing else', () => {
  it.each(OTHERS)('%s is out of its scope, and does not use it up', async (_what, change) => {
    const question = publish();
    const approval = await approved(await asked(question));
    const other = await again(change(question), approval);
    expect(other.body['decision']).toBe(false);
    expect(contextOf(other)).toMatchObject({ reason: 'out_of_scope', next_action: 'request' });
    expect((await again(question, approval)).body['decision']).toBe(true);
  });

  it('members of the context that no rule can see change nothing', async () => {
    const question = publish();
    const approval = await approved(await asked(question));
    const timed = { ...question, context: { time: '2026-06-27T18:03-07:00' } };
    expect((await again(timed, approval)).body['decision']).toBe(true);
  });

  it('for another caller there is no such approval, and it is not used up', async () => {
    const question = publish();
    const approval = await approved(await asked(question));
    const other = await again(question, approval, {}, admin(cast.service) as typeof point);
    expect(other.body['decision']).toBe(false);
    expect(contextOf(other)).toMatchObject({
      reason: 'approval_unverifiable',
      next_action: 'none',
    });
    expect((await again(question, approval)).body['decision']).toBe(true);
  });

  it.each<[string, JsonValue]>([
    ['one that does not exist', { id: 'prm_00000000000000000000000000' }],
    ['one without an id', { approved_until: '2099-01-01T00:00:00Z' }],
    ['a text', 'prm_x'],
    ['nothing', null],
  ])('%s is none', async (_what, approval) => {
    const reply = await again(publish(), approval);
    expect(reply.body['decision']).toBe(false);
    expect(contextOf(reply)['reason']).toBe('approval_unverifiable');
  });

  it('the approval of another kind of request is none', async () => {
    const { sql } = cast.service.database.owner;
    const [row] = await sql<{ id: string }[]>`select id from permit order by id limit 1`;
    const reply = await again(publish(), { id: row?.id ?? '' });
    expect(contextOf(reply)['reason']).toBe('approval_unverifiable');
  });

  it('what a caller says of how long it lasts counts for nothing', async () => {
    const question = publish();
    const approval = await approved(await asked(question));
    await lapse(text(approval['id']));
    const late = await again(question, { ...approval, approved_until: '2099-01-01T00:00:00Z' });
    expect(late.body['decision']).toBe(false);
    expect(contextOf(late)).toMatchObject({ reason: 'approval_expired', next_action: 'request' });
  });

  it('it lasts no longer than was asked for', async () => {
    const question = publish();
    const requested = new Date(Date.now() + 3_000).toISOString();
    const approval = await approved(
      await asked(question, { requested_access: { requested_until: requested } }),
    );
    expect(approval['approved_until']).toBe(requested);
    await eventually(() => Promise.resolve(Date.now() > Date.parse(requested) + 100));
    expect(contextOf(await again(question, approval))['reason']).toBe('approval_expired');
  });
});

/** Sets the clock of an approval back, as if it had been given long ago. */
async function lapse(permit: string): Promise<void> {
  const { sql } = cast.service.database.owner;
  await sql`update permit set expires_at = now() - interval '1 second' where id = ${permit}`;
  await sql`update request set approved_until = now() - interval '1 second'
    where id = (select request from permit where id = ${permit})`;
}

describe('a submission', () => {
  it('for another question than was denied is refused, by one byte', async () => {
    for (const [, change] of OTHERS) {
      const question = publish();
      const reply = await submit(change(question), await denied(question));
      expect(problem(reply)).toEqual([400, 'invalid_denial_binding']);
    }
  });

  it('of a denial that was told to somebody else, or to nobody, is refused', async () => {
    const question = publish();
    const others = await denied(question, admin(cast.service));
    expect(problem(await submit(question, others))).toEqual([400, 'invalid_denial_binding']);
    const made = { ...others, evaluation_id: 'evl_00000000000000000000000000' };
    expect(problem(await submit(question, made))).toEqual([400, 'invalid_denial_binding']);
  });

  it('with another expires_at than it was told, or a token that we never gave, is refused', async () => {
    const question = publish();
    const denial = await denied(question);
    const longer = { ...denial, expires_at: '2099-01-01T00:00:00Z' };
    expect(problem(await submit(question, longer))).toEqual([400, 'invalid_denial_binding']);
    const token = { ...denial, binding_token: 'eyJhbGciOiJub25lIn0.e30.' };
    expect(problem(await submit(question, token))).toEqual([400, 'invalid_denial_binding']);
    expect((await submit(question, denial)).status).toBe(202);
  });

  it('of a denial that is too old is refused', async () => {
    const question = publish();
    const denial = await denied(question);
    const { sql } = cast.service.database.owner;
    await sql`update access_denial set expires_at = now() - interval '1 second'
      where id = ${text(denial['evaluation_id'])}`;
    expect(problem(await submit(question, denial))).toEqual([410, 'expired_denial']);
  });

  it('without a denial, or with several questions, is no submission', async () => {
    const question = publish();
    expect((await submit(question, {})).status).toBe(400);
    const items = { items: [question] };
    expect((await submit(question, await denied(question), items)).status).toBe(400);
  });

  it('twice is one task, by its key or by what it asks; under the same key nothing else is taken', async () => {
    const question = publish();
    const denial = await denied(question);
    const headers = { 'idempotency-key': `submit-${records}` };
    const first = await submit(question, denial, {}, headers);
    const replay = await submit(question, denial, {}, headers);
    expect(replay.text).toBe(first.text);
    const other = await submit(question, denial, { client: { name: 'another' } }, headers);
    expect(problem(other)).toEqual([409, 'duplicate_request']);
    const justified = { context: { business_justification: 'other words' } };
    const folded = await submit(question, await denied(question), justified);
    expect(taskOf(folded)['id']).toBe(taskOf(first)['id']);
    const task = text(taskOf(first)['id']);
    const folds = await detailsOf(cast.service, task, 'access.requested');
    expect(folds.map((each) => each['folded'])).toEqual([false, true]);
  });

  it('many at the same moment are one task', async () => {
    const question = publish();
    const denials = await Promise.all(Array.from({ length: 6 }, () => denied(question)));
    const replies = await Promise.all(denials.map((denial) => submit(question, denial)));
    expect(new Set(replies.map((reply) => taskOf(reply)['id'])).size).toBe(1);
  });
});

describe('a task', () => {
  it('of another caller is none: not to be seen, and not to be cancelled', async () => {
    const task = await asked(publish());
    const other = cast.agent;
    expect(problem(await status(task, other))).toEqual([404, 'unknown_task']);
    const path = `/access/v1/requests/${task}/cancel`;
    expect(problem(await other.call('POST', path, {}))).toEqual([404, 'unknown_task']);
    expect(taskOf(await status(task))['status']).toBe('pending');
  });

  it('that is no access request is none', async () => {
    const { sql } = cast.service.database.owner;
    const [row] = await sql<{ id: string }[]>`select id from request order by id limit 1`;
    expect(problem(await status(row?.id ?? '', admin(cast.service)))).toEqual([
      404,
      'unknown_task',
    ]);
  });

  it('is cancelled once, and what nobody decided leads nowhere', async () => {
    const task = await asked(publish());
    const cancel = () =>
      point.call('POST', `/access/v1/requests/${task}/cancel`, { reason: 'moot' });
    expect(taskOf(await cancel())['status']).toBe('cancelled');
    expect(problem(await cancel())).toEqual([409, 'invalid_task_state']);
    expect((await status(task)).body).not.toHaveProperty('result');
  });

  it('that is approved is not cancelled any more', async () => {
    const task = await asked(publish());
    await approved(task);
    const reply = await point.call('POST', `/access/v1/requests/${task}/cancel`, {});
    expect(problem(reply)).toEqual([409, 'invalid_task_state']);
  });

  it('that people denied says so, and has no approval', async () => {
    const task = await asked(publish());
    await vote(cast.approver, task, 'deny', { reason: 'no' });
    const { body } = await status(task);
    expect([object(body['task'])['status'], body['result']]).toEqual(['denied', undefined]);
  });
});

describe('what people are shown', () => {
  it('is whom and what it is about, all of it marked as a claim of whoever asks', async () => {
    const question = publish({ subject: { role: 'editor' } });
    const task = await asked(question, {
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
    ]) {
      const question = { ...publish(), subject, action: { name: 'promote' } };
      const task = await asked(question);
      expect((await vote(paula, task, 'approve')).body['code']).toBe('self_approval');
      expect((await vote(cast.approver, task, 'approve')).status).toBe(201);
    }
  });

  it('I4: not who stands behind the agent it is about, nor behind the enforcement point', async () => {
    const { sql } = cast.service.database.owner;
    await sql`update person set groups = array['data-owners'] where id = ${cast.owner.id}`;
    const subject = { type: 'Agent', id: cast.agent.id };
    const about = await asked({ ...publish(), subject, action: { name: 'promote' } });
    const by = await asked(publish());
    for (const task of [about, by])
      expect((await vote(cast.owner, task, 'approve')).body['code']).toBe('self_approval');
  });
});

describe('a call back', () => {
  it('tells whoever asked that it is decided, with their state, and grants nothing', async () => {
    const callback = { endpoint: url, state: 'opaque-1', events: ['approved'] };
    const task = await asked(publish(), { callback });
    await approved(task);
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
    const task = await asked(publish(), { callback });
    await vote(cast.approver, task, 'deny');
    const other = await asked(publish(), { callback: { endpoint: url } });
    await vote(cast.approver, other, 'deny');
    await eventually(() => Promise.resolve(aboutTask(other).length === 1), 'the other call back');
    expect(aboutTask(task)).toEqual([]);
  });

  it('goes to no address that we may not call', async () => {
    const question = publish();
    const callback = { endpoint: 'http://169.254.169.254/latest' };
    const reply = await submit(question, await denied(question), { callback });
    expect(reply.status).toBe(422);
  });

  const aboutTask = (task: string) =>
    called.filter(({ body }) => object(body['task'])['id'] === task);
});

describe('what changes underneath', () => {
  it('a policy that forbids it by now is stronger than the approval', async () => {
    const question = publish();
    const approval = await approved(await asked(question));
    const headers = { 'idempotency-key': 'stale-yes' };
    const earlier = publish();
    const used = await approved(await asked(earlier));
    expect((await again(earlier, used, headers)).body['decision']).toBe(true);
    const waiting = await asked(publish());
    await changePolicy(
      cast.service,
      cast.approver,
      adding(
        'records.cedar',
        '@id("no-more")\nforbid (principal, action == Action::"publish", resource);',
      ),
    );
    const reply = await again(question, approval);
    expect(reply.body['decision']).toBe(false);
    expect(contextOf(reply)).toMatchObject({ reason: 'policy_denied', next_action: 'none' });
    expect(contextOf(reply)).not.toHaveProperty('access_request');
    // I6: nothing keeps a yes, not even under its own key.
    expect((await again(earlier, used, headers)).body['decision']).toBe(false);
    expect(taskOf(await status(waiting))['status']).toBe('cancelled');
    const denial = await submit(question, {
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
    const task = await asked(question);
    const approval = await approved(task);
    await changePolicy(
      cast.service,
      cast.approver,
      replacing('routes.yaml', 'valid_seconds: 600\n', 'valid_seconds: 300\n'),
    );
    const reply = await again(question, approval);
    expect(reply.body['decision']).toBe(false);
    expect(contextOf(reply)).toMatchObject({ reason: 'approval_expired', next_action: 'request' });
    expect(taskOf(await status(task))['status']).toBe('failed');
  });

  it('a denial that is permitted by now is not taken to people', async () => {
    const question = publish();
    const denial = await denied(question);
    await changePolicy(
      cast.service,
      cast.approver,
      replacing('records.cedar', '@id("publish")\n@approval("records")\n', '@id("publish")\n'),
    );
    expect(problem(await submit(question, denial))).toEqual([400, 'not_requestable']);
    expect((await evaluation(point, question)).body['decision']).toBe(true);
  });

  it('once everything is stopped, no approval is good and nobody is asked', async () => {
    const question = { ...publish(), action: { name: 'promote' } };
    const caller = admin(cast.service);
    const denial = await denied(question, caller);
    const approval = await approvedBy(caller, question);
    const other = { ...publish(), action: { name: 'promote' } };
    const late = await denied(other, caller);
    expect(denial['expires_at']).not.toBeNull();
    const everything = { scope: 'everything', confirm: 'everything', reason: 'test' };
    await caller.call('POST', '/v1/kill', everything);
    const reply = await evaluation(caller, withApproval(question, approval));
    expect([reply.body['decision'], contextOf(reply)['reason']]).toEqual([false, 'stopped']);
    expect((await submit(other, late, {}, {}, caller)).status).toBe(403);
    expect(await countEvents(cast, 'request.consumed')).toBeGreaterThan(5);
  });

  async function approvedBy(caller: Caller, question: JsonObject): Promise<JsonObject> {
    const reply = await submit(question, await denied(question, caller), {}, {}, caller);
    const task = text(taskOf(reply)['id']);
    await vote(cast.approver, task, 'approve');
    return object(object((await status(task, caller)).body['result'])['approval']);
  }
});
