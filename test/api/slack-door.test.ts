// The door that everything from Slack comes through, on every route alike.
import { createHmac } from 'node:crypto';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ROUTES } from '../../api/app.ts';
import { readInteraction } from '../../commands/slack/deliveries.ts';
import { keepDelivery } from '../../commands/slack/inbox.ts';
import { transact } from '../../commands/unit.ts';
import type { JsonValue } from '../../domain/json.ts';
import { openKeyring } from '../../keys/keyring.ts';
import { admin, eventually, list, object, text } from '../support/client.ts';
import { holdAgainstTable } from '../support/conformance.ts';
import { startService } from '../support/service.ts';
import { carded, reaches, refusalsOf, startSlackCast, type SlackCast } from '../support/slack.ts';

let cast: SlackCast;

beforeAll(async () => {
  cast = await startSlackCast();
});
afterAll(() => cast.close());

const DOORS = ROUTES.filter((route) => route.path.startsWith('/slack/')).map(({ path }) => path);

/** A body that each door would take if its signature were good. */
const BODIES: Record<string, string> = {
  '/slack/interactions': new URLSearchParams({
    payload: JSON.stringify({ type: 'block_actions', user: { id: 'U0ADA' } }),
  }).toString(),
  '/slack/commands': new URLSearchParams({
    user_id: 'U0ADA',
    text: 'help',
    response_url: 'https://hooks.slack.com/nothing',
  }).toString(),
  '/slack/events': JSON.stringify({ type: 'url_verification', challenge: 'c' }),
};

const now = (): number => Math.floor(Date.now() / 1000);

async function knock(
  door: string,
  headers: Record<string, string>,
  body = BODIES[door] ?? '',
): Promise<{ status: number; code: string }> {
  const response = await fetch(cast.service.url + door, { method: 'POST', headers, body });
  const said = await response.text();
  const { status, headers: answered } = response;
  holdAgainstTable({ method: 'post', path: door, status, headers: answered, text: said });
  const { code } = object(said.startsWith('{') ? (JSON.parse(said) as JsonValue) : {});
  return { status: response.status, code: text(code ?? '') };
}

describe.each(DOORS)('SEC-B1: %s', (door) => {
  const body = BODIES[door] ?? '';
  const good = (): Record<string, string> => cast.slack.signed(body);
  const signedWith = (secret: string, timestamp: string, over = body): Record<string, string> => ({
    'content-type': 'application/x-www-form-urlencoded',
    'x-slack-request-timestamp': timestamp,
    'x-slack-signature': `v0=${createHmac('sha256', secret).update(`v0:${timestamp}:${over}`).digest('hex')}`,
  });
  const withoutHeader = (name: string): Record<string, string> =>
    Object.fromEntries(Object.entries(good()).filter(([each]) => each !== name));

  it('takes what Slack signed', async () => {
    expect((await knock(door, good())).status).toBe(200);
  });

  const wrong: [string, () => Record<string, string>, string][] = [
    ['unsigned', () => withoutHeader('x-slack-signature'), 'bad_signature'],
    ['without a time', () => withoutHeader('x-slack-request-timestamp'), 'stale_timestamp'],
    ['signed by somebody else', () => signedWith('another-secret', String(now())), 'bad_signature'],
    [
      'signed over another body',
      () => signedWith(cast.slack.signingSecret, String(now()), `${body}&x=1`),
      'bad_signature',
    ],
    ['stale', () => cast.slack.signed(body, now() - 301), 'stale_timestamp'],
    ['from the future', () => cast.slack.signed(body, now() + 301), 'stale_timestamp'],
    ['at no time at all', () => signedWith(cast.slack.signingSecret, 'NaN'), 'stale_timestamp'],
    [
      'with its time changed afterwards',
      () => ({ ...good(), 'x-slack-request-timestamp': String(now() - 1) }),
      'bad_signature',
    ],
    [
      'with a short signature',
      () => ({ ...good(), 'x-slack-signature': (good()['x-slack-signature'] ?? '').slice(0, 20) }),
      'bad_signature',
    ],
    [
      'with a signature of another version',
      () => ({
        ...good(),
        'x-slack-signature': (good()['x-slack-signature'] ?? '').replace('v0=', 'v1='),
      }),
      'bad_signature',
    ],
    [
      'with a signature that goes on',
      () => ({ ...good(), 'x-slack-signature': `${good()['x-slack-signature'] ?? ''}00` }),
      'bad_signature',
    ],
    ['with an empty signature', () => ({ ...good(), 'x-slack-signature': 'v0=' }), 'bad_signature'],
  ];
  it.each(wrong)('refuses what is %s, before anything is read', async (_what, headers, code) => {
    expect(await knock(door, headers())).toEqual({ status: 401, code });
  });

  it('refuses an unsigned body that could not be read either, for its signature', async () => {
    expect((await knock(door, withoutHeader('x-slack-signature'), '{not json')).status).toBe(401);
  });
});

it('SEC-B3: no part of a signature will do for the whole, nor more than all of it', async () => {
  const door = '/slack/interactions';
  const signed = cast.slack.signed(BODIES[door] ?? '');
  const whole = signed['x-slack-signature'] ?? '';
  const lengths = Array.from({ length: whole.length }, (_, at) => whole.slice(0, at));
  const upper = whole.toUpperCase().replace('V0', 'v0');
  const doubled = [`${whole},${whole}`, `${whole}0`, `${whole} `.padEnd(80, 'a'), `x${whole}`];
  const padded = [`${whole.slice(0, -1)}\u00e9`, whole.replace(/.$/, 'g')];
  for (const wrong of [...lengths, ...doubled, ...padded, ...(upper === whole ? [] : [upper])])
    expect([
      wrong,
      await knock(door, { ...signed, 'x-slack-signature': wrong }, BODIES[door]),
    ]).toEqual([wrong, { status: 401, code: 'bad_signature' }]);
  expect((await knock(door, signed)).status).toBe(200);
});

describe('SEC-B2: the old ways into an app', () => {
  it.each(DOORS)('%s takes no verification token for a signature', async (door) => {
    const token = 'XXYYZZ';
    const bodies = [
      JSON.stringify({ type: 'url_verification', challenge: 'c', token }),
      new URLSearchParams({ token, payload: JSON.stringify({ token }) }).toString(),
    ];
    for (const body of bodies)
      for (const headers of [
        { 'content-type': 'application/x-www-form-urlencoded' },
        { 'x-slack-signature': token, 'x-slack-request-timestamp': String(now()) },
        { authorization: `Bearer ${cast.slack.botToken}` },
      ] as Record<string, string>[])
        expect((await knock(door, headers, body)).status).toBe(401);
  });

  it('nothing of a body is logged: not what was taken, nor what was refused, nor what could not be read', async () => {
    const lines: string[] = [];
    const write = vi.spyOn(process.stdout, 'write').mockImplementation((line) => {
      lines.push(String(line));
      return true;
    });
    try {
      const logged = await startService({ env: { COUNTERSIGN_LOG: 'on' }, worker: false });
      const url = `${logged.url}/slack/interactions`;
      await admin(logged).call('PUT', '/v1/integrations/slack', {
        ...{ api_url: cast.slack.apiUrl, signing_secret: cast.slack.signingSecret },
        ...{ bot_token: cast.slack.botToken, channel: cast.slack.channel },
      });
      const marker = 'MARKER-9f31';
      const payload = { type: 'block_actions', user: { id: marker }, token: marker };
      const body = new URLSearchParams({ payload: JSON.stringify(payload) }).toString();
      const garbled = `payload=%7B${marker}`;
      for (const [headers, sent] of [
        [cast.slack.signed(body), body],
        [{ 'x-slack-signature': marker }, body],
        [cast.slack.signed(garbled), garbled],
      ] as [Record<string, string>, string][])
        await fetch(url, { method: 'POST', headers, body: sent });
      await logged.close();
    } finally {
      write.mockRestore();
    }
    const said = lines.join('');
    // Something was logged, or this shows nothing.
    expect(said).toContain('{');
    for (const secret of ['MARKER-9f31', cast.slack.signingSecret, cast.slack.botToken])
      expect(said).not.toContain(secret);
  });
});

it('there are three doors, and each is tried here', () => {
  expect(DOORS.toSorted()).toEqual(Object.keys(BODIES).toSorted());
});

describe('SEC-B4: what Slack repeats', () => {
  it('a click replayed within the window does nothing twice, however often', async () => {
    const { id, message } = await carded(cast);
    const body = cast.slack.clickBody(message, 'approve', 'U0ADA');
    const sends = Array.from({ length: 10 }, () =>
      knock('/slack/interactions', cast.slack.signed(body), body),
    );
    for (const { status } of await Promise.all(sends)) expect(status).toBe(200);
    await reaches(cast, id, 'approved', 'consumed');
    // Signed again, later, as a replay with a fresh header would be.
    await knock('/slack/interactions', cast.slack.signed(body, now() - 200), body);
    expect(await refusalsOf(cast, id)).toEqual([]);
  });

  it('an event is worked off once by its id, whatever its retry headers say', async () => {
    const event = { type: 'app_home_opened', user: 'U0ADA', tab: 'home' };
    for (let retry = 0; retry < 3; retry += 1)
      expect(await cast.slack.tell(event, 'Ev0SAME')).toBe(200);
    await eventually(() => Promise.resolve(cast.slack.homes.has('U0ADA')), 'a home tab');
    const [kept] = await cast.service.database.owner.sql<{ n: number }[]>`
      select count(*)::int as n from slack_inbox where attempts > 1`;
    expect(kept?.n).toBe(0);
  });
});

describe('what nobody asked for', () => {
  it('answers the question whether the address is ours', async () => {
    const body = JSON.stringify({ type: 'url_verification', challenge: 'abc', token: 't' });
    const response = await fetch(`${cast.service.url}/slack/events`, {
      method: 'POST',
      headers: cast.slack.signed(body),
      body,
    });
    expect(await response.json()).toEqual({ challenge: 'abc' });
  });

  it.each([
    { type: 'message', text: 'approve', user: 'U0ADA', channel: 'C0APPROVALS' },
    { type: 'message', subtype: 'bot_message', bot_id: 'B0', text: 'approve' },
    { type: 'message', subtype: 'message_changed', message: { user: 'U0ADA', text: 'approve' } },
    { type: 'app_mention', user: 'U0ADA', text: '<@U0BOT> approve' },
    { type: 'reaction_added', user: 'U0ADA', reaction: 'white_check_mark' },
  ])('hears $type $subtype, and does nothing', async (event) => {
    const before = await kept();
    expect(await cast.slack.tell(event)).toBe(200);
    expect(await kept()).toBe(before);
  });
});

async function kept(): Promise<number> {
  const [row] = await cast.service.database.owner.sql<{ n: number }[]>`
    select count(*)::int as n from slack_inbox`;
  return row?.n ?? 0;
}

describe('a crash between the acknowledgement and the vote', () => {
  it('loses nothing: a worker works off what was kept', async () => {
    const { id, message } = await carded(cast);
    const body = cast.slack.clickBody(message, 'approve', 'U0ADA');
    const payload = JSON.parse(new URLSearchParams(body).get('payload') ?? '') as JsonValue;
    const delivered = readInteraction(payload);
    if (!delivered) throw new Error('a click is a delivery');
    const { owner } = cast.service.database;
    const keys = await openKeyring(path.join(cast.service.config.state, 'keys'));
    // As the process left it that took the click, committed it, and died.
    await transact(
      {
        ...{ db: owner, vault: keys.vault, crashPoint: () => undefined },
        installation: { issuer: 'x', trustDomain: 'x', logOrigin: 'x' },
      },
      { principal: { kind: 'slack', id: 'U0ADA' }, traceId: null },
      (unit) => keepDelivery(unit, delivered.digest, delivered.delivery),
    );
    await owner.sql`update slack_inbox set next_try_at = now() where digest = ${delivered.digest}`;
    await reaches(cast, id, 'approved', 'consumed');
    // Slack repeats it now: it was acknowledged to a process that is no more.
    await knock('/slack/interactions', cast.slack.signed(body), body);
    expect(await refusalsOf(cast, id)).toEqual([]);
  });

  it('I5: keeps what was delivered sealed, and the address of its user with it', async () => {
    const rows = await cast.service.database.owner.sql<{ sealed: Buffer }[]>`
      select sealed from slack_inbox`;
    expect(rows.length).toBeGreaterThan(0);
    for (const { sealed } of rows)
      expect(sealed.toString('latin1')).not.toMatch(/reply|U0ADA|http/);
  });
});

it('a disconnected Slack is answered with what to do', async () => {
  await admin(cast.service).call('DELETE', '/v1/integrations/slack');
  for (const door of DOORS)
    expect(await knock(door, cast.slack.signed(BODIES[door] ?? ''))).toEqual({
      status: 404,
      code: 'not_found',
    });
  const events = await admin(cast.service).call('GET', '/v1/events?type=integration.changed');
  expect(list(events.body['data']).length).toBeGreaterThan(1);
  await cast.connect();
});
