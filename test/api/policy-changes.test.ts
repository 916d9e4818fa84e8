// What becomes of requests when policy changes underneath them: one rule, case by case. And what the record says a
// policy would have done.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, hold, seen, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  askCredential,
  eventually,
  list,
  object,
  person,
  text,
  vote,
  type Reply,
} from '../support/client.ts';
import { withRoles } from '../support/policies.ts';
import { all, replacing, type Change, type Files } from '../support/policy-files.ts';

let cast: Cast;
let start: Files;
beforeAll(async () => {
  cast = await startCast();
  await activate((files) =>
    withRoles(files, [{ name: 'pay', routes: { paying: '  groups: [data-owners]\n' } }]),
  );
  start = await activeFiles();
});
afterAll(() => cast.close());

const activate = (change: Change): Promise<Reply> =>
  changePolicy(cast.service, cast.approver, change);
const backToStart = (): Promise<Reply> => activate(() => start);

async function activeFiles(): Promise<Files> {
  const { body } = await admin(cast.service).call('GET', '/v1/policies/active');
  return Object.fromEntries(
    Object.entries(object(body['files'])).map(([name, content]) => [name, text(content)]),
  );
}

const holdPay = (more: JsonObject = {}) => hold(cast.agent, cast.seal, { role: 'pay', ...more });
const stateOf = async (request: string): Promise<unknown> =>
  (await seen(cast.service, request))['state'];
const collect = (request: string): Promise<Reply> =>
  cast.agent.call('POST', `/v1/requests/${request}/collect`, {});

/** Approves, and waits until what was approved is there to be collected. */
async function approved(request: string): Promise<void> {
  expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
  await eventually(
    async () => (await seen(cast.service, request))['collectable'] === true,
    'the credential',
  );
}

const GATE = '@approval("paying")\n';
const RULE = 'resource == Role::"pay");';
const ANOTHER = `@id("another")\nforbid (principal, action, resource == Role::"pay") when { context has ttl_seconds && context.ttl_seconds > 0 };`;

/** The gates of this file are all of one person: whoever changes them has their consent. */
const KEPT: [string, Change][] = [
  [
    'by the same rule, though others changed',
    replacing('main.cedar', '// Nothing', '// Not anything'),
  ],
  [
    'by a rule of another name and title',
    replacing('main.cedar', '@id("take-pay-by-paying")', '@id("renamed")\n@title("New")'),
  ],
  ['by nobody any more: it is plainly permitted', replacing('main.cedar', GATE, '')],
  [
    'by nobody any more: its gate only observes',
    replacing('main.cedar', GATE, `${GATE}@mode("observe")\n`),
  ],
  [
    'though a role became gentler',
    replacing('roles.yaml', '    title: pay\n', '    title: Paying\n    ttl_seconds_max: 7200\n'),
  ],
];
const OVER: [string, Change][] = [
  [
    'and now it is denied',
    (files) => ({ ...files, 'main.cedar': `${files['main.cedar'] ?? ''}\n${ANOTHER}\n` }),
  ],
  ['and nothing permits it now', replacing('main.cedar', RULE, 'resource == Role::"other");')],
  [
    'by the same route under another rule',
    replacing(
      'routes.yaml',
      'title: paying\n',
      'title: paying\n  quorum: 1\n  valid_seconds: 60\n',
    ),
  ],
  ['by another route', replacing('main.cedar', GATE, '@approval("orders-write")\n')],
  [
    'and its role leads elsewhere now',
    replacing('roles.yaml', 'https://pay.example', 'https://elsewhere.example'),
  ],
  [
    'and its role lasts less than was asked for',
    replacing(
      'roles.yaml',
      '    title: pay\n',
      '    title: pay\n    ttl_seconds_default: 60\n    ttl_seconds_max: 60\n',
    ),
  ],
  [
    'and its role is gone',
    all(
      replacing('roles.yaml', /\n {2}pay:\n(?: {4}.*\n)*/, '\n'),
      replacing('main.cedar', '// Nothing', '// Never'),
    ),
  ],
];

describe('a request that waits while policy changes', () => {
  it.each(KEPT)('goes on, held %s', async (_how, change) => {
    const { request } = await holdPay();
    await activate(change);
    expect(await stateOf(request)).toBe('pending');
    await approved(request);
    expect((await collect(request)).status).toBe(201);
    await backToStart();
  });

  it.each(OVER)('is over, held %s', async (_how, change) => {
    const { request } = await holdPay();
    await activate(change);
    expect(await stateOf(request)).toBe('superseded');
    const late = await vote(cast.approver, request, 'approve');
    expect(late.body).toMatchObject({ code: 'already_decided', state: 'superseded' });
    await backToStart();
  });

  it('can still be denied, when asking again would get it at once', async () => {
    const { request, task } = await holdPay();
    await activate(replacing('main.cedar', GATE, ''));
    const again = await askCredential(cast.agent, task, {
      role: 'pay',
      seal_to: cast.seal.publicJwk,
    });
    expect(again.status).toBe(201);
    expect((await vote(cast.approver, request, 'deny')).status).toBe(201);
    expect(await stateOf(request)).toBe('denied');
    await backToStart();
  });
});

describe('what was approved and not collected when policy changes', () => {
  it('is had, where the same rule still holds it', async () => {
    const { request } = await holdPay();
    await approved(request);
    await activate(replacing('main.cedar', '// Nothing', '// Not anything'));
    expect((await collect(request)).status).toBe(201);
    await backToStart();
  });

  it.each([
    ['denied', replacing('main.cedar', RULE, 'resource == Role::"other");')],
    [
      'of a role that leads elsewhere',
      replacing('roles.yaml', 'https://pay.example', 'https://elsewhere.example'),
    ],
  ])('is not had once it is %s', async (_how, change) => {
    const { request } = await holdPay();
    await approved(request);
    await activate(change);
    expect((await collect(request)).body['code']).toBe('policy_changed');
    await backToStart();
  });
});

describe('a rule with @mode("warn")', () => {
  it('is told in the answer and in the event, and holds nobody', async () => {
    await activate((files) => ({
      ...files,
      'main.cedar': `${files['main.cedar'] ?? ''}
@id("soon") @mode("warn") @title("Reports will be closed") forbid (principal, action == Action::"credential:request", resource == Role::"reports-api");
@id("later") @mode("observe") @approval("paying") permit (principal is Agent, action == Action::"credential:request", resource == Role::"reports-api");
`,
    }));
    const task = await startTask(cast.agent);
    const given = await askCredential(cast.agent, task, {
      role: 'reports-api',
      seal_to: cast.seal.publicJwk,
    });
    expect(given.status).toBe(201);
    expect(given.body['warnings']).toEqual([
      'Reports will be closed: this would be denied, once the rule holds',
    ]);
    const events = await admin(cast.service).call(
      'GET',
      `/v1/events?task=${task}&type=evaluation.decided`,
    );
    const [detail] = list(events.body['data']).map((event) =>
      object(object(event['data'])['detail']),
    );
    expect(detail?.['controls']).toEqual([]);
    expect(detail?.['observed']).toEqual([
      { rule: 'later', mode: 'observe', would: 'hold' },
      { rule: 'soon', mode: 'warn', would: 'deny' },
    ]);
    const controls = await admin(cast.service).call('GET', '/v1/controls');
    expect(list(controls.body['data']).filter(({ id }) => id === 'paying')).toHaveLength(1);
    await backToStart();
  });
});

describe('a simulation', () => {
  const simulate = (files: Files, more: JsonObject = {}): Promise<Reply> =>
    admin(cast.service).call('POST', '/v1/policies/simulate', { files, ...more });
  const eventCount = async (): Promise<number> => {
    const [row] = await cast.service.database.owner.sql<{ events: number }[]>`
      select count(*)::int as events from event where leaf not like '%"type":"workflow"%'`;
    return row?.events ?? 0;
  };

  it('of the active policy finds nothing, and changes nothing', async () => {
    await holdPay();
    const before = await eventCount();
    const { status, body } = await simulate(start);
    expect(status).toBe(200);
    expect(body).toMatchObject({ changes: [], lose_a_gate: 0, not_replayable: 0, ended: 'all' });
    expect(Number(body['as_recorded'])).toBe(Number(body['looked_at']));
    expect(await eventCount()).toBe(before);
    expect(await activeFiles()).toEqual(start);
  });

  it('says what would lose its gate first, by rule and control, with the evaluations it is about', async () => {
    const { request } = await holdPay();
    const loose = all(
      replacing('main.cedar', GATE, ''),
      replacing('main.cedar', 'resource == Role::"reports-api"', 'resource == Role::"no-such"'),
    )(start);
    const { body } = await simulate(loose);
    const changes = list(body['changes']);
    expect(changes.map(({ kind }) => kind)).toEqual(['no_longer_held', 'newly_denied']);
    expect(changes[0]).toMatchObject({
      before: {
        decision: 'hold',
        reasons: ['take-pay-by-paying'],
        routes: ['paying'],
        controls: ['paying'],
      },
      after: { decision: 'permit', routes: [], controls: [] },
      lost_routes: ['paying'],
    });
    expect(body['lose_a_gate']).toBe(changes[0]?.['count']);
    const [example] = list(changes[0]?.['examples']);
    expect(example).toMatchObject({ agent: cast.agent.id, resource: { type: 'role', id: 'pay' } });
    const evaluations = await admin(cast.service).call(
      'GET',
      `/v1/events?agent=${cast.agent.id}&type=evaluation.decided&limit=500`,
    );
    expect(list(evaluations.body['data']).map(({ subject }) => subject)).toContain(
      example?.['evaluation'],
    );
    expect(await stateOf(request)).toBe('pending');
  });

  it('asks as was recorded, whatever the agent has become since', async () => {
    const onlyTeam = replacing(
      'main.cedar',
      RULE,
      'resource == Role::"pay") when { principal.team == "core" };',
    )(start);
    const { body: before } = await simulate(onlyTeam);
    await cast.service.database.owner
      .sql`update agent set team = 'moved' where id = ${cast.agent.id}`;
    try {
      const { body: after } = await simulate(onlyTeam);
      expect(after['changes']).toEqual(before['changes']);
      await cast.service.database.owner.sql`delete from event_private where field = 'questions'`;
      const { body: erased } = await simulate(onlyTeam);
      expect(erased['as_recorded']).toBe(0);
      expect(Number(erased['as_now'])).toBeGreaterThan(0);
      expect(list(erased['changes']).map(({ kind }) => kind)).toContain('newly_denied');
    } finally {
      await cast.service.database.owner
        .sql`update agent set team = 'core' where id = ${cast.agent.id}`;
    }
  });

  it('stops where it was told to, and says so', async () => {
    const { body } = await simulate(start, { last: 2 });
    expect(body).toMatchObject({ looked_at: 2, ended: 'limit' });
    expect((await simulate(start, { last: 10_001 })).status).toBe(400);
    expect((await simulate(start, { last: 0 })).status).toBe(400);
  });

  it('of a policy with mistakes says what they are', async () => {
    const { status, body } = await simulate({ ...start, 'main.cedar': 'permit (' });
    expect(`${status} ${text(body['code'])}`).toBe('422 policy_invalid');
  });

  it('is for those who may read the record, and for nobody else', async () => {
    const nobody = await person(cast.service, 'Nell', []);
    const auditor = await person(cast.service, 'Aude', [], { roles: ['auditor'] });
    const path = '/v1/policies/simulate';
    expect((await nobody.call('POST', path, { files: start })).status).toBe(403);
    expect((await cast.agent.call('POST', path, { files: start })).status).toBe(403);
    expect((await auditor.call('POST', path, { files: start })).status).toBe(200);
  });
});

describe('the history of policies', () => {
  it('has every activation with who asked and what it took, and every version can be had again', async () => {
    const { body } = await admin(cast.service).call('GET', '/v1/policies?limit=2');
    const [newest, earlier] = list(body['data']);
    expect(newest?.['active']).toBe(true);
    expect(earlier?.['active']).toBe(false);
    expect(newest?.['replaces']).toBe(earlier?.['version']);
    expect(text(newest?.['request'])).toMatch(/^req_/);
    const next = await admin(cast.service).call(
      'GET',
      `/v1/policies?limit=2&cursor=${text(body['next_cursor'])}`,
    );
    expect(list(next.body['data']).some(({ active }) => active === true)).toBe(false);
    const old = await admin(cast.service).call('GET', `/v1/policies/${text(earlier?.['version'])}`);
    expect(old.body['version']).toBe(earlier?.['version']);
    expect(Object.keys(object(old.body['files']))).toContain('main.cedar');
    const none = await admin(cast.service).call('GET', '/v1/policies/sha256:nothing');
    expect(none.status).toBe(404);
  });
});
