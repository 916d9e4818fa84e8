// How soon Slack is answered when people click a lot, and how soon whoever asked knows. Against the product as a user
// runs it, with a Slack of our own; a measurement to look at, and other work on the machine shows in it.
import { setTimeout as sleep } from 'node:timers/promises';
import { startFakeSlack, type SlackMessage } from '../test/fakes/slack.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  newKey,
  object,
  person,
  text,
  type TestAgent,
  type TestKey,
} from '../test/support/client.ts';
import { quantile } from '../test/support/quantile.ts';
import { startSystem } from '../test/support/system.ts';

const CLICKS = Number(process.argv[2] ?? 500);
const PER_SECOND = Number(process.argv[3] ?? 50);
const DECISIONS = Number(process.argv[4] ?? 50);

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const system = await startSystem();
const slack = await startFakeSlack({ interactionsUrl: `${system.url}/slack/interactions` });
try {
  const approver = await person(system, 'Ada', ['admins', 'data-owners'], {
    slack_user_id: 'U0ADA',
  });
  const owner = await person(system, 'Olga', []);
  await admin(system).call('PUT', '/v1/integrations/slack', {
    api_url: slack.apiUrl,
    signing_secret: slack.signingSecret,
    bot_token: slack.botToken,
    channel: slack.channel,
  });
  const agent = await admittedAgent(system, owner.id, approver);
  const key = await newKey();
  say('| what | n | p50 ms | p99 ms | most ms | wanted p99 |');
  say('| ---- | - | ------ | ------ | ------- | ---------- |');
  row(`answer to a click, ${PER_SECOND} a second`, await acknowledgements(agent, key), 300);
  row('click until the requester knows', await decisions(agent, key), 500);
} finally {
  await system.remove();
  await slack.close();
}
process.exit();

function row(what: string, values: readonly number[], wanted: number): void {
  const at = (share: number): string => quantile(values, share)?.toFixed(0) ?? '';
  say(`| ${what} | ${values.length} | ${at(0.5)} | ${at(0.99)} | ${at(1)} | < ${wanted} |`);
}

interface Carded {
  id: string;
  message: SlackMessage;
}

/** A request of its own task that waits, with its card. */
async function carded(agent: TestAgent, key: TestKey, reason: string): Promise<Carded> {
  const task = await agent.call('POST', '/v1/tasks', { purpose: 'bench', ttl_seconds: 3600 });
  const { body } = await askCredential(agent, text(task.body['id']), {
    role: 'orders-write',
    seal_to: key.publicJwk,
    reason,
  });
  const id = text(object(body['request'])['id']);
  const message = await slack.messageWith(
    ({ blocks, thread }) => thread === null && JSON.stringify(blocks).includes(id),
    60_000,
  );
  return { id, message };
}

/** Clicks at an even rate by a stranger, each of them a new one: all of the work, and the card stays. */
async function acknowledgements(agent: TestAgent, key: TestKey): Promise<number[]> {
  const { message } = await carded(agent, key, 'bench clicks');
  const clicks: Promise<number>[] = [];
  for (let at = 0; at < CLICKS; at += 1) {
    const began = performance.now();
    const click = slack.click(message, 'approve', `U0STRANGER${at % 100}`);
    // One that was given up counts with the time it had.
    clicks.push(click.catch(() => null).then(() => performance.now() - began));
    await sleep(1000 / PER_SECOND);
  }
  return Promise.all(clicks);
}

/** A requester that waits, a click that approves, and the moment at which the waiting call answers. */
async function decisions(agent: TestAgent, key: TestKey): Promise<number[]> {
  const values: number[] = [];
  for (let at = 0; at < DECISIONS; at += 1) {
    const { id, message } = await carded(agent, key, `bench decision ${at}`);
    const waiting = agent.call('GET', `/v1/requests/${id}`, undefined, { prefer: 'wait=60' });
    await sleep(200);
    const began = performance.now();
    await slack.click(message, 'approve', 'U0ADA');
    await waiting;
    values.push(performance.now() - began);
  }
  return values;
}
