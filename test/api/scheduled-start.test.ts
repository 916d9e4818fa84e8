// Asking today for access that begins later: approvers see when, may move it later, and it is issued then.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { detailsOf, hold, seen, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  askCredential,
  eventually,
  object,
  person,
  text,
  vote,
  type Reply,
  type TestPerson,
} from '../support/client.ts';
import { activateRoles } from '../support/policies.ts';

let cast: Cast;
let second: TestPerson;

beforeAll(async () => {
  cast = await startCast();
  second = await person(cast.service, 'Bea', ['data-owners']);
  await activateRoles(cast, [
    { name: 'later', routes: { later: '  groups: [data-owners]\n  valid_seconds: 60\n' } },
  ]);
});
afterAll(() => cast.close());

const inSeconds = (seconds: number): string => new Date(Date.now() + seconds * 1000).toISOString();

const ask = (start: string, more: JsonObject = {}) =>
  hold(cast.agent, cast.seal, { role: 'later', not_before: start, ...more });

const collect = (request: string): Promise<Reply> =>
  cast.agent.call('POST', `/v1/requests/${request}/collect`, {});

describe('what is wanted later', () => {
  it('is issued at its start, and its approval is good from then on, not from the vote', async () => {
    const start = inSeconds(20);
    const { request } = await ask(start);
    await vote(second, request, 'approve');
    const approved = await seen(cast.service, request);
    expect(approved).toMatchObject({ state: 'approved', starts_at: start, credential: null });
    expect(Date.parse(text(approved['approved_until']))).toBe(Date.parse(start) + 60_000);
    const early = await collect(request);
    expect(early.status).toBe(409);
    expect(early.body).toMatchObject({ code: 'not_started', starts_at: start });
    await eventually(
      async () => (await seen(cast.service, request))['collectable'] === true,
      'the start',
      60_000,
    );
    const given = await collect(request);
    expect(given.status).toBe(201);
    expect(text(given.body['issued_at']) >= start).toBe(true);
    const [leaf] = await detailsOf(cast.service, request, 'request.approved');
    expect(leaf).toMatchObject({ starts_at: start, approved_until: approved['approved_until'] });
    const refused = await detailsOf(cast.service, request, 'permit.refused');
    expect(refused).toEqual([]);
  });

  it('is part of what is approved: approvers see it, and may move it later and never earlier', async () => {
    const start = inSeconds(200);
    const { request, reply } = await ask(start);
    const action = object(object(reply.body['request'])['action']);
    expect(object(action['parameters'])['not_before']).toBe(start);
    const earlier = await vote(second, request, 'approve', {
      narrow: { not_before: inSeconds(100) },
    });
    expect(earlier.body).toMatchObject({ code: 'narrowing_refused', limit: 'not_before' });
    const beyond = await vote(second, request, 'approve', {
      narrow: { not_before: inSeconds(100_000) },
    });
    expect(beyond.body['code']).toBe('narrowing_refused');
    const later = inSeconds(300);
    expect((await vote(second, request, 'approve', { narrow: { not_before: later } })).status).toBe(
      201,
    );
    const now = await seen(cast.service, request);
    expect(now['starts_at']).toBe(later);
    expect(Date.parse(text(now['approved_until']))).toBe(Date.parse(later) + 60_000);
    expect((await collect(request)).body['starts_at']).toBe(later);
  });

  it('asked for again is the same request, in whatever zone the start is written', async () => {
    const start = inSeconds(200);
    const { task, request } = await ask(start, { reason: 'once' });
    const elsewhere = start.replace('Z', '+00:00');
    const again = await askCredential(cast.agent, task, {
      role: 'later',
      seal_to: cast.seal.publicJwk,
      reason: 'once',
      not_before: elsewhere,
    });
    expect(object(again.body['request'])['id']).toBe(request);
  });

  it('I3: ends with its task, before it began', async () => {
    const { task, request } = await ask(inSeconds(200));
    await vote(second, request, 'approve');
    await cast.agent.call('POST', `/v1/tasks/${task}/complete`, {});
    await eventually(async () => (await seen(cast.service, request))['state'] === 'failed');
    expect((await collect(request)).body['code']).toBe('task_not_running');
    expect(await detailsOf(cast.service, request, 'credential.issued')).toEqual([]);
  });
});

describe('a start is refused', () => {
  const askWith = async (body: JsonObject): Promise<Reply> =>
    askCredential(cast.agent, await startTask(cast.agent), {
      role: 'later',
      seal_to: cast.seal.publicJwk,
      ...body,
    });

  it.each<[string, () => JsonObject, RegExp]>([
    ['that is over', () => ({ not_before: inSeconds(-1) }), /is over: leave out/],
    ['after the end of the task', () => ({ not_before: inSeconds(1000) }), /has to be before/],
    [
      'for what nobody has to agree to',
      () => ({ role: 'orders-readonly', not_before: inSeconds(60) }),
      /Nobody has to agree/,
    ],
  ])('%s', async (_name, body, says) => {
    const reply = await askWith(body());
    expect(reply.status).toBe(422);
    expect(reply.body['code']).toBe('start_refused');
    expect(text(reply.body['detail'])).toMatch(says);
  });

  it('that is no moment', async () => {
    for (const start of ['tomorrow', '2026-11-21', '2026-02-30T10:00:00Z', '2026-11-21T10:00:00'])
      expect((await askWith({ not_before: start })).status).toBe(400);
  });
});
