// Turning the keys that sign tokens, as an administrator does it, and what agents and verifiers notice of it.
import { randomUUID } from 'node:crypto';
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readConfig } from '../../cli/config.ts';
import { tryPort } from '../../cli/embedded/process.ts';
import type { Running } from '../../cli/running.ts';
import { serve } from '../../cli/serve.ts';
import type { JsonObject } from '../../domain/json.ts';
import { startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  anyone,
  askCredential,
  bearer,
  list,
  object,
  opened,
  text,
  type Caller,
  type Reply,
  type TestTarget,
} from '../support/client.ts';

let cast: Cast;
/** A second replica of the API, which is told nothing but through the database. */
let other: Running;
let elsewhere: TestTarget;

beforeAll(async () => {
  cast = await startCast();
  const port = (await tryPort(0, '127.0.0.1')) ?? 0;
  const { service } = cast;
  const config = { ...service.config, port };
  other = await serve(Object.freeze(config));
  elsewhere = { ...service, url: `http://127.0.0.1:${port}` };
});
afterAll(async () => {
  await other.close();
  await cast.close();
});

const rotate = (body: JsonObject = {}, headers: Record<string, string> = {}): Promise<Reply> =>
  admin(cast.service).call('POST', '/v1/keys/rotate', { use: 'tokens', ...body }, headers);

const revoke = (): Promise<Reply> => rotate({ now: true, revoke: true, reason: 'it leaked' });

const keys = async (): Promise<JsonObject[]> =>
  list((await admin(cast.service).call('GET', '/v1/keys')).body['data']);

const kidIn = async (state: string): Promise<string> =>
  text((await keys()).find((key) => key['state'] === state)?.['kid']);

const jwks = async (at: TestTarget = cast.service): Promise<Reply> =>
  anyone(at).call('GET', '/.well-known/jwks.json');

const published = async (at?: TestTarget): Promise<unknown[]> =>
  list((await jwks(at)).body['keys']).map((key) => key['kid']);

const kidOf = (token: string): unknown =>
  object(JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as JsonObject)[
    'kid'
  ];

/** What an agent that holds this token is answered. */
const answered = async (token: string, at: TestTarget = cast.service): Promise<number> =>
  (await bearer(at, token).call('GET', '/v1/tasks')).status;

/** Signs in again: the test's agent keeps its token for as long as it is good. */
const freshToken = async (): Promise<string> => cast.agent.token();

/** The agent, with a token by the key that signs now. */
const signedIn = async (): Promise<Caller> => bearer(cast.service, await freshToken());

// Each starts from one key, which signs.
beforeEach(revoke);

describe('turning to another key', () => {
  it('publishes it first: it signs a day later, and nothing breaks meanwhile', async () => {
    const before = await kidIn('active');
    const token = await freshToken();
    const { status, body } = await rotate();
    expect(status).toBe(200);
    const [next, active] = list(body['data']);
    expect([next?.['state'], active?.['state'], active?.['kid']]).toEqual([
      'published',
      'active',
      before,
    ]);
    const ahead =
      Date.parse(text(next?.['activates_at'])) - Date.parse(text(next?.['published_at']));
    expect(ahead).toBe(86_400_000);
    expect(text(body['says'])).toContain(`signs from ${text(next?.['activates_at'])}`);
    expect(await published()).toEqual([next?.['kid'], before]);
    expect(await published(elsewhere)).toEqual([next?.['kid'], before]);
    expect(await answered(token)).toBe(200);
    expect(kidOf(await freshToken())).toBe(before);
  });

  it('asked for again, by many at once, is the one that waits already', async () => {
    const replies = await Promise.all(Array.from({ length: 8 }, () => rotate()));
    const next = replies.map(({ body }) => list(body['data'])[0]?.['kid']);
    expect(new Set(next).size).toBe(1);
    expect(await published()).toHaveLength(2);
  });

  it('at once: the one that waited signs, what was signed stays good, and the answer says what breaks', async () => {
    const before = await kidIn('active');
    const token = await freshToken();
    const waiting = list((await rotate()).body['data'])[0]?.['kid'];
    const { body } = await rotate({ now: true });
    expect(text(body['says'])).toMatch(/signs now\. Verifiers keep .* 300 seconds/);
    const fresh = await freshToken();
    expect([await kidIn('active'), kidOf(fresh)]).toEqual([waiting, waiting]);
    expect(await kidIn('retiring')).toBe(before);
    for (const at of [cast.service, elsewhere])
      expect([await answered(token, at), await answered(fresh, at)]).toEqual([200, 200]);
  });

  it('with revoke: everything that was signed is dead when the call answers, and in every replica', async () => {
    const before = await kidIn('active');
    const token = await freshToken();
    await rotate();
    const agent = await signedIn();
    const task = await startTask(agent);
    const ask = { role: 'reports-api', seal_to: cast.seal.publicJwk };
    const issued = text(
      (await opened((await askCredential(agent, task, ask)).body['sealed'], cast.seal))['token'],
    );
    const verifies = async () =>
      jwtVerify(issued, createLocalJWKSet((await jwks()).body as unknown as JSONWebKeySet)).then(
        () => true,
        () => false,
      );
    expect([await answered(token, elsewhere), await verifies()]).toEqual([200, true]);
    const { body } = await revoke();
    expect(await answered(token)).toBe(401);
    await expect.poll(() => answered(token, elsewhere), { timeout: 2_000 }).toBe(401);
    expect(await verifies()).toBe(false);
    expect(text(body['says'])).toContain('Everything signed before is dead');
    expect(await published()).toEqual([await kidIn('active')]);
    const gone = (await keys()).find(({ kid }) => kid === before);
    expect(gone).toMatchObject({ state: 'retired', revoked: true });
    // Its agent signs in again with its own key, and goes on.
    expect(await answered(await freshToken())).toBe(200);
  });

  it('I8: with the same Idempotency-Key turns once', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const first = await rotate({ now: true }, headers);
    const again = await rotate({ now: true }, headers);
    expect(again.text).toBe(first.text);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect((await keys()).filter(({ state }) => state === 'retiring')).toHaveLength(1);
  });

  it.each([
    ['revoke alone', { revoke: true, reason: 'x' }, 400, 'invalid_request'],
    ['revoke without a reason', { revoke: true, now: true }, 422, 'reason_required'],
    ['a use that is none', { use: 'passports' }, 400, 'invalid_request'],
    ['what it does not know', { kid: 'mine' }, 400, 'invalid_request'],
  ])('refuses %s, and turns nothing', async (_what, body, status, code) => {
    const before = await keys();
    const reply = await rotate(body);
    expect([reply.status, reply.body['code']]).toEqual([status, code]);
    expect(await keys()).toEqual(before);
  });

  it('is for administrators; auditors may look, agents may not even that', async () => {
    const agent = await signedIn();
    const look = await agent.call('GET', '/v1/keys');
    const turn = await agent.call('POST', '/v1/keys/rotate', { use: 'tokens' });
    const approver = await cast.approver.call('POST', '/v1/keys/rotate', { use: 'tokens' });
    expect([look.status, turn.status, approver.status]).toEqual([403, 403, 403]);
  });

  it('I1: is in the log, who did it in public and why in private', async () => {
    const kid = await kidIn('active');
    await revoke();
    const next = await kidIn('active');
    const { body } = await admin(cast.service).call('GET', '/v1/events?type=key.retired&limit=500');
    const event = list(body['data']).find(({ subject }) => subject === kid);
    expect(object(object(event?.['data'])['detail'])).toEqual({
      use: 'tokens',
      because: 'revoked',
      by: { type: 'service', id: 'admin-token' },
    });
    expect(JSON.stringify(event?.['data'])).not.toContain('it leaked');
    expect(event?.['disclosed']).toMatchObject({ reason: 'it leaked' });
    for (const type of ['key.published', 'key.activated']) {
      const found = await admin(cast.service).call('GET', `/v1/events?type=${type}&limit=500`);
      expect(list(found.body['data']).some(({ subject }) => subject === next)).toBe(true);
    }
  });
});

describe('the key set', () => {
  it('keeps its shape with several keys, and says for how long it may be kept', async () => {
    await rotate();
    const { body, headers } = await jwks();
    expect(headers.get('cache-control')).toBe('public, max-age=300');
    expect(list(body['keys'])).toHaveLength(2);
    for (const key of list(body['keys'])) {
      expect(Object.keys(key)).toEqual(['kty', 'crv', 'x', 'y', 'kid', 'alg', 'use']);
      expect(key).toMatchObject({ kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig' });
    }
  });
});

describe('the configuration of keys', () => {
  const seal = 'a'.repeat(64);
  it.each<[string, Record<string, string>, RegExp]>([
    ['a short seal key', { COUNTERSIGN_SEAL_KEY: 'c2hvcnQ=' }, /32 random bytes/],
    ['a seal key of one letter', { COUNTERSIGN_SEAL_KEY: seal }, /32 random bytes/],
    ['a service in clear', { COUNTERSIGN_TRANSIT_ADDRESS: 'http://vault.example' }, /https/],
    ['a service without a token', { COUNTERSIGN_TRANSIT_ADDRESS: 'https://v.example' }, /TOKEN/],
    ['too little ahead', { COUNTERSIGN_KEY_AHEAD_SECONDS: '59' }, /from 60/],
    ['no number', { COUNTERSIGN_KEY_ROTATION_DAYS: '1e3' }, /whole number/],
    [
      'more ahead than a key lives',
      { COUNTERSIGN_KEY_ROTATION_DAYS: '1', COUNTERSIGN_KEY_AHEAD_SECONDS: '86400' },
      /shorter/,
    ],
    [
      'a mount that leads elsewhere',
      {
        COUNTERSIGN_TRANSIT_ADDRESS: 'https://v.example',
        COUNTERSIGN_TRANSIT_TOKEN: 't',
        COUNTERSIGN_TRANSIT_MOUNT: 'a/?b',
      },
      /plain path/,
    ],
  ])('refuses %s', (_what, env, says) => {
    expect(() => readConfig(env)).toThrow(says);
  });

  it('publishes a day ahead, or half the life of a key that lives shorter', () => {
    const schedule = (env: Record<string, string>) => readConfig(env).signingKeys;
    expect(schedule({})).toMatchObject({ ageSeconds: 7_776_000, aheadSeconds: 86_400 });
    expect(schedule({ COUNTERSIGN_KEY_ROTATION_DAYS: '1' })).toMatchObject({
      ageSeconds: 86_400,
      aheadSeconds: 43_200,
    });
  });
});
