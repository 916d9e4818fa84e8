import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  list,
  newKey,
  object,
  text,
  type TestKey,
} from '../support/client.ts';

let cast: Cast;
let key: TestKey;
let source: string;

beforeAll(async () => {
  cast = await startCast();
  key = await newKey();
  const reply = await admin(cast.service).call('POST', '/v1/trigger-sources', {
    name: 'the ticket system',
    key: key.publicJwk,
  });
  source = text(reply.body['id']);
});
afterAll(() => cast.close());

interface Over {
  claims?: Record<string, unknown>;
  header?: Record<string, string>;
  by?: TestKey;
}

function event({ claims = {}, header = {}, by = key }: Over = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({
    iss: source,
    aud: cast.agent.id,
    jti: randomUUID(),
    iat: now,
    exp: now + 120,
    event: { type: 'ticket.opened', id: 'T-42' },
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'trigger-event+jwt', kid: source, ...header })
    .sign(by.privateKey);
}

const start = (trigger_proof: string, triggered_by?: string, by = cast.agent) =>
  by.call('POST', '/v1/tasks', {
    purpose: 'order support',
    ttl_seconds: 60,
    trigger_proof,
    ...(triggered_by !== undefined && { triggered_by }),
  });

describe('a signed event', () => {
  it('shows what set a task off, and is told with it', async () => {
    const reply = await start(await event());
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({
      triggered_by: null,
      triggered_by_proof: 'verified',
      trigger: { source, type: 'ticket.opened', id: 'T-42' },
    });
    const path = `/v1/events?task=${text(reply.body['id'])}&type=task.started`;
    const [told] = list((await admin(cast.service).call('GET', path)).body['data']);
    const data = object(told?.['data']);
    expect(object(data['detail'])['trigger_source']).toBe(source);
    expect(JSON.stringify(data)).not.toContain('T-42');
  });

  it('verifies the human that it names', async () => {
    const { id } = cast.approver;
    const reply = await start(await event({ claims: { human: id } }), id);
    expect(reply.body).toMatchObject({ triggered_by: id, triggered_by_proof: 'verified' });
  });

  it('that names nobody leaves whoever the agent names a claim', async () => {
    const reply = await start(await event(), cast.approver.id);
    expect(reply.body).toMatchObject({
      triggered_by: cast.approver.id,
      triggered_by_proof: 'claimed',
    });
  });

  it('is good once', async () => {
    const proof = await event();
    expect((await start(proof)).status).toBe(201);
    expect((await start(proof)).body['code']).toBe('trigger_unproven');
  });

  it('shows nothing about another human, another agent, or another time', async () => {
    const now = Math.floor(Date.now() / 1000);
    const stranger = await newKey();
    const proofs: [string, string | undefined][] = [
      [await event({ claims: { human: cast.approver.id } }), undefined],
      [await event({ claims: { human: cast.approver.id } }), cast.owner.id],
      [await event({ claims: { aud: 'agt_00000000000000000000000000' } }), undefined],
      [await event({ claims: { iat: now - 400 } }), undefined],
      [await event({ claims: { iat: now + 400, exp: now + 500 } }), undefined],
      [await event({ claims: { exp: now - 1 } }), undefined],
      [await event({ claims: { iss: 'trs_00000000000000000000000000' } }), undefined],
      [await event({ claims: { event: { type: 'x' } } }), undefined],
      [await event({ claims: { jti: undefined } }), undefined],
      [await event({ by: stranger }), undefined],
      [await event({ header: { kid: 'trs_00000000000000000000000000' } }), undefined],
      [await event({ header: { typ: 'JWT' } }), undefined],
      ['not a token', undefined],
    ];
    for (const [proof, human] of proofs)
      expect((await start(proof, human)).body['code']).toBe('trigger_unproven');
  });

  it('of one agent sets off no task of another', async () => {
    const other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    expect((await start(await event(), undefined, other)).body['code']).toBe('trigger_unproven');
  });
});

describe('a source', () => {
  it('that was removed is believed no more', async () => {
    const asAdmin = admin(cast.service);
    const added = await asAdmin.call('POST', '/v1/trigger-sources', {
      name: 'gone tomorrow',
      key: (await newKey()).publicJwk,
    });
    const id = text(added.body['id']);
    const listed = await asAdmin.call('GET', '/v1/trigger-sources');
    expect(list(listed.body['data']).map((each) => each['id'])).toContain(id);
    expect((await asAdmin.call('DELETE', `/v1/trigger-sources/${id}`)).status).toBe(204);
    const proof = await event({ header: { kid: id }, claims: { iss: id } });
    expect((await start(proof)).body['code']).toBe('trigger_unproven');
  });
});
