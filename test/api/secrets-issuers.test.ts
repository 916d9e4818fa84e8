// The secrets of every issuer there is: what it is given, what it makes and what it presents are looked for wherever
// anything is kept, said or sent, while they are out.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { FakeAws } from '../fakes/aws.ts';
import { startFakeSlack, type FakeSlack } from '../fakes/slack.ts';
import { activateAccess } from '../support/access.ts';
import { startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  anyone,
  askCredential,
  eventually,
  list,
  object,
  opened,
  text,
  vote,
  type Reply,
} from '../support/client.ts';
import {
  accessToAll,
  REFUSED_NAMES,
  ROLE_NAMES,
  startAccount,
  startEveryKind,
  type EveryKind,
} from '../support/every-kind.ts';
import { historiesOf, secretsIn, tablesOf } from '../support/searching.ts';

let cast: Cast;
let every: EveryKind;
let aws: FakeAws;
let slack: FakeSlack;
const logged: string[] = [];
/** What callers were told that is no credential: refusals, requests, what administrators read. */
const told: string[] = [];
/** Every secret of the story, by what it is. */
const secrets: Record<string, string> = {
  'stored secret': `stored-${randomBytes(16).toString('hex')}`,
  'stored secret before it was replaced': `older-${randomBytes(16).toString('hex')}`,
};
/** Leases by role, as they were when their secrets were out. */
const leases: Record<string, string> = {};
/** What nobody else may see in the material of any kind. */
const SECRET_MEMBERS = [
  ...['password', 'token', 'access_token', 'secret_access_key', 'session_token', 'private_key'],
  'value',
];
/** What only the other side could let live longer. */
const NOT_RENEWED = ['cloud', 'code', 'cluster', 'upstream', 'legacy'];
/** A trace is known by its id; what else a caller sends along with it is nobody's to keep. */
const TRACE = '0af7651916cd43dd8448eb211c80319c';

beforeAll(async () => {
  vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    logged.push(String(chunk));
    return true;
  });
  every = await startEveryKind();
  cast = await startCast({ env: { COUNTERSIGN_LOG: 'on', ...every.env } });
  aws = await startAccount(cast);
  slack = await startFakeSlack({ interactionsUrl: `${cast.service.url}/slack/interactions` });
  Object.assign(secrets, every.secrets, {
    'password of ours at the sample': new URL(cast.service.sample.target).password,
  });
  await admin(cast.service).call('PUT', '/v1/integrations/slack', {
    api_url: slack.apiUrl,
    signing_secret: slack.signingSecret,
    bot_token: slack.botToken,
    channel: slack.channel,
  });
  await activateAccess(cast, accessToAll(every, aws));
  await tellTheStory();
}, 180_000);
afterAll(async () => {
  await cast.close();
  for (const each of [aws, slack, every]) await each.close();
  vi.restoreAllMocks();
});

/** A stored secret that was replaced, two credentials of each kind, and a refusal of every target that says no. */
async function tellTheStory(): Promise<void> {
  const put = (value: string) =>
    admin(cast.service).call(
      'PUT',
      '/v1/static-secrets/legacy-api',
      { value },
      { 'idempotency-key': randomBytes(8).toString('hex') },
    );
  told.push((await put(secrets['stored secret before it was replaced'] ?? '')).text);
  told.push((await put(secrets['stored secret'] ?? '')).text);
  const task = await startTask(cast.agent);
  for (const role of ROLE_NAMES) await keep(role, await ask(task, role));
  for (const role of ROLE_NAMES.map((name) => `${name}-held`))
    await keep(role, await collected(await ask(task, role)));
  told.push((await admin(cast.service).call('GET', `/v1/tasks/${task}/credentials`)).text);
  await beRefused();
}

const ask = (task: string, role: string): Promise<Reply> =>
  askCredential(
    cast.agent,
    task,
    { role, seal_to: cast.seal.publicJwk, reason: `read for ${role}` },
    {
      'idempotency-key': `${task}-${role}`,
      // What a careless caller may send along.
      traceparent: `00-${TRACE}-b7ad6b7169203331-01`,
      baggage: `key=${secrets['stored secret'] ?? ''}`,
      tracestate: `vendor=${secrets['stored secret'] ?? ''}`,
    },
  );

/** Has people agree to what was held, and collects it. */
async function collected(held: Reply): Promise<Reply> {
  told.push(held.text);
  const request = text(object(held.body['request'])['id']);
  // Its card is there first: what is decided before is never posted.
  await slack.messageWith(({ blocks }) => JSON.stringify(blocks).includes(request), 30_000);
  await vote(cast.approver, request, 'approve');
  const path = `/v1/requests/${request}`;
  await eventually(async () => {
    const seen = await cast.agent.call('GET', path);
    told.push(seen.text);
    return seen.body['collectable'] === true;
  }, `what came of ${request}`);
  return cast.agent.call('POST', `${path}/collect`, {});
}

async function keep(role: string, reply: Reply): Promise<void> {
  expect([role, reply.status]).toEqual([role, 201]);
  leases[role] = text(reply.body['id']);
  const material = await opened(reply.body['sealed'], cast.seal);
  const found = SECRET_MEMBERS.filter((member) => text(material[member]) !== '');
  expect([role, found.length > 0]).toEqual([role, true]);
  // A key in PEM would be spelt in another way wherever it is kept; one line of it is not.
  for (const member of found) {
    const [first = '', second] = text(material[member]).split('\n');
    secrets[`${role}: ${member}`] = second ?? first;
  }
}

async function beRefused(): Promise<void> {
  const { github, kubernetes } = every;
  const task = await startTask(cast.agent);
  // Targets that put our own secrets into their answers.
  for (const { instead } of [github, kubernetes])
    instead.push({
      status: 500,
      body: JSON.stringify({ message: github.privateKey, reason: kubernetes.token }),
    });
  for (const role of ['code', 'cluster', ...REFUSED_NAMES]) {
    const body = { role, seal_to: cast.seal.publicJwk };
    const refused = await cast.agent.call('POST', `/v1/tasks/${task}/credentials`, body);
    expect([role, refused.body['code']]).toEqual([role, 'target_unavailable']);
    told.push(refused.text);
  }
}

describe('I5: the secrets of issuers are nowhere in clear while they are out', () => {
  it('I5: not in any table: handles that ending them takes are sealed as well', async () => {
    const kinds = ROLE_NAMES.map((name) =>
      Object.keys(secrets).filter((key) => key.startsWith(name)),
    );
    expect(kinds.every((found) => found.length >= 2)).toBe(true);
    expect(Object.values(secrets).every((secret) => secret.length >= 15)).toBe(true);
    const { sql } = cast.service.database.owner;
    const kept = await sql<{ role: string }[]>`
      select role from credential where handles is not null and state = 'active'`;
    const withHandles = ['cloud', 'cluster', 'code', 'upstream'];
    expect(kept.map(({ role }) => role).toSorted()).toEqual(
      withHandles.flatMap((role) => [role, `${role}-held`]),
    );
    const [kindsOut] = await sql<{ count: string }[]>`
      select count(distinct issuer) from credential where state = 'active'`;
    expect(kindsOut?.count).toBe('10');
    const dump = await tablesOf(cast.service);
    expect(dump).toContain(leases['code'] ?? 'none');
    expect(secretsIn(dump, secrets)).toEqual([]);
  });

  it('I5: not in the histories of workflows', async () => {
    const { raw, decoded } = await historiesOf(cast.service);
    expect(decoded).toContain('tsk_');
    expect(secretsIn(raw, secrets)).toEqual([]);
    expect(secretsIn(decoded, secrets)).toEqual([]);
  });

  it('I5: not in logs, answers, refusals, traces or events', async () => {
    const events = await admin(cast.service).call('GET', '/v1/events?limit=500');
    const stored = await admin(cast.service).call('GET', '/v1/static-secrets/legacy-api/custody');
    const metrics = await anyone(cast.service).call('GET', '/metrics');
    const log = logged.join('');
    expect(log).toContain('/v1/static-secrets/:name');
    expect(events.text).toContain(TRACE);
    expect(told.join('').match(/"code":"target_unavailable"/g)?.length).toBe(
      2 + REFUSED_NAMES.length,
    );
    for (const each of [log, told.join(''), events.text, stored.text, metrics.text])
      expect(secretsIn(each, secrets)).toEqual([]);
  });

  it('I5: not in anything that Slack was ever sent', () => {
    const received = slack.received.join('\n');
    for (const role of ROLE_NAMES) expect(received).toContain(`read for ${role}-held`);
    expect(secretsIn(received, secrets)).toEqual([]);
  });
});

describe('renewing what only the other side could let live longer', () => {
  it.each(NOT_RENEWED)(
    'is refused for %s, with what to do instead, and changes nothing',
    async (role) => {
      const path = `/v1/credentials/${leases[role] ?? ''}`;
      const before = await cast.agent.call('GET', path);
      const refused = await cast.agent.call('POST', `${path}/renew`, { ttl_seconds: 3600 });
      expect([refused.status, refused.body['code']]).toEqual([409, 'not_renewable']);
      expect(refused.body['detail']).toContain('ask for a new credential');
      expect((await cast.agent.call('GET', path)).text).toBe(before.text);
    },
  );
});

describe('I3: the end of a task ends what was got from others', () => {
  it('I3: each is dead where it came from, its handle forgotten, and what cannot be seen is not claimed', async () => {
    const { agent, service } = cast;
    const task = text(
      (await agent.call('GET', `/v1/credentials/${leases['code'] ?? ''}`)).body['task'],
    );
    const session = aws.sessions.find(({ name }) => name === leases['cloud'])?.token ?? '';
    expect(aws.call(session, 's3:GetObject', 'arn:aws:s3:::x')).toBe('ok');
    expect(await every.kubernetes.takes(secrets['cluster: token'] ?? '')).toBe(true);
    await agent.call('POST', `/v1/tasks/${task}/complete`, {});
    await eventually(
      async () => (await agent.call('GET', `/v1/tasks/${task}`)).body['state'] === 'completed',
      'the end of the task',
    );
    expect(aws.call(session, 's3:GetObject', 'arn:aws:s3:::x')).toBe('AccessDenied');
    expect(await every.kubernetes.takes(secrets['cluster: token'] ?? '')).toBe(false);
    expect(every.github.tokens.has(secrets['code: token'] ?? '')).toBe(false);
    const { sql } = service.database.owner;
    const [kept] = await sql<{ count: string }[]>`
      select count(*) from credential where handles is not null and task = ${task}`;
    expect(kept?.count).toBe('0');
    const events = await admin(service).call(
      'GET',
      `/v1/events?type=credential.revoked&task=${task}&limit=100`,
    );
    const seen = list(events.body['data']).map((event) => object(object(event['data'])['detail']));
    const goneOf = (role: string) =>
      seen.find(({ credential }) => credential === leases[role])?.['seen_gone'];
    const unseen = Object.keys(leases).filter((role) => goneOf(role) !== true);
    expect(unseen).toEqual(['legacy', 'legacy-held']);
    expect(unseen.map(goneOf)).toEqual([false, false]);
  });
});
