import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFakeSlack, type FakeSlack, type SlackMessage } from '../fakes/slack.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  eventually,
  list,
  newKey,
  object,
  person,
  text,
  vote,
  type TestAgent,
  type TestPerson,
} from '../support/client.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
let slack: FakeSlack;
let agent: TestAgent;
let admitter: TestPerson;
let task: string;

beforeAll(async () => {
  service = await startService();
  slack = await startFakeSlack({ interactionsUrl: `${service.url}/slack/interactions` });
  admitter = await person(service, 'Ada', ['admins', 'data-owners'], { slack_user_id: 'U0ADA' });
  const owner = await person(service, 'Olga', ['engineering'], { slack_user_id: 'U0OLGA' });
  await admin(service).call('PUT', '/v1/integrations/slack', {
    api_url: slack.apiUrl,
    signing_secret: slack.signingSecret,
    bot_token: slack.botToken,
    channel: slack.channel,
  });
  agent = await admittedAgent(service, owner.id, admitter);
  const started = await agent.call('POST', '/v1/tasks', { purpose: 'support', ttl_seconds: 900 });
  task = text(started.body['id']);
});
afterAll(async () => {
  await service.close();
  await slack.close();
});

async function held(reason: string): Promise<{ id: string; message: SlackMessage }> {
  const seal = await newKey();
  const reply = await askCredential(agent, task, {
    role: 'orders-write',
    seal_to: seal.publicJwk,
    reason,
  });
  const id = text(object(reply.body['request'])['id']);
  const message = await slack.messageWith((each) => JSON.stringify(each.blocks).includes(id));
  return { id, message };
}

const stateOf = async (id: string): Promise<string> => {
  const seen = await admin(service).call('GET', `/v1/requests/${id}`);
  return text(seen.body['state']);
};

const refusals = async (id: string): Promise<string[]> => {
  const events = await admin(service).call('GET', `/v1/events?request=${id}&type=vote.refused`);
  return list(events.body['data']).map((event) =>
    text(object(object(event['data'])['detail'])['code']),
  );
};

const hasButtons = (message: SlackMessage): boolean =>
  message.blocks.some((block) => block['type'] === 'actions');

describe('a card in Slack', () => {
  it('decides on a click of a bound approver, and then says who decided and has no buttons', async () => {
    const { id, message } = await held('refund order 1');
    expect(await slack.click(message, 'approve', 'U0ADA')).toBe(200);
    await eventually(async () => ['approved', 'consumed'].includes(await stateOf(id)));
    await eventually(() => Promise.resolve(!hasButtons(message)), 'a card without buttons');
    expect(message.text).toContain('Approved by Ada');
    const cast = await admin(service).call('GET', `/v1/events?request=${id}&type=vote.cast`);
    const [vote] = list(cast.body['data']).map((event) => object(object(event['data'])['detail']));
    expect(vote).toMatchObject({ channel: 'slack', slack_binding: 'set_by_admin' });
  });

  it('takes no vote from a Slack user whom nobody bound, from an owner, or twice', async () => {
    const { id, message } = await held('refund order 2');
    expect(await slack.click(message, 'approve', 'U0STRANGER')).toBe(200);
    expect(await slack.click(message, 'approve', 'U0OLGA')).toBe(200);
    await eventually(async () => (await refusals(id)).length === 2, 'two refusals');
    expect(await stateOf(id)).toBe('pending');
    expect((await refusals(id)).toSorted()).toEqual(['human_required', 'self_approval']);
    await eventually(() => Promise.resolve(slack.replies.length >= 2), 'two ephemeral replies');
    const told = JSON.stringify(slack.replies);
    expect(told).toContain('U0STRANGER: use /countersign link');
    const events = await admin(service).call('GET', `/v1/events?request=${id}&type=vote.refused`);
    const stranger = list(events.body['data'])
      .map((event) => object(event['data']))
      .find((data) => object(data['detail'])['code'] === 'human_required');
    expect(stranger?.['human']).toBeNull();
    expect(stranger?.['actor_chain']).toEqual([{ type: 'slack', id: 'U0STRANGER' }]);
    expect(stranger?.['detail']).toMatchObject({ principal: 'slack', person: null });
    expect(await slack.deny(message, 'U0ADA')).toEqual({});
    await eventually(async () => (await stateOf(id)) === 'denied');
  });

  it('does nothing twice when Slack repeats a click', async () => {
    const { id, message } = await held('refund order 3');
    const body = slack.clickBody(message, 'approve', 'U0ADA');
    const send = async (): Promise<number> => {
      const response = await fetch(`${service.url}/slack/interactions`, {
        method: 'POST',
        headers: slack.signed(body),
        body,
      });
      return response.status;
    };
    expect(await Promise.all([send(), send(), send()])).toEqual([200, 200, 200]);
    await eventually(async () => (await stateOf(id)) !== 'pending');
    expect(await send()).toBe(200);
    expect(await refusals(id)).toEqual([]);
  });

  it('cannot be used to decide on another request than the one it shows', async () => {
    const first = await held('refund order 4');
    const second = await held('refund order 5');
    const body = slack
      .clickBody(second.message, 'approve', 'U0ADA')
      .replaceAll(second.id, first.id);
    const response = await fetch(`${service.url}/slack/interactions`, {
      method: 'POST',
      headers: slack.signed(body),
      body,
    });
    expect(response.status).toBe(200);
    await eventually(async () => (await refusals(first.id)).length > 0, 'a refusal');
    expect(await stateOf(first.id)).toBe('pending');
    expect(await refusals(first.id)).toEqual(['shown_mismatch']);
  });

  it('offers only a look at the web where it cannot show everything that would run', async () => {
    const { message } = await held(`refund ${'x'.repeat(1990)}`);
    const actions = message.blocks.find((block) => block['type'] === 'actions');
    const ids = list(actions?.['elements']).map((element) => text(element['action_id']));
    expect(ids).toEqual(['review']);
    expect(slack.refused).toEqual([]);
  });

  it('shows hidden characters and never takes the requester’s text for markup', async () => {
    const { message } = await held('pay <!channel> *now* \u202Etxt.exe');
    const shown = JSON.stringify(message.blocks);
    const marked = message.blocks
      .flatMap((block) => list(block['elements'] ?? []))
      .filter((element) => element['type'] === 'mrkdwn');
    // The only markup is a time, and holds nothing that anybody wrote.
    expect(marked.map((element) => text(element['text']))).toEqual([
      expect.stringMatching(/^Expires <!date\^\d+\^[^<>&|]+\|at [0-9T:.Z-]+>$/),
    ]);
    expect(message.text).not.toContain('<!channel>');
    expect(shown).toContain('⟨U+202E⟩');
    const actions = message.blocks.find((block) => block['type'] === 'actions');
    expect(list(actions?.['elements']).map((element) => text(element['action_id']))).toEqual([
      'review',
    ]);
  });

  it('is posted in the end when Slack asks to wait', async () => {
    slack.slowDown(2, 1);
    const { id } = await held('refund order 6');
    expect((await vote(admitter, id, 'deny')).status).toBe(201);
  });
});
