import { createHash, randomUUID } from 'node:crypto';
import { decodeJwt, generateKeyPair, exportJWK, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  anyone,
  asClient,
  askCredential,
  clientAssertion,
  newKey,
  object,
  opened,
  postForm,
  text,
  type Reply,
  type TestKey,
} from '../support/client.ts';
import { dpopProof, thumbprintOf } from '../support/delegation.ts';

let cast: Cast;
let key: TestKey;
beforeAll(async () => {
  cast = await startCast();
  key = await newKey();
});
afterAll(() => cast.close());

const tokenUrl = (): string => `${cast.service.publicUrl}/oauth2/token`;

/** Signs the agent in with this proof. */
async function signedInWith(proof: string): Promise<Reply> {
  const { service, agent } = cast;
  const form = {
    grant_type: 'client_credentials',
    ...asClient(await clientAssertion(service, agent.id, agent.key)),
  };
  return postForm(service, '/oauth2/token', form, { dpop: proof });
}

const proven = async (over: JsonObject = {}, header: JsonObject = {}): Promise<string> =>
  dpopProof(key, { method: 'POST', url: tokenUrl() }, over, header);

const boundToken = async (): Promise<string> =>
  text((await signedInWith(await proven())).body['access_token']);

const said = ({ status, body, headers }: Reply): string =>
  `${status} ${text(body['error']) || text(body['code'])} ${headers.get('www-authenticate') ?? ''}`.trim();

describe('a proof of possession at the token endpoint', () => {
  it('binds the token to its key', async () => {
    const { status, body } = await signedInWith(await proven());
    expect([status, body['token_type']]).toEqual([200, 'DPoP']);
    expect(decodeJwt(text(body['access_token']))['cnf']).toEqual({ jkt: await thumbprintOf(key) });
  });

  it.each([
    ['is for another method', { htm: 'GET' }, {}],
    ['is for another address', { htu: 'https://elsewhere.example/oauth2/token' }, {}],
    ['is for a longer address', { htu: 'http://localhost/oauth2/token/more' }, {}],
    ['has a user in its address', { htu: 'http://a@localhost/oauth2/token' }, {}],
    ['is for no address', { htu: 7 }, {}],
    ['is old', { iat: Math.floor(Date.now() / 1000) - 300 }, {}],
    ['is from the future', { iat: Math.floor(Date.now() / 1000) + 300 }, {}],
    ['says no time', { iat: 'now' }, {}],
    ['has no id', { jti: '' }, {}],
    ['has an id without end', { jti: 'x'.repeat(201) }, {}],
    ['has NUL in its id', { jti: 'a\0b' }, {}],
    ['is of another type', {}, { typ: 'JWT' }],
  ])('is refused when it %s', async (_what, over, header) => {
    expect(said(await signedInWith(await proven(over, header)))).toBe('400 invalid_dpop_proof');
  });

  it('is refused with a private key in it, with another key than its own, and without one', async () => {
    const other = await newKey();
    for (const jwk of [{ ...key.privateJwk }, other.publicJwk, null])
      expect(said(await signedInWith(await proven({}, { jwk: jwk as JsonObject })))).toBe(
        '400 invalid_dpop_proof',
      );
  });

  it('is refused unsigned, by a shared secret, and by a kind of key that may be weak', async () => {
    const claims = {
      htm: 'POST',
      htu: tokenUrl(),
      jti: randomUUID(),
      iat: Math.floor(Date.now() / 1000),
    };
    const secret = new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', typ: 'dpop+jwt', jwk: { kty: 'oct' } })
      .sign(new Uint8Array(32));
    const { publicKey, privateKey } = await generateKeyPair('RS256');
    const rsa = new SignJWT(claims)
      .setProtectedHeader({ alg: 'RS256', typ: 'dpop+jwt', jwk: await exportJWK(publicKey) })
      .sign(privateKey);
    const encode = (value: JsonObject): string =>
      Buffer.from(JSON.stringify(value)).toString('base64url');
    const none = `${encode({ alg: 'none', typ: 'dpop+jwt', jwk: key.publicJwk })}.${encode(claims)}.`;
    for (const proof of [await secret, await rsa, none, 'a.b.c', '', `${none}, ${none}`])
      expect(said(await signedInWith(proof))).toBe('400 invalid_dpop_proof');
  });

  it('is good once for its key, however many send it, and does not stand in the way of another key', async () => {
    const jti = randomUUID();
    const proof = await proven({ jti });
    const replies = await Promise.all(Array.from({ length: 5 }, () => signedInWith(proof)));
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(1);
    const other = await dpopProof(await newKey(), { method: 'POST', url: tokenUrl() }, { jti });
    expect((await signedInWith(other)).status).toBe(200);
  });

  it('knows its address in any spelling of it, and whatever its query', async () => {
    const { host, port } = new URL(tokenUrl());
    for (const htu of [
      `HTTP://LOCALHOST:${port}/oauth2/token`,
      `http://${host}/oauth2/token?a=1#b`,
    ])
      expect((await signedInWith(await proven({ htu }))).status).toBe(200);
  });
});

describe('a token that is bound to a key', () => {
  const path = '/v1/tasks';
  const call = async (
    token: string,
    over: JsonObject = {},
    by: TestKey = key,
    scheme = 'DPoP',
  ): Promise<Reply> => {
    const url = cast.service.publicUrl + path;
    const dpop = await dpopProof(by, { method: 'GET', url, token }, over);
    const authorization = `${scheme} ${token}`;
    return anyone(cast.service).call('GET', path, undefined, { authorization, dpop });
  };

  it('opens our API together with a proof of that key for this call and this token', async () => {
    const token = await boundToken();
    expect((await call(token)).status).toBe(200);
    expect(said(await call(token, {}, await newKey()))).toMatch(/^401 unauthenticated DPoP error=/);
    const ath = createHash('sha256').update('another token').digest('base64url');
    for (const over of [{ htm: 'POST' }, { htu: tokenUrl() }, { ath }, { ath: '' }])
      expect(said(await call(token, over))).toMatch(/^401 .*error="invalid_dpop_proof"/);
    const bare = { authorization: `DPoP ${token}` };
    expect((await anyone(cast.service).call('GET', path, undefined, bare)).status).toBe(401);
  });

  it('is refused as a bearer token, with a proof or without, everywhere', async () => {
    const token = await boundToken();
    expect(said(await call(token, {}, key, 'Bearer'))).toMatch(/^401 unauthenticated DPoP/);
    const headers = { authorization: `Bearer ${token}` };
    for (const [method, at] of [
      ['GET', '/v1/tasks'],
      ['GET', '/version'],
      ['POST', '/v1/tasks'],
    ] as const)
      expect((await anyone(cast.service).call(method, at, undefined, headers)).status).toBe(401);
    const asked = await postForm(cast.service, '/oauth2/introspect', { token }, headers);
    expect(asked.status).toBe(401);
  });

  it('is no way to send a token that is bound to nothing, or the admin token', async () => {
    for (const token of [await cast.agent.token(), cast.service.adminToken])
      expect((await call(token)).status).toBe(401);
  });

  it('is shown as what it is by introspection', async () => {
    const { service } = cast;
    const headers = { authorization: `Bearer ${service.adminToken}` };
    const token = await boundToken();
    const { body } = await postForm(service, '/oauth2/introspect', { token }, headers);
    expect(body).toMatchObject({
      active: true,
      token_type: 'DPoP',
      cnf: { jkt: await thumbprintOf(key) },
    });
  });
});

describe('a role whose tokens are bound', () => {
  const bindRoles = (binding: string) =>
    changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'roles.yaml': `${(files['roles.yaml'] ?? '').replaceAll(/ {4}binding: .*\n/g, '').trimEnd()}\n    binding: ${binding}\n`,
    }));

  const ask = async (more: JsonObject = {}): Promise<Reply> =>
    askCredential(cast.agent, await startTask(cast.agent), {
      role: 'reports-api',
      seal_to: cast.seal.publicJwk,
      ...more,
    });

  const claimsOf = async (reply: Reply): Promise<JsonObject> => {
    const { token } = await opened(reply.body['sealed'], cast.seal);
    return decodeJwt<JsonObject>(text(token));
  };

  it('gives them to the key that they are sealed to, or to the one that was named', async () => {
    await bindRoles('dpop');
    const own = await claimsOf(await ask());
    expect(own['cnf']).toEqual({ jkt: await thumbprintOf(cast.seal) });
    const jkt = await thumbprintOf(key);
    expect((await claimsOf(await ask({ dpop_jkt: jkt })))['cnf']).toEqual({ jkt });
    expect((await ask({ dpop_jkt: 'short' })).body['code']).toBe('invalid_request');
  });

  it('refuses whoever comes without a certificate where one is needed', async () => {
    await bindRoles('mtls');
    expect((await ask()).body['code']).toBe('binding_required');
  });

  it('binds where it need not, when it is asked to, and no login to a database', async () => {
    await bindRoles('none');
    const jkt = await thumbprintOf(key);
    expect((await claimsOf(await ask()))['cnf']).toBeUndefined();
    expect((await claimsOf(await ask({ dpop_jkt: jkt })))['cnf']).toEqual({ jkt });
    const login = await ask({ role: 'orders-readonly', dpop_jkt: jkt });
    expect(login.body['code']).toBe('invalid_request');
  });

  it('has the key in what people approve, and gives the token to no other', async () => {
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'main.cedar': (files['main.cedar'] ?? '').replace(
        '@id("call-reports")',
        '@id("call-reports")\n@approval("orders-write")',
      ),
    }));
    const task = await startTask(cast.agent);
    const order = (jkt: string) => ({
      role: 'reports-api',
      seal_to: cast.seal.publicJwk,
      dpop_jkt: jkt,
    });
    const first = await askCredential(cast.agent, task, order(await thumbprintOf(key)));
    const second = await askCredential(cast.agent, task, order(await thumbprintOf(cast.seal)));
    const actionOf = ({ body }: Reply) => object(object(body['request'])['action']);
    expect(actionOf(first)['parameters']).toMatchObject({
      confirmation: { jkt: await thumbprintOf(key) },
    });
    expect(object(first.body['request'])['id']).not.toBe(object(second.body['request'])['id']);
  });
});
