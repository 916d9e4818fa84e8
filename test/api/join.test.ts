// Join tokens: a right to bring one key, once, that people agreed to.
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  anyone,
  askCredential,
  clientAssertion,
  eventually,
  list,
  newKey,
  object,
  person,
  registerAgent,
  requestToken,
  text,
  vote,
  type Reply,
  type TestAgent,
  type TestKey,
} from '../support/client.ts';

let cast: Cast;
beforeAll(async () => {
  cast = await startCast();
});
afterAll(() => cast.close());

const newAgent = (): Promise<TestAgent> =>
  admittedAgent(cast.service, cast.owner.id, cast.approver);

const ask = (agent: { id: string }, body: JsonObject = {}): Promise<Reply> =>
  admin(cast.service).call('POST', `/v1/agents/${agent.id}/join-tokens`, body);

const join = (token: string, key: TestKey): Promise<Reply> =>
  anyone(cast.service).call('POST', '/v1/join', { token, key: key.publicJwk });

const tokenIn = (reply: Reply): string => text(object(reply.body['join_token'])['token']);
const requestIn = (reply: Reply): string => text(object(reply.body['request'])['id']);
const outcome = ({ status, body }: Reply): string =>
  status < 300 ? String(status) : `${status} ${text(body['code'])}`;

const signsIn = async (agent: { id: string }, key: TestKey): Promise<boolean> =>
  (await requestToken(cast.service, await clientAssertion(cast.service, agent.id, key))).status ===
  200;

async function approve(request: string): Promise<void> {
  await vote(cast.approver, request, 'approve');
  await eventually(async () => {
    const { body } = await cast.approver.call('GET', `/v1/requests/${request}`);
    return body['state'] === 'consumed';
  }, 'the approval to be carried out');
}

/** A token that people have agreed to. */
async function goodToken(agent: { id: string }, body: JsonObject = {}): Promise<string> {
  const reply = await ask(agent, body);
  await approve(requestIn(reply));
  return tokenIn(reply);
}

const outdate = (token: string): Promise<unknown> =>
  cast.service.database.owner.sql`
    update join_token set expires_at = now() - interval '1 second'
    where token_hash = ${createHash('sha256').update(token).digest('hex')}`;

describe('a join token', () => {
  it('binds the key that it is brought with, once people have agreed', async () => {
    const agent = await newAgent();
    const key = await newKey();
    const reply = await ask(agent);
    expect(reply.status).toBe(202);
    const { action } = object(reply.body['request']) as { action: JsonObject };
    expect(object(action['parameters'])['join_token']).toBe(object(reply.body['join_token'])['id']);
    expect(JSON.stringify(action)).not.toContain(tokenIn(reply));
    expect(outcome(await join(tokenIn(reply), key))).toBe('409 join_not_approved');
    await approve(requestIn(reply));
    const joined = await join(tokenIn(reply), key);
    expect(joined.status).toBe(201);
    expect(object(joined.body['agent'])['id']).toBe(agent.id);
    expect(await signsIn(agent, key)).toBe(true);
  });

  it('is refused as denied for ever when people say no', async () => {
    const reply = await ask(await newAgent());
    await vote(cast.approver, requestIn(reply), 'deny');
    const refused = await join(tokenIn(reply), await newKey());
    expect([outcome(refused), refused.body['state']]).toEqual(['409 join_not_approved', 'denied']);
  });

  it('admits one key, once, however many try', async () => {
    const agent = await newAgent();
    const token = await goodToken(agent);
    const keys = await Promise.all(Array.from({ length: 12 }, newKey));
    const replies = await Promise.all(keys.map((key) => join(token, key)));
    const won = replies.flatMap(({ status }, at) => (status === 201 ? [at] : []));
    expect(won).toHaveLength(1);
    expect(new Set(replies.map(outcome))).toEqual(new Set(['201', '410 join_token_used']));
    const signed = await Promise.all(keys.map((key) => signsIn(agent, key)));
    expect(signed.flatMap((yes, at) => (yes ? [at] : []))).toEqual(won);
    const path = `/v1/events?agent=${agent.id}&type=agent.joined`;
    expect(list((await admin(cast.service).call('GET', path)).body['data'])).toHaveLength(1);
  });

  it('I8: tells a repeat with the same key the same, and changes nothing', async () => {
    const agent = await newAgent();
    const token = await goodToken(agent);
    const key = await newKey();
    const [first, again] = [await join(token, key), await join(token, key)];
    expect(again.body).toEqual(first.body);
    const seen = await admin(cast.service).call('GET', `/v1/agents/${agent.id}`);
    expect(list(seen.body['keys'])).toHaveLength(2);
  });

  it('is not used up by a key that is weak, private or of another agent', async () => {
    const agent = await newAgent();
    const token = await goodToken(agent);
    const key = await newKey();
    const bring = (jwk: JsonObject) =>
      anyone(cast.service).call('POST', '/v1/join', { token, key: jwk });
    expect(outcome(await bring({ kty: 'EC', crv: 'P-384', x: 'a', y: 'b' }))).toBe('422 weak_key');
    expect(outcome(await bring({ ...key.privateJwk }))).toBe('422 private_key_sent');
    expect(outcome(await join(token, cast.agent.key))).toBe('409 key_in_use');
    expect(outcome(await join(token, key))).toBe('201');
  });

  it('that is too old is told apart from one that was used or never was', async () => {
    const agent = await newAgent();
    const token = await goodToken(agent);
    await outdate(token);
    expect(outcome(await join(token, await newKey()))).toBe('410 join_token_expired');
    expect(outcome(await join(token.slice(0, -1), await newKey()))).toBe('404 not_found');
    expect(outcome(await join(`${token}A`, await newKey()))).toBe('404 not_found');
  });

  it('lasts an hour if nothing is said, and a day at most', async () => {
    const agent = await newAgent();
    const reply = await ask(agent);
    const until = Date.parse(text(object(reply.body['join_token'])['expires_at']));
    expect(Math.abs(until - Date.now() - 3_600_000)).toBeLessThan(60_000);
    expect(outcome(await ask(agent, { ttl_seconds: 86_401 }))).toBe('400 invalid_request');
  });

  it('is gone when its agent is stopped, and resuming does not bring it back', async () => {
    const agent = await newAgent();
    const token = await goodToken(agent);
    await admin(cast.service).call('POST', `/v1/agents/${agent.id}/suspend`, {});
    expect(outcome(await join(token, await newKey()))).toBe('410 join_token_expired');
    await admin(cast.service).call('POST', `/v1/agents/${agent.id}/resume`, {});
    expect(outcome(await join(token, await newKey()))).toBe('410 join_token_expired');
  });

  it('approved while its agent is suspended binds nothing until it is resumed', async () => {
    const agent = await newAgent();
    await admin(cast.service).call('POST', `/v1/agents/${agent.id}/suspend`, {});
    const token = await goodToken(agent);
    expect(outcome(await join(token, await newKey()))).toBe('409 wrong_state');
    await admin(cast.service).call('POST', `/v1/agents/${agent.id}/resume`, {});
    expect(outcome(await join(token, await newKey()))).toBe('201');
  });

  it('I5: is kept as its hash alone, in every table', async () => {
    const token = await goodToken(await newAgent());
    const { sql } = cast.service.database.owner;
    const tables = await sql<{ name: string }[]>`
      select quote_ident(table_name) as name from information_schema.tables
      where table_schema = 'public' and table_type = 'BASE TABLE'`;
    for (const { name } of tables) {
      const found = await sql.unsafe(
        `select 1 from ${name} as each where each::text like '%${token}%'
         or convert_to(each::text, 'UTF8')::text like '%${Buffer.from(token).toString('hex')}%'`,
      );
      expect([name, found.length]).toEqual([name, 0]);
    }
  });
});

describe('an agent registered to join', () => {
  const register = (more: JsonObject = {}) =>
    registerAgent(cast.service, cast.owner.id, { keys: [], join: true, ...more });

  it('has no key until it joins, which its admission allows', async () => {
    const { reply } = await register();
    expect(reply.status).toBe(201);
    const [token, id] = [tokenIn(reply), text(reply.body['id'])];
    const key = await newKey();
    const early = await join(token, key);
    expect([outcome(early), early.body['state']]).toEqual(['409 join_not_approved', 'pending']);
    await approve(text(reply.body['request']));
    expect(outcome(await join(token, key))).toBe('201');
    expect(await signsIn({ id }, key)).toBe(true);
  });

  it('is shown to those who admit it as one whose key is not known yet', async () => {
    const { reply } = await register();
    const seen = await cast.approver.call('GET', `/v1/requests/${text(reply.body['request'])}`);
    const parameters = object(object(seen.body['action'])['parameters']);
    expect(text(parameters['join_token_until'])).toMatch(/Z$/);
    expect(parameters['keys']).toEqual([]);
  });

  it('needs a key if it is not to join', async () => {
    expect(outcome((await register({ join: false })).reply)).toBe('400 invalid_request');
  });

  it('cannot join after it was rejected', async () => {
    const { reply } = await register();
    await vote(cast.approver, text(reply.body['request']), 'deny');
    expect(outcome(await join(tokenIn(reply), await newKey()))).toBe('409 join_not_approved');
  });
});

describe('I4: whoever asked for a join token', () => {
  it('decides on nothing of that agent, for the key may be theirs', async () => {
    const second = await person(cast.service, 'Grace', ['data-owners', 'admins'], {
      roles: ['approver', 'admin'],
    });
    const agent = await newAgent();
    const made = await second.call('POST', `/v1/agents/${agent.id}/join-tokens`, {});
    expect(made.status).toBe(202);
    expect((await vote(second, requestIn(made), 'approve')).body['code']).toBe('self_approval');
    await approve(requestIn(made));
    const task = await agent.call('POST', '/v1/tasks', {
      purpose: 'order support',
      ttl_seconds: 300,
    });
    const held = await askCredential(agent, text(task.body['id']), {
      role: 'orders-write',
      seal_to: cast.seal.publicJwk,
      reason: 'refund',
    });
    const refused = await vote(second, requestIn(held), 'approve');
    expect(outcome(refused)).toBe('403 self_approval');
  });
});
