// Ways in which an approval has had nothing to do with what ran, each by the number it has in our catalogue of
// defects. D17, an effect that no approval led to, is told from the log: test/domain/verdict.test.ts.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openService, type Service } from '../../cli/compose.ts';
import { fulfilRequest } from '../../commands/approvals/fulfil.ts';
import { cancelRequest, expireRequest } from '../../commands/approvals/request-ends.ts';
import { transact, type Call } from '../../commands/unit.ts';
import type { JsonObject } from '../../domain/json.ts';
import { startFakeSlack, type FakeSlack } from '../fakes/slack.ts';
import {
  changePolicy,
  detailsOf,
  hold,
  seen,
  startCast,
  startTask,
  type Cast,
} from '../support/cast.ts';
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
} from '../support/client.ts';
import { opensDoor } from '../support/leases.ts';

let cast: Cast;
let slack: FakeSlack;

beforeAll(async () => {
  cast = await startCast();
  const { service, approver } = cast;
  slack = await startFakeSlack({ interactionsUrl: `${service.url}/slack/interactions` });
  await admin(service).call('PATCH', `/v1/people/${approver.id}`, { slack_user_id: 'U0ADA' });
});
afterAll(async () => {
  await cast.close();
  await slack.close();
});

/** Asks for another policy than the active one, and says what was refused about it. */
async function whyRefused(change: Record<string, string>): Promise<string> {
  const active = await admin(cast.service).call('GET', '/v1/policies/active');
  const files = object(active.body['files']);
  const changed: JsonObject = { ...files };
  for (const [name, more] of Object.entries(change))
    changed[name] = `${text(files[name])}\n${more}`;
  const reply = await admin(cast.service).call('POST', '/v1/policies', { files: changed });
  expect(reply.body['code']).toBe('policy_invalid');
  return list(reply.body['errors'])
    .map((each) => text(each['detail']))
    .join('; ');
}

const ask = (role: string, reason = 'refund'): Promise<{ request: string; task: string }> =>
  hold(cast.agent, cast.seal, { role, ...(reason && { reason: `${reason} ${Math.random()}` }) });

describe('D9: a gate that cannot be asked is shut', () => {
  it('without Slack’s secret: no click is taken', async () => {
    const reply = await fetch(`${cast.service.url}/slack/interactions`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'payload=%7B%7D',
    });
    expect(reply.status).toBeGreaterThanOrEqual(400);
  });

  it('without an identity: nothing is asked for, decided or collected', async () => {
    const { request, task } = await ask('orders-write');
    const nobody = anyone(cast.service);
    const statuses = [
      await nobody.call('POST', `/v1/tasks/${task}/credentials`, {
        role: 'orders-readonly',
        seal_to: cast.seal.publicJwk,
      }),
      await nobody.call('POST', `/v1/requests/${request}/votes`, {
        decision: 'approve',
        shown: 'x',
      }),
      await nobody.call('POST', `/v1/requests/${request}/collect`, {}),
    ].map(({ status }) => status);
    expect(statuses).toEqual([401, 401, 401]);
  });

  it('with a rule that errs: it is a no, though another rule permits', async () => {
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'main.cedar':
        `${files['main.cedar'] ?? ''}\n@id("errs")\nforbid (principal is Agent, action == Action::"credential:request", ` +
        'resource == Role::"reports-api") when { context.ttl_seconds * 9223372036854775807 > 1 };\n',
    }));
    const reply = await askCredential(cast.agent, await startTask(cast.agent), {
      role: 'reports-api',
      seal_to: cast.seal.publicJwk,
    });
    expect([reply.status, reply.body['code']]).toEqual([403, 'denied']);
  });
});

it('D12: nobody is everybody: a route without groups is refused, and so is one that leaves nobody', async () => {
  const route = (groups: string): string => `open:\n  title: Open\n  groups: ${groups}\n`;
  expect(await whyRefused({ 'routes.yaml': route('[]') })).toContain('groups');
  expect(await whyRefused({ 'routes.yaml': 'open:\n  title: Open\n' })).toContain('groups');
  await changePolicy(cast.service, cast.approver, (files) => ({
    ...files,
    'routes.yaml': `${files['routes.yaml'] ?? ''}\n${route('[unheard-of]')}`,
    'main.cedar':
      `${files['main.cedar'] ?? ''}\n@id("empty-gate")\n@approval("open")\npermit (principal is Agent, ` +
      'action == Action::"credential:request", resource == Role::"orders-readonly");\n',
  }));
  const reply = await askCredential(cast.agent, await startTask(cast.agent), {
    role: 'orders-readonly',
    seal_to: cast.seal.publicJwk,
  });
  expect(reply.status).toBe(409);
  expect(reply.body['sealed']).toBeUndefined();
});

it('D15: a gate that is written down is wired: what leads nowhere is refused, and so is what is misspelt', async () => {
  const rule = (annotation: string): string =>
    `@id("odd")\n${annotation}\npermit (principal is Agent, action == Action::"credential:request", resource == Role::"orders-write");\n`;
  for (const annotation of [
    '@approvl("orders-write")',
    '@approval("")',
    '@approval("nowhere")',
    '@approval',
  ])
    expect(await whyRefused({ 'main.cedar': rule(annotation) })).not.toBe('');
});

it('D14: what is not shown in full is not decided there, and what changed since is not decided at all', async () => {
  await admin(cast.service).call('PUT', '/v1/integrations/slack', {
    api_url: slack.apiUrl,
    signing_secret: slack.signingSecret,
    bot_token: slack.botToken,
    channel: slack.channel,
  });
  const { request } = await ask('orders-write', `refund ${'x'.repeat(1_965)}`);
  const message = await slack.messageWith((each) => JSON.stringify(each.blocks).includes(request));
  expect(JSON.stringify(message.blocks)).not.toContain('"action_id":"approve"');
  const other = await ask('orders-write');
  const shown = text((await seen(cast.service, other.request))['shown']);
  const reply = await cast.approver.call('POST', `/v1/requests/${request}/votes`, {
    decision: 'approve',
    shown,
  });
  expect(reply.body['code']).toBe('shown_mismatch');
});

it('D16: a message says what is so: after a vote on the web, a click that comes too late changes neither', async () => {
  const { request } = await ask('orders-write');
  const message = await slack.messageWith((each) => JSON.stringify(each.blocks).includes(request));
  const click = slack.clickBody(message, 'approve', 'U0ADA');
  expect((await vote(cast.approver, request, 'deny')).status).toBe(201);
  await fetch(`${cast.service.url}/slack/interactions`, {
    method: 'POST',
    headers: slack.signed(click),
    body: click,
  });
  await eventually(
    () => Promise.resolve(message.text.includes('Denied by Ada')),
    'the card to say no',
  );
  expect(JSON.stringify(message)).not.toContain('Approved');
  expect(text((await seen(cast.service, request))['state'])).toBe('denied');
});

it('D18: what was approved for a task ends with it, and with its approval', async () => {
  const { request, task } = await ask('orders-write');
  await vote(cast.approver, request, 'approve');
  await eventually(async () => (await seen(cast.service, request))['collectable'] === true);
  const collected = await cast.agent.call('POST', `/v1/requests/${request}/collect`, {});
  const login = { url: text((await opened(collected.body['sealed'], cast.seal))['url']) };
  expect(await opensDoor(login)).toBe(true);
  const until = text((await seen(cast.service, request))['approved_until']);
  expect(text(collected.body['expires_at']) <= until).toBe(true);
  await cast.agent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: 'wait=20' });
  expect(await opensDoor(login)).toBe(false);
});

describe('between the approval and its use', () => {
  let own: Service;
  const call: Call = { principal: { kind: 'workflow', id: 'test' }, traceId: null };

  let task: string;

  beforeAll(async () => {
    task = (await ask('orders-write')).task;
    // From here on nobody but the test carries anything out.
    await cast.service.stopWorker();
    await cast.service.database.owner.sql`update worker set seen_at = now() + interval '1 hour'`;
    own = await openService(cast.service.config, 'test', 4);
  });
  beforeEach(() => cast.service.database.owner.sql`update log_pending set at = now()`.execute());
  afterAll(() => own.close());

  const held = async (): Promise<string> => {
    const reply = await askCredential(cast.agent, task, {
      role: 'orders-write',
      seal_to: cast.seal.publicJwk,
      reason: `refund ${Math.random()}`,
    });
    return text(object(reply.body['request'])['id']);
  };

  const approved = async (): Promise<string> => {
    const request = await held();
    expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
    return request;
  };

  it('D5: the digest is compared when it counts: an action that was changed in the table is not carried out', async () => {
    const request = await approved();
    await cast.service.database.owner.sql`
      update request set action = jsonb_set(action, '{resource,id}', '"payouts-write"') where id = ${request}`;
    expect(await fulfilRequest(own.deps, call, request)).toMatchObject({
      outcome: 'failed',
      code: 'digest_mismatch',
    });
    expect(await detailsOf(cast.service, request, 'permit.redeemed')).toEqual([]);
    expect((await seen(cast.service, request))['credential']).toBeNull();
  });

  it('D5: the expiry is read when it counts: an approval of yesterday is none', async () => {
    const request = await approved();
    await cast.service.database.owner.sql`
      update permit set expires_at = now() - interval '1 second' where request = ${request}`;
    expect(await fulfilRequest(own.deps, call, request)).toMatchObject({
      outcome: 'failed',
      code: 'approval_lapsed',
    });
    expect((await seen(cast.service, request))['credential']).toBeNull();
  });

  it('D21: a clock that comes late changes nothing that people decided', async () => {
    for (const decision of ['deny', 'approve'] as const) {
      const request = await held();
      expect((await vote(cast.approver, request, decision)).status).toBe(201);
      await cast.service.database.owner.sql`
        update request set expires_at = now() - interval '1 minute' where id = ${request}`;
      const before = await seen(cast.service, request);
      await transact(own.deps, call, (unit) => expireRequest(unit, request));
      const late = await transact(own.deps, call, (unit) => cancelRequest(unit, request)).catch(
        (error: unknown) => error,
      );
      expect(late).toMatchObject({ code: 'already_decided' });
      expect(await seen(cast.service, request)).toEqual(before);
      expect(before['decided_by'] ?? before['state']).not.toBe('expired');
    }
  });
});
