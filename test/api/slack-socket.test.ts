// Socket Mode: what comes over a connection that we opened is worked off like what comes by HTTP, and once.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openService } from '../../cli/compose.ts';
import { startSlack } from '../../cli/slack.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { commandFields, eventPayload, submissionPayload } from '../fakes/slack-payloads.ts';
import { seen } from '../support/cast.ts';
import { eventually, object, text } from '../support/client.ts';
import { carded, reaches, refusalsOf, startSlackCast, type SlackCast } from '../support/slack.ts';

let cast: SlackCast;
/** As much of a second worker as talks to Slack. */
let second: { close: () => Promise<void> };

beforeAll(async () => {
  cast = await startSlackCast();
  const service = await openService(cast.service.config, 'worker', 4);
  const loop = await startSlack(service);
  let closing: Promise<void> | null = null;
  second = {
    close: () => (closing ??= loop.stop().then(() => service.close())),
  };
  await cast.connect({ app_token: cast.slack.appToken });
  await connections(2);
});
afterAll(async () => {
  await second.close();
  await cast.close();
});

const connections = (number: number): Promise<void> =>
  eventually(() => Promise.resolve(cast.slack.socket.open() === number), `${number} connections`);

const acknowledged = async (id: string): Promise<JsonValue> => {
  await eventually(() => Promise.resolve(cast.slack.socket.acknowledged.has(id)), 'an ack');
  return cast.slack.socket.acknowledged.get(id) ?? null;
};

const clickOn = (message: Parameters<typeof cast.slack.clickBody>[0], user: string): JsonObject =>
  object(
    JSON.parse(
      new URLSearchParams(cast.slack.clickBody(message, 'approve', user)).get('payload') ?? '',
    ) as JsonValue,
  );

describe('Socket Mode', () => {
  it('acknowledges an envelope by its id, and a click in it is a vote', async () => {
    const { id, message } = await carded(cast);
    const envelope = cast.slack.socket.send('interactive', clickOn(message, 'U0ADA'));
    expect(await acknowledged(envelope)).toBeNull();
    await reaches(cast, id, 'approved', 'consumed');
  });

  it('the same click over two connections, and by HTTP as well, is one vote', async () => {
    const { id, message } = await carded(cast);
    const body = cast.slack.clickBody(message, 'approve', 'U0ADA');
    const payload = object(JSON.parse(new URLSearchParams(body).get('payload') ?? '') as JsonValue);
    const envelopes = [0, 1].map((at) => cast.slack.socket.send('interactive', payload, at));
    const url = `${cast.service.url}/slack/interactions`;
    await fetch(url, { method: 'POST', headers: cast.slack.signed(body), body });
    for (const envelope of envelopes) await acknowledged(envelope);
    await reaches(cast, id, 'approved', 'consumed');
    expect(await refusalsOf(cast, id)).toEqual([]);
  });

  it('a stranger is a stranger here, too', async () => {
    const { id, message } = await carded(cast);
    cast.slack.socket.send('interactive', clickOn(message, 'U0STRANGER'));
    await eventually(async () => (await refusalsOf(cast, id)).length > 0, 'a refusal');
    expect(await refusalsOf(cast, id)).toEqual(['human_required']);
  });

  it('a form with something wrong in it is answered in the acknowledgement', async () => {
    const payload = submissionPayload(
      { type: 'modal', callback_id: 'deny', private_metadata: 'made up' },
      'U0ADA',
      {
        reason: { reason: { value: 'no' } },
        disposition: { disposition: { selected_option: { value: 'stop' } } },
      },
    );
    const answer = object(await acknowledged(cast.slack.socket.send('interactive', payload)));
    expect(answer['response_action']).toBe('errors');
  });

  it('commands and events come the same way', async () => {
    const said = cast.slack.replies.length;
    const replyUrl = cast.slack.apiUrl.replace('/api', '/reply/socket');
    cast.slack.socket.send('slash_commands', commandFields('help', 'U0ADA', replyUrl));
    await eventually(() => Promise.resolve(cast.slack.replies.length > said), 'an answer');
    const opened = { type: 'app_home_opened', user: 'U0ADA', tab: 'home' };
    cast.slack.socket.send('events_api', eventPayload(opened, 'Ev0SOCKET'));
    await eventually(() => Promise.resolve(cast.slack.homes.has('U0ADA')), 'a home tab');
    expect(cast.slack.refused).toEqual([]);
  });

  it('what nobody asked for is acknowledged and does nothing', async () => {
    const message = { type: 'message', text: 'approve', user: 'U0ADA' };
    const sent = [
      cast.slack.socket.send('events_api', eventPayload(message, 'Ev0WORDS')),
      cast.slack.socket.send('of_another_kind', { a: 1 }),
    ];
    for (const envelope of sent) expect(await acknowledged(envelope)).toBeNull();
  });

  it('comes again when Slack asks, and hears what is sent then', async () => {
    const before = cast.slack.socket.opened();
    cast.slack.socket.refresh();
    await eventually(
      () => Promise.resolve(cast.slack.socket.opened() >= before + 2),
      'to come again',
    );
    await connections(2);
    const { id, message } = await carded(cast);
    cast.slack.socket.send('interactive', clickOn(message, 'U0ADA'));
    await reaches(cast, id, 'approved', 'consumed');
    expect(await refusalsOf(cast, id)).toEqual([]);
  });

  it('goes on over the other connection when a worker is gone', async () => {
    await second.close();
    await connections(1);
    const { id, message } = await carded(cast);
    cast.slack.socket.send('interactive', clickOn(message, 'U0ADA'));
    await reaches(cast, id, 'approved', 'consumed');
    expect(await refusalsOf(cast, id)).toEqual([]);
  });

  it('hangs up when the app token is taken away', async () => {
    await cast.connect();
    await connections(0);
    const { id } = await carded(cast);
    expect(text((await seen(cast.service, id))['state'])).toBe('pending');
  });
});
