// A service that is connected to a fake Slack, and what tests ask of the two.
import { startFakeSlack, type FakeSlack, type SlackMessage } from '../fakes/slack.ts';
import { hold, seen, startCast, type Cast } from './cast.ts';
import { admin, eventually, list, object, text } from './client.ts';
import type { TestServiceOptions } from './service.ts';

export interface SlackCast extends Cast {
  slack: FakeSlack;
  /** Connects Slack anew, with other settings. */
  connect(more?: Record<string, string | boolean>): Promise<void>;
}

/** The approver is U0ADA in Slack, the owner U0OLGA. */
export async function startSlackCast(options: TestServiceOptions = {}): Promise<SlackCast> {
  const cast = await startCast(options);
  const { service } = cast;
  const slack = await startFakeSlack({ interactionsUrl: `${service.url}/slack/interactions` });
  const connect = async (more: Record<string, string | boolean> = {}): Promise<void> => {
    await admin(service).call('PUT', '/v1/integrations/slack', {
      api_url: slack.apiUrl,
      signing_secret: slack.signingSecret,
      bot_token: slack.botToken,
      channel: slack.channel,
      ...more,
    });
  };
  for (const [who, user] of [
    [cast.approver, 'U0ADA'],
    [cast.owner, 'U0OLGA'],
  ] as const)
    await admin(service).call('PATCH', `/v1/people/${who.id}`, { slack_user_id: user });
  await connect();
  return {
    ...cast,
    slack,
    connect,
    close: async () => {
      await cast.close();
      await slack.close();
    },
  };
}

export interface Carded {
  id: string;
  message: SlackMessage;
}

/** A request that waits, and its card in the usual channel. */
export async function carded(cast: SlackCast, reason?: string): Promise<Carded> {
  const { request: id } = await hold(cast.agent, cast.seal, reason === undefined ? {} : { reason });
  return { id, message: await cardIn(cast, id, cast.slack.channel) };
}

/** The card of a request in one channel. */
export const cardIn = (cast: SlackCast, id: string, channel: string): Promise<SlackMessage> =>
  cast.slack.messageWith(
    (each) =>
      each.channel === channel && each.thread === null && JSON.stringify(each.blocks).includes(id),
  );

/** Waits until a request is in this state. */
export const reaches = (cast: SlackCast, id: string, ...states: string[]): Promise<void> =>
  eventually(
    async () => states.includes(text((await seen(cast.service, id))['state'])),
    `the request to be ${states.join(' or ')}`,
  );

/** The codes with which votes on a request were refused. */
export async function refusalsOf(cast: SlackCast, id: string): Promise<string[]> {
  const path = `/v1/events?request=${id}&type=vote.refused`;
  const events = await admin(cast.service).call('GET', path);
  return list(events.body['data']).map((event) =>
    text(object(object(event['data'])['detail'])['code']),
  );
}

/** The ids of the buttons that a message has. */
export const buttonsOf = (message: SlackMessage): string[] =>
  message.blocks
    .filter((block) => block['type'] === 'actions')
    .flatMap((block) => list(block['elements']))
    .map((element) => text(element['action_id']));

/** What is said in the thread of a message. */
export const threadOf = ({ slack }: SlackCast, message: SlackMessage): string[] =>
  slack.messages.filter(({ thread }) => thread === message.ts).map((each) => each.text);
