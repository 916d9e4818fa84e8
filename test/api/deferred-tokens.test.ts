// Deferred token response: what a code is good for, for whom, until when, and how often.
import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, detailsOf, seen, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  anyone,
  asClient,
  clientAssertion,
  eventually,
  newKey,
  postForm,
  text,
  vote,
  type Reply,
  type TestAgent,
  type TestKey,
} from '../support/client.ts';
import { dpopProof, thumbprintOf } from '../support/delegation.ts';
import { withRoles } from '../support/policies.ts';

const GRANT = 'urn:ietf:params:oauth:grant-type:deferred';
const CODE_TYPE = 'urn:ietf:params:oauth:token-type:deferral-code';

let cast: Cast;
let other: TestAgent;
beforeAll(async () => {
  cast = await startCast();
  other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
  await changePolicy(cast.service, cast.approver, (files) =>
    withRoles({ ...files, 'roles.yaml': `${files['roles.yaml'] ?? ''}${TWINS}` }, [
      { name: 'gated', routes: { gated: '  groups: [data-owners]\n' } },
      { name: 'doomed', routes: { doomed: '  groups: [data-owners]\n' } },
    ]),
  );
});
afterAll(() => cast.close());

/** Two roles for one audience, and one whose tokens are bound. */
const TWINS = `
  twin-one:
    title: one
    issuer: jwt
    audience: https://twins.example
  twin-two:
    title: two
    issuer: jwt
    audience: https://twins.example
  bound:
    title: bound
    issuer: jwt
    audience: https://bound.example
    binding: dpop
`;

type Form = Record<string, string>;
const ASKED = {
  grant_type: 'client_credentials',
  resource: 'https://gated.example',
  completion_mode: 'deferred',
};

async function send(
  form: Form,
  headers: Form = {},
  by: TestAgent = cast.agent,
  path = '/oauth2/token',
): Promise<Reply> {
  const assertion = await clientAssertion(cast.service, by.id, by.key);
  return postForm(cast.service, path, { ...asClient(assertion), ...form }, headers);
}

/** Asks, and again while the workflow of the task is still starting. */
async function ask(form: Form = {}, key: TestKey | null = null): Promise<Reply> {
  const task_id = form['task_id'] ?? (await startTask(cast.agent));
  for (let tries = 0; ; tries += 1) {
    const headers: Form = key === null ? {} : { dpop: await proof(key) };
    const reply = await send({ ...ASKED, ...form, task_id }, headers);
    if (reply.status !== 503 || tries > 40) return reply;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

const poll = (code: string, form: Form = {}, headers: Form = {}, by?: TestAgent): Promise<Reply> =>
  send({ grant_type: GRANT, deferral_code: code, ...form }, headers, by);

const cancel = (code: string, by?: TestAgent, headers: Form = {}): Promise<Reply> =>
  send({ token: code, token_type_hint: CODE_TYPE }, headers, by, '/oauth2/revoke');

const proof = (key: TestKey, path = '/oauth2/token'): Promise<string> =>
  dpopProof(key, { method: 'POST', url: `${cast.service.publicUrl}${path}` });

const said = ({ status, body }: Reply): string => `${status} ${text(body['error'])}`;

/** As if the client had waited. */
const waited = (): Promise<unknown> =>
  cast.service.database.owner.sql`
    update deferral set last_polled_at = last_polled_at - interval '1 minute'`;

interface Deferred {
  code: string;
  request: string;
  task: string;
}

async function deferred(form: Form = {}, key: TestKey | null = null): Promise<Deferred> {
  const task = form['task_id'] ?? (await startTask(cast.agent));
  const reply = await ask({ ...form, task_id: task }, key);
  expect(said(reply)).toBe('400 authorization_pending');
  const rows = await cast.service.database.owner.sql<{ id: string }[]>`
    select id from request where task = ${task} order by id desc limit 1`;
  return { code: text(reply.body['deferral_code']), request: rows[0]?.id ?? '', task };
}

async function approved(form: Form = {}, key: TestKey | null = null): Promise<Deferred> {
  const waiting = await deferred(form, key);
  expect((await vote(cast.approver, waiting.request, 'approve')).status).toBe(201);
  await issued(waiting.request);
  return waiting;
}

const issued = (request: string): Promise<void> =>
  eventually(async () => (await seen(cast.service, request))['collectable'] === true, 'the lease');

const claimsOf = (reply: Reply): JsonObject =>
  JSON.parse(
    Buffer.from(text(reply.body['access_token']).split('.')[1] ?? '', 'base64url').toString(),
  ) as JsonObject;

describe('a token that people have to agree on', () => {
  it('is deferred, polled for, and given once they have', async () => {
    const { code, request, task } = await deferred({ reason: 'month end' });
    expect(said(await poll(code))).toBe('400 authorization_pending');
    await vote(cast.approver, request, 'approve');
    await issued(request);
    await waited();
    const reply = await poll(code);
    expect(reply.status).toBe(200);
    expect(reply.headers.get('cache-control')).toBe('no-store');
    expect(reply.body).toMatchObject({ token_type: 'Bearer', scope: 'gated' });
    expect(Number(reply.body['expires_in'])).toBeLessThanOrEqual(900);
    expect(reply.body['refresh_token']).toBeUndefined();
    expect(claimsOf(reply)).toMatchObject({
      aud: 'https://gated.example',
      client_id: cast.agent.id,
      task_id: task,
    });
    const introspected = await cast.agent.call('GET', `/v1/requests/${request}`);
    expect(introspected.body['state']).toBe('consumed');
  });

  it('I3: never outlives what was approved', async () => {
    const { code, request } = await approved();
    const until = Date.parse(text((await seen(cast.service, request))['approved_until']));
    const token = claimsOf(await poll(code));
    expect(Number(token['exp']) * 1000).toBeLessThanOrEqual(until);
  });

  it('says how long to wait and how often to ask, and is kept by nobody on the way', async () => {
    const reply = await ask();
    expect(reply.headers.get('cache-control')).toBe('no-store');
    expect(reply.body).toMatchObject({ error: 'authorization_pending', interval: 5 });
    expect(Number(reply.body['expires_in'])).toBeGreaterThan(0);
    expect(Buffer.from(text(reply.body['deferral_code']), 'base64url')).toHaveLength(32);
  });

  it('is given at once where policy plainly permits it', async () => {
    const reply = await ask({ resource: 'https://reports.example' });
    expect(reply.status).toBe(200);
    expect(claimsOf(reply)['aud']).toBe('https://reports.example');
  });

  it('is never deferred for a client that did not say it would wait', async () => {
    for (const completion_mode of ['', 'synchronous'])
      expect(said(await ask({ completion_mode }))).toBe('400 invalid_target');
  });

  it('is announced, with how to give it up', async () => {
    const path = '/.well-known/oauth-authorization-server';
    const { body } = await anyone(cast.service).call('GET', path);
    expect(body['deferred_token_response_supported']).toBe(true);
    expect(body['grant_types_supported']).toContain(GRANT);
    expect(body['revocation_endpoint_token_type_values_supported']).toContain(CODE_TYPE);
  });

  it('asked for again under the same task is the same request, and each code opens it', async () => {
    const first = await deferred();
    const second = await deferred({ task_id: first.task });
    expect(second.request).toBe(first.request);
    await vote(cast.approver, first.request, 'approve');
    await issued(first.request);
    // What was made is sealed to the later code; the earlier one has it made anew.
    expect((await poll(first.code)).status).toBe(200);
    expect(said(await poll(second.code))).toBe('400 invalid_grant');
  });

  it('a sign-in stays a sign-in, however it may be completed', async () => {
    const reply = await send({ grant_type: 'client_credentials', completion_mode: 'deferred' });
    expect([reply.status, reply.body['scope']]).toEqual([200, 'agent']);
  });
});

describe('what is asked for', () => {
  it.each([
    ['an audience of no role', { resource: 'https://nowhere.example' }, '400 invalid_target'],
    ['two audiences', { audience: 'https://reports.example' }, '400 invalid_target'],
    ['a role that gives no token', { scope: 'orders-write' }, '400 invalid_target'],
    ['a role of another audience', { scope: 'reports-api' }, '400 invalid_target'],
    ['an audience of two roles', { resource: 'https://twins.example' }, '400 invalid_scope'],
    ['no task', { task_id: '' }, '400 invalid_request'],
    ['a task that there is not', { task_id: 'tsk_nobody' }, '400 invalid_request'],
    ['a bound token without a key', { resource: 'https://bound.example' }, '400 invalid_request'],
    [
      'what policy permits nobody',
      { resource: 'https://twins.example', scope: 'twin-one' },
      '400 access_denied',
    ],
  ])('is refused for %s', async (_what, form: Form, code) => {
    const reply = await ask(form);
    expect(said(reply)).toBe(code);
    expect(reply.body['deferral_code']).toBeUndefined();
  });

  it('is refused under the task of another agent, as if there were none', async () => {
    const mine = await ask({ task_id: 'tsk_nobody' });
    const theirs = await ask({ task_id: await startTask(other) });
    expect(theirs.body['error_description']).toBe(mine.body['error_description']);
  });

  it('takes a role by its name alone', async () => {
    const { resource: _none, ...form } = { ...ASKED, scope: 'gated' };
    const task = (await deferred()).task;
    expect(said(await send({ ...form, task_id: task }))).toBe('400 authorization_pending');
  });
});

describe('a deferral code', () => {
  it('I2: is redeemed once, also by ten at the same moment', async () => {
    const { code, request } = await approved();
    const replies = await Promise.all(Array.from({ length: 10 }, () => poll(code)));
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(said(await poll(code))).toBe('400 invalid_grant');
    expect(await detailsOf(cast.service, request, 'credential.collected')).toHaveLength(1);
  });

  it('I8: a poll whose answer was lost is repeated with its key, and with no other', async () => {
    const { code } = await approved();
    const key = { 'idempotency-key': randomUUID() };
    const first = await poll(code, {}, key);
    const again = await poll(code, {}, key);
    expect([first.status, again.status]).toEqual([200, 200]);
    expect(again.body['access_token']).toBe(first.body['access_token']);
    const another = { 'idempotency-key': randomUUID() };
    expect(said(await poll(code, {}, another))).toBe('400 invalid_grant');
    expect(said(await poll(code, {}, key, other))).toBe('400 invalid_grant');
    const next = await deferred();
    expect(said(await poll(next.code, {}, key))).toBe('400 invalid_request');
  });

  it('of another client is told the same as one that there never was', async () => {
    const { code, request } = await approved();
    const stolen = await poll(code, {}, {}, other);
    const guessed = await poll(randomBytes(32).toString('base64url'), {}, {}, other);
    expect([said(stolen), said(guessed)]).toEqual(['400 invalid_grant', '400 invalid_grant']);
    expect(stolen.body).toEqual(guessed.body);
    expect((await seen(cast.service, request))['state']).toBe('approved');
    expect((await poll(code)).status).toBe(200);
  });

  it('without a client that proves itself is nothing', async () => {
    const { code } = await approved();
    const form = { grant_type: GRANT, deferral_code: code };
    expect(said(await postForm(cast.service, '/oauth2/token', form))).toBe('400 invalid_request');
    const forged = asClient(await clientAssertion(cast.service, cast.agent.id, await newKey()));
    expect(said(await postForm(cast.service, '/oauth2/token', { ...form, ...forged }))).toBe(
      '401 invalid_client',
    );
    const once = asClient(await clientAssertion(cast.service, cast.agent.id, cast.agent.key));
    expect((await postForm(cast.service, '/oauth2/token', { ...form, ...once })).status).toBe(200);
    expect(said(await postForm(cast.service, '/oauth2/token', { ...form, ...once }))).toBe(
      '401 invalid_client',
    );
  });

  it('polled too soon is told to slow down, and the next poll in time counts', async () => {
    const { code } = await deferred();
    expect(said(await poll(code))).toBe('400 authorization_pending');
    for (let tries = 0; tries < 3; tries += 1) expect(said(await poll(code))).toBe('400 slow_down');
    await waited();
    expect(said(await poll(code))).toBe('400 authorization_pending');
  });

  it('is polled with, and with nothing that the first call said', async () => {
    const { code } = await deferred();
    for (const name of ['completion_mode', 'scope', 'resource', 'task_id'])
      expect(said(await poll(code, { [name]: 'deferred' }))).toBe('400 invalid_request');
    expect(said(await send({ grant_type: GRANT }))).toBe('400 invalid_request');
  });

  it('I5: is kept as a keyed digest, and what it opens is sealed', async () => {
    const { code, request } = await approved();
    const { sql } = cast.service.database.owner;
    const [rows] = await sql<{ all: string }[]>`
      select (select json_agg(d) from deferral d)::text || (select json_agg(r) from request r)::text
        || (select json_agg(c) from credential c where request = ${request})::text as all`;
    expect(rows?.all).not.toContain(code);
    const token = text((await poll(code, {}, { 'idempotency-key': 'kept' })).body['access_token']);
    const [kept] = await sql<{ all: string }[]>`
      select (select json_agg(c) from credential c)::text || (select json_agg(i) from idempotency i)::text as all`;
    expect(kept?.all).not.toContain(token);
    expect(token.split('.')).toHaveLength(3);
  });
});

describe('a code that is bound to a key', () => {
  it('is good with a proof by that key, and the token is bound to it', async () => {
    const key = await newKey();
    const { code } = await approved({}, key);
    expect(said(await poll(code))).toBe('400 invalid_dpop_proof');
    const wrong = { dpop: await proof(await newKey()) };
    expect(said(await poll(code, {}, wrong))).toBe('400 invalid_dpop_proof');
    const used = { dpop: await proof(key) };
    const reply = await poll(code, {}, used);
    expect([reply.status, reply.body['token_type']]).toEqual([200, 'DPoP']);
    expect(claimsOf(reply)['cnf']).toEqual({ jkt: await thumbprintOf(key) });
    expect(said(await poll(code, {}, used))).toBe('400 invalid_dpop_proof');
  });

  it('is given up with a proof by that key, and not without', async () => {
    const key = await newKey();
    const { code, request } = await deferred({}, key);
    expect(said(await cancel(code))).toBe('400 invalid_dpop_proof');
    expect((await seen(cast.service, request))['state']).toBe('pending');
    const bound = { dpop: await proof(key, '/oauth2/revoke') };
    expect((await cancel(code, cast.agent, bound)).status).toBe(200);
    expect((await seen(cast.service, request))['state']).toBe('cancelled');
  });
});

describe('what was not approved, or no longer is', () => {
  const turned = async (
    turn: (waiting: Deferred) => Promise<unknown>,
    from: () => Promise<Deferred> = approved,
  ): Promise<string> => {
    const waiting = await from();
    await turn(waiting);
    return said(await poll(waiting.code));
  };
  const sql = () => cast.service.database.owner.sql;

  it('a no is access_denied', async () => {
    expect(await turned(({ request }) => vote(cast.approver, request, 'deny'), deferred)).toBe(
      '400 access_denied',
    );
  });

  it('I6: a request that ran out of time is expired_token, before anybody closes it and after', async () => {
    const { code, request } = await deferred();
    await sql()`update request set expires_at = now() - interval '1 second' where id = ${request}`;
    expect(said(await poll(code))).toBe('400 expired_token');
  });

  it('an approval that lapsed is expired_token', async () => {
    expect(
      await turned(
        ({ request }) =>
          sql()`update request set approved_until = now() - interval '1 second' where id = ${request}`,
      ),
    ).toBe('400 expired_token');
  });

  it('a code past its own time is expired_token', async () => {
    expect(
      await turned(
        ({ request }) =>
          sql()`update deferral set expires_at = now() - interval '1 second' where request = ${request}`,
        deferred,
      ),
    ).toBe('400 expired_token');
  });

  it('what was given up is access_denied, and the request is withdrawn', async () => {
    const { code, request } = await deferred();
    expect((await cancel(code)).status).toBe(200);
    expect((await seen(cast.service, request))['state']).toBe('cancelled');
    expect(said(await poll(code))).toBe('400 access_denied');
    expect((await cancel(code)).status).toBe(200);
  });

  it('what was approved and then given up is never handed over', async () => {
    const { code, request } = await approved();
    expect((await cancel(code)).status).toBe(200);
    expect(said(await poll(code))).toBe('400 access_denied');
    const [lease] = await sql()<{ state: string }[]>`
      select state from credential where request = ${request}`;
    expect(lease?.state).not.toBe('active');
    expect(await detailsOf(cast.service, request, 'credential.collected')).toHaveLength(0);
  });

  it('giving up what was handed over leaves the token alone', async () => {
    const { code } = await approved();
    const token = text((await poll(code)).body['access_token']);
    expect((await cancel(code)).status).toBe(200);
    const state = await send({ token }, {}, cast.agent, '/oauth2/introspect');
    expect(state.body['active']).toBe(true);
  });

  it('is not given up by anybody else, who is told nothing', async () => {
    const { code, request } = await deferred();
    expect((await cancel(code, other)).status).toBe(200);
    expect((await seen(cast.service, request))['state']).toBe('pending');
  });

  it('is gone with its task', async () => {
    expect(
      await turned(({ task }) => cast.agent.call('POST', `/v1/tasks/${task}/complete`, {})),
    ).toBe('400 access_denied');
    expect(
      await turned(
        ({ task }) => cast.agent.call('POST', `/v1/tasks/${task}/fail`, { reason: 'enough' }),
        deferred,
      ),
    ).toBe('400 access_denied');
  });

  it('I2: is refused when policy changed in between, and revoked unseen', async () => {
    const { code } = await approved({ resource: 'https://doomed.example' });
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'main.cedar': (files['main.cedar'] ?? '').replace('@approval("doomed")\npermit', 'forbid'),
    }));
    expect(said(await poll(code))).toBe('400 access_denied');
  });

  it('is nothing to an agent that was stopped meanwhile', async () => {
    const doomed = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const task = await startTask(doomed);
    const form = { grant_type: 'client_credentials', completion_mode: 'deferred' };
    let asked = await send({ ...form, scope: 'gated', task_id: task }, {}, doomed);
    for (let tries = 0; asked.status === 503 && tries < 40; tries += 1)
      asked = await send({ ...form, scope: 'gated', task_id: task }, {}, doomed);
    expect(said(asked)).toBe('400 authorization_pending');
    await admin(cast.service).call('POST', `/v1/agents/${doomed.id}/suspend`, { reason: 'drill' });
    const code = text(asked.body['deferral_code']);
    expect(said(await poll(code, {}, {}, doomed))).toBe('401 invalid_client');
  });
});
