// Two hundred callers at one request: votes, withdrawals, expiries and whoever carries it out, all at once. What each
// of them was told must be explained by one order of things, and the log must know exactly one outcome.
import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openService, type Service } from '../../cli/compose.ts';
import { decide } from '../../commands/approvals/decide.ts';
import { fulfilRequest } from '../../commands/approvals/fulfil.ts';
import { cancelRequest, expireRequest } from '../../commands/approvals/request-ends.ts';
import type { Principal } from '../../commands/principal.ts';
import { transact, type Call } from '../../commands/unit.ts';
import { Refusal } from '../../domain/refusal.ts';
import { changePolicy, startCast, type Cast } from '../support/cast.ts';
import { admin, person, registerAgent, text, type TestPerson } from '../support/client.ts';
import { linearize, type Happening } from '../support/linearizable.ts';
import { requestModel, type RequestAnswer, type RequestCall } from '../support/request-model.ts';

/** `RACES=1000 npx vitest run test/commands/race.test.ts` is the long run. */
const RACES = Number(process.env['RACES'] ?? '15');
const SEED = Number(process.env['SEED'] ?? randomInt(2 ** 31));
const CALLERS = 200;
const QUORUM = 2;

let cast: Cast;
let own: Service;
let voters: TestPerson[];

beforeAll(async () => {
  cast = await startCast();
  await changePolicy(cast.service, cast.approver, (files) => ({
    ...files,
    'routes.yaml': (files['routes.yaml'] ?? '').replace('quorum: 1', `quorum: ${QUORUM}`),
  }));
  const names = Array.from({ length: 10 }, (_, at) => `Voter ${at}`);
  voters = await Promise.all(names.map((name) => person(cast.service, name, ['admins'])));
  await cast.service.stopWorker();
  own = await openService(cast.service.config, 'test', 24);
});
afterAll(async () => {
  await own.close();
  await cast.close();
});

/** Numbers that come again with the seed (mulberry32). */
function numbersFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Race {
  request: string;
  shown: string;
  /** When the request runs out. */
  deadline: number;
  /** How often a voter says no. */
  denying: number;
  next: () => number;
}

/** A request for something that takes two people, which may run out while they decide. */
async function openRace(next: () => number): Promise<Race> {
  const { reply } = await registerAgent(cast.service, cast.owner.id);
  const request = text(reply.body['request']);
  const seen = await admin(cast.service).call('GET', `/v1/requests/${request}`);
  const runsOut = next() < 0.4;
  const deadline = Date.now() + (runsOut ? Math.floor(next() * 250) : 600_000);
  await cast.service.database.owner.sql`
    update request set expires_at = ${new Date(deadline).toISOString()} where id = ${request}`;
  // Nobody numbers events while the worker is stopped, and nothing is carried out past a log that stands still.
  await cast.service.database.owner.sql`update log_pending set at = now()`;
  const shown = text(
    (await admin(cast.service).call('GET', `/v1/requests/${request}`)).body['shown'],
  );
  expect(seen.body['state']).toBe('pending');
  return { request, shown, deadline, denying: next() < 0.5 ? 0.02 : 0.3, next };
}

function callOf({ next, denying }: Race): RequestCall {
  const what = next();
  if (what < 0.1) return { kind: 'cancel' };
  if (what < 0.2) return { kind: 'expire' };
  if (what < 0.4) return { kind: 'fulfil' };
  const voter = voters[Math.floor(next() * voters.length)]?.id ?? '';
  return { kind: 'vote', person: voter, decision: next() < denying ? 'deny' : 'approve' };
}

const principalOf = (call: RequestCall): Principal =>
  call.kind === 'vote'
    ? {
        kind: 'person',
        id: call.person as `psn_${string}`,
        name: 'Voter',
        roles: ['approver'],
        groups: ['admins'],
        session: null,
        strength: 'session',
      }
    : { kind: 'service', id: 'test' };

async function make(race: Race, call: RequestCall, trace: string): Promise<unknown> {
  const by: Call = { principal: principalOf(call), traceId: trace };
  const { deps } = own;
  switch (call.kind) {
    case 'vote':
      return transact(deps, by, (unit) =>
        decide(unit, deps, {
          request: race.request,
          decision: call.decision,
          shown: race.shown,
          reason: null,
          disposition: 'stop',
          channel: 'api',
          narrow: null,
        }),
      );
    case 'cancel':
      return transact(deps, by, (unit) => cancelRequest(unit, race.request));
    case 'expire':
      return transact(deps, by, (unit) => expireRequest(unit, race.request));
    case 'fulfil':
      return fulfilRequest(deps, by, race.request);
  }
}

/** The events that say that a call did something, by what it was. */
const DID: Record<RequestCall['kind'], string> = {
  vote: 'vote.cast',
  cancel: 'request.cancelled',
  expire: 'request.expired',
  fulfil: 'permit.redeemed',
};

interface Fact {
  name: string;
  trace: string | null;
}

async function factsOf(request: string): Promise<Fact[]> {
  const rows = await cast.service.database.owner.sql<{ type: string; trace: string | null }[]>`
    select type, leaf::jsonb -> 'data' ->> 'trace_id' as trace from event where request = ${request} order by id`;
  return rows.map(({ type, trace }) => ({
    name: type.replace(/^dev\.countersign\.|\.v1$/g, ''),
    trace,
  }));
}

/** What the caller was told, and whether the log says that this very call did it. */
function answerOf(value: unknown, did: boolean): RequestAnswer {
  if (value instanceof Refusal) {
    const { state } = value.members;
    return { code: asCode(value.code), state: typeof state === 'string' ? state : null };
  }
  const isRow = typeof value === 'object' && value !== null && 'state' in value;
  return {
    code: did ? 'done' : 'nothing',
    state: isRow && typeof value.state === 'string' ? value.state : null,
  };
}

const asCode = (code: string): RequestAnswer['code'] => {
  if (code === 'already_decided' || code === 'already_voted' || code === 'request_expired')
    return code;
  throw new Error(`nobody expected to be refused with ${code}`);
};

const told = (outcome: Promise<unknown>): Promise<unknown> =>
  outcome.catch((error: unknown) => {
    if (error instanceof Refusal) return error;
    throw error;
  });

async function run(race: Race): Promise<{
  seen: Happening<RequestCall, RequestAnswer>[];
  facts: Fact[];
}> {
  const calls = Array.from({ length: CALLERS }, () => callOf(race));
  const heard = await Promise.all(
    calls.map(async (call, at) => {
      // Not all in one instant: some come while others are being answered.
      await new Promise((resolve) => setTimeout(resolve, race.next() * 300));
      const sentAt = Date.now();
      const value = await told(make(race, call, `call-${at}`));
      return { call, value, sentAt, answeredAt: Date.now() };
    }),
  );
  const facts = await factsOf(race.request);
  const seen = heard.map(({ call, value, sentAt, answeredAt }, at) => ({
    call,
    sentAt,
    answeredAt,
    answer: answerOf(
      value,
      facts.some(({ name, trace }) => trace === `call-${at}` && name === DID[call.kind]),
    ),
  }));
  return { seen, facts };
}

const OUTCOMES = ['approved', 'denied', 'cancelled', 'expired'].map((name) => `request.${name}`);

it(
  `SEC-A7 (REL-I1): ${RACES} times ${CALLERS} callers at one request come to exactly one outcome, in an order that explains every answer`,
  async () => {
    const next = numbersFrom(SEED);
    const outcomes = new Set<string>();
    const faults: string[] = [];
    for (let at = 0; at < RACES; at += 1) {
      const race = await openRace(next);
      const { seen, facts } = await run(race);
      const names = facts.map(({ name }) => name);
      const ended = names.filter((name) => OUTCOMES.includes(name));
      const count = (name: string): number => names.filter((each) => each === name).length;
      const most = ended[0] === 'request.approved' ? 1 : 0;
      const wrong = [
        ...(linearize(requestModel(QUORUM, race.deadline), seen) ? [] : ['no order explains it']),
        ...(ended.length > 1 ? [`ended as ${ended.join(' and ')}`] : []),
        ...['permit.issued', 'permit.redeemed', 'agent.admitted'].filter(
          (name) => count(name) > most,
        ),
      ];
      faults.push(...wrong.map((fault) => `race ${at} of seed ${SEED}: ${fault}`));
      outcomes.add(ended[0] ?? 'open');
    }
    expect(faults).toEqual([]);
    // A race that always ends the same way tries nothing.
    expect(outcomes.size).toBeGreaterThan(RACES < 15 ? 0 : 2);
  },
  60_000 + RACES * 4_000,
);

it('SEC-A7 (I6): who waited for their turn until the time was over is late, whatever they wanted', async () => {
  const next = numbersFrom(SEED);
  const race = await openRace(next);
  const deadline = Date.now() + 700;
  const { sql } = cast.service.database.owner;
  await sql`
    update request set expires_at = ${new Date(deadline).toISOString()} where id = ${race.request}`;
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const holding = sql.begin(async (transaction) => {
    await transaction`select id from request where id = ${race.request} for update`;
    await held;
  });
  const shown = await admin(cast.service).call('GET', `/v1/requests/${race.request}`);
  const waiting = voters
    .slice(0, QUORUM)
    .map(({ id }): RequestCall => ({ kind: 'vote', person: id, decision: 'approve' }))
    .map((call) => told(make({ ...race, shown: text(shown.body['shown']) }, call, 'late')));
  const withdrawn = told(make(race, { kind: 'cancel' }, 'late'));
  await new Promise((resolve) => setTimeout(resolve, deadline + 50 - Date.now()));
  release();
  await holding;
  const answers = [...(await Promise.all(waiting)), await withdrawn];
  expect(answers.map((answer) => (answer instanceof Refusal ? answer.code : 'taken'))).toEqual([
    'request_expired',
    'request_expired',
    'already_decided',
  ]);
  const names = (await factsOf(race.request)).map(({ name }) => name);
  expect(names.filter((name) => OUTCOMES.includes(name))).toEqual(['request.expired']);
});
