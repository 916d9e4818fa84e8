// A process that ends between putting a card up and remembering it: the card is found again, and there are no two.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seen } from '../support/cast.ts';
import { eventually, text } from '../support/client.ts';
import { carded, reaches, startSlackCast, type SlackCast } from '../support/slack.ts';

let cast: SlackCast;

beforeAll(async () => {
  cast = await startSlackCast();
});
afterAll(() => cast.close());

/** The service as it is when it was killed right after Slack took the card. */
async function forgetCard(id: string): Promise<void> {
  const { sql } = cast.service.database.owner;
  await sql`insert into slack_posting (request, recipient, at)
    select request, recipient, at from slack_message where request = ${id}`;
  await sql`delete from slack_message where request = ${id}`;
}

const ask = (id: string, question: string) =>
  cast.approver.call('POST', `/v1/requests/${id}/questions`, { to: 'agent', text: question });

const cardsOf = (id: string) =>
  cast.slack.messages.filter(
    ({ thread, blocks }) => thread === null && JSON.stringify(blocks).includes(id),
  );

const settled = (id: string): Promise<void> =>
  eventually(async () => {
    const { sql } = cast.service.database.owner;
    const rows = await sql`select 1 from slack_message where request = ${id}`;
    return rows.length > 0;
  }, 'the card to be known');

describe('a card that was put up and not remembered', () => {
  it('is found again by its name, says what is true, and its buttons count', async () => {
    cast.slack.scopes.add('channels:history');
    const { id, message } = await carded(cast);
    await settled(id);
    await forgetCard(id);
    expect((await ask(id, 'which order?')).status).toBe(201);
    await settled(id);
    // Known first, and put right then.
    await eventually(
      () => Promise.resolve(JSON.stringify(message.blocks).includes('which order?')),
      'the question on the card',
    );
    expect(cardsOf(id)).toHaveLength(1);
    expect(await cast.slack.click(message, 'approve', 'U0ADA')).toBe(200);
    await reaches(cast, id, 'approved', 'consumed');
  });

  it('what another app calls by that name is not taken for it', async () => {
    cast.slack.scopes.add('channels:history');
    const { id, message } = await carded(cast);
    await settled(id);
    message.metadata = { ...message.metadata, by: 'B0MALLORY' };
    await forgetCard(id);
    await ask(id, 'which order?');
    await settled(id);
    expect(cardsOf(id)).toHaveLength(2);
  });

  it('without the permission to look there are two, and only the one we know of counts', async () => {
    cast.slack.scopes.delete('channels:history');
    const { id, message } = await carded(cast);
    await settled(id);
    await forgetCard(id);
    await ask(id, 'which order?');
    await settled(id);
    expect(cardsOf(id)).toHaveLength(2);
    await cast.slack.click(message, 'approve', 'U0ADA');
    await eventually(
      () => Promise.resolve(JSON.stringify(message.blocks).includes('out of date')),
      'the old card to say so',
    );
    expect(text((await seen(cast.service, id))['state'])).toBe('pending');
    const [, known] = cardsOf(id).length === 2 ? cardsOf(id) : [null, cardsOf(id)[0]];
    if (!known) throw new Error('there is no card');
    await cast.slack.click(known, 'approve', 'U0ADA');
    await reaches(cast, id, 'approved', 'consumed');
  });
});
