import { createHmac, randomUUID } from 'node:crypto';
import { CompactSign, exportSPKI, importJWK, SignJWT, type JWTHeaderParameters } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { startCast, startTask, type Cast } from '../support/cast.ts';
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
  opened,
  registerAgent,
  requestToken,
  text,
  vote,
  type Reply,
  type TestAgent,
  type TestKey,
} from '../support/client.ts';

let cast: Cast;
let other: TestAgent;
beforeAll(async () => {
  cast = await startCast();
  other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
});
afterAll(() => cast.close());

const seconds = (): number => Math.floor(Date.now() / 1000);

const signIn = async (over: JsonObject = {}, key: TestKey = cast.agent.key): Promise<Reply> =>
  requestToken(cast.service, await clientAssertion(cast.service, cast.agent.id, key, over));

const encode = (value: JsonObject): string =>
  Buffer.from(JSON.stringify(value)).toString('base64url');

const claims = (): JsonObject => ({
  iss: cast.agent.id,
  sub: cast.agent.id,
  aud: `${cast.service.publicUrl}/oauth2/token`,
  jti: randomUUID(),
  iat: seconds(),
  exp: seconds() + 60,
});

const signedWith = (header: JWTHeaderParameters, over: JsonObject = {}): Promise<string> =>
  new SignJWT({ ...claims(), ...over }).setProtectedHeader(header).sign(cast.agent.key.privateKey);

async function refusedWith(reply: Promise<Reply>): Promise<string> {
  const { status, body, headers } = await reply;
  expect(headers.get('cache-control')).toBe('no-store');
  expect(text(body['error_description'])).not.toBe('');
  return `${status} ${text(body['error'])}`;
}

const INVALID = '401 invalid_client';

describe('a client assertion', () => {
  it('is taken for the issuer and for the token endpoint', async () => {
    const { publicUrl } = cast.service;
    const endpoint = `${publicUrl}/oauth2/token`;
    for (const aud of [publicUrl, endpoint, [publicUrl, endpoint]]) {
      const reply = await signIn({ aud });
      expect(reply.status).toBe(200);
      expect(reply.body).toMatchObject({ token_type: 'Bearer', scope: 'agent', expires_in: 900 });
    }
  });

  it.each([
    ['is for another server', () => ({ aud: 'https://elsewhere.example/oauth2/token' })],
    ['is for nobody', () => ({ aud: [] })],
    ['is good for too long', () => ({ exp: seconds() + 3600 })],
    ['has expired', () => ({ exp: seconds() - 60 })],
    ['is not good yet', () => ({ nbf: seconds() + 120 })],
    ['is from the future', () => ({ iat: seconds() + 120 })],
    ['has no jti', () => ({ jti: '' })],
    ['has a jti without end', () => ({ jti: 'x'.repeat(201) })],
    ['has another issuer than subject', () => ({ iss: other.id })],
    ['is about another agent', () => ({ iss: other.id, sub: other.id })],
    ['is about nobody', () => ({ iss: 'agt_nobody', sub: 'agt_nobody' })],
    ['has NUL in its subject', () => ({ iss: 'agt_\0', sub: 'agt_\0' })],
  ])('that %s is refused', async (_what, over) => {
    const reply = refusedWith(signIn(over()));
    expect(await reply).toBe(INVALID);
  });

  it('works once', async () => {
    const jti = randomUUID();
    expect((await signIn({ jti })).status).toBe(200);
    expect(await refusedWith(signIn({ jti }))).toBe(INVALID);
    const assertion = await signedWith({ alg: 'ES256' });
    const replies = await Promise.all(
      Array.from({ length: 10 }, () => requestToken(cast.service, assertion)),
    );
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(1);
  });

  it('is refused unsigned, and signed with a secret that everybody knows', async () => {
    const { agent, service } = cast;
    const send = (assertion: string) => refusedWith(requestToken(service, assertion));
    const body = encode(claims());
    expect(await send(`${encode({ alg: 'none' })}.${body}.`)).toBe(INVALID);
    const publicKey = await importJWK(agent.key.publicJwk, 'ES256');
    if (publicKey instanceof Uint8Array) throw new TypeError('not an EC key');
    for (const secret of [await exportSPKI(publicKey), JSON.stringify(agent.key.publicJwk)]) {
      const signed = `${encode({ alg: 'HS256' })}.${body}`;
      const mac = createHmac('sha256', secret).update(signed).digest('base64url');
      expect(await send(`${signed}.${mac}`)).toBe(INVALID);
    }
    const good = await signedWith({ alg: 'ES256' });
    expect(await send(`${good.slice(0, -6)}AAAAAA`)).toBe(INVALID);
    for (const text of ['', 'a', 'a.b.c', '..', `${good}.${good}`])
      expect([INVALID, '400 invalid_request']).toContain(await send(text));
  });

  it('is judged by registered keys alone, whatever key its header brings or names', async () => {
    const stranger = await newKey();
    const forged = new SignJWT(claims())
      .setProtectedHeader({
        alg: 'ES256',
        jwk: stranger.publicJwk,
        jku: 'https://evil.example/jwks.json',
        kid: 'other',
      })
      .sign(stranger.privateKey);
    expect(await refusedWith(requestToken(cast.service, await forged))).toBe(INVALID);
    expect(await refusedWith(signIn({}, other.key))).toBe(INVALID);
    const critical = `${encode({ alg: 'ES256', crit: ['must'], must: 1 })}.${encode(claims())}.AAAA`;
    expect(await refusedWith(requestToken(cast.service, critical))).toBe(INVALID);
  });

  it('is no token of another kind, and names its key or none', async () => {
    const send = async (header: JWTHeaderParameters) =>
      (await requestToken(cast.service, await signedWith(header))).status;
    for (const typ of ['at+jwt', 'dpop+jwt', 'logout+jwt', ''])
      expect(await send({ alg: 'ES256', typ })).toBe(401);
    for (const typ of ['JWT', 'client-authentication+jwt'])
      expect(await send({ alg: 'ES256', typ, kid: 'any' })).toBe(200);
  });

  it('that can be read in two ways is refused', async () => {
    const { privateKey } = cast.agent.key;
    const twice = JSON.stringify(claims()).replace('{', `{"sub":"${other.id}",`);
    const signed = `${encode({ alg: 'ES256' })}.${Buffer.from(twice).toString('base64url')}`;
    const assertion = await new CompactSign(Buffer.from(twice))
      .setProtectedHeader({ alg: 'ES256' })
      .sign(privateKey);
    expect(assertion.startsWith(signed)).toBe(true);
    expect(await refusedWith(requestToken(cast.service, assertion))).toBe(INVALID);
  });

  it('of an agent that was not admitted is refused', async () => {
    const { service, owner } = cast;
    const { reply, key } = await registerAgent(service, owner.id);
    const id = text(reply.body['id']);
    const assertion = await clientAssertion(service, id, key);
    expect(await refusedWith(requestToken(service, assertion))).toBe(INVALID);
  });
});

describe('the token endpoint', () => {
  const post = async (body: string, type = 'application/x-www-form-urlencoded') => {
    const response = await fetch(`${cast.service.url}/oauth2/token`, {
      method: 'POST',
      headers: { 'content-type': type },
      body,
    });
    const answer: unknown = await response.json();
    return { status: response.status, answer };
  };
  const form = async (): Promise<string> =>
    new URLSearchParams({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: await signedWith({ alg: 'ES256' }),
    }).toString();

  it('refuses a parameter that is there twice, even with the same value', async () => {
    const twice = await post(`${await form()}&grant_type=client_credentials`);
    expect(twice).toMatchObject({ status: 400, answer: { error: 'invalid_request' } });
  });

  it('takes a form and nothing else', async () => {
    for (const type of ['application/json', 'text/plain', 'multipart/form-data; boundary=x']) {
      const reply = await post(await form(), type);
      expect(reply).toMatchObject({ status: 400, answer: { error: 'invalid_request' } });
    }
    const large = await post(`${await form()}&more=${'x'.repeat(300_000)}`);
    expect(large.status).toBe(413);
  });

  it('names the grants and methods it does not have', async () => {
    const good = new URLSearchParams(await form());
    good.set('grant_type', 'password');
    expect(await post(good.toString())).toMatchObject({
      status: 400,
      answer: { error: 'unsupported_grant_type' },
    });
    good.set('grant_type', 'client_credentials');
    good.set('client_assertion_type', 'something');
    expect(await post(good.toString())).toMatchObject({
      status: 400,
      answer: { error: 'invalid_request' },
    });
  });

  it('refuses a client_id that is not the one of the assertion', async () => {
    const reply = await post(`${await form()}&client_id=${other.id}`);
    expect(reply).toMatchObject({ status: 401, answer: { error: 'invalid_client' } });
  });
});

const asks = async (token: string): Promise<number> => {
  const reply = await anyone(cast.service).call('GET', '/v1/tasks', undefined, {
    authorization: `Bearer ${token}`,
  });
  return reply.status;
};

async function introspected(token: string, by = admin(cast.service)): Promise<JsonObject> {
  const response = await fetch(`${cast.service.url}/oauth2/introspect`, {
    method: 'POST',
    headers: { authorization: await bearerOf(by) },
    body: new URLSearchParams({ token }),
  });
  const body: unknown = await response.json();
  return typeof body === 'object' && body !== null ? { ...body } : {};
}

const bearerOf = async (by: unknown): Promise<string> =>
  by === cast.agent ? `Bearer ${await cast.agent.token()}` : `Bearer ${cast.service.adminToken}`;

describe('an access token', () => {
  it('dies with the key it was signed in with, and with no other', async () => {
    const { service } = cast;
    const agent = await admittedAgent(service, cast.owner.id, cast.approver);
    const second = await newKey();
    const asked = await admin(service).call('POST', `/v1/agents/${agent.id}/keys`, {
      key: second.publicJwk,
    });
    await vote(cast.approver, text(object(asked.body['request'])['id']), 'approve');
    await eventually(async () => {
      const { body } = await admin(service).call('GET', `/v1/agents/${agent.id}`);
      return list(body['keys']).length === 2;
    });
    const byFirst = await agent.token();
    const reply = await requestToken(service, await clientAssertion(service, agent.id, second));
    const bySecond = text(reply.body['access_token']);
    const { body } = await admin(service).call('GET', `/v1/agents/${agent.id}`);
    const first = text(list(body['keys'])[0]?.['id']);
    await admin(service).call('DELETE', `/v1/agents/${agent.id}/keys/${first}`);
    expect([await asks(byFirst), await asks(bySecond)]).toEqual([401, 200]);
    expect((await introspected(byFirst))['active']).toBe(false);
    expect((await introspected(bySecond))['active']).toBe(true);
    const late = requestToken(service, await clientAssertion(service, agent.id, agent.key));
    expect(await refusedWith(late)).toBe(INVALID);
  });

  it('dies with its admission, and does not come back when the agent is resumed', async () => {
    const { service } = cast;
    const agent = await admittedAgent(service, cast.owner.id, cast.approver);
    const token = await agent.token();
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await admin(service).call('POST', `/v1/agents/${agent.id}/suspend`, {});
    expect(await asks(token)).toBe(403);
    expect((await introspected(token))['active']).toBe(false);
    const suspended = requestToken(service, await clientAssertion(service, agent.id, agent.key));
    expect(await refusedWith(suspended)).toBe(INVALID);
    await admin(service).call('POST', `/v1/agents/${agent.id}/resume`, {});
    expect(await asks(token)).toBe(401);
    expect(await asks(await agent.token())).toBe(200);
  });

  it('is no token of another kind: a trigger proof or an issued credential signs nobody in', async () => {
    const { owner, agent, seal } = cast;
    const proof = await owner.call('POST', '/v1/session/trigger-proof', { agent: agent.id });
    expect(await asks(text(proof.body['trigger_proof']))).toBe(401);
    const issued = await askCredential(agent, await startTask(agent), {
      role: 'reports-api',
      seal_to: seal.publicJwk,
    });
    const { token } = await opened(issued.body['sealed'], seal);
    expect(await asks(text(token))).toBe(401);
  });
});

describe('introspection', () => {
  it('tells agents and services whether an issued token is good, until its task ends', async () => {
    const { agent, seal } = cast;
    const task = await startTask(agent);
    const issued = await askCredential(agent, task, {
      role: 'reports-api',
      seal_to: seal.publicJwk,
    });
    const token = text((await opened(issued.body['sealed'], seal))['token']);
    for (const by of [admin(cast.service), agent])
      expect(await introspected(token, by)).toMatchObject({
        active: true,
        task_id: task,
        jti: issued.body['id'],
        aud: 'https://reports.example',
      });
    await agent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: 'wait=20' });
    expect(await introspected(token)).toEqual({ active: false });
  });

  it('vouches for nothing that is not ours, and says nothing about why', async () => {
    const forged = await signedWith({ alg: 'ES256', typ: 'at+jwt' });
    for (const token of ['a', 'a.b.c', forged, `${await cast.agent.token()}x`])
      expect(await introspected(token)).toEqual({ active: false });
  });

  it('is not for people, nor for nobody', async () => {
    const { service, approver } = cast;
    const headers = {
      cookie: approver.cookie,
      'x-csrf-token': approver.csrf,
      'content-type': 'application/x-www-form-urlencoded',
    };
    const byPerson = await anyone(service).call('POST', '/oauth2/introspect', undefined, headers);
    expect(byPerson.status).toBe(401);
    const byNobody = await anyone(service).call('POST', '/oauth2/introspect', undefined, {
      'content-type': 'application/x-www-form-urlencoded',
    });
    expect(byNobody.status).toBe(401);
  });
});

describe('the documents of the authorization server', () => {
  it('name endpoints that are there and methods that work, and public keys only', async () => {
    const { service } = cast;
    const { body } = await anyone(service).call('GET', '/.well-known/oauth-authorization-server');
    expect(body).toMatchObject({
      issuer: service.publicUrl,
      token_endpoint: `${service.publicUrl}/oauth2/token`,
      grant_types_supported: [
        'client_credentials',
        'urn:ietf:params:oauth:grant-type:jwt-bearer',
        'urn:ietf:params:oauth:grant-type:token-exchange',
        'urn:ietf:params:oauth:grant-type:deferred',
      ],
      token_endpoint_auth_methods_supported: [
        'private_key_jwt',
        'tls_client_auth',
        'self_signed_tls_client_auth',
        'spiffe_jwt',
        'spiffe_x509',
      ],
      token_endpoint_auth_signing_alg_values_supported: ['ES256'],
    });
    const keys = await anyone(service).call('GET', new URL(text(body['jwks_uri'])).pathname);
    expect(list(keys.body['keys']).length).toBeGreaterThan(0);
    for (const key of list(keys.body['keys'])) {
      expect(new Set(Object.keys(key))).toEqual(
        new Set(['kty', 'crv', 'x', 'y', 'kid', 'alg', 'use']),
      );
      expect(key['alg']).toBe('ES256');
    }
  });
});
