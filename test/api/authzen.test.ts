// The Authorization API 1.0 as enforcement points see it: the fixture of its conformance plans row by row.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import {
  countEvents,
  decisionsOf,
  evaluation,
  startAccess,
  tuple,
  type AccessCast,
} from '../support/authzen.ts';
import { anyone, list, object, text, type Caller } from '../support/client.ts';

let cast: AccessCast;
let point: Caller;
beforeAll(async () => {
  cast = await startAccess();
  point = cast.point;
});
afterAll(() => cast.close());

/** The fixture: who does what to which record, what is claimed besides, and whether that may be. */
const ROWS: [string, JsonObject, boolean][] = [
  ['alice reads record-1', tuple('alice', 'read', 'record-1'), true],
  ['alice writes record-1', tuple('alice', 'write', 'record-1'), true],
  ['bob reads record-1', tuple('bob', 'read', 'record-1'), true],
  ['bob writes record-1', tuple('bob', 'write', 'record-1'), false],
  ['alice writes record-2', tuple('alice', 'write', 'record-2'), false],
  [
    'alice writes what is said to be archived',
    tuple('alice', 'write', 'record-2', { resource: { status: 'archived' } }),
    false,
  ],
  [
    'alice writes what is said to be active',
    tuple('alice', 'write', 'record-1', { resource: { status: 'active' } }),
    true,
  ],
  [
    'bob, said to be an administrator, writes what is archived',
    tuple('bob', 'write', 'record-2', {
      subject: { role: 'admin' },
      resource: { status: 'archived' },
    }),
    true,
  ],
  [
    'alice, said to be an administrator, writes what is archived',
    tuple('alice', 'write', 'record-2', { subject: { role: 'admin' } }),
    true,
  ],
  ['alice deletes softly', tuple('alice', 'delete', 'record-1', { action: { soft: true } }), true],
  [
    'alice deletes for good',
    tuple('alice', 'delete', 'record-1', { action: { soft: false } }),
    false,
  ],
];

describe('the fixture of the conformance plans', () => {
  it.each(ROWS)('one at a time: %s', async (_name, body, expected) => {
    const { status, body: answer } = await evaluation(point, body);
    expect([status, answer['decision']]).toEqual([200, expected]);
  });

  it('all in one call, in the order of the questions, with no decision at the top', async () => {
    const reply = await point.call('POST', '/access/v1/evaluations', {
      evaluations: ROWS.map(([, body]) => body),
    });
    expect(decisionsOf(reply)).toEqual(ROWS.map(([, , expected]) => expected));
    expect(reply.body).not.toHaveProperty('decision');
  });

  it('members that nobody knows are ignored, at every level', async () => {
    const { body } = await evaluation(point, {
      ...tuple('alice', 'read', 'record-1', { subject: { shoe_size: 43 }, action: { loud: true } }),
      context: { time: '2026-06-27T18:03-07:00', nested: { a: [1] } },
      future: { a: 1 },
    });
    expect(body['decision']).toBe(true);
  });
});

describe('several questions in one call', () => {
  const ask = (body: JsonObject) => point.call('POST', '/access/v1/evaluations', body);
  const three = [
    { subject: { type: 'user', id: 'alice' }, action: { name: 'read' } },
    { subject: { type: 'user', id: 'bob' }, action: { name: 'write' } },
    { subject: { type: 'user', id: 'alice' }, action: { name: 'write' } },
  ];
  const record = { resource: { type: 'record', id: 'record-1' } };

  it.each([
    ['execute_all', [true, false, true]],
    ['deny_on_first_deny', [true, false]],
    ['permit_on_first_permit', [true]],
  ])(
    '%s answers as far as it goes, and what it leaves out is not recorded',
    async (semantic, expected) => {
      const before = await countOf('evaluation.decided');
      const options = { evaluations_semantic: semantic };
      const reply = await ask({ ...record, options, evaluations: three });
      expect(decisionsOf(reply)).toEqual(expected);
      expect((await countOf('evaluation.decided')) - before).toBe(expected.length);
    },
  );

  it('a semantic that the standard does not have is refused, not taken for another', async () => {
    const options = { evaluations_semantic: 'first_come' };
    expect((await ask({ ...record, options, evaluations: three })).status).toBe(400);
  });

  it('what a question says itself replaces the default whole', async () => {
    const reply = await ask({
      ...tuple('alice', 'write', 'record-2', { subject: { role: 'admin' } }),
      evaluations: [{}, { subject: { type: 'user', id: 'alice' } }],
    });
    expect(decisionsOf(reply)).toEqual([true, false]);
  });

  it('what is no question is a no in its place, and the others are answered', async () => {
    const reply = await ask({
      subject: { type: 'user', id: 'alice' },
      action: { name: 'read' },
      evaluations: [record, {}, { resource: 'record-1' }],
    });
    expect(decisionsOf(reply)).toEqual([true, false, false]);
    const error = object(object(list(reply.body['evaluations'])[1]?.['context'])['error']);
    expect(error).toMatchObject({ status: 400 });
    expect(text(error['message'])).toContain('resource');
  });

  it.each([[{}], [{ evaluations: [] }]])(
    'without questions it is one question: %j',
    async (more) => {
      const { status, body } = await ask({ ...tuple('alice', 'read', 'record-1'), ...more });
      expect([status, body['decision'], body['evaluations']]).toEqual([200, true, undefined]);
    },
  );

  it('more than a hundred are refused', async () => {
    const evaluations = Array.from({ length: 101 }, () => ({}));
    expect((await ask({ ...tuple('alice', 'read', 'record-1'), evaluations })).status).toBe(400);
  });
});

describe('what is no question', () => {
  it.each([
    ['no subject', { action: { name: 'read' }, resource: { type: 'record', id: 'x' } }, 'subject'],
    ['no resource', { action: { name: 'read' }, subject: { type: 'user', id: 'x' } }, 'resource'],
    [
      'an id that is a number',
      { ...tuple('a', 'read', 'x'), subject: { type: 'user', id: 1 } },
      'id',
    ],
    ['an action that is a text', { ...tuple('a', 'read', 'x'), action: 'read' }, 'action'],
    ['properties that are a list', tuple('a', 'read', 'x', { subject: [] as never }), 'properties'],
  ])(
    '%s is a 400 that says so in plain text, under the caller’s X-Request-ID',
    async (_what, body, word) => {
      const reply = await evaluation(point, body, { 'x-request-id': 'abc-123' });
      expect(reply.status).toBe(400);
      expect(reply.headers.get('x-request-id')).toBe('abc-123');
      expect(reply.headers.get('content-type')).toMatch(/^text\/plain/);
      expect(reply.text).toContain(word);
    },
  );

  it('an answer carries the caller’s X-Request-ID as well', async () => {
    const headers = { 'x-request-id': 'bfe9eb29-ab87-4ca3-be83-a1d5d8305716' };
    const reply = await evaluation(point, tuple('alice', 'read', 'record-1'), headers);
    expect(reply.headers.get('x-request-id')).toBe(headers['x-request-id']);
  });

  it('a repeated member is refused: two readers could take it for two questions', async () => {
    const response = await fetch(`${cast.service.url}/access/v1/evaluation`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${cast.service.adminToken}`,
        'content-type': 'application/json',
      },
      body: '{"subject":{"type":"user","id":"bob"},"subject":{"type":"user","id":"alice"},"action":{"name":"write"},"resource":{"type":"record","id":"record-1"}}',
    });
    expect(response.status).toBe(400);
  });
});

describe('searches', () => {
  const search = (what: string, body: JsonObject, caller: Caller = point) =>
    caller.call('POST', `/access/v1/search/${what}`, body);
  const record = { type: 'record', id: 'record-1' };
  const user = (id: string) => ({ type: 'user', id });

  it('which users may write to a record', async () => {
    const writing = { subject: { type: 'user' }, action: { name: 'write' } };
    const active = await search('subject', { ...writing, resource: record });
    expect(active.body['results']).toEqual([user('alice')]);
    const archived = await search('subject', {
      ...writing,
      resource: { type: 'record', id: 'record-2' },
    });
    expect(archived.body['results']).toEqual([user('bob')]);
    expect(archived.body['page']).toEqual({ next_token: '', count: 1 });
  });

  it('an id in the place that is searched for is ignored', async () => {
    const { body } = await search('subject', {
      subject: user('bob'),
      action: { name: 'read' },
      resource: record,
    });
    expect(body['results']).toEqual([user('alice'), user('bob')]);
  });

  it('which records somebody may write to', async () => {
    const { body } = await search('resource', {
      subject: user('alice'),
      action: { name: 'write' },
      resource: { type: 'record' },
    });
    expect(body['results']).toEqual([record]);
  });

  it('what somebody may do', async () => {
    const bob = await search('action', { subject: user('bob'), resource: record });
    expect(bob.body['results']).toEqual([{ name: 'read' }]);
    const alice = await search('action', { subject: user('alice'), resource: record });
    expect(alice.body['results']).toEqual([{ name: 'read' }, { name: 'write' }]);
  });

  it('which roles an agent gets without asking anybody, and which agents get a role', async () => {
    const mine = {
      subject: { type: 'Agent', id: cast.agent.id },
      action: { name: 'credential:request' },
      resource: { type: 'Role' },
    };
    const roles = [
      { type: 'Role', id: 'orders-readonly' },
      { type: 'Role', id: 'reports-api' },
    ];
    expect((await search('resource', mine)).body['results']).toEqual(roles);
    expect((await search('resource', mine, cast.agent)).body['results']).toEqual(roles);
    const agents = await search('subject', {
      ...mine,
      subject: { type: 'Agent' },
      resource: { type: 'Role', id: 'orders-readonly' },
    });
    expect(agents.body['results']).toEqual(
      [cast.agent.id, cast.point.id].toSorted().map((id) => ({ type: 'Agent', id })),
    );
  });

  it('page by page, each result once, by a token that is good for that search only', async () => {
    const body = { subject: { type: 'user' }, action: { name: 'read' }, resource: record };
    const first = await search('subject', { ...body, page: { limit: 1 } });
    const token = text(object(first.body['page'])['next_token']);
    expect([first.body['results'], token === '']).toEqual([[user('alice')], false]);
    const second = await search('subject', { ...body, page: { limit: 1, token } });
    expect(second.body['results']).toEqual([user('bob')]);
    expect(object(second.body['page'])['next_token']).toBe('');
    for (const other of [
      { ...body, action: { name: 'write' }, page: { token } },
      { ...body, page: { token: `${token.startsWith('x') ? 'y' : 'x'}${token.slice(1)}` } },
      { ...body, page: { token: 'bm9uc2Vuc2U' } },
    ])
      expect([(await search('subject', other)).status, other]).toEqual([400, other]);
  });

  it('nothing is found of a type or an action that nobody knows', async () => {
    const { status, body } = await search('subject', {
      subject: { type: 'robot' },
      action: { name: 'read' },
      resource: record,
    });
    expect([status, body['results']]).toEqual([200, []]);
  });

  it('an agent that is no enforcement point does not look for others', async () => {
    for (const [what, body] of [
      ['subject', { subject: { type: 'Agent' }, action: { name: 'read' }, resource: record }],
      [
        'resource',
        { subject: user('alice'), action: { name: 'read' }, resource: { type: 'record' } },
      ],
      ['action', { subject: user('alice'), resource: record }],
    ] as const)
      expect((await search(what, body, cast.agent)).status).toBe(403);
  });
});

describe('discovery', () => {
  it('names every endpoint where it is, to anybody', async () => {
    const { body } = await anyone(cast.service).call('GET', '/.well-known/authzen-configuration');
    const at = (path: string): string => `${cast.service.publicUrl}/access/v1/${path}`;
    expect(body).toMatchObject({
      policy_decision_point: cast.service.publicUrl,
      access_evaluation_endpoint: at('evaluation'),
      access_evaluations_endpoint: at('evaluations'),
      search_subject_endpoint: at('search/subject'),
      search_resource_endpoint: at('search/resource'),
      search_action_endpoint: at('search/action'),
    });
  });
});

const countOf = (type: string): Promise<number> => countEvents(cast, type);
