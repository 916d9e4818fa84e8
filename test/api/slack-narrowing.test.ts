// Approving less from Slack: the same limits as on the web, taken at the same door, and shown on every card from then on.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { changePolicy, detailsOf, hold, seen } from '../support/cast.ts';
import { eventually, object, person, text, vote, type TestPerson } from '../support/client.ts';
import { withRoles } from '../support/policies.ts';
import {
  buttonsOf,
  carded,
  cardIn,
  reaches,
  refusalsOf,
  startSlackCast,
  type SlackCast,
} from '../support/slack.ts';

let cast: SlackCast;
let dana: TestPerson;

beforeAll(async () => {
  cast = await startSlackCast();
  dana = await person(cast.service, 'Dana', ['data-owners'], { slack_user_id: 'U0DANA' });
  await changePolicy(cast.service, cast.approver, (files) =>
    withRoles(files, [
      { name: 'pair', routes: { pair: '  groups: [data-owners]\n  quorum: 2\n' } },
    ]),
  );
});
afterAll(() => cast.close());

/** A request with a card, and the form to approve less of it. */
async function asked(role?: string) {
  const { request: id } = await hold(cast.agent, cast.seal, {
    ttl_seconds: 900,
    ...(role !== undefined && { role }),
  });
  const message = await cardIn(cast, id, cast.slack.channel);
  return { id, message, view: await cast.slack.formOf(message, 'narrow', 'U0ADA') };
}

describe('approving less in Slack', () => {
  it('leaves what the form said: that is approved, and its digest is another', async () => {
    const { id, view } = await asked();
    const before = text((await seen(cast.service, id))['digest']);
    const answer = await cast.slack.fill(view, 'U0ADA', { ttl_seconds: '120', reason: 'enough' });
    expect(answer).toEqual({});
    await reaches(cast, id, 'approved', 'consumed');
    const narrowed = object((await seen(cast.service, id))['narrowed']);
    expect(object(object(narrowed['action'])['parameters'])['ttl_seconds']).toBe(120);
    expect(narrowed['digest']).not.toBe(before);
    const [cast1] = await detailsOf(cast.service, id, 'vote.cast');
    expect(cast1).toMatchObject({ channel: 'slack', narrows: true, within_shown: true });
  });

  it('with a quorum the card shows what is left, and a vote on what it was is refused', async () => {
    const { id, message, view } = await asked('pair');
    const stale = cast.slack.clickBody(message, 'approve', 'U0DANA');
    expect(await cast.slack.fill(view, 'U0ADA', { ttl_seconds: '60' })).toEqual({});
    const says = JSON.stringify('Asked for ttl_seconds: 900');
    await eventually(() => Promise.resolve(JSON.stringify(message.blocks).includes(says)), 'less');
    const url = `${cast.service.url}/slack/interactions`;
    await fetch(url, { method: 'POST', headers: cast.slack.signed(stale), body: stale });
    await eventually(async () => (await refusalsOf(cast, id)).length > 0, 'a refusal');
    expect(await refusalsOf(cast, id)).toEqual(['shown_mismatch']);
    expect(await cast.slack.click(message, 'approve', 'U0DANA')).toBe(200);
    await reaches(cast, id, 'approved', 'consumed');
    const { narrowed } = await seen(cast.service, id);
    expect(object(object(object(narrowed)['action'])['parameters'])['ttl_seconds']).toBe(60);
  });

  it('says in the form, at its field, what is no limit; nothing is decided by that', async () => {
    const { id, view } = await asked();
    for (const [fields, block, words] of [
      [{ ttl_seconds: '901' }, 'ttl_seconds', 'is 900 now, and can only become less'],
      [{ ttl_seconds: '0' }, 'ttl_seconds', 'at least 1'],
      [{ ttl_seconds: '1e9999' }, 'ttl_seconds', 'at least 1'],
      [{ valid_seconds: 'soon' }, 'valid_seconds', 'at least 10'],
      [{}, 'valid_seconds', 'leaves all of it'],
      [{ ttl_seconds: '60', reason: 'x'.repeat(2001) }, 'reason', 'At most 2000'],
    ] as const) {
      const answer = await cast.slack.fill(view, 'U0ADA', fields);
      expect(answer['response_action']).toBe('errors');
      expect(text(object(answer['errors'])[block])).toContain(words);
    }
    expect(text((await seen(cast.service, id))['state'])).toBe('pending');
    expect(await detailsOf(cast.service, id, 'vote.cast')).toEqual([]);
  });

  it('a form from before somebody took something away is refused in the form', async () => {
    const { id, view } = await asked('pair');
    expect((await vote(dana, id, 'approve', { narrow: { ttl_seconds: 300 } })).status).toBe(201);
    const answer = await cast.slack.fill(view, 'U0ADA', { ttl_seconds: '600' });
    expect(text(object(answer['errors'])['reason'])).toContain('This changed since you opened');
    expect(text((await seen(cast.service, id))['state'])).toBe('pending');
  });

  it('a form belongs to the one for whom it was opened', async () => {
    const { id, view } = await asked();
    const answer = await cast.slack.fill(view, 'U0DANA', { ttl_seconds: '60' });
    expect(answer['response_action']).toBe('errors');
    expect(await detailsOf(cast.service, id, 'vote.cast')).toEqual([]);
  });

  it('somebody who may not decide approves no less either, and hears why', async () => {
    const { id, message } = await asked();
    const view = await cast.slack.formOf(message, 'narrow', 'U0OLGA');
    const before = cast.slack.replies.length;
    expect(await cast.slack.fill(view, 'U0OLGA', { ttl_seconds: '60' })).toEqual({});
    await eventually(() => Promise.resolve(cast.slack.replies.length > before), 'a reply');
    expect(await refusalsOf(cast, id)).toEqual(['self_approval']);
    expect(text((await seen(cast.service, id))['state'])).toBe('pending');
  });

  it('by a stranger gets no form, and is refused at once', async () => {
    const { id, message } = await asked();
    const before = cast.slack.views.length;
    await cast.slack.click(message, 'narrow', 'U0STRANGER');
    await eventually(async () => (await refusalsOf(cast, id)).length > 0, 'a refusal');
    expect(cast.slack.views.length).toBe(before);
  });

  it('a form that comes twice is one vote', async () => {
    const { id, view } = await asked('pair');
    await cast.slack.fill(view, 'U0ADA', { ttl_seconds: '60' });
    await eventually(
      async () => (await detailsOf(cast.service, id, 'vote.cast')).length > 0,
      'a vote',
    );
    await cast.slack.fill(view, 'U0ADA', { ttl_seconds: '60' });
    expect(await detailsOf(cast.service, id, 'vote.cast')).toHaveLength(1);
  });

  it('Slack took every form that was opened', () => {
    expect(cast.slack.refused).toEqual([]);
  });

  it('a card that is not decided here offers no less either', async () => {
    const { message } = await carded(cast, 'p\u0430ypal');
    expect(buttonsOf(message)).toEqual(['review']);
  });
});
