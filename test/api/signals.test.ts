import { createPublicKey, randomBytes, verify } from 'node:crypto';
import type { JWTPayload } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { startFakeReceiver, type FakeReceiver, type Heard } from '../fakes/signal-receiver.ts';
import { startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  anyone,
  askCredential,
  eventually,
  list,
  newKey,
  object,
  text,
  vote,
  type TestAgent,
} from '../support/client.ts';

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type';
const WISE = 'https://schemas.openid.net/secevent/wise/event-type';
const TOKEN = randomBytes(24).toString('hex');
const AUDIENCE = 'https://receiver.example';
const REASON = 'it behaved like a stranger';

let cast: Cast;
let fake: FakeReceiver;
const made: string[] = [];

beforeAll(async () => {
  cast = await startCast();
  fake = await startFakeReceiver(() => ({
    issuer: cast.service.publicUrl,
    transmitter: cast.service.url,
    audience: AUDIENCE,
    token: TOKEN,
  }));
});
afterAll(async () => {
  await fake.close();
  await cast.close();
});
afterEach(async () => {
  fake.heard.length = 0;
  for (const id of made.splice(0)) await admin(cast.service).call('DELETE', `/v1/receivers/${id}`);
});

async function receive(more: JsonObject = {}): Promise<string> {
  const reply = await admin(cast.service).call('POST', '/v1/receivers', {
    kind: 'ssf',
    url: fake.url,
    audience: AUDIENCE,
    ...(more['kind'] !== 'webhook' && { token: TOKEN }),
    ...more,
  });
  expect(reply.status).toBe(201);
  const id = text(reply.body['id']);
  made.push(id);
  return id;
}

const newAgent = (): Promise<TestAgent> =>
  admittedAgent(cast.service, cast.owner.id, cast.approver);

const asAdmin = (method: string, path: string, body?: JsonObject) =>
  admin(cast.service).call(method, path, body);

const suspend = (agent: TestAgent) =>
  asAdmin('POST', `/v1/agents/${agent.id}/suspend`, { reason: REASON });

const eventOf = (claims: JWTPayload): [string, JsonObject] =>
  Object.entries(claims['events'] as Record<string, JsonObject>)[0] ?? ['', {}];

const takenAbout = (what: string): JWTPayload[] =>
  fake.taken().filter((claims) => JSON.stringify(claims).includes(what));

async function untilTaken(what: string, number: number): Promise<JWTPayload[]> {
  await eventually(
    () => Promise.resolve(takenAbout(what).length >= number),
    `${number} messages about ${what}, after ${JSON.stringify(fake.heard.map(({ fault }) => fault))}`,
  );
  return takenAbout(what);
}

async function deliveriesOf(id: string): Promise<JsonObject[]> {
  const reply = await asAdmin('GET', `/v1/receivers/${id}/deliveries`);
  return list(reply.body['data']);
}

const detailsOf = async (type: string, id: string): Promise<JsonObject[]> => {
  const reply = await asAdmin('GET', `/v1/events?type=${type}&limit=500`);
  return list(reply.body['data'])
    .map((event) => object(object(event['data'])['detail']))
    .filter((detail) => detail['receiver'] === id);
};

describe('a receiver of security events', () => {
  it('learns that an agent was suspended, from a SET that a strict receiver takes', async () => {
    await receive();
    const agent = await newAgent();
    await suspend(agent);
    const [claims] = await untilTaken(agent.name, 1);
    const { body } = await asAdmin('GET', `/v1/agents/${agent.id}`);
    expect(claims?.['sub_id']).toEqual({ format: 'uri', uri: body['spiffe_id'] });
    const [uri, event] = eventOf(claims ?? {});
    expect(uri).toBe(`${CAEP}/session-revoked`);
    expect(event).toMatchObject({ initiating_entity: 'admin' });
    expect(Math.abs(Number(event['event_timestamp']) - Date.now() / 1000)).toBeLessThan(60);
  });

  it('is told of a revoked credential alone, as one session of its agent', async () => {
    await receive();
    const task = await startTask(cast.agent);
    const asked = await askCredential(cast.agent, task, {
      role: 'reports-api',
      seal_to: cast.seal.publicJwk,
    });
    const id = text(asked.body['id']);
    await cast.agent.call('POST', `/v1/credentials/${id}/revoke`, {});
    const [claims] = await untilTaken(id, 1);
    expect(claims?.['sub_id']).toMatchObject({
      format: 'complex',
      application: { format: 'uri' },
      session: { format: 'jwt_id', iss: cast.service.publicUrl, jti: id },
    });
    expect(eventOf(claims ?? {})).toMatchObject([
      `${CAEP}/session-revoked`,
      { initiating_entity: 'user' },
    ]);
  });

  it('is told of keys that come and go', async () => {
    await receive();
    const agent = await newAgent();
    const key = await newKey();
    const asked = await asAdmin('POST', `/v1/agents/${agent.id}/keys`, { key: key.publicJwk });
    const request = text(object(asked.body['request'])['id']);
    if (request !== '') await vote(cast.approver, request, 'approve');
    const [added] = await untilTaken(agent.name, 1);
    expect(eventOf(added ?? {})).toMatchObject([
      `${CAEP}/credential-change`,
      { change_type: 'create', credential_type: 'app' },
    ]);
    const { body } = await asAdmin('GET', `/v1/agents/${agent.id}`);
    const first = text(list(body['keys'])[0]?.['id']);
    await asAdmin('DELETE', `/v1/agents/${agent.id}/keys/${first}`);
    const taken = await untilTaken(agent.name, 2);
    expect(taken.map((each) => eventOf(each)[1]['change_type'])).toEqual(['create', 'revoke']);
  });

  it('hears the reasons people wrote only where an administrator said so', async () => {
    await receive();
    const agent = await newAgent();
    await suspend(agent);
    await untilTaken(agent.name, 1);
    expect(JSON.stringify(fake.taken())).not.toContain(REASON);
    await receive({ reasons: true });
    const other = await newAgent();
    await suspend(other);
    await untilTaken(other.name, 2);
    expect(takenAbout(REASON)).toHaveLength(1);
  });

  it('gets the WISE vocabulary only where it was asked for, one event to a SET', async () => {
    await receive({ wise: true });
    const agent = await newAgent();
    await suspend(agent);
    await asAdmin('POST', `/v1/agents/${agent.id}/resume`, {});
    const taken = await untilTaken(agent.name, 3);
    expect(taken.map((each) => eventOf(each)[0])).toEqual([
      `${CAEP}/session-revoked`,
      `${WISE}/workload-disabled`,
      `${WISE}/workload-enabled`,
    ]);
  });

  it('gets only what it selected', async () => {
    await receive({ signals: ['agent.key_added'] });
    const all = await receive();
    const agent = await newAgent();
    await suspend(agent);
    await untilTaken(agent.name, 1);
    await eventually(async () => (await deliveriesOf(all))[0]?.['state'] === 'delivered');
    expect(takenAbout(agent.name)).toHaveLength(1);
  });

  it('is asked by a verification whether it hears, and gets its state back', async () => {
    const id = await receive();
    const reply = await asAdmin('POST', `/v1/receivers/${id}/verify`, { state: 'a-nonce' });
    expect(reply.status).toBe(202);
    const [claims] = await untilTaken('a-nonce', 1);
    expect(claims?.jti).toBe(reply.body['id']);
    expect(claims?.['sub_id']).toEqual({ format: 'opaque', id });
  });
});

describe('what is not heard', () => {
  const statesOf = async (id: string) => (await deliveriesOf(id)).map((each) => each['state']);
  const verifyOnce = async (id: string): Promise<string> => {
    const reply = await asAdmin('POST', `/v1/receivers/${id}/verify`, {});
    return text(reply.body['id']);
  };

  it('is sent again under the same id, and is delivered once it is taken', async () => {
    const id = await receive();
    fake.next({ status: 500 }, 'cut');
    const jti = await verifyOnce(id);
    await eventually(async () => (await deliveriesOf(id))[0]?.['attempts'] === 1);
    await soon(id);
    await eventually(async () => (await deliveriesOf(id))[0]?.['attempts'] === 2);
    await soon(id);
    await eventually(async () => (await statesOf(id))[0] === 'delivered');
    expect(fake.heard.map(({ claims }) => claims?.jti)).toEqual([jti, jti, jti]);
    const [delivery] = await deliveriesOf(id);
    expect(list(delivery?.['tries']).map((each) => each['code'])).toEqual([
      'http_500',
      'unreachable',
      'http_202',
    ]);
  });

  it('waits as long as a busy receiver asks', async () => {
    const id = await receive();
    fake.next({ status: 429, headers: { 'retry-after': '3600' } });
    await verifyOnce(id);
    await eventually(async () => (await deliveriesOf(id))[0]?.['attempts'] === 1);
    await eventually(async () => list((await deliveriesOf(id))[0]?.['tries']).length === 1);
    const [delivery] = await deliveriesOf(id);
    expect(Date.parse(text(delivery?.['next_try_at'])) - Date.now()).toBeGreaterThan(3_500_000);
  });

  it('is given up at once when the receiver says that it will never have it', async () => {
    const id = await receive({ audience: 'https://somebody-else.example' });
    await verifyOnce(id);
    await eventually(async () => (await statesOf(id))[0] === 'failed');
    const [delivery] = await deliveriesOf(id);
    expect(list(delivery?.['tries'])).toMatchObject([{ status: 400, code: 'set_invalid_request' }]);
    expect(await detailsOf('receiver.delivery_failed', id)).toMatchObject([
      { attempts: 1, code: 'set_invalid_request' },
    ]);
    // It is there, and hears the next one.
    expect((await asAdmin('GET', `/v1/receivers/${id}`)).body['state']).toBe('enabled');
  });

  it('disables a receiver that is gone for good, and says so', async () => {
    const id = await receive();
    fake.next({ status: 410 });
    await verifyOnce(id);
    await eventually(
      async () => (await asAdmin('GET', `/v1/receivers/${id}`)).body['state'] === 'disabled',
    );
    expect((await asAdmin('GET', `/v1/receivers/${id}`)).body['because']).toBe('gone');
    expect(await detailsOf('receiver.changed', id)).toMatchObject([
      { state: 'disabled', because: 'gone', by: { type: 'workflow', id: 'courier' } },
    ]);
    expect((await asAdmin('POST', `/v1/receivers/${id}/verify`, {})).body['code']).toBe(
      'wrong_state',
    );
  });

  it('follows no redirect, and takes no token elsewhere', async () => {
    const id = await receive();
    fake.next({ status: 307, headers: { location: `${fake.url}/elsewhere` } });
    await verifyOnce(id);
    await eventually(async () => list((await deliveriesOf(id))[0]?.['tries']).length === 1);
    expect((await deliveriesOf(id))[0]).toMatchObject({ state: 'pending' });
    expect(fake.heard).toHaveLength(1);
  });

  it('is given up after the last attempt, and a receiver that failed for days is disabled', async () => {
    const id = await receive();
    fake.next({ status: 500 }, { status: 500 });
    await verifyOnce(id);
    await eventually(async () => list((await deliveriesOf(id))[0]?.['tries']).length === 1);
    const { owner } = cast.service.database;
    await owner.sql`update receiver set failing_since = now() - interval '3 days' where id = ${id}`;
    await owner.sql`update signal_delivery set attempts = 9, next_try_at = now() where receiver = ${id}`;
    await eventually(async () => (await statesOf(id))[0] === 'failed');
    await eventually(
      async () => (await asAdmin('GET', `/v1/receivers/${id}`)).body['because'] === 'failing',
    );
    expect(await detailsOf('receiver.changed', id)).toMatchObject([{ because: 'failing' }]);
  });

  it('waits for a receiver that is paused, and is lost on one that is disabled', async () => {
    const id = await receive();
    await asAdmin('PATCH', `/v1/receivers/${id}`, { state: 'paused' });
    const agent = await newAgent();
    await suspend(agent);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(takenAbout(agent.name)).toHaveLength(0);
    await asAdmin('PATCH', `/v1/receivers/${id}`, { state: 'enabled' });
    await eventually(async () => (await statesOf(id))[0] === 'delivered');
    expect(takenAbout(agent.name)).toHaveLength(1);
    await asAdmin('PATCH', `/v1/receivers/${id}`, { state: 'disabled' });
    const other = await newAgent();
    await suspend(other);
    expect((await deliveriesOf(id)).map((each) => each['state'])).toEqual(['delivered']);
  });

  /** Lets the next attempt come at once. */
  async function soon(id: string): Promise<void> {
    // Not while an attempt is under way: what came of it would set the time anew.
    await eventually(async () => {
      const [delivery] = await deliveriesOf(id);
      return list(delivery?.['tries']).length === delivery?.['attempts'];
    });
    await cast.service.database.owner
      .sql`update signal_delivery set next_try_at = now() where receiver = ${id} and state = 'pending'`;
  }
});

describe('a bad receiver', () => {
  it('neither slows nor fails the change it should be told of, nor keeps others waiting', async () => {
    const bad = await startFakeReceiver(() => ({
      issuer: '',
      transmitter: cast.service.url,
      audience: '',
      token: null,
    }));
    for (let each = 0; each < 6; each += 1) bad.next('silent');
    const slow = await receive({ url: bad.url });
    await receive();
    const agent = await newAgent();
    const started = Date.now();
    expect((await suspend(agent)).status).toBe(200);
    expect(Date.now() - started).toBeLessThan(3_000);
    await untilTaken(agent.name, 1);
    expect(Date.now() - started).toBeLessThan(6_000);
    expect((await deliveriesOf(slow))[0]).toMatchObject({ state: 'pending', tries: [] });
    await eventually(
      async () => list((await deliveriesOf(slow))[0]?.['tries'])[0]?.['code'] === 'unreachable',
      'the end of patience',
    );
    await bad.close();
  });

  it('is not read to the end when it answers without one', async () => {
    const id = await receive();
    fake.next('huge');
    await asAdmin('POST', `/v1/receivers/${id}/verify`, {});
    await eventually(
      async () => list((await deliveriesOf(id))[0]?.['tries'])[0]?.['code'] === 'too_large',
    );
    expect((await deliveriesOf(id))[0]).toMatchObject({ state: 'pending', attempts: 1 });
  });

  it.each([
    'http://169.254.169.254/latest/meta-data',
    'https://10.0.0.1/hook',
    'https://[::ffff:127.0.0.1]/hook',
    'https://user:password@hooks.example/',
    'ftp://hooks.example/',
    'http://hooks.example/',
  ])('cannot be set up at %s', async (url) => {
    const reply = await asAdmin('POST', '/v1/receivers', { kind: 'webhook', url });
    expect([reply.status, reply.body['code']]).toEqual([422, 'callback_refused']);
  });

  it('that moved to a private address since is not called there', async () => {
    const id = await receive();
    const { owner } = cast.service.database;
    await owner.sql`update receiver set url = 'https://10.0.0.1/' where id = ${id}`;
    await asAdmin('POST', `/v1/receivers/${id}/verify`, {});
    await eventually(
      async () => list((await deliveriesOf(id))[0]?.['tries'])[0]?.['code'] === 'private_address',
    );
    expect(fake.heard).toHaveLength(0);
  });
});

describe('a webhook', () => {
  it('is signed for anybody to verify, and tells the public facts', async () => {
    await receive({ kind: 'webhook', signals: ['agent.suspended'] });
    fake.next({ status: 204 });
    const agent = await newAgent();
    await suspend(agent);
    await eventually(() => Promise.resolve(fake.heard.length > 0));
    const [call] = fake.heard;
    if (!call) throw new Error('nothing came');
    expect(JSON.parse(call.body)).toMatchObject({
      type: 'agent.suspended',
      data: { agent: agent.id, by: { type: 'service' } },
    });
    expect(call.body).not.toContain(REASON);
    expect(await isSigned(call)).toBe(true);
    expect(await isSigned({ ...call, body: call.body.replace('suspended', 'resumed') })).toBe(
      false,
    );
    expect(call.headers.authorization).toBeUndefined();
  });
});

async function isSigned({ headers, body }: Heard): Promise<boolean> {
  const { body: version } = await anyone(cast.service).call('GET', '/version');
  const x = Buffer.from(text(version['webhook_key']).slice('whpk_'.length), 'base64');
  const key = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: x.toString('base64url') },
    format: 'jwk',
  });
  const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
  const signature = String(headers['webhook-signature']).replace('v1a,', '');
  return verify(null, Buffer.from(signed), key, Buffer.from(signature, 'base64'));
}

describe('I5: the token of a receiver', () => {
  it('is echoed by nothing and stands in no table', async () => {
    const id = await receive();
    const replies = [
      await asAdmin('GET', `/v1/receivers/${id}`),
      await asAdmin('GET', '/v1/receivers'),
      await asAdmin('GET', '/v1/events?type=receiver.added&limit=500'),
    ];
    expect(replies.map((reply) => reply.text).join('\n')).not.toContain(TOKEN);
    expect(replies[0]?.body['has_token']).toBe(true);
    const { owner } = cast.service.database;
    const [row] = await owner.sql`select r::text as all from receiver r where id = ${id}`;
    expect(String(row?.['all'])).not.toContain(TOKEN);
    expect(String(row?.['all'])).not.toContain(Buffer.from(TOKEN).toString('hex'));
  });
});

describe('/.well-known/ssf-configuration', () => {
  it('says how to verify us, and that the session in a subject must be understood', async () => {
    const { body } = await anyone(cast.service).call('GET', '/.well-known/ssf-configuration');
    expect(body).toMatchObject({
      spec_version: '1_0',
      issuer: cast.service.publicUrl,
      delivery_methods_supported: ['urn:ietf:rfc:8935'],
      critical_subject_members: ['session'],
    });
  });
});
