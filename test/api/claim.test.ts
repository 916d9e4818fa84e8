// Credentials for callers that can make no key: a code instead, which opens what was issued, in the open and once.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { detailsOf, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admittedAgent,
  askCredential,
  eventually,
  object,
  text,
  vote,
  type Reply,
} from '../support/client.ts';
import { eventsAbout, opensDoor } from '../support/leases.ts';
import { historiesOf, secretsIn, tablesOf } from '../support/searching.ts';

let cast: Cast;
let task: string;
beforeAll(async () => {
  cast = await startCast();
  task = await startTask(cast.agent);
});
afterAll(() => cast.close());

const ask = (more: JsonObject = {}, headers: Record<string, string> = {}): Promise<Reply> =>
  askCredential(
    cast.agent,
    task,
    { role: 'orders-readonly', claim: true, ttl_seconds: 300, ...more },
    headers,
  );
const codeIn = ({ body }: Reply): string => text(object(body['claim'])['code']);
const claim = (
  id: string,
  code: string,
  headers: Record<string, string> = {},
  by = cast.agent,
): Promise<Reply> => by.call('POST', `/v1/credentials/${id}/claim`, { code }, headers);
const asked = async () => {
  const reply = await ask();
  expect(reply.status).toBe(201);
  return { id: text(reply.body['id']), code: codeIn(reply) };
};

describe('a credential that was asked for with a code', () => {
  it('is opened once: the same call again is the same answer, and another is refused', async () => {
    const { id, code } = await asked();
    const key = { 'idempotency-key': randomUUID() };
    const first = await claim(id, code, key);
    expect(first.status).toBe(200);
    const { url } = object(first.body['material']);
    expect(await opensDoor({ url: text(url) })).toBe(true);
    expect((await claim(id, code, key)).text).toBe(first.text);
    const second = await claim(id, code);
    expect([second.status, second.body['code']]).toEqual([409, 'already_claimed']);
    expect(await eventsAbout(cast.service, id, 'credential.claimed')).toHaveLength(1);
  });

  it('goes to one of all who come at the same moment', async () => {
    const { id, code } = await asked();
    const replies = await Promise.all(Array.from({ length: 8 }, () => claim(id, code)));
    expect(replies.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
      200, 409, 409, 409, 409, 409, 409, 409,
    ]);
  });

  it('is for its code and its agent alone, and only while it is alive', async () => {
    const [one, two] = [await asked(), await asked()];
    expect((await claim(one.id, two.code)).body['code']).toBe('claim_refused');
    expect((await claim(one.id, 'A'.repeat(42))).status).toBe(400);
    const other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    expect((await claim(one.id, one.code, {}, other)).status).toBe(404);
    await cast.agent.call('POST', `/v1/credentials/${one.id}/revoke`, {});
    expect((await claim(one.id, one.code)).body['code']).toBe('wrong_state');
    expect((await claim(two.id, two.code)).status).toBe(200);
  });

  it('I8: has the same code when the same call is repeated', async () => {
    const key = { 'idempotency-key': randomUUID() };
    const [first, again] = [await ask({}, key), await ask({}, key)];
    expect([codeIn(first).length, again.text]).toEqual([43, first.text]);
  });

  it('takes either a key or a code, and says so', async () => {
    const both = await ask({ seal_to: cast.seal.publicJwk });
    const neither = await askCredential(cast.agent, task, { role: 'orders-readonly' });
    for (const { status, body } of [both, neither])
      expect([status, body['detail']]).toEqual([400, expect.stringContaining('seal_to')]);
  });
});

it('I2: what people have to agree to is claimed once they have, and after it was collected', async () => {
  const held = await ask({ role: 'orders-write', reason: 'a refund by a script' });
  expect(held.status).toBe(202);
  const [code, request] = [codeIn(held), text(object(held.body['request'])['id'])];
  await vote(cast.approver, request, 'approve');
  const credentialOf = async (): Promise<string> => {
    const { body } = await cast.agent.call('GET', `/v1/requests/${request}`);
    return text(body['credential']);
  };
  await eventually(async () => (await credentialOf()) !== '');
  expect((await claim(await credentialOf(), code)).body['code']).toBe('wrong_state');
  let collected: Reply | null = null;
  await eventually(async () => {
    collected = await cast.agent.call('POST', `/v1/requests/${request}/collect`, {});
    return collected.status === 201;
  });
  const claimed = await claim(await credentialOf(), code);
  const { url } = object(claimed.body['material']);
  expect(await opensDoor({ url: text(url) })).toBe(true);
  expect(await detailsOf(cast.service, request, 'credential.claimed')).toHaveLength(1);
});

it('I5: neither the code nor what it opens is in any table or history', async () => {
  const { id, code } = await asked();
  const claimed = await claim(id, code, { 'idempotency-key': randomUUID() });
  const password = text(object(claimed.body['material'])['password']);
  const { raw, decoded } = await historiesOf(cast.service);
  const everything = `${await tablesOf(cast.service)}\n${raw}\n${decoded}`;
  expect(secretsIn(everything, { code, password })).toEqual([]);
});
