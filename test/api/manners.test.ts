import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROUTES } from '../../api/app.ts';
import type { JsonValue } from '../../domain/json.ts';
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
  clientAssertion,
  eventually,
  list,
  object,
  person,
  registerAgent,
  requestToken,
  text,
  vote,
  type Reply,
} from '../support/client.ts';
import { activateRoles } from '../support/policies.ts';

let cast: Cast;

const OWNERS = '  groups: [data-owners]\n';

beforeAll(async () => {
  cast = await startCast({ env: { GONE_URL: 'postgres://nobody:none@127.0.0.1:1/none' } });
  await activateRoles(cast, [
    { name: 'web-only', routes: { 'web-only': `${OWNERS}  channels: [web]\n` } },
    { name: 'changing', routes: { changing: OWNERS } },
    { name: 'closing', routes: { closing: OWNERS } },
    { name: 'lasting', routes: { lasting: OWNERS } },
  ]);
});
afterAll(() => cast.close());

describe('people', () => {
  it('one e-mail address is one person, however it is spelt and however many ask at once', async () => {
    const invite = (name: string, email: string): Promise<Reply> =>
      admin(cast.service).call('POST', '/v1/people', { name, email, roles: [], groups: [] });
    const both = await Promise.all([
      invite('Grace', 'grace@example.com'),
      invite('Grace H', 'Grace@Example.com'),
    ]);
    expect(new Set(both.map(({ status }) => status))).toEqual(new Set([201, 409]));
    const refused = both.find(({ status }) => status === 409);
    const taken = both.find(({ status }) => status === 201);
    expect(refused?.body).toMatchObject({ code: 'name_taken', person: taken?.body['id'] });
    expect(text(refused?.body['detail'])).toContain('e-mail');
  });

  it('one Slack user is one person', async () => {
    const more = { slack_user_id: 'U0TWICE' };
    await person(cast.service, 'Twyla', [], more);
    const reply = await admin(cast.service).call('POST', '/v1/people', {
      name: 'Tom',
      roles: [],
      groups: [],
      ...more,
    });
    expect([reply.status, reply.body['code']]).toEqual([409, 'slack_user_taken']);
    expect(reply.body['detail']).toContain('U0TWICE');
  });

  it('a group without the role approver or admin makes nobody an approver', async () => {
    const { service, agent, seal } = cast;
    const idle = await person(service, 'Ida', ['data-owners'], { roles: [] });
    const owner = await person(service, 'Otto', ['data-owners'], { roles: ['owner'] });
    const head = await person(service, 'Hedy', ['data-owners'], { roles: ['admin'] });
    const { request } = await hold(agent, seal);
    for (const voter of [idle, owner]) {
      const reply = await vote(voter, request, 'approve');
      expect([reply.status, reply.body['code']]).toEqual([403, 'not_eligible']);
      const pending = await voter.call('GET', '/v1/requests?state=pending&limit=500');
      expect(list(pending.body['data'])).toEqual([]);
    }
    expect((await seen(service, request))['state']).toBe('pending');
    expect((await vote(head, request, 'approve')).status).toBe(201);
  });

  it('an approver who loses the role does not count towards a quorum', async () => {
    const { service, agent, seal, approver } = cast;
    await activateRoles(cast, [{ name: 'two', routes: { two: `${OWNERS}  quorum: 2\n` } }]);
    const second = await person(service, 'Bea', ['data-owners']);
    const { request } = await hold(agent, seal, { role: 'two' });
    expect((await vote(second, request, 'approve')).status).toBe(201);
    await admin(service).call('PATCH', `/v1/people/${second.id}`, { roles: ['owner'] });
    expect((await vote(approver, request, 'approve')).status).toBe(201);
    expect((await seen(service, request))['state']).toBe('pending');
  });
});

describe('a vote that does not count says why', () => {
  it('by the wrong channel: which ones the route takes', async () => {
    const { request } = await hold(cast.agent, cast.seal, { role: 'web-only' });
    const reply = await vote(cast.approver, request, 'approve');
    expect(reply.body['code']).toBe('stronger_auth_required');
    expect(reply.body['detail']).toContain('taken by web only');
    expect(reply.body['detail']).toContain('came by api');
  });

  it('after an approval that lapsed unused: who had approved it', async () => {
    const { service, agent, seal, approver } = cast;
    const late = await person(service, 'Lars', ['data-owners']);
    const { request } = await hold(agent, seal);
    expect((await vote(approver, request, 'approve')).status).toBe(201);
    await service.database.owner.sql`
      update request set approved_until = now() - interval '1 second', state = 'expired'
      where id = ${request}`;
    const reply = await vote(late, request, 'deny');
    expect(reply.status).toBe(409);
    expect(reply.body).toMatchObject({
      code: 'already_decided',
      state: 'expired',
      decided_by: approver.id,
    });
    expect(reply.body['detail']).toContain('approved by Ada');
    const refused = await detailsOf(service, request, 'vote.refused');
    expect(refused.map(({ code }) => code)).toEqual(['already_decided']);
  });
});

describe('a change of policy', () => {
  it('closes what waits under a rule that is no longer good, and leaves the rest open', async () => {
    const { service, agent, seal, approver } = cast;
    const doomed = await hold(agent, seal, { role: 'changing' });
    const gone = await hold(agent, seal, { role: 'closing' });
    const safe = await hold(agent, seal, { role: 'lasting' });
    await changePolicy(service, approver, (files) => ({
      ...files,
      'routes.yaml': (files['routes.yaml'] ?? '').replace(
        `changing:\n  title: changing\n${OWNERS}`,
        `changing:\n  title: changing\n${OWNERS}  valid_seconds: 60\n`,
      ),
      'main.cedar': `${files['main.cedar'] ?? ''}\n@id("never")\nforbid (principal, action, resource == Role::"closing");\n`,
    }));
    for (const { request } of [doomed, gone]) {
      const now = await seen(service, request);
      expect(now['state']).toBe('superseded');
      const [said] = await detailsOf(service, request, 'request.superseded');
      expect(said).toMatchObject({ code: 'policy_changed' });
      const late = await vote(approver, request, 'approve');
      expect(late.body).toMatchObject({ code: 'already_decided', state: 'superseded' });
      expect(late.body['detail']).toContain('policy changed');
      const collected = await agent.call('POST', `/v1/requests/${request}/collect`, {});
      expect(collected.body).toMatchObject({ code: 'not_approved', state: 'superseded' });
    }
    expect((await seen(service, safe.request))['state']).toBe('pending');
    const again = await hold(agent, seal, { role: 'changing' });
    expect(again.reply.status).toBe(202);
    expect((await vote(approver, again.request, 'approve')).status).toBe(201);
  });

  it('tells an agent that waits for its admission that nobody will decide on it', async () => {
    const { service, owner, approver } = cast;
    const { reply } = await registerAgent(service, owner.id);
    await changePolicy(service, approver, (files) => ({
      ...files,
      'routes.yaml': (files['routes.yaml'] ?? '').replace(
        'title: Admit an agent\n',
        'title: Admit an agent\n  valid_seconds: 333\n',
      ),
    }));
    expect((await seen(service, text(reply.body['request'])))['state']).toBe('superseded');
    await eventually(async () => {
      const now = await admin(service).call('GET', `/v1/agents/${text(reply.body['id'])}`);
      return now.body['state'] === 'rejected';
    }, 'the rejection');
  });
});

describe('asking for a credential', () => {
  const callbackOf = async (request: string): Promise<string | null> => {
    const [row] = await cast.service.database.owner.sql<{ url: string | null }[]>`
      select callback_url as url from request where id = ${request}`;
    return row?.url ?? null;
  };

  it('asked for again, a held one calls back where the newest call wants it', async () => {
    const { agent, seal } = cast;
    const task = await startTask(agent);
    const ask = (more: Record<string, JsonValue>): Promise<Reply> =>
      askCredential(agent, task, {
        role: 'orders-write',
        seal_to: seal.publicJwk,
        reason: 'one and the same',
        ...more,
      });
    const first = await ask({ callback: { url: 'https://1.1.1.1/one' } });
    const request = text(object(first.body['request'])['id']);
    expect(await callbackOf(request)).toBe('https://1.1.1.1/one');
    const second = await ask({ callback: { url: 'https://1.1.1.1/two' } });
    expect(object(second.body['request'])['id']).toBe(request);
    expect(await callbackOf(request)).toBe('https://1.1.1.1/two');
    await ask({});
    expect(await callbackOf(request)).toBe('https://1.1.1.1/two');
  });

  it('a callback to where none may go is refused, even when nothing would be called back', async () => {
    const task = await startTask(cast.agent);
    const reply = await askCredential(cast.agent, task, {
      role: 'reports-api',
      seal_to: cast.seal.publicJwk,
      callback: { url: 'https://169.254.169.254/latest' },
    });
    expect([reply.status, reply.body['code']]).toEqual([422, 'callback_refused']);
    const none = await cast.agent.call('GET', `/v1/tasks/${task}/credentials`);
    expect(none.body['data']).toEqual([]);
  });

  it('says why it is held, or denied, in the words of the rule', async () => {
    const { service, agent, seal, approver } = cast;
    await changePolicy(service, approver, (files) => ({
      ...files,
      'main.cedar': (files['main.cedar'] ?? '')
        .replace('Writing to orders takes a data owner', 'Refunds move money')
        .concat(
          '\n@id("no-reports")\n@title("Reports are closed this week")\nforbid (principal, action, resource == Role::"reports-api");\n',
        ),
    }));
    const { reply, task } = await hold(agent, seal);
    expect(object(reply.body['denial'])['reasons']).toEqual(['Refunds move money']);
    const denied = await askCredential(agent, task, {
      role: 'reports-api',
      seal_to: seal.publicJwk,
    });
    expect(object(denied.body['evaluation'])['reasons']).toEqual(['Reports are closed this week']);
  });

  it('collecting while the target is down says what the last attempt came to', async () => {
    const { service, agent, seal, approver } = cast;
    await changePolicy(service, approver, (files) => ({
      ...files,
      'main.cedar': `${files['main.cedar'] ?? ''}\n@id("take-lost")\n@approval("lasting")\npermit (principal is Agent, action == Action::"credential:request", resource == Role::"lost");\n`,
      'roles.yaml': `${(files['roles.yaml'] ?? '').replace(
        'targets:\n',
        'targets:\n  gone:\n    issuer: postgres\n    url_from: GONE_URL\n',
      )}\n  lost:\n    title: lost\n    issuer: postgres\n    target: gone\n    member_of: [orders_writer]\n`,
    }));
    const { request } = await hold(agent, seal, { role: 'lost' });
    expect((await vote(approver, request, 'approve')).status).toBe(201);
    let reply: Reply | undefined;
    await eventually(async () => {
      reply = await agent.call('POST', `/v1/requests/${request}/collect`, {});
      return reply.body['code'] === 'target_unavailable';
    }, 'the refusal that names the target');
    expect(reply?.status).toBe(503);
    expect(reply?.body['target_code']).toBe('econnrefused');
    expect(reply?.text).not.toContain('127.0.0.1');
  });
});

describe('OAuth', () => {
  it('an assertion from the future signs nobody in', async () => {
    const { service, agent } = cast;
    const now = Math.floor(Date.now() / 1000);
    const signIn = async (iat: number): Promise<Reply> =>
      requestToken(service, await clientAssertion(service, agent.id, agent.key, { iat }));
    expect((await signIn(now + 20)).status).toBe(200);
    const reply = await signIn(now + 60);
    expect([reply.status, reply.body['error']]).toEqual([401, 'invalid_client']);
  });

  it('introspection without a token is a malformed call, in OAuth’s own shape', async () => {
    for (const body of ['', 'token=', 'other=1']) {
      const response = await fetch(`${cast.service.url}/oauth2/introspect`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${cast.service.adminToken}`,
          'content-type': 'application/x-www-form-urlencoded',
        },
        body,
      });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: 'invalid_request' });
    }
  });
});

describe('text that no database can keep', () => {
  const ODD = ['%00', 'a%00b', '%ED%A0%80', '%C0%80', '%FF'];

  it('is refused in every path, and breaks nothing', async () => {
    for (const { method, path } of ROUTES.filter((route) => route.path.includes('{')))
      for (const odd of ODD) {
        const reply = await admin(cast.service).call(
          method.toUpperCase(),
          path.replaceAll(/\{\w+\}/g, odd),
          method === 'get' || method === 'delete' ? undefined : {},
        );
        expect(reply.status, `${method} ${path} ${odd}`).toBeGreaterThanOrEqual(400);
        expect(reply.status, `${method} ${path} ${odd}`).toBeLessThan(500);
      }
  });

  it('is refused in every query, body and form', async () => {
    const { service, agent } = cast;
    const document = await anyone(service).call('GET', '/openapi.json');
    for (const [path, methods] of Object.entries(object(document.body['paths'])))
      for (const parameter of list(object(object(methods)['get'])['parameters'])) {
        if (parameter['in'] !== 'query') continue;
        const there = path.replaceAll(/\{\w+\}/g, 'one');
        const reply = await admin(service).call('GET', `${there}?${text(parameter['name'])}=a%00b`);
        expect(reply.status, `${path} ${text(parameter['name'])}`).toBe(400);
      }
    for (const odd of ['a\0b', '\uD800', 'x\uDC00y']) {
      for (const body of [
        { purpose: odd, ttl_seconds: 60 },
        { purpose: 'p', ttl_seconds: 60, triggered_by: odd },
        { purpose: 'p', ttl_seconds: 60, trigger_proof: odd },
        { [odd]: 1 },
      ]) {
        const reply = await agent.call('POST', '/v1/tasks', body);
        expect([reply.status, reply.body['code']]).toEqual([400, 'invalid_request']);
      }
      const named = await clientAssertion(service, agent.id, agent.key, { jti: odd });
      expect((await requestToken(service, named)).body['error']).toBe('invalid_client');
      const strange = await clientAssertion(service, odd, agent.key);
      const reply = await requestToken(service, strange);
      expect([reply.status, reply.body['error']]).toEqual([401, 'invalid_client']);
    }
  });
});
