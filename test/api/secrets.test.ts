import { randomUUID } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { startFakeSlack, type FakeSlack } from '../fakes/slack.ts';
import { hold, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  anyone,
  askCredential,
  clientAssertion,
  newKey,
  opened,
  person,
  requestToken,
  text,
  vote,
  type Reply,
} from '../support/client.ts';
import { historiesOf, secretsIn, tablesOf } from '../support/searching.ts';

let cast: Cast;
let slack: FakeSlack;
const logged: string[] = [];
/** What callers were told when something was refused. */
const refusals: string[] = [];
/** Every secret of the story, by what it is. */
const secrets: Record<string, string> = {};

beforeAll(async () => {
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    logged.push(String(chunk));
    return true;
  });
  cast = await startCast({ env: { COUNTERSIGN_LOG: 'on' } });
  slack = await startFakeSlack({ interactionsUrl: `${cast.service.url}/slack/interactions` });
  await tellTheStory();
});
afterAll(async () => {
  await cast.close();
  await slack.close();
  vi.restoreAllMocks();
});

async function tellTheStory(): Promise<void> {
  const { service, agent, seal, approver } = cast;
  await connectSlack();
  secrets['admin token'] = service.adminToken;
  secrets['session of an approver'] = approver.cookie.replace('cs_session=', '');
  secrets['CSRF token'] = approver.csrf;
  const invited = await admin(service).call(
    'POST',
    '/v1/people',
    { name: 'Invited', roles: [], groups: [] },
    { 'idempotency-key': randomUUID() },
  );
  secrets['sign-in link'] = text(invited.body['sign_in_url']).split('/').at(-1) ?? '';
  const assertion = await clientAssertion(service, agent.id, agent.key);
  const signedIn = await requestToken(service, assertion);
  secrets['client assertion'] = assertion;
  secrets['access token'] = text(signedIn.body['access_token']);
  secrets['private key of the agent'] = agent.key.privateJwk.d ?? '';
  secrets['private key of the seal'] = seal.privateJwk.d ?? '';
  await issueEverything();
  await refuseEverything();
  const proof = await approver.call('POST', '/v1/session/trigger-proof', { agent: agent.id });
  secrets['trigger proof'] = text(proof.body['trigger_proof']);
  await startTask(agent, { triggered_by: approver.id, trigger_proof: secrets['trigger proof'] });
}

async function connectSlack(): Promise<void> {
  await admin(cast.service).call('PUT', '/v1/integrations/slack', {
    api_url: slack.apiUrl,
    signing_secret: slack.signingSecret,
    bot_token: slack.botToken,
    channel: slack.channel,
  });
  secrets['bot token'] = slack.botToken;
  secrets['signing secret'] = slack.signingSecret;
}

/** One credential of each kind: at once under a key, and held, approved, collected with another key. */
async function issueEverything(): Promise<void> {
  const { agent, seal, approver } = cast;
  const task = await startTask(agent);
  const ask = (role: string): Promise<Reply> =>
    askCredential(
      agent,
      task,
      { role, seal_to: seal.publicJwk },
      { 'idempotency-key': randomUUID() },
    );
  const jwt = await opened((await ask('reports-api')).body['sealed'], seal);
  secrets['issued JWT'] = text(jwt['token']);
  const login = await opened((await ask('orders-readonly')).body['sealed'], seal);
  secrets['password of a login'] = text(login['password']);
  const held = await hold(agent, await newKey());
  await slack.messageWith(({ blocks }) => JSON.stringify(blocks).includes(held.request));
  await vote(approver, held.request, 'approve');
  const collected = await agent.call(
    'POST',
    `/v1/requests/${held.request}/collect`,
    { seal_to: seal.publicJwk },
    { 'idempotency-key': randomUUID() },
  );
  const approved = await opened(collected.body['sealed'], seal);
  secrets['password of an approved login'] = text(approved['password']);
  await agent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: 'wait=20' });
}

/** Sends secrets to where they do not belong; what comes back must not carry them on. */
async function refuseEverything(): Promise<void> {
  const { service, owner, agent } = cast;
  const tell = async (reply: Promise<Reply>): Promise<void> => {
    const { status, text: body } = await reply;
    expect(status).toBeGreaterThanOrEqual(400);
    refusals.push(body);
  };
  const wasted = await newKey();
  secrets['private key sent by mistake'] = wasted.privateJwk.d ?? '';
  const privateJwk: JsonObject = { ...wasted.publicJwk, d: wasted.privateJwk.d ?? '' };
  const registration = {
    name: 'careless-bot',
    kind: 'service',
    owner: owner.id,
    team: 'core',
    purpose: 'support',
  };
  const asAdmin = admin(service);
  await tell(asAdmin.call('POST', '/v1/agents', { ...registration, keys: [privateJwk] }));
  const task = await startTask(agent);
  await tell(
    agent.call('POST', `/v1/tasks/${task}/credentials`, {
      role: 'reports-api',
      seal_to: privateJwk,
    }),
  );
  const as = (authorization: string) =>
    anyone(service).call('GET', '/v1/tasks', undefined, { authorization });
  await tell(as(`Bearer ${secrets['issued JWT'] ?? ''}`));
  await tell(as(`Basic ${secrets['admin token'] ?? ''}`));
  await tell(asAdmin.call('POST', '/v1/sessions', { token: secrets['admin token'] ?? '' }));
  await tell(asAdmin.call('PUT', '/v1/integrations/slack', { bot_token: slack.botToken }));
  const again = await requestToken(service, secrets['client assertion'] ?? '');
  refusals.push(again.text);
}

const foundIn = (haystack: string): string[] => secretsIn(haystack, secrets);
const everyTable = (): Promise<string> => tablesOf(cast.service);
const histories = () => historiesOf(cast.service);

describe('I5: no secret is anywhere in clear', () => {
  it('I5: not in any table', async () => {
    expect(Object.values(secrets).every((secret) => secret.length >= 16)).toBe(true);
    const dump = await everyTable();
    // Something of the story must be found, or the search proves nothing.
    expect(dump).toContain(cast.agent.id);
    expect(foundIn(dump)).toEqual([]);
  });

  it('I5: not in the histories of workflows, encrypted or not, and nothing sealed either', async () => {
    const { raw, decoded } = await histories();
    expect(raw.length).toBeGreaterThan(1_000);
    expect(decoded).toContain('req_');
    expect(raw).not.toContain('"req_');
    expect(foundIn(raw)).toEqual([]);
    expect(foundIn(decoded)).toEqual([]);
    expect(decoded).not.toContain('eyJhbGciOiJFQ0RI');
  });

  it('I5: not in logs, metrics or refusals', async () => {
    const log = logged.join('');
    expect(log).toContain('"route":"/v1/people"');
    expect(foundIn(log)).toEqual([]);
    const metrics = await anyone(cast.service).call('GET', '/metrics');
    expect(metrics.text.length).toBeGreaterThan(100);
    expect(foundIn(metrics.text)).toEqual([]);
    expect(refusals).toHaveLength(7);
    expect(foundIn(refusals.join('\n'))).toEqual([]);
  });

  it('I5: not in what Slack was sent, nor in what anybody can read back', async () => {
    const sent = JSON.stringify([slack.messages, slack.replies, slack.refused]);
    expect(slack.messages.length).toBeGreaterThan(0);
    expect(foundIn(sent)).toEqual([]);
    const read = [];
    for (const where of [
      'events?limit=500',
      'people',
      'agents',
      'tasks',
      'requests',
      'reports/lifecycle',
    ])
      read.push((await admin(cast.service).call('GET', `/v1/${where}`)).text);
    expect(foundIn(read.join('\n'))).toEqual([]);
  });

  it('I5: the keys of the installation are in files that only it can read', async () => {
    const folder = path.join(cast.service.config.state, 'keys');
    const files = await readdir(folder);
    expect(files.length).toBeGreaterThan(4);
    const dump = await everyTable();
    for (const file of files) {
      const { mode } = await stat(path.join(folder, file));
      expect(mode & 0o077).toBe(0);
      const content = (await readFile(path.join(folder, file), 'utf8')).trim();
      expect(dump).not.toContain(content.slice(30, 60));
    }
  });

  it('I5: a person who reads a credential sees no material, and is not told that there is any', async () => {
    const stranger = await person(cast.service, 'Nosy', []);
    const tasks = await cast.agent.call('GET', '/v1/tasks');
    expect(tasks.text).not.toContain('sealed');
    const requests = await stranger.call('GET', '/v1/requests');
    expect(requests.text).not.toContain('sealed');
  });
});
