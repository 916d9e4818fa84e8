// Cards in Slack over their whole life: where they go, what each of them says, and how a denial is explained.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SlackMessage } from '../fakes/slack.ts';
import { changePolicy, detailsOf, hold, seen } from '../support/cast.ts';
import {
  admin,
  eventually,
  object,
  person,
  text,
  vote,
  type TestPerson,
} from '../support/client.ts';
import {
  buttonsOf,
  carded,
  cardIn,
  reaches,
  refusalsOf,
  startSlackCast,
  threadOf,
  type Carded,
  type SlackCast,
} from '../support/slack.ts';

let cast: SlackCast;
let dana: TestPerson;

beforeAll(async () => {
  cast = await startSlackCast();
  dana = await person(cast.service, 'Dana', ['data-owners'], { slack_user_id: 'U0DANA' });
});
afterAll(() => cast.close());

const says = (message: SlackMessage, words: string): Promise<void> =>
  eventually(
    () => Promise.resolve(JSON.stringify(message.blocks).includes(words)),
    `the card to say "${words}"`,
  );

/** The form that a click on Deny opens. */
async function formOf(message: SlackMessage, user: string) {
  const before = cast.slack.views.length;
  expect(await cast.slack.click(message, 'deny', user)).toBe(200);
  await eventually(() => Promise.resolve(cast.slack.views.length > before), 'a form');
  return cast.slack.views[before] ?? {};
}

describe('a denial', () => {
  it('asks why in a form, and what was written reaches whoever asked', async () => {
    const { id, message } = await carded(cast);
    expect(await cast.slack.deny(message, 'U0ADA', 'the ticket is closed', 'revise')).toEqual({});
    await reaches(cast, id, 'denied');
    const row = await seen(cast.service, id);
    expect(row['denial']).toMatchObject({ reason: 'the ticket is closed', disposition: 'revise' });
    await says(message, 'Denied by Ada');
    expect(buttonsOf(message)).toEqual([]);
    await eventually(() => Promise.resolve(threadOf(cast, message).length > 0), 'a thread');
    expect(threadOf(cast, message)).toEqual(['Ada denied (slack): the ticket is closed']);
  });

  it('nothing happens while the form is open, and nothing if it is closed', async () => {
    const { id, message } = await carded(cast);
    await formOf(message, 'U0ADA');
    expect(text((await seen(cast.service, id))['state'])).toBe('pending');
    expect(buttonsOf(message)).toEqual(['approve', 'narrow', 'deny', 'review']);
  });

  it('a form belongs to the one for whom it was opened', async () => {
    const { id, message } = await carded(cast);
    const view = await formOf(message, 'U0ADA');
    const answer = await cast.slack.submit(view, 'U0DANA', 'not mine');
    expect(answer['response_action']).toBe('errors');
    expect(text((await seen(cast.service, id))['state'])).toBe('pending');
    expect(await refusalsOf(cast, id)).toEqual([]);
  });

  it('what a form carries is no authority: another name is no form', async () => {
    const { id } = await carded(cast);
    const { message } = await carded(cast);
    const view = await formOf(message, 'U0ADA');
    for (const forged of [id, '', 'x'.repeat(32), JSON.stringify({ request: id })]) {
      const answer = await cast.slack.submit({ ...view, private_metadata: forged }, 'U0ADA', 'no');
      expect(answer['response_action']).toBe('errors');
    }
    expect(text((await seen(cast.service, id))['state'])).toBe('pending');
  });

  it('says in the form what is wrong with a reason; what comes too late is refused as at every other door', async () => {
    const { id, message } = await carded(cast);
    const view = await formOf(message, 'U0ADA');
    const long = await cast.slack.submit(view, 'U0ADA', 'x'.repeat(2001));
    expect(text(object(long['errors'])['reason'])).toContain('At most 2000 characters');
    const unkept = await cast.slack.submit(view, 'U0ADA', 'a\u0000b');
    expect(unkept['response_action'] ?? 'refused').not.toBe('clear');
    expect(text((await seen(cast.service, id))['state'])).toBe('pending');
    expect((await vote(dana, id, 'approve')).status).toBe(201);
    await reaches(cast, id, 'approved', 'consumed');
    const before = cast.slack.replies.length;
    expect(await cast.slack.submit(view, 'U0ADA', 'no')).toEqual({});
    await eventually(async () => (await refusalsOf(cast, id)).length > 0, 'a refusal');
    expect(await refusalsOf(cast, id)).toEqual(['already_decided']);
    await eventually(() => Promise.resolve(cast.slack.replies.length > before), 'a reply');
    expect(cast.slack.replies.at(-1)).toMatch(/^Nothing changed: .*already approved by/);
  });

  it('of somebody who may not decide is refused, and says so to them alone', async () => {
    const { id, message } = await carded(cast);
    const before = cast.slack.replies.length;
    await cast.slack.deny(message, 'U0OLGA', 'I own it');
    await eventually(async () => (await refusalsOf(cast, id)).length > 0, 'a refusal');
    expect(await refusalsOf(cast, id)).toEqual(['self_approval']);
    await eventually(() => Promise.resolve(cast.slack.replies.length > before), 'a reply');
    expect(cast.slack.replies.at(-1)).toContain('Nothing changed: You asked for this');
    expect(text((await seen(cast.service, id))['state'])).toBe('pending');
  });

  it('by a stranger gets no form, and is refused at once', async () => {
    const { id, message } = await carded(cast);
    const before = cast.slack.views.length;
    await cast.slack.click(message, 'deny', 'U0STRANGER');
    await eventually(async () => (await refusalsOf(cast, id)).length > 0, 'a refusal');
    expect(cast.slack.views.length).toBe(before);
  });
});

describe('a click that changes nothing', () => {
  it('too late is told who was faster, and its card is true', async () => {
    const { id, message } = await carded(cast);
    const body = cast.slack.clickBody(message, 'approve', 'U0DANA');
    expect((await vote(cast.approver, id, 'deny')).status).toBe(201);
    const before = cast.slack.replies.length;
    const url = `${cast.service.url}/slack/interactions`;
    await fetch(url, { method: 'POST', headers: cast.slack.signed(body), body });
    await eventually(() => Promise.resolve(cast.slack.replies.length > before), 'a reply');
    expect(cast.slack.replies.at(-1)).toContain('already denied');
    expect(await refusalsOf(cast, id)).toEqual(['already_decided']);
    await says(message, 'Denied by Ada');
  });
});

describe('a card that we do not remember putting up', () => {
  it('decides nothing, and loses its buttons at the first click', async () => {
    const { id, message } = await carded(cast);
    // As a crash leaves it between the posting and the note of it.
    await cast.service.database.owner.sql`delete from slack_message where request = ${id}`;
    await cast.slack.click(message, 'approve', 'U0ADA');
    await says(message, 'out of date');
    expect(buttonsOf(message)).toEqual([]);
    expect(await refusalsOf(cast, id)).toEqual(['shown_mismatch']);
    expect(text((await seen(cast.service, id))['state'])).toBe('pending');
  });
});

describe('what the policy calls risky', () => {
  let ordinary: Carded;
  beforeAll(async () => {
    ordinary = await carded(cast);
    await risk('critical');
  });
  afterAll(() => risk('medium'));

  it('looks different, says so in its header, and is decided on the web', async () => {
    const { request: id } = await hold(cast.agent, cast.seal);
    const message = await cardIn(cast, id, cast.slack.channel);
    const [header, second] = message.blocks;
    expect(text(object(header?.['text'])['text'])).toMatch(/^⚠ CRITICAL RISK · /);
    expect(second?.['type']).toBe('divider');
    expect(message.blocks.map(({ type }) => type)).not.toEqual(
      ordinary.message.blocks.map(({ type }) => type),
    );
    expect(buttonsOf(message)).toEqual(['review']);
    // A click that was made up for it counts as little.
    const forged = cast.slack
      .clickBody(ordinary.message, 'approve', 'U0DANA')
      .replaceAll(ordinary.message.ts, message.ts)
      .replaceAll(ordinary.id, id);
    const url = `${cast.service.url}/slack/interactions`;
    await fetch(url, { method: 'POST', headers: cast.slack.signed(forged), body: forged });
    await eventually(async () => (await refusalsOf(cast, id)).length > 0, 'a refusal');
    expect(await refusalsOf(cast, id)).toEqual(['shown_mismatch']);
    expect((await vote(dana, id, 'deny')).status).toBe(201);
  });
});

const risk = async (now: string): Promise<void> => {
  await changePolicy(cast.service, cast.approver, (files) => ({
    ...files,
    'main.cedar': (files['main.cedar'] ?? '').replace(
      /(@approval\("orders-write"\)\n@risk\(")\w+/,
      `$1${now}`,
    ),
  }));
};

describe('many places', () => {
  beforeAll(async () => {
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'routes.yaml': (files['routes.yaml'] ?? '').replace(
        '  groups: [data-owners]\n  quorum: 1',
        '  groups: [data-owners]\n  quorum: 2\n  slack: { channels: [C0SECURITY, C0DATA], approvers: true }',
      ),
    }));
  });

  it('a card goes to each channel of the route and to each approver, and to nobody else', async () => {
    const { request: id } = await hold(cast.agent, cast.seal);
    for (const channel of ['C0SECURITY', 'C0DATA', 'D0ADA', 'D0DANA'])
      await cardIn(cast, id, channel);
    await expect(
      cast.slack.messageWith(
        ({ channel, blocks }) =>
          [cast.slack.channel, 'D0OLGA'].includes(channel) && JSON.stringify(blocks).includes(id),
        500,
      ),
    ).rejects.toThrow('no such message');
  });

  it('every one of them says after each vote how many there are, and ends without buttons', async () => {
    const { request: id } = await hold(cast.agent, cast.seal);
    const places = ['C0SECURITY', 'C0DATA', 'D0ADA', 'D0DANA'];
    const cards = await Promise.all(places.map((channel) => cardIn(cast, id, channel)));
    for (const card of cards) await says(card, '0 of 2 for orders-write');
    await cast.slack.click(cards[2] ?? fail(), 'approve', 'U0ADA');
    for (const card of cards) await says(card, '1 of 2 for orders-write');
    for (const card of cards) expect(buttonsOf(card)).toContain('approve');
    expect((await vote(dana, id, 'approve')).status).toBe(201);
    for (const card of cards) await says(card, 'Approved by Ada, Dana');
    for (const card of cards) {
      expect(buttonsOf(card)).toEqual([]);
      await eventually(() => Promise.resolve(threadOf(cast, card).length === 2), 'two entries');
      expect(threadOf(cast, card)).toEqual(['Ada approved (slack)', 'Dana approved (api)']);
    }
    // One human, two cards: the second click is no second vote.
    expect(await detailsOf(cast.service, id, 'vote.cast')).toHaveLength(2);
  });

  it('a place that is gone keeps no other one waiting', async () => {
    const { request: id } = await hold(cast.agent, cast.seal);
    const places = ['C0SECURITY', 'D0ADA'];
    const [gone, stays] = await Promise.all(places.map((channel) => cardIn(cast, id, channel)));
    cast.slack.messages.splice(cast.slack.messages.indexOf(gone ?? fail()), 1);
    expect((await vote(dana, id, 'deny')).status).toBe(201);
    await says(stays ?? fail(), 'Denied by Dana');
  });

  it('two clicks of one human on two cards are one vote', async () => {
    const { request: id } = await hold(cast.agent, cast.seal);
    const cards = await Promise.all(['D0ADA', 'C0DATA'].map((at) => cardIn(cast, id, at)));
    await Promise.all(cards.map((card) => cast.slack.click(card, 'approve', 'U0ADA')));
    await eventually(async () => (await refusalsOf(cast, id)).length > 0, 'a refusal');
    expect(await refusalsOf(cast, id)).toEqual(['already_voted']);
    expect(text((await seen(cast.service, id))['state'])).toBe('pending');
  });
});

const fail = (): never => {
  throw new Error('there is no such card');
};

describe('those for whom it was asked', () => {
  it('are told in the end, and once', async () => {
    const { request: id } = await hold(cast.agent, cast.seal);
    expect((await vote(dana, id, 'deny', { reason: 'no' })).status).toBe(201);
    const told = await cast.slack.messageWith(
      ({ channel, text: said }) => channel === 'D0OLGA' && said.includes(id),
    );
    expect(told.text).toContain('Denied by Dana');
    expect(
      cast.slack.messages.filter(
        ({ channel, text: said }) => channel === 'D0OLGA' && said.includes(id),
      ),
    ).toHaveLength(1);
  });
});

describe('message and state', () => {
  it('agree again by themselves after a Slack that took nothing for a while', async () => {
    const { request: id } = await hold(cast.agent, cast.seal);
    const card = await cardIn(cast, id, 'C0DATA');
    const { sql } = cast.service.database.owner;
    // As a refresh leaves it that was given up: decided long ago, and the card does not know.
    await vote(dana, id, 'deny');
    await says(card, 'Denied by Dana');
    card.blocks = [{ type: 'actions', elements: [{ type: 'button', action_id: 'approve' }] }];
    await sql`update slack_message set face = 'sha256:old', says = 'pending', is_final = false,
      at = now() - interval '1 minute' where request = ${id} and purpose = 'card'`;
    await says(card, 'Denied by Dana');
    expect(buttonsOf(card)).toEqual([]);
  });

  it('wait as long as Slack asks, and no vote is lost meanwhile', async () => {
    const { request: id } = await hold(cast.agent, cast.seal);
    const card = await cardIn(cast, id, 'C0DATA');
    cast.slack.slowDown(3, 1);
    await cast.slack.click(card, 'approve', 'U0ADA');
    await says(card, '1 of 2 for orders-write');
    const events = await admin(cast.service).call('GET', `/v1/events?request=${id}&type=vote.cast`);
    expect(events.status).toBe(200);
  });
});
