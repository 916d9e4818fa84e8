import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { detailsOf, hold, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  askCredential,
  newKey,
  opened,
  text,
  vote,
  type Reply,
  type TestKey,
} from '../support/client.ts';

let cast: Cast;
beforeAll(async () => {
  cast = await startCast();
});
afterAll(() => cast.close());

async function approved(seal: TestKey): Promise<string> {
  const { request } = await hold(cast.agent, seal);
  expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
  return request;
}

const collect = (
  request: string,
  body: JsonObject = {},
  headers: Record<string, string> = {},
): Promise<Reply> => cast.agent.call('POST', `/v1/requests/${request}/collect`, body, headers);

/** Whether a sealed login lets its holder in. */
async function letsIn(sealed: JsonValue | undefined, key: TestKey): Promise<boolean> {
  const { url } = await opened(sealed, key);
  const sql = postgres(text(url), { max: 1, connect_timeout: 5, onnotice: () => undefined });
  try {
    const [row] = await sql<{ here: number }[]>`select 1 as here`;
    return row?.here === 1;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

describe('a lost answer', () => {
  it('I8: is replayed under its key with the same sealed bytes', async () => {
    const request = await approved(cast.seal);
    const headers = { 'idempotency-key': randomUUID() };
    const first = await collect(request, {}, headers);
    expect(first.status).toBe(201);
    const again = await collect(request, {}, headers);
    expect(again.text).toBe(first.text);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(await detailsOf(cast.service, request, 'credential.collected')).toHaveLength(1);
  });
});

describe('a lost key', () => {
  it('what was approved can still be collected once, sealed to another', async () => {
    const lost = await newKey();
    const request = await approved(lost);
    const key = await newKey();
    const reply = await collect(request, { seal_to: key.publicJwk });
    expect(reply.status).toBe(201);
    expect(await letsIn(reply.body['sealed'], key)).toBe(true);
    await expect(opened(reply.body['sealed'], lost)).rejects.toThrow('decrypt');
    const third = await collect(request, { seal_to: (await newKey()).publicJwk });
    expect(third.body['code']).toBe('already_collected');
    const issued = await detailsOf(cast.service, request, 'credential.issued');
    const resealed = await detailsOf(cast.service, request, 'credential.resealed');
    expect([issued.length, resealed.length]).toEqual([1, 1]);
  });

  it('two keys at once come to one credential that works', async () => {
    const request = await approved(await newKey());
    const keys = await Promise.all([newKey(), newKey(), newKey()]);
    const replies = await Promise.all(
      keys.map((key) => collect(request, { seal_to: key.publicJwk })),
    );
    const won = replies.findIndex(({ status }) => status === 201);
    const [winner, reply] = [keys[won], replies[won]];
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(1);
    const others = replies.filter(({ status }) => status !== 201).map(({ body }) => body['code']);
    for (const code of others)
      expect(['already_collected', 'owner_not_ready', 'target_unavailable']).toContain(code);
    expect(winner && (await letsIn(reply?.body['sealed'], winner))).toBe(true);
  });

  it('after a crash between the old and the new material it is made once more', async () => {
    const request = await approved(cast.seal);
    const { sql } = cast.service.database.owner;
    await collectable(request);
    await sql`
      update credential set sealed = null, issue_attempt = issue_attempt + 1 where request = ${request}`;
    const reply = await collect(request);
    expect(reply.status).toBe(201);
    expect(await letsIn(reply.body['sealed'], cast.seal)).toBe(true);
  });
});

async function collectable(request: string): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    const { body } = await cast.agent.call('GET', `/v1/requests/${request}`);
    if (body['collectable'] === true) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('it never became collectable');
}

describe('a call that was given up', () => {
  it('starts afresh under the same key when its lease can come to nothing any more', async () => {
    const task = await startTask(cast.agent);
    const headers = { 'idempotency-key': randomUUID() };
    const body = { role: 'orders-readonly', seal_to: cast.seal.publicJwk };
    const first = await askCredential(cast.agent, task, body, headers);
    expect(first.status).toBe(201);
    const lost = text(first.body['id']);
    await cast.agent.call('POST', `/v1/credentials/${lost}/revoke`, {});
    // As a crash leaves it: the key is held for a lease, and no answer was kept.
    await cast.service.database.owner.sql`
      update idempotency set status = null, reply = null, resource = ${lost}, locked_until = null
      where key = ${headers['idempotency-key']}`;
    const again = await askCredential(cast.agent, task, body, headers);
    expect(again.status).toBe(201);
    expect(again.body['id']).not.toBe(lost);
    expect(await letsIn(again.body['sealed'], cast.seal)).toBe(true);
    const replayed = await askCredential(cast.agent, task, body, headers);
    expect(replayed.text).toBe(again.text);
  });
});
