// Asking before deciding: who may ask and answer, what everybody is then shown, and what the clock does meanwhile.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { detailsOf, hold, seen, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  anyone,
  eventually,
  list,
  object,
  person,
  text,
  vote,
  type Caller,
  type Reply,
  type TestPerson,
} from '../support/client.ts';
import { activateRoles } from '../support/policies.ts';

let cast: Cast;
let second: TestPerson;

const OWNERS = '  groups: [data-owners]\n';

beforeAll(async () => {
  cast = await startCast();
  second = await person(cast.service, 'Bea', ['data-owners']);
  await activateRoles(cast, [
    { name: 'pair', routes: { pair: `${OWNERS}  quorum: 2\n` } },
    {
      name: 'patient',
      routes: {
        patient: `${OWNERS}  expiry_seconds: 100\n  ask: { clock: stops, answer_within_seconds: 60 }\n`,
      },
    },
    {
      name: 'hasty',
      routes: { hasty: `${OWNERS}  ask: { answer_within_seconds: 1 }\n` },
    },
  ]);
});
afterAll(() => cast.close());

const held = async (role = 'pair', more: JsonObject = {}): Promise<string> =>
  (await hold(cast.agent, cast.seal, { role }, more)).request;

const ask = (who: Caller, request: string, body: JsonObject): Promise<Reply> =>
  who.call('POST', `/v1/requests/${request}/questions`, body);

const asked = async (request: string, to = 'agent', words = 'Which order?'): Promise<string> => {
  const reply = await ask(second, request, { to, text: words });
  expect(reply.status).toBe(201);
  return text(object(reply.body['question'])['id']);
};

const answer = (who: Caller, request: string, question: string, words = '7'): Promise<Reply> =>
  who.call('POST', `/v1/requests/${request}/questions/${question}/answer`, { text: words });

const secondsLeft = (request: JsonObject): number =>
  (Date.parse(text(request['expires_at'])) - Date.parse(text(request['created_at']))) / 1000;

describe('a question to the agent', () => {
  it('is on its request, and its answer is what everybody is then shown', async () => {
    const request = await held();
    const before = text((await seen(cast.service, request))['shown']);
    const question = await asked(request);
    const during = await cast.agent.call('GET', `/v1/requests/${request}`);
    expect(list(during.body['questions'])).toMatchObject([
      { id: question, to: 'agent', text: 'Which order?', state: 'open', answer: null },
    ]);
    expect((await answer(cast.agent, request, question, 'Order 7.')).status).toBe(201);
    const after = await seen(cast.service, request);
    expect(list(after['questions'])).toMatchObject([
      { state: 'answered', answer: { by: { type: 'agent', id: cast.agent.id }, text: 'Order 7.' } },
    ]);
    const cards = [before, text(during.body['shown']), text(after['shown'])];
    expect(new Set(cards).size).toBe(3);
    for (const shown of cards.slice(0, 2)) {
      const stale = await second.call('POST', `/v1/requests/${request}/votes`, {
        decision: 'approve',
        shown,
      });
      expect(stale.body['code']).toBe('shown_mismatch');
    }
    expect((await vote(second, request, 'approve')).status).toBe(201);
  });

  it('is no vote: nothing is approved by it, and whoever asked still votes', async () => {
    const request = await held();
    const question = await asked(request);
    await answer(cast.agent, request, question);
    expect(await seen(cast.service, request)).toMatchObject({ state: 'pending', votes: [] });
    await vote(second, request, 'approve');
    expect((await seen(cast.service, request))['state']).toBe('pending');
  });

  it('ends a wait, once', async () => {
    const request = await held();
    const began = Date.now();
    const waiting = cast.agent.call('GET', `/v1/requests/${request}`, undefined, {
      prefer: 'wait=30',
    });
    await asked(request);
    const heard = await waiting;
    expect(Date.now() - began).toBeLessThan(15_000);
    expect(list(heard.body['questions'])).toHaveLength(1);
    const again = Date.now();
    await cast.agent.call('GET', `/v1/requests/${request}`, undefined, { prefer: 'wait=2' });
    expect(Date.now() - again).toBeGreaterThan(1_500);
  });

  it('ends a wait that begins after it was asked', async () => {
    const request = await held();
    await asked(request);
    const began = Date.now();
    await cast.agent.call('GET', `/v1/requests/${request}`, undefined, { prefer: 'wait=30' });
    expect(Date.now() - began).toBeLessThan(10_000);
  });

  it('and its answer keep their words out of the public log', async () => {
    const request = await held();
    const question = await asked(request, 'agent', 'Why the whole table?');
    await answer(cast.agent, request, question, 'Because of the audit.');
    const details = [
      ...(await detailsOf(cast.service, request, 'question.asked')),
      ...(await detailsOf(cast.service, request, 'question.answered')),
    ];
    expect(details).toMatchObject([
      { question, person: second.id, to: 'agent', clock: 'runs' },
      { question, by: { type: 'agent', id: cast.agent.id } },
    ]);
    expect(JSON.stringify(details)).not.toMatch(/table|audit/);
  });
});

describe('who may ask', () => {
  it('only whoever may vote on it', async () => {
    const request = await held();
    const stranger = await person(cast.service, 'Stan', ['visitors']);
    const codes = [];
    for (const who of [cast.agent, admin(cast.service), anyone(cast.service), cast.owner, stranger])
      codes.push((await ask(who, request, { to: 'agent', text: 'Why?' })).body['code']);
    expect(codes).toEqual([
      'forbidden',
      'forbidden',
      'unauthenticated',
      'self_approval',
      'not_eligible',
    ]);
    expect((await seen(cast.service, request))['questions']).toEqual([]);
  });

  it('nobody who has voted, and nobody once it is decided, who is told by whom', async () => {
    const request = await held();
    await vote(second, request, 'approve');
    expect((await ask(second, request, { to: 'agent', text: 'Why?' })).body['code']).toBe(
      'already_voted',
    );
    await vote(cast.approver, request, 'deny');
    const late = await ask(second, request, { to: 'agent', text: 'Why?' });
    expect(late.body).toMatchObject({ code: 'already_decided', decided_by: cast.approver.id });
    expect(text(late.body['detail'])).toContain('denied by Ada');
  });

  it('at most five questions, and only to somebody who is there', async () => {
    const request = await held();
    expect((await ask(second, request, { to: 'triggerer', text: 'Why?' })).body['code']).toBe(
      'question_refused',
    );
    for (let count = 0; count < 5; count += 1) await asked(request);
    expect((await ask(second, request, { to: 'agent', text: 'Why?' })).body['code']).toBe(
      'question_refused',
    );
    for (const body of [
      { to: 'agent', text: ' ' },
      { to: 'everybody', text: 'Why?' },
    ])
      expect((await ask(second, request, body)).status).toBe(400);
  });
});

describe('who may answer', () => {
  it('whom it was put to, and nobody in their place', async () => {
    const request = await held();
    const toAgent = await asked(request, 'agent');
    const toOwner = await asked(request, 'owner');
    for (const [who, question] of [
      [cast.owner, toAgent],
      [second, toAgent],
      [cast.agent, toOwner],
      [second, toOwner],
    ] as const)
      expect((await answer(who, request, question)).body['code']).toBe('forbidden');
    expect((await answer(cast.owner, request, toOwner, 'I know of it.')).status).toBe(201);
    expect((await answer(cast.agent, request, toAgent)).status).toBe(201);
    const again = await answer(cast.agent, request, toAgent, 'No: 8.');
    expect(again.body).toMatchObject({ code: 'wrong_state', state: 'answered' });
    expect((await answer(cast.agent, request, 'qst_none')).status).toBe(404);
  });

  it('I4: answering gives nobody a vote: the owner and whoever set it off stay barred', async () => {
    const request = await held('patient', { triggered_by: cast.approver.id });
    const question = await asked(request, 'triggerer');
    expect((await answer(cast.approver, request, question)).status).toBe(201);
    expect((await vote(cast.approver, request, 'approve')).body['code']).toBe('self_approval');
    const other = await asked(request, 'owner');
    expect((await answer(cast.owner, request, other)).status).toBe(201);
    expect((await vote(cast.owner, request, 'approve')).body['code']).toBe('self_approval');
  });

  it('an agent of somebody else does not even see it', async () => {
    const request = await held();
    const question = await asked(request);
    const other = await hold(cast.agent, cast.seal, { role: 'pair' });
    expect((await answer(cast.agent, other.request, question)).status).toBe(404);
  });
});

describe('the clock of a route that stops it', () => {
  it('stands still while a question is open, and goes on with what was left', async () => {
    const request = await held('patient');
    expect(secondsLeft(await seen(cast.service, request))).toBe(100);
    const question = await asked(request);
    expect(secondsLeft(await seen(cast.service, request))).toBe(160);
    await answer(cast.agent, request, question);
    const after = secondsLeft(await seen(cast.service, request));
    expect(after).toBeGreaterThan(100);
    expect(after).toBeLessThan(130);
    const [opened] = await detailsOf(cast.service, request, 'request.opened');
    const [said] = await detailsOf(cast.service, request, 'question.answered');
    expect(said?.['expires_at']).toBe((await seen(cast.service, request))['expires_at']);
    expect(text(said?.['expires_at']) > text(opened?.['expires_at'])).toBe(true);
  });

  it('never stands still for longer in all than there was time', async () => {
    const request = await held('patient');
    for (let count = 0; count < 5; count += 1) await asked(request);
    expect(secondsLeft(await seen(cast.service, request))).toBeLessThanOrEqual(200);
  });

  it('one that runs is not moved by any question', async () => {
    const request = await held('pair');
    const before = (await seen(cast.service, request))['expires_at'];
    await asked(request);
    expect((await seen(cast.service, request))['expires_at']).toBe(before);
  });
});

describe('a question without an answer', () => {
  it('lapses in time, and the request goes on', async () => {
    const request = await held('hasty');
    const question = await asked(request);
    await eventually(async () => {
      const [first] = list((await seen(cast.service, request))['questions']);
      return first?.['state'] === 'lapsed';
    }, 'the question to lapse');
    expect((await answer(cast.agent, request, question)).body).toMatchObject({
      code: 'wrong_state',
      state: 'lapsed',
    });
    expect(await detailsOf(cast.service, request, 'question.lapsed')).toMatchObject([
      { question, because: 'no_answer' },
    ]);
    expect((await vote(second, request, 'approve')).status).toBe(201);
  });

  it('is closed with its request', async () => {
    const request = await held();
    const question = await asked(request);
    await vote(second, request, 'deny');
    expect(list((await seen(cast.service, request))['questions'])).toMatchObject([
      { id: question, state: 'lapsed' },
    ]);
    expect((await answer(cast.agent, request, question)).body['code']).toBe('already_decided');
    expect(await detailsOf(cast.service, request, 'question.lapsed')).toMatchObject([
      { because: 'request_closed' },
    ]);
  });
});
