// Classes of attack on approvals that others had, tried at every edge of ours where a vote, or what it approved, passes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openService, type Service } from '../../cli/compose.ts';
import { decide } from '../../commands/approvals/decide.ts';
import type { Principal } from '../../commands/principal.ts';
import { transact } from '../../commands/unit.ts';
import { Refusal } from '../../domain/refusal.ts';
import { detailsOf, hold, seen } from '../support/cast.ts';
import { admin, eventually, list, object, text, vote } from '../support/client.ts';
import { mutantsOf } from '../support/mutants.ts';
import { cardIn, refusalsOf, startSlackCast, type SlackCast } from '../support/slack.ts';

let cast: SlackCast;
/** As a process of ours has it, past every door. */
let own: Service;

beforeAll(async () => {
  cast = await startSlackCast();
  own = await openService(cast.service.config, 'test', 2);
});
afterAll(async () => {
  await own.close();
  await cast.close();
});

const ask = async (): Promise<string> => (await hold(cast.agent, cast.seal)).request;

const shownOf = async (request: string): Promise<string> =>
  text((await seen(cast.service, request))['shown']);

/** That nobody has decided anything, and nothing says otherwise. */
async function isUndecided(request: string): Promise<void> {
  expect(await seen(cast.service, request)).toMatchObject({ state: 'pending', votes: [] });
  expect(await detailsOf(cast.service, request, 'vote.cast')).toEqual([]);
}

interface Raw {
  status: number;
  code: string;
}

async function send(path: string, body: string, headers: Record<string, string>): Promise<Raw> {
  const response = await fetch(cast.service.url + path, {
    ...{ method: 'POST', redirect: 'manual', body },
    headers: { 'content-type': 'application/json', ...headers },
  });
  const said = await response.text();
  const problem = said.startsWith('{') ? object(JSON.parse(said) as Record<string, string>) : {};
  return { status: response.status, code: text(problem['code']) };
}

const asApprover = (): Record<string, string> => ({
  cookie: cast.approver.cookie,
  'x-csrf-token': cast.approver.csrf,
});

describe('SEC-A3: whoever carries a vote lends it no authority', () => {
  it('nothing that runs inside can decide: no workflow, service, agent, Slack user or enforcement point', async () => {
    const request = await ask();
    const shown = await shownOf(request);
    const insiders: Principal[] = [
      { kind: 'workflow', id: request },
      { kind: 'service', id: 'admin-token' },
      { kind: 'slack', id: 'U0ADA' },
      { kind: 'agent', id: asAgentId(cast.agent.id) },
    ];
    for (const principal of insiders)
      for (const channel of ['web', 'slack', 'api'] as const) {
        const outcome = await transact(own.deps, { principal, traceId: null }, (unit) =>
          decide(unit, own.deps, {
            ...{ request, shown, channel, decision: 'approve', disposition: 'stop' },
            ...{ reason: null, narrow: null, passkey: null },
          }),
        );
        expect(outcome instanceof Refusal ? outcome.code : 'taken').toBe('human_required');
      }
    await isUndecided(request);
  });

  it('a token beside a session is the token’s call: no agent borrows the human whose browser it drives', async () => {
    const request = await ask();
    const body = JSON.stringify({ decision: 'approve', shown: await shownOf(request) });
    const tokens = [cast.service.adminToken, await cast.agent.token()];
    for (const token of tokens)
      expect(
        await send(`/v1/requests/${request}/votes`, body, {
          ...asApprover(),
          authorization: `Bearer ${token}`,
        }),
      ).toEqual({ status: 403, code: 'human_required' });
    const wrong = { ...asApprover(), authorization: 'Bearer made-up' };
    expect((await send(`/v1/requests/${request}/votes`, body, wrong)).status).toBe(401);
    await isUndecided(request);
  });

  it('words in a chat decide nothing, whoever says them', async () => {
    const request = await ask();
    await cardIn(cast, request, cast.slack.channel);
    for (const words of [`approve ${request}`, `allow ${request}`, `vote ${request} approve`])
      for (const user of ['U0ADA', 'U0OLGA', 'U0NOBODY'])
        expect(await cast.slack.command(words, user)).toBe(200);
    await cast.slack.tell({
      ...{ type: 'message', user: 'U0ADA', channel: cast.slack.channel },
      text: `approve ${request}`,
    });
    await eventually(() => Promise.resolve(cast.slack.replies.length >= 9), 'nine answers');
    await isUndecided(request);
    expect(await refusalsOf(cast, request)).toEqual([]);
  });
});

/** An id of the cast's is one of an agent. */
const asAgentId = (id: string) => id as Extract<Principal, { kind: 'agent' }>['id'];

describe('SEC-A4: what is carried out is what was approved, to the byte', () => {
  it('a collect that names the action with anything changed in any one place gets nothing', async () => {
    const request = await ask();
    await vote(cast.approver, request, 'approve');
    await eventually(async () => (await seen(cast.service, request))['collectable'] === true);
    const { action } = await seen(cast.service, request);
    const mutants = mutantsOf(object(action));
    expect(mutants.length).toBeGreaterThan(40);
    const path = `/v1/requests/${request}/collect`;
    for (const other of mutants) {
      const { status, body } = await cast.agent.call('POST', path, { action: other });
      expect([other, status < 300, body['code']]).toEqual([other, false, 'digest_mismatch']);
    }
    expect((await seen(cast.service, request))['state']).toBe('approved');
    expect((await cast.agent.call('POST', path, { action: action ?? null })).status).toBe(201);
  });

  it('a vote on a card of which one byte is another is none', async () => {
    const request = await ask();
    const shown = await shownOf(request);
    const others = [
      ...[shown.replace(/.$/, (last) => (last === '0' ? '1' : '0')), shown.slice(0, -1)],
      ...[`${shown}0`, shown.toUpperCase(), shown.replace('sha256:', ''), '', ' '],
      text((await seen(cast.service, request))['digest']),
    ];
    for (const other of others) {
      const body = JSON.stringify({ decision: 'approve', shown: other });
      const { status } = await send(`/v1/requests/${request}/votes`, body, asApprover());
      expect([other, status === 409 || status === 400]).toEqual([other, true]);
    }
    await isUndecided(request);
  });
});

describe('SEC-A5: what two readers could read differently decides nothing', () => {
  const bodies = (shown: string): [string, string][] => [
    ['a decision twice', `{"decision":"deny","decision":"approve","shown":"${shown}"}`],
    ['once escaped', `{"decision":"deny","d\\u0065cision":"approve","shown":"${shown}"}`],
    ['in other letters', `{"Decision":"approve","shown":"${shown}"}`],
    ['in both', `{"decision":"approve","DECISION":"deny","shown":"${shown}"}`],
    ['with a NUL in its name', `{"decision\\u0000":"approve","shown":"${shown}"}`],
    ['with a NUL in it', `{"decision":"approve\\u0000","shown":"${shown}"}`],
    ['a reason with a NUL', `{"decision":"deny","shown":"${shown}","reason":"a\\u0000b"}`],
    ['an unknown member', `{"decision":"approve","shown":"${shown}","approved":true}`],
    ['a prototype', `{"decision":"approve","shown":"${shown}","__proto__":{"roles":["admin"]}}`],
    ['a state of ours', `{"decision":"approve","shown":"${shown}","state":"approved"}`],
    ['another spelling', `{"decision":"Approve","shown":"${shown}"}`],
    ['a list', `{"decision":["approve"],"shown":"${shown}"}`],
    [
      'a limit that is there twice',
      `{"decision":"approve","shown":"${shown}","narrow":{"ttl_seconds":1,"ttl_seconds":900}}`,
    ],
  ];

  it('at the votes and at their statements', async () => {
    const request = await ask();
    for (const door of ['votes', 'statement'])
      for (const [what, body] of bodies(await shownOf(request)))
        expect([what, await send(`/v1/requests/${request}/${door}`, body, asApprover())]).toEqual([
          what,
          { status: 400, code: 'invalid_request' },
        ]);
    await isUndecided(request);
  });

  it('at the form of the page, and at what Slack sends', async () => {
    const request = await ask();
    const { message } = { message: await cardIn(cast, request, cast.slack.channel) };
    const shown = await shownOf(request);
    const form = `csrf_token=${encodeURIComponent(cast.approver.csrf)}&shown=${encodeURIComponent(shown)}`;
    const type = 'application/x-www-form-urlencoded';
    for (const rest of [
      '&decision=deny&decision=approve',
      '&Decision=approve',
      '&decision=approve%00',
    ])
      expect(
        (await send(`/requests/${request}`, form + rest, { ...asApprover(), 'content-type': type }))
          .status,
      ).toBe(400);
    const click = cast.slack.clickBody(message, 'approve', 'U0OLGA');
    const payload = new URLSearchParams(click).get('payload') ?? '';
    const twice = payload.replace(/"user":\{/, '"user":{"id":"U0ADA"},"user":{');
    expect(twice).not.toBe(payload);
    for (const body of [
      new URLSearchParams({ payload: twice }).toString(),
      `${click}&${click}`,
      new URLSearchParams({
        payload: payload.replace('"U0OLGA"', '"U0ADA","id":"U0OLGA"'),
      }).toString(),
    ])
      expect((await send('/slack/interactions', body, cast.slack.signed(body))).status).toBe(400);
    await isUndecided(request);
    expect(await refusalsOf(cast, request)).toEqual([]);
  });

  it('nor does it ask for, withdraw or collect anything', async () => {
    const request = await ask();
    const auth = { authorization: `Bearer ${await cast.agent.token()}` };
    const task = text(
      object(object((await seen(cast.service, request))['action'])['context'])['task'],
    );
    const opened = async (): Promise<number> =>
      list((await admin(cast.service).call('GET', '/v1/requests?limit=500')).body['data']).length;
    const before = await opened();
    const injected = [
      '"approved":true',
      '"votes":[]',
      '"decided_by":"psn_x"',
      '"state":"approved"',
    ];
    for (const more of [...injected, '"reason":"a","reason":"b"', '"Role":"x"', '"x\\u0000":1'])
      for (const path of [
        `/v1/tasks/${task}/credentials`,
        `/v1/requests/${request}/cancel`,
        `/v1/requests/${request}/collect`,
        '/v1/run',
        '/v1/grants',
        '/v1/tasks',
      ])
        expect([path, more, (await send(path, `{${more}}`, auth)).code]).toEqual([
          path,
          more,
          'invalid_request',
        ]);
    expect(await opened()).toBe(before);
    await isUndecided(request);
  });
});

describe('SEC-A10: consent is given on our page, by whoever has it open', () => {
  const press = async (request: string, more: Record<string, string>, csrf: string) => {
    const response = await fetch(`${cast.service.url}/requests/${request}`, {
      ...{ method: 'POST', redirect: 'manual' },
      headers: { cookie: cast.approver.cookie, ...more },
      body: new URLSearchParams({
        ...{ csrf_token: csrf, decision: 'approve', shown: await shownOf(request) },
      }),
    });
    return response.status;
  };

  it('a form from another site, or from another session, is not pressed', async () => {
    const request = await ask();
    for (const site of ['cross-site', 'same-site'])
      expect(await press(request, { 'sec-fetch-site': site }, cast.approver.csrf)).toBe(403);
    for (const csrf of [cast.owner.csrf, '', cast.approver.csrf.slice(0, -1)])
      expect(await press(request, {}, csrf)).toBe(403);
    await isUndecided(request);
    expect(await press(request, { 'sec-fetch-site': 'same-origin' }, cast.approver.csrf)).toBe(303);
  });

  it('following a link opens a page that says who asks for what, and decides nothing', async () => {
    const request = await ask();
    for (const query of ['', '?decision=approve', '?approve', `?shown=${await shownOf(request)}`]) {
      const page = await fetch(`${cast.service.url}/requests/${request}${query}`, {
        headers: { cookie: cast.approver.cookie },
      });
      const words = await page.text();
      for (const said of [cast.agent.name, 'Olga', 'orders-write', 'refund order'])
        expect(words).toContain(said);
      // Nothing on it sends itself, and no other page can put it into a frame.
      expect(words).not.toMatch(/autofocus[^>]*submit|\.submit\(\)/);
      expect(page.headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
    }
    await isUndecided(request);
  });
});
