import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { ROUTES } from '../../api/app.ts';
import { changePolicy, hold, seen, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  newKey,
  object,
  person,
  text,
  vote,
  type TestAgent,
} from '../support/client.ts';
import { routeFor } from '../support/conformance.ts';
import { decidingSteps } from '../support/once-deciding.ts';
import { emergencySteps } from '../support/once-emergency.ts';
import { laterSteps, type Steps } from '../support/once-steps.ts';

let cast: Cast;
let other: TestAgent;

beforeAll(async () => {
  cast = await startCast();
  other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
});
afterAll(() => cast.close());

/** One call for each POST that takes a key; made when it is needed, for each leaves something behind. */
const STEPS: Steps = {
  'POST /v1/people': () => ({
    by: admin(cast.service),
    path: '/v1/people',
    body: { name: 'Pia', roles: [], groups: [] },
    otherwise: { name: 'Pio', roles: [], groups: [] },
  }),
  'POST /v1/people/{id}/links': async () => ({
    by: admin(cast.service),
    path: `/v1/people/${(await person(cast.service, 'Lin', [])).id}/links`,
    body: {},
    otherwise: { surplus: 1 },
  }),
  'POST /v1/session/trigger-proof': () => ({
    by: cast.owner,
    path: '/v1/session/trigger-proof',
    body: { agent: cast.agent.id },
    otherwise: { agent: other.id },
  }),
  'POST /v1/agents': async () => {
    const key = await newKey();
    const body = {
      name: 'keyed-bot',
      kind: 'service',
      owner: cast.owner.id,
      team: 'core',
      purpose: 'support',
      keys: [key.publicJwk],
    };
    return { by: cast.owner, path: '/v1/agents', body, otherwise: { ...body, team: 'edge' } };
  },
  'POST /v1/agents/{id}/join-tokens': () => ({
    by: admin(cast.service),
    path: `/v1/agents/${other.id}/join-tokens`,
    body: { ttl_seconds: 600 },
    otherwise: { ttl_seconds: 601 },
  }),
  'POST /v1/agents/{id}/keys': async () => ({
    by: admin(cast.service),
    path: `/v1/agents/${other.id}/keys`,
    body: { key: (await newKey()).publicJwk },
    otherwise: { key: (await newKey()).publicJwk },
  }),
  'POST /v1/tasks': () => ({
    by: cast.agent,
    path: '/v1/tasks',
    body: { purpose: 'once', ttl_seconds: 60 },
    otherwise: { purpose: 'once', ttl_seconds: 61 },
  }),
  'POST /v1/tasks/{id}/credentials': async () => {
    const body = { role: 'reports-api', seal_to: cast.seal.publicJwk };
    const task = await startTask(cast.agent);
    await askCredential(cast.agent, task, body);
    return {
      by: cast.agent,
      path: `/v1/tasks/${task}/credentials`,
      body,
      otherwise: { ...body, ttl_seconds: 30 },
    };
  },
  'POST /v1/tasks/{id}/complete': async () => ({
    by: cast.agent,
    path: `/v1/tasks/${await startTask(cast.agent)}/complete`,
    body: {},
    otherwise: { surplus: 1 },
  }),
  'POST /v1/tasks/{id}/fail': async () => ({
    by: cast.agent,
    path: `/v1/tasks/${await startTask(cast.agent)}/fail`,
    body: { reason: 'broken' },
    otherwise: { reason: 'gone' },
  }),
  'POST /v1/credentials/{id}/revoke': async () => {
    const issued = await askCredential(cast.agent, await startTask(cast.agent), {
      role: 'reports-api',
      seal_to: cast.seal.publicJwk,
    });
    const path = `/v1/credentials/${text(issued.body['id'])}/revoke`;
    return { by: cast.agent, path, body: {}, otherwise: { reason: 'done' } };
  },
  'POST /v1/requests/{id}/votes': async () => {
    const { request } = await hold(cast.agent, cast.seal);
    const shown = text((await seen(cast.service, request))['shown']);
    return {
      by: cast.approver,
      path: `/v1/requests/${request}/votes`,
      body: { decision: 'approve', shown },
      otherwise: { decision: 'deny', shown },
    };
  },
  'POST /v1/requests/{id}/collect': async () => {
    const { request } = await hold(cast.agent, cast.seal);
    await vote(cast.approver, request, 'approve');
    const path = `/v1/requests/${request}/collect`;
    return { by: cast.agent, path, body: {}, otherwise: { seal_to: cast.seal.publicJwk } };
  },
  'POST /v1/requests/{id}/cancel': async () => {
    const { request } = await hold(cast.agent, cast.seal);
    const path = `/v1/requests/${request}/cancel`;
    return { by: cast.agent, path, body: {}, otherwise: { surplus: 1 } };
  },
  'POST /v1/reviews': () => ({
    by: admin(cast.service),
    path: '/v1/reviews',
    body: { title: 'one' },
    otherwise: { title: 'two' },
  }),
  'POST /v1/reviews/{id}/lines/{line}': async () => {
    const review = await admin(cast.service).call('POST', '/v1/reviews', { title: 'lines' });
    const { body } = await admin(cast.service).call(
      'GET',
      `/v1/reviews/${text(review.body['id'])}`,
    );
    const lines = Array.isArray(body['lines']) ? body['lines'].map(object) : [];
    const path = `/v1/reviews/${text(body['id'])}/lines/${text(lines[0]?.['id'])}`;
    return {
      by: cast.approver,
      path,
      body: { decision: 'keep' },
      otherwise: { decision: 'revoke' },
    };
  },
  'POST /v1/policies': async () => {
    const active = await admin(cast.service).call('GET', '/v1/policies/active');
    const files = object(active.body['files']);
    const changed = { ...files, 'main.cedar': `${text(files['main.cedar'])}\n// changed\n` };
    return {
      by: admin(cast.service),
      path: '/v1/policies',
      body: { files: changed },
      otherwise: { files },
    };
  },
  ...laterSteps(() => ({ cast, other })),
  ...emergencySteps(() => ({ cast, other })),
  ...decidingSteps(() => ({ cast, other })),
  ...Object.fromEntries(
    ['suspend', 'resume', 'kill', 'retire'].map((verb) => [
      `POST /v1/agents/{id}/${verb}`,
      () => ({
        by: admin(cast.service),
        path: `/v1/agents/${other.id}/${verb}`,
        body: {},
        otherwise: { reason: 'another' },
      }),
    ]),
  ),
};

/** What cannot be called with success in a test's time, or says what is true now whatever the key. */
const NOT_HERE = [
  // Refused in the first minutes of a request.
  'POST /v1/requests/{id}/remind',
  'POST /oauth2/introspect',
  'POST /v1/policies/simulate',
  'POST /access/v1/search/subject',
  'POST /access/v1/search/resource',
  'POST /access/v1/search/action',
  // A yes by an approval is one only while it still is: test/api/authzen-approvals.test.ts.
  'POST /access/v1/evaluation',
  'POST /access/v1/evaluations',
  // With a policy of their own: test/api/authzen-requests.test.ts, test/api/permits.test.ts.
  'POST /access/v1/requests',
  'POST /access/v1/requests/{id}/cancel',
  'POST /v1/permits/{id}/redeem',
  'POST /v1/receipts',
  // With an authenticator: test/api/passkeys.test.ts, test/api/signed-votes.test.ts.
  'POST /v1/requests/{id}/statement',
  'POST /v1/session/passkeys',
  'POST /v1/session/passkeys/challenge',
];

/** What an answer calls a secret that is shown in it alone. */
const SECRET_MEMBERS = ['sealed', 'secret', 'subject_token', 'svid'];

const eventCount = async (database = cast.service.database): Promise<number> => {
  // What workflows and observers of targets add in their own time is left out.
  const [row] = await database.owner.sql<{ events: number }[]>`
    select count(*)::int as events from event where leaf not like '%"type":"workflow"%'
      and type <> 'dev.countersign.runtime.observed.v1'`;
  return row?.events ?? 0;
};

describe('I8: one key, one effect, one answer', () => {
  it('I8: every POST that knows its caller is tested here', () => {
    const taking = ROUTES.filter(
      ({ method, allow }) => method === 'post' && !allow.includes('anyone'),
    )
      .map(({ path }) => `POST ${path}`)
      .filter((name) => !NOT_HERE.includes(name));
    expect(new Set(Object.keys(STEPS))).toEqual(new Set(taking));
  });

  it.each(Object.keys(STEPS))('I8: %s', async (name) => {
    const step = await STEPS[name]?.();
    if (!step) throw new Error(`no step for ${name}`);
    onTestFinished(() => step.end?.());
    const { by, path, body, otherwise, database } = step;
    const headers = { 'idempotency-key': randomUUID() };
    const first = await by.call('POST', path, body, headers);
    expect(first.status).toBeLessThan(300);
    const before = await eventCount(database);
    const again = await by.call('POST', path, body, headers);
    expect({ status: again.status, text: again.text }).toEqual({
      status: first.status,
      text: first.text,
    });
    expect(again.headers.get('location')).toBe(first.headers.get('location'));
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(await eventCount(database)).toBe(before);
    const changed = await by.call('POST', path, otherwise, headers);
    // A body that the route does not take is refused as such, before anybody looks at keys.
    const takes = routeFor('POST', path)?.body?.safeParse(otherwise).success === true;
    expect(changed.body['code']).toBe(takes ? 'idempotency_mismatch' : 'invalid_request');
    expect(await eventCount(database)).toBe(before);
  });
});

describe('a key', () => {
  it.each([
    'POST /v1/revocations',
    'POST /v1/kill',
    'POST /v1/leaks',
    'POST /v1/tasks/{id}/complete',
  ])('of a call that waits is answered with the same end: %s', async (name) => {
    const step = await STEPS[name]?.();
    if (!step) throw new Error(`no step for ${name}`);
    const headers = { 'idempotency-key': randomUUID(), prefer: 'wait=20' };
    const first = await step.by.call('POST', step.path, step.body, headers);
    expect(first.status).toBeLessThan(202);
    const again = await step.by.call('POST', step.path, step.body, headers);
    expect([again.status, again.text]).toEqual([first.status, first.text]);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
  });

  it('belongs to one caller: another’s call with it is a call of its own', async () => {
    const third = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const headers = { 'idempotency-key': 'the-same-for-both' };
    const body = { purpose: 'mine', ttl_seconds: 60 };
    const mine = await cast.agent.call('POST', '/v1/tasks', body, headers);
    const theirs = await third.call('POST', '/v1/tasks', body, headers);
    expect([mine.status, theirs.status]).toEqual([201, 201]);
    expect(theirs.body['id']).not.toBe(mine.body['id']);
    expect(theirs.headers.has('idempotent-replayed')).toBe(false);
  });

  it('used at the same moment has one effect', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const replies = await Promise.all(
      Array.from({ length: 10 }, () =>
        cast.agent.call('POST', '/v1/tasks', { purpose: 'race', ttl_seconds: 60 }, headers),
      ),
    );
    expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
    expect(replies.filter(({ headers }) => !headers.has('idempotent-replayed'))).toHaveLength(1);
    const task = text(replies[0]?.body['id']);
    await askCredential(cast.agent, task, { role: 'reports-api', seal_to: cast.seal.publicJwk });
    const asked = await Promise.all(
      Array.from({ length: 5 }, () =>
        cast.agent.call(
          'POST',
          `/v1/tasks/${task}/credentials`,
          { role: 'orders-readonly', seal_to: cast.seal.publicJwk },
          headers,
        ),
      ),
    );
    const ids = asked.filter(({ status }) => status === 201).map(({ body }) => text(body['id']));
    expect(new Set(ids).size).toBe(1);
    for (const { status, body } of asked.filter(({ status }) => status !== 201))
      expect(`${status} ${text(body['code'])}`).toBe('409 idempotency_in_progress');
  });

  it('whose first call is still at work says so, and when to come back', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const task = await startTask(cast.agent);
    const body = { role: 'orders-readonly', seal_to: cast.seal.publicJwk };
    expect((await askCredential(cast.agent, task, body, headers)).status).toBe(201);
    await cast.service.database.owner.sql`
      update idempotency set status = null, reply = null, locked_until = now() + interval '10 seconds'
      where key = ${headers['idempotency-key']}`;
    const busy = await askCredential(cast.agent, task, body, headers);
    expect(busy.body['code']).toBe('idempotency_in_progress');
    expect(Number(busy.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  it('is free again after a refusal, and after a fault of the target', async () => {
    const { service, approver } = cast;
    await changePolicy(service, approver, (files) => ({
      ...files,
      'main.cedar': `${files['main.cedar'] ?? ''}
@id("reach-nowhere")
permit (principal is Agent, action == Action::"credential:request", resource == Role::"nowhere");
`,
      'roles.yaml': (files['roles.yaml'] ?? '')
        .replace(
          /^targets:$/m,
          'targets:\n  nowhere:\n    issuer: postgres\n    url_from: NOBODY_SET_THIS',
        )
        .concat(
          '\n  nowhere:\n    title: Nowhere\n    issuer: postgres\n    target: nowhere\n    member_of: [none]\n',
        ),
    }));
    const headers = { 'idempotency-key': randomUUID() };
    const task = await startTask(cast.agent);
    await askCredential(cast.agent, task, { role: 'reports-api', seal_to: cast.seal.publicJwk });
    const path = `/v1/tasks/${task}/credentials`;
    const seal = cast.seal.publicJwk;
    const down = await cast.agent.call('POST', path, { role: 'nowhere', seal_to: seal }, headers);
    expect(`${down.status} ${text(down.body['code'])}`).toBe('503 target_unavailable');
    const refused = await cast.agent.call(
      'POST',
      path,
      { role: 'orders-write', seal_to: seal },
      headers,
    );
    expect(refused.body['code']).toBe('reason_required');
    const fine = await cast.agent.call(
      'POST',
      path,
      { role: 'orders-readonly', seal_to: seal },
      headers,
    );
    expect(fine.status).toBe(201);
    expect(fine.headers.has('idempotent-replayed')).toBe(false);
  });

  it('has 1 to 255 visible characters', async () => {
    for (const key of ['with space', 'x'.repeat(256), 'ümlaut']) {
      const reply = await cast.agent.call(
        'POST',
        '/v1/tasks',
        { purpose: 'odd', ttl_seconds: 60 },
        { 'idempotency-key': key },
      );
      expect(reply.body['code']).toBe('invalid_request');
    }
  });

  it('I5: keeps its answer so that a reader of the table cannot read it', async () => {
    const invited = await admin(cast.service).call(
      'POST',
      '/v1/people',
      { name: 'Quinn Readable', roles: [], groups: [] },
      { 'idempotency-key': 'readable?' },
    );
    const url = text(invited.body['sign_in_url']);
    const rows = await cast.service.database.owner.sql<{ reply: Buffer }[]>`
      select reply from idempotency where reply is not null`;
    expect(rows.length).toBeGreaterThan(0);
    const all = Buffer.concat(rows.map(({ reply }) => Buffer.from(reply))).toString('latin1');
    for (const secret of [url.slice(-43), 'Quinn Readable', 'sign_in_url', ...SECRET_MEMBERS])
      expect(all).not.toContain(secret);
  });
});
