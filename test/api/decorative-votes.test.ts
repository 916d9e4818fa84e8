// Ways in which a vote has been worth nothing elsewhere, each by the number it has in our catalogue of defects: here
// it is refused, or changes nothing.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROUTES } from '../../api/app.ts';
import { startFakeSlack, type FakeSlack } from '../fakes/slack.ts';
import { changePolicy, detailsOf, hold, seen, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  anyone,
  eventually,
  list,
  object,
  person,
  text,
  vote,
  type TestPerson,
} from '../support/client.ts';
import { activateRoles } from '../support/policies.ts';

const OWNERS = '  groups: [data-owners]\n';

let cast: Cast;
let slack: FakeSlack;
let second: TestPerson;

beforeAll(async () => {
  cast = await startCast();
  const { service, approver } = cast;
  slack = await startFakeSlack({ interactionsUrl: `${service.url}/slack/interactions` });
  await admin(service).call('PUT', '/v1/integrations/slack', {
    api_url: slack.apiUrl,
    signing_secret: slack.signingSecret,
    bot_token: slack.botToken,
    channel: slack.channel,
  });
  await activateRoles(cast, [
    { name: 'pair', routes: { pair: `${OWNERS}  quorum: 2\n` } },
    { name: 'short', routes: { short: `${OWNERS}  expiry_seconds: 1\n` } },
  ]);
  second = await person(service, 'Bea', ['data-owners'], { slack_user_id: 'U0BEA' });
  await admin(service).call('PATCH', `/v1/people/${approver.id}`, { slack_user_id: 'U0ADA' });
});
afterAll(async () => {
  await cast.close();
  await slack.close();
});

const ask = async (role = 'pair'): Promise<string> =>
  (await hold(cast.agent, cast.seal, { role })).request;

const stateOf = async (request: string): Promise<string> =>
  text((await seen(cast.service, request))['state']);

const shownTo = async (who: TestPerson, request: string): Promise<string> =>
  text((await who.call('GET', `/v1/requests/${request}`)).body['shown']);

const votesOn = async (request: string): Promise<string[]> =>
  list((await seen(cast.service, request))['votes']).map((each) => text(each['person']));

describe('who voted', () => {
  it.each(['person', 'approver', 'decided_by', 'decidedBy', 'voter', 'Decision', 'channel'])(
    'D1: is nothing that a caller says: a body with %s is no vote',
    async (member) => {
      const request = await ask();
      const shown = await shownTo(cast.approver, request);
      const reply = await cast.approver.call('POST', `/v1/requests/${request}/votes`, {
        decision: 'approve',
        shown,
        [member]: second.id,
      });
      expect([reply.status, reply.body['code']]).toEqual([400, 'invalid_request']);
      expect(await votesOn(request)).toEqual([]);
    },
  );

  it('D1: is not taken from a header either', async () => {
    const request = await ask();
    const shown = await shownTo(cast.approver, request);
    const claims = {
      'x-user': second.id,
      'x-forwarded-user': second.id,
      'x-decided-by': second.id,
    };
    await cast.approver.call(
      'POST',
      `/v1/requests/${request}/votes`,
      { decision: 'approve', shown },
      claims,
    );
    expect(await votesOn(request)).toEqual([cast.approver.id]);
  });

  it('D2: needs what was granted, and has it asked for: a group without the role decides nothing', async () => {
    const reader = await person(cast.service, 'Aud', ['data-owners'], { roles: ['auditor'] });
    const request = await ask();
    expect((await vote(reader, request, 'approve')).body['code']).toBe('not_eligible');
    expect(await votesOn(request)).toEqual([]);
  });

  it('D3: is one of those whom the route names, and a reason that is required is required', async () => {
    const stranger = await person(cast.service, 'Stan', ['visitors']);
    const request = await ask();
    expect((await vote(stranger, request, 'approve')).body['code']).toBe('not_eligible');
    const { reply } = await hold(cast.agent, cast.seal, { role: 'orders-write', reason: '' });
    expect(reply.status).toBeGreaterThanOrEqual(400);
    const bare = await cast.agent.call('POST', `/v1/tasks/${await startedTask()}/credentials`, {
      role: 'orders-write',
      seal_to: cast.seal.publicJwk,
    });
    expect([bare.status, bare.body['code']]).toEqual([422, 'reason_required']);
  });

  it('D4: is neither whoever asks, nor the agent, nor who owns it, on any channel', async () => {
    const { service, agent, owner } = cast;
    await admin(service).call('PATCH', `/v1/people/${owner.id}`, {
      slack_user_id: 'U0OLGA',
      groups: ['data-owners'],
      roles: ['approver'],
    });
    const request = await ask();
    const message = await slack.messageWith((each) =>
      JSON.stringify(each.blocks).includes(request),
    );
    const codes = [
      (await vote(agent, request, 'approve')).body['code'],
      (await vote(admin(service), request, 'approve')).body['code'],
      (await vote(owner, request, 'approve')).body['code'],
    ];
    await slack.click(message, 'approve', 'U0OLGA');
    expect(codes).toEqual(['human_required', 'human_required', 'self_approval']);
    await eventually(async () => (await detailsOf(service, request, 'vote.refused')).length === 4);
    const last = (await detailsOf(service, request, 'vote.refused')).at(-1);
    expect(last).toMatchObject({ code: 'self_approval', person: owner.id, channel: 'slack' });
    expect(await votesOn(request)).toEqual([]);
  });
});

async function startedTask(): Promise<string> {
  const reply = await cast.agent.call('POST', '/v1/tasks', { purpose: 'work', ttl_seconds: 600 });
  return text(reply.body['id']);
}

describe('what a vote is worth', () => {
  it('D6: an approval is good for what was approved, once', async () => {
    const request = await ask('orders-write');
    await vote(cast.approver, request, 'approve');
    await eventually(async () => (await seen(cast.service, request))['collectable'] === true);
    const action = object((await seen(cast.service, request))['action']);
    const other = { ...action, parameters: { ...object(action['parameters']), ttl_seconds: 899 } };
    const path = `/v1/requests/${request}/collect`;
    expect((await cast.agent.call('POST', path, { action: other })).body['code']).toBe(
      'digest_mismatch',
    );
    expect((await cast.agent.call('POST', path, {})).status).toBe(201);
    expect((await cast.agent.call('POST', path, {})).body['code']).toBe('already_collected');
  });

  it('D7: a quorum is the same on every surface: one human is one, wherever they come from', async () => {
    const request = await ask();
    const message = await slack.messageWith((each) =>
      JSON.stringify(each.blocks).includes(request),
    );
    await slack.click(message, 'approve', 'U0ADA');
    await eventually(async () => (await votesOn(request)).length === 1);
    const again = await vote(cast.approver, request, 'approve');
    expect(again.body['code']).toBe('already_voted');
    const form = new URLSearchParams({
      csrf_token: cast.approver.csrf,
      decision: 'approve',
      shown: await shownTo(cast.approver, request),
    });
    await fetch(`${cast.service.url}/requests/${request}`, {
      method: 'POST',
      redirect: 'manual',
      headers: {
        cookie: cast.approver.cookie,
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: form,
    });
    expect([await stateOf(request), await votesOn(request)]).toEqual([
      'pending',
      [cast.approver.id],
    ]);
    expect((await vote(second, request, 'approve')).status).toBe(201);
    expect(await stateOf(request)).not.toBe('pending');
  });

  it('D8: time approves nothing, and no route can be told to let it', async () => {
    const request = await ask('short');
    await eventually(async () => (await stateOf(request)) === 'expired');
    expect((await seen(cast.service, request))['credential']).toBeNull();
    for (const rest of [
      '  on_expiry: approve\n',
      '  escalation: [{after_seconds: 60, groups: [admins], decision: approve}]\n',
    ]) {
      const reply = await changePolicy(cast.service, cast.approver, (files) => ({
        ...files,
        'routes.yaml': `${files['routes.yaml'] ?? ''}\nopen:\n  title: Open\n${OWNERS}${rest}`,
      }));
      expect([reply.status, reply.body['code']]).toEqual([422, 'policy_invalid']);
    }
  });

  it('D11: what ran out is nobody’s no, and what policy allows is nobody’s yes', async () => {
    const request = await ask('short');
    await eventually(async () => (await stateOf(request)) === 'expired');
    expect(await seen(cast.service, request)).toMatchObject({ denial: null, votes: [] });
    expect(await detailsOf(cast.service, request, 'request.denied')).toEqual([]);
    const plain = await cast.agent.call('POST', `/v1/tasks/${await startedTask()}/credentials`, {
      role: 'orders-readonly',
      seal_to: cast.seal.publicJwk,
    });
    expect(plain.body['request'] ?? null).toBeNull();
    const events = await admin(cast.service).call('GET', '/v1/events?type=vote.cast&limit=500');
    for (const event of list(events.body['data']))
      expect(text(object(event['data'])['human'])).toMatch(/^psn_/);
  });
});

it('D10: nothing is decided by following a link: no GET moves a request, whoever follows it', async () => {
  const request = await ask();
  const paths = ROUTES.filter(({ method }) => method === 'get').map(({ path }) =>
    path.replaceAll(/\{[^}]+\}/g, request),
  );
  const pages = [
    `/requests/${request}`,
    '/',
    '/inbox',
    `/requests/${request}/approve`,
    `/sign-in/${request}`,
  ];
  const waiting = (path: string): boolean =>
    path.includes('stream') || path === '/v1/events/stream';
  for (const path of [...paths, ...pages].filter((each) => !waiting(each)))
    for (const who of [anyone(cast.service), cast.approver])
      await fetch(`${cast.service.url}${path}?decision=approve&request=${request}`, {
        headers: who === cast.approver ? { cookie: cast.approver.cookie } : {},
        redirect: 'manual',
        signal: AbortSignal.timeout(5_000),
      })
        .then((response) => response.body?.cancel())
        .catch(() => undefined);
  expect([await stateOf(request), await votesOn(request)]).toEqual(['pending', []]);
});

describe('where a vote comes from', () => {
  it('D19: a row that somebody wrote into the table is no decision, and no event names nobody', async () => {
    const request = await ask();
    const { sql } = cast.service.database.owner;
    await sql`insert into vote (id, request, person, decision, channel, strength, shown, at)
      values ('vot_00000000000000000000000000', ${request}, ${second.id}, 'approve', 'web', 'session', ${`sha256:${'0'.repeat(64)}`}, now())`;
    expect(await stateOf(request)).toBe('pending');
    expect(await detailsOf(cast.service, request, 'vote.cast')).toEqual([]);
    expect(await detailsOf(cast.service, request, 'request.approved')).toEqual([]);
    // With a true vote beside it the table would do: what the log tells does not, and the verdict says so.
    await vote(cast.approver, request, 'approve');
    await eventually(async () => {
      const reply = await admin(cast.service).call('GET', '/v1/controls/pair/verdict');
      const operation = object(object(reply.body['layers'])['operation']);
      const cases = list(operation['tests']).flatMap((test) => list(test['cases']));
      return cases.some((each) => each['request'] === request);
    }, 'a finding about a quorum that nobody cast');
  });

  it('D20: people who always say yes are asked again all the same', async () => {
    for (let times = 0; times < 8; times += 1) {
      const request = await ask('orders-write');
      expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
    }
    expect(await stateOf(await ask('orders-write'))).toBe('pending');
  });
});
