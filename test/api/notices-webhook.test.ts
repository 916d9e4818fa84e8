// Requests told to webhooks: signed, at least once, in order, and without any way to decide by answering.
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { startWebhookReceiver, type FakeWebhookReceiver } from '../fakes/webhook-receiver.ts';
import { changePolicy, hold, seen, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  anyone,
  eventually,
  list,
  object,
  person,
  text,
  vote,
  type Reply,
} from '../support/client.ts';
import { withRoles } from '../support/policies.ts';

let cast: Cast;
let receiver: FakeWebhookReceiver;

const OWNERS = '  groups: [data-owners]\n';

beforeAll(async () => {
  cast = await startCast();
  receiver = await startWebhookReceiver();
  await person(cast.service, 'Bea', ['data-owners']);
  const version = await anyone(cast.service).call('GET', '/version');
  receiver.key = text(version.body['webhook_key']);
  await changePolicy(cast.service, cast.approver, (files) =>
    withRoles(files, [
      { name: 'told', routes: { told: `${OWNERS}  webhooks: [teams]\n` } },
      { name: 'silent', routes: { silent: OWNERS } },
      {
        name: 'soon',
        routes: {
          soon: `${OWNERS}  webhooks: [teams]\n  expiry_seconds: 30\n  remind_at: [0.03]\n`,
        },
      },
      { name: 'pair', routes: { pair: `${OWNERS}  quorum: 2\n  webhooks: [teams]\n` } },
    ]),
  );
});
afterAll(async () => {
  await cast.close();
  await receiver.close();
});
beforeEach(async () => {
  await admin(cast.service).call('DELETE', '/v1/integrations/webhooks/teams');
  receiver.heard.length = 0;
  receiver.secrets.length = 0;
  const reply = await connect();
  receiver.secrets.push(text(reply.body['secret']));
});

const connect = (more: JsonObject = {}): Promise<Reply> =>
  admin(cast.service).call('PUT', '/v1/integrations/webhooks/teams', {
    url: receiver.url,
    ...more,
  });

const ask = async (role = 'told', reason = 'refund order 7'): Promise<string> =>
  (await hold(cast.agent, cast.seal, { role, reason })).request;

const about = (id: string) =>
  receiver.heard.filter(({ message }) => object(message['data'])['request'] === id);
const typesOf = (id: string): string[] => about(id).map(({ message }) => text(message['type']));

const hears = (id: string, ...types: string[]): Promise<void> =>
  eventually(
    () => Promise.resolve(types.every((type) => typesOf(id).includes(type))),
    `the receiver to hear ${types.join(', ')} of ${id}`,
  );

async function standing(): Promise<JsonObject> {
  const { body } = await admin(cast.service).call('GET', '/v1/integrations/channels');
  const found = list(body['data']).find((each) => each['name'] === 'teams');
  return found ?? {};
}

/** Lets what waits for another attempt be due now. */
const hurry = (): Promise<unknown> =>
  cast.service.database.owner.query.execute(
    sql`update notice set next_try_at = now() where state = 'pending'`,
  );

describe('a request on a route that names a webhook', () => {
  it('is told when it opens and when it ends, with its card and its page, signed both ways', async () => {
    const id = await ask();
    await hears(id, 'request.opened');
    const [first] = about(id);
    expect(first?.fault).toBeNull();
    const data = object(first?.message['data']);
    expect(data).toMatchObject({
      state: 'pending',
      url: `${cast.service.publicUrl}/requests/${id}`,
    });
    const lines = list(object(data['card'])['lines']);
    expect(lines).toContainEqual({
      label: 'Context reason',
      text: 'refund order 7',
      claimed: true,
    });
    expect((await vote(cast.approver, id, 'deny')).status).toBe(201);
    await hears(id, 'request.closed');
    expect(typesOf(id)).toEqual(['request.opened', 'request.closed']);
    expect(object(about(id)[1]?.message['data'])['state']).toBe('denied');
  });

  it('is told when it changes: a vote, a question, a reminder', async () => {
    const id = await ask('pair');
    await hears(id, 'request.opened');
    expect((await vote(cast.approver, id, 'approve')).status).toBe(201);
    await hears(id, 'request.changed');
    const late = await ask('soon');
    await hears(late, 'request.opened', 'request.reminded');
    const path = `/v1/requests/${late}/questions`;
    const asked = await cast.approver.call('POST', path, { to: 'agent', text: 'which order?' });
    expect(asked.status).toBe(201);
    await hears(late, 'request.changed');
    expect(about(late).at(-1)?.raw).toContain('which order?');
    expect(receiver.heard.every(({ fault }) => fault === null)).toBe(true);
  });

  it('carries no secret of ours, and nothing to decide with', async () => {
    const id = await ask();
    await hears(id, 'request.opened');
    const { raw } = about(id)[0] ?? { raw: '' };
    expect(raw).not.toContain('shown');
    expect(raw).not.toContain(receiver.secrets[0] ?? 'whsec_');
    expect(raw).not.toMatch(/token=|sign-in|csrf/);
  });

  it('what looks like a secret stays with us, and the card says that something is left out', async () => {
    const id = await ask('told', 'sign in with password=hunter2 and refund order 7');
    await hears(id, 'request.opened');
    const [first] = about(id);
    expect(JSON.stringify(first?.message)).not.toContain('hunter2');
    expect(object(object(first?.message['data'])['card'])['is_partial']).toBe(true);
    const plain = await ask();
    await hears(plain, 'request.opened');
    expect(object(object(about(plain)[0]?.message['data'])['card'])['is_partial']).toBe(false);
  });

  it('answering decides nothing, whatever is answered', async () => {
    const answers = ['{"decision":"approve"}', '{"vote":"approve","person":"psn_1"}', 'approve'];
    receiver.next(...answers.map((body) => ({ status: 200, body })));
    const ids = await Promise.all(answers.map((_, at) => ask('told', `refund order ${at}`)));
    for (const id of ids) {
      await hears(id, 'request.opened');
      const row = await seen(cast.service, id);
      expect(row['state']).toBe('pending');
      expect(row['votes']).toEqual([]);
    }
  });

  it('a route that names none tells none', async () => {
    const id = await ask('silent');
    const other = await ask();
    await hears(other, 'request.opened');
    expect(about(id)).toEqual([]);
  });
});

describe('a webhook that does not take it', () => {
  it('is told again, under the same id, until it does; and in order', async () => {
    receiver.next({ status: 500 }, 'cut');
    const id = await ask();
    await eventually(() => Promise.resolve(about(id).length > 0), 'an attempt');
    expect((await vote(cast.approver, id, 'deny')).status).toBe(201);
    await eventually(async () => {
      await hurry();
      return typesOf(id).includes('request.closed');
    }, 'the end');
    const types = typesOf(id);
    expect(types.indexOf('request.closed')).toBe(types.length - 1);
    expect(types.length).toBe(4);
    expect(
      new Set(
        about(id)
          .slice(0, 3)
          .map((each) => each.id),
      ).size,
    ).toBe(1);
    await eventually(async () => (await standing())['failing_since'] === null, 'it to be well');
  });

  it('is seen to fail, with a word of ours and nothing of what it answered', async () => {
    receiver.next({ status: 503, headers: { 'retry-after': '60' }, body: 'SECRET-OF-THEIRS' });
    await ask();
    await eventually(async () => (await standing())['last_code'] === 'http_503', 'a code');
    expect(await standing()).toMatchObject({ state: 'enabled', waiting: 1 });
    expect((await standing())['failing_since']).not.toBeNull();
    const dump = await cast.service.database.owner.query.execute(
      sql`select row_to_json(c)::text as t from channel c union all select row_to_json(n)::text from notice n`,
    );
    expect(JSON.stringify(dump)).not.toContain('SECRET-OF-THEIRS');
    expect(JSON.stringify(dump)).not.toContain(receiver.secrets[0] ?? 'whsec_');
  });

  it('that answers 410 is called no more, which is an event; set up again it is', async () => {
    receiver.next({ status: 410 });
    await ask();
    await eventually(async () => (await standing())['state'] === 'disabled', 'it to be disabled');
    expect(await standing()).toMatchObject({ because: 'gone', waiting: 0 });
    const path = '/v1/events?type=channel.disabled';
    const { body } = await admin(cast.service).call('GET', path);
    const details = list(body['data']).map((each) => object(object(each['data'])['detail']));
    expect(details).toContainEqual({ channel: 'webhook/teams', because: 'gone' });
    const before = receiver.heard.length;
    const id = await ask();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(receiver.heard.length).toBe(before);
    const again = await connect();
    expect(again.body).toMatchObject({ state: 'enabled', secret: null });
    await hears(id, 'request.opened');
  });

  it('for days is left, which is an event, and what it was not told is on record', async () => {
    receiver.next(...Array.from({ length: 12 }, () => ({ status: 500 })));
    const id = await ask();
    await eventually(() => Promise.resolve(about(id).length > 0), 'an attempt');
    const { query } = cast.service.database.owner;
    await eventually(async () => (await standing())['failing_since'] !== null, 'a failure');
    await query.execute(sql`update channel set failing_since = now() - interval '3 days'`);
    await query.execute(sql`update notice set attempts = 9 where state = 'pending'`);
    await eventually(async () => {
      await hurry();
      return (await standing())['state'] === 'disabled';
    }, 'it to be left');
    expect((await standing())['because']).toBe('failing');
    const { body } = await admin(cast.service).call('GET', '/v1/events?type=notice.undelivered');
    const details = list(body['data']).map((each) => object(object(each['data'])['detail']));
    expect(details).toContainEqual(
      expect.objectContaining({ channel: 'webhook/teams', kind: 'opened', code: 'http_500' }),
    );
  });
});

describe('its secret', () => {
  it('is given out once, and rotated without a gap', async () => {
    const [old] = receiver.secrets;
    expect((await connect()).body['secret']).toBeNull();
    const rotated = await connect({ rotate: true });
    const fresh = text(rotated.body['secret']);
    expect(fresh).toMatch(/^whsec_/);
    expect(fresh).not.toBe(old);
    for (const secret of [old ?? '', fresh]) {
      receiver.secrets.splice(0, receiver.secrets.length, secret);
      const id = await ask('told', `refund order ${secret.slice(6, 12)}`);
      await hears(id, 'request.opened');
      expect(about(id)[0]).toMatchObject({ fault: null, signatures: 2 });
    }
  });

  it('only an administrator sets one up; an address within the network is refused', async () => {
    const url = '/v1/integrations/webhooks/teams';
    expect((await cast.owner.call('PUT', url, { url: receiver.url })).status).toBe(403);
    expect((await cast.agent.call('PUT', url, { url: receiver.url })).status).toBe(403);
    for (const inside of [
      'http://169.254.169.254/x',
      'https://10.0.0.1/',
      'https://u:p@example.com/',
    ]) {
      const reply = await admin(cast.service).call('PUT', url, { url: inside });
      expect(reply.body['code']).toBe('callback_refused');
    }
    const named = await admin(cast.service).call('PUT', '/v1/integrations/webhooks/No%20Name', {
      url: receiver.url,
    });
    expect(named.status).toBe(400);
  });
});
