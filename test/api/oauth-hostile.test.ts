// Ways to a token, or to word of one, that nobody should have: each was tried, and each is refused.
import { createPrivateKey, randomUUID } from 'node:crypto';
import { decodeJwt, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, startCast, startTask, type Cast } from '../support/cast.ts';
import { signingRequest } from '../support/certificates.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  asClient,
  clientAssertion,
  newKey,
  opened,
  postForm,
  registerAgent,
  text,
  type Reply,
  type TestAgent,
} from '../support/client.ts';
import { delegated, dpopProof, exchange, subjectToken } from '../support/delegation.ts';

const SVID = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe';
const HEADER = 'client-cert';
const OWN = 'countersign.local';

let cast: Cast;
let other: TestAgent;

beforeAll(async () => {
  cast = await startCast({
    env: {
      COUNTERSIGN_CLIENT_CERT_HEADER: HEADER,
      COUNTERSIGN_CLIENT_CERT_PROXIES: '127.0.0.1',
    },
  });
  other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
}, 60_000);
afterAll(() => cast.close());

const tokenUrl = (): string => `${cast.service.publicUrl}/oauth2/token`;
const said = ({ status, body }: Reply): string =>
  `${status} ${text(body['error']) || text(body['code'])}`.trim();
const NOBODY = '401 invalid_client';

const signIn = (more: Record<string, string>, headers: Record<string, string> = {}) =>
  postForm(cast.service, '/oauth2/token', { grant_type: 'client_credentials', ...more }, headers);

const withAssertion = async (over: JsonObject): Promise<string> =>
  said(
    await signIn(
      asClient(await clientAssertion(cast.service, cast.agent.id, cast.agent.key, over)),
    ),
  );

describe('an assertion', () => {
  it('for us and for somebody else is refused: that one could bring it here', async () => {
    const evil = 'https://evil.example/token';
    for (const aud of [[tokenUrl(), evil], [evil, tokenUrl()], [evil], [], evil])
      expect([aud, await withAssertion({ aud })]).toEqual([aud, NOBODY]);
    // By two names of ours it is for us alone, as some clients write it.
    expect(await withAssertion({ aud: [cast.service.publicUrl, tokenUrl()] })).toBe('200');
  });

  it('says nothing of an agent to whoever does not hold its key', async () => {
    const { reply, key } = await registerAgent(cast.service, cast.owner.id);
    const id = text(reply.body['id']);
    const by = async (signer: typeof key) =>
      signIn(asClient(await clientAssertion(cast.service, id, signer)));
    const stranger = await by(await newKey());
    expect(said(stranger)).toBe(NOBODY);
    expect(text(stranger.body['error_description'])).not.toMatch(/requested|suspended|active/);
    // To itself it is told.
    expect(text((await by(key)).body['error_description'])).toContain('requested');
  });

  it('is used up by its use, whatever else was wrong with the call', async () => {
    const form = asClient(await clientAssertion(cast.service, cast.agent.id, cast.agent.key));
    const replies = await Promise.all(Array.from({ length: 8 }, () => signIn(form)));
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(1);
    const inspect = { token: 'a', ...form };
    expect(said(await postForm(cast.service, '/oauth2/introspect', inspect))).toBe(NOBODY);
    expect(said(await postForm(cast.service, '/oauth2/revoke', inspect))).toBe(NOBODY);
  });

  it('of one agent does not bring the client_id, the grant or the certificate of another', async () => {
    const form = asClient(await clientAssertion(cast.service, cast.agent.id, cast.agent.key));
    expect(said(await signIn({ ...form, client_id: other.id }))).toBe(NOBODY);
    const grant = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
    const both = { ...form, grant_type: grant, assertion: form['client_assertion'] ?? '' };
    expect(said(await signIn(both))).toBe('400 invalid_request');
  });
});

describe('what we signed ourselves lets nobody in', () => {
  const svidOf = async (agent: TestAgent): Promise<string> => {
    const body = { audience: [tokenUrl()], ttl_seconds: 300 };
    return text((await agent.call('POST', '/v1/svid/jwt', body)).body['svid']);
  };

  async function certificateOf(agent: TestAgent): Promise<string> {
    const key = await newKey();
    const privateKey = createPrivateKey({ key: { ...key.privateJwk }, format: 'jwk' });
    const csr = signingRequest(privateKey);
    return text((await agent.call('POST', '/v1/svid/x509', { csr })).body['certificate']);
  }

  it('neither its SVIDs nor its tokens, though policy names this very server among others', async () => {
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'federation.yaml': `
issuers:
  us: { issuer: "${cast.service.publicUrl}", audience: "${tokenUrl()}", algorithms: [ES256], types: [JWT, at+jwt, none] }
trust_domains:
  ${OWN}: { bundle_endpoint: "${cast.service.publicUrl}/spiffe/bundle" }
ways_in:
  - { agent: ${other.name}, spiffe_id: "spiffe://${OWN}/agent/${cast.agent.name}" }
  - { agent: ${other.name}, issuer: us, subject: "spiffe://${OWN}/agent/${cast.agent.name}" }
  - { agent: ${other.name}, issuer: us, subject: ${cast.agent.id} }
people:
  - { person: ${cast.owner.id}, issuer: us, subject: "${cast.owner.id}", agents: [${other.name}] }
`,
    }));
    const assertion = { client_assertion_type: SVID, client_assertion: await svidOf(cast.agent) };
    expect(said(await signIn(assertion))).toBe(NOBODY);
    const certificate = await certificateOf(cast.agent);
    expect(said(await signIn({}, { [HEADER]: encodeURIComponent(certificate) }))).toBe(NOBODY);
    for (const token of [await cast.agent.token(), await svidOf(cast.agent)])
      expect(said(await signIn(asClient(token)))).toBe(NOBODY);
    const proof = await cast.owner.call('POST', '/v1/session/trigger-proof', { agent: other.id });
    for (const type of ['id_token', 'jwt', 'access_token']) {
      const subject_token_type = `urn:ietf:params:oauth:token-type:${type}`;
      const word = text(proof.body['trigger_proof']);
      expect(said(await exchange(cast.service, other, word, { subject_token_type }))).toBe(
        '400 invalid_request',
      );
    }
  });

  it('nor an issued credential, wherever a token is taken', async () => {
    const task = await startTask(cast.agent);
    const order = { role: 'reports-api', seal_to: { ...cast.seal.publicJwk } };
    const issued = await askCredential(cast.agent, task, order);
    const token = text((await opened(issued.body['sealed'], cast.seal))['token']);
    expect(said(await signIn(asClient(token)))).toBe(NOBODY);
    expect(said(await exchange(cast.service, other, token))).toBe('400 invalid_request');
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(`${cast.service.url}/v1/tasks`, { headers })).status).toBe(401);
    const inspect = await postForm(cast.service, '/oauth2/introspect', { token }, headers);
    expect(inspect.status).toBe(401);
  });
});

describe('an exchange', () => {
  it('gives no role that has no name, and no more of them than anybody asks for', async () => {
    const task = await startTask(cast.agent);
    const wrong = [
      'task role:',
      'task role:a\tb',
      'task role:a,b',
      'task role:ä',
      'task role:../../x',
      `task role:${'x'.repeat(101)}`,
      `task ${Array.from({ length: 51 }, (_, at) => `role:r${at}`).join(' ')}`,
      'agent',
      'task agent',
    ];
    for (const scope of wrong) {
      const handed = await subjectToken(cast.agent, task, other);
      const reply = await exchange(cast.service, other, handed, { scope });
      expect([scope, said(reply)]).toEqual([scope, '400 invalid_scope']);
    }
  });

  it('takes a token under one type that is true of it, and asks for none that we do not make', async () => {
    const task = await startTask(cast.agent);
    const handed = await subjectToken(cast.agent, task, other);
    for (const more of [
      { subject_token_type: 'urn:ietf:params:oauth:token-type:id_token' },
      { subject_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
      { requested_token_type: 'urn:ietf:params:oauth:token-type:id_token' },
      { requested_token_type: 'urn:ietf:params:oauth:token-type:txn_token' },
      { actor_token: handed },
      { actor_token: handed, actor_token_type: 'urn:ietf:params:oauth:token-type:access_token' },
    ] as Record<string, string>[])
      expect(said(await exchange(cast.service, other, handed, more))).toBe('400 invalid_request');
    for (const target of [{ audience: 'https://api.example' }, { resource: 'https://api.example' }])
      expect(said(await exchange(cast.service, other, handed, target))).toBe('400 invalid_target');
    // None of that used it up.
    expect(said(await exchange(cast.service, other, handed))).toBe('200');
  });
});

describe('a token that only starts tasks', () => {
  it('neither asks about tokens nor takes any back', async () => {
    const task = await startTask(cast.agent);
    const token = await delegated(cast.service, cast.agent, task, other);
    const victim = await other.token();
    const headers = { authorization: `Bearer ${token}` };
    for (const path of ['/oauth2/introspect', '/oauth2/revoke'])
      expect(said(await postForm(cast.service, path, { token: victim }, headers))).toBe(NOBODY);
    expect(
      (
        await fetch(`${cast.service.url}/v1/tasks`, {
          headers: { authorization: `Bearer ${victim}` },
        })
      ).status,
    ).toBe(200);
  });
});

describe('whoever is nobody', () => {
  it('leaves nothing behind: a proof is remembered once its caller is known', async () => {
    const { owner } = cast.service.database;
    const count = async (): Promise<number> => (await owner.sql`select 1 from dpop_proof`).length;
    const before = await count();
    for (let at = 0; at < 5; at += 1) {
      const dpop = await dpopProof(await newKey(), { method: 'POST', url: tokenUrl() });
      expect((await signIn({}, { dpop })).status).toBe(400);
      expect(said(await signIn(asClient('a.b.c'), { dpop }))).toBe(NOBODY);
      const authorization = `DPoP ${await cast.agent.token()}`;
      const headers = { authorization, dpop };
      expect((await fetch(`${cast.service.url}/v1/tasks`, { headers })).status).toBe(401);
    }
    expect(await count()).toBe(before);
  });

  it('learns nothing at introspection, and takes nothing back', async () => {
    const token = await cast.agent.token();
    for (const path of ['/oauth2/introspect', '/oauth2/revoke'])
      for (const more of [
        {},
        asClient('a.b.c'),
        { client_id: cast.agent.id },
        { client_id: cast.agent.id, client_secret: 'secret' },
      ] as Record<string, string>[])
        expect((await postForm(cast.service, path, { token, ...more })).status).toBe(401);
    const headers = { authorization: `Bearer ${cast.service.adminToken}` };
    const seen = await postForm(cast.service, '/oauth2/introspect', { token }, headers);
    expect(seen.body['active']).toBe(true);
  });

  it('sends no token by any other road: not in the query, twice, as JSON, or by another method', async () => {
    const assertion = await clientAssertion(cast.service, cast.agent.id, cast.agent.key);
    const form = { grant_type: 'client_credentials', ...asClient(assertion) };
    const query = new URLSearchParams(form).toString();
    const { url } = cast.service;
    const send = (path: string, init: RequestInit): Promise<number> =>
      fetch(url + path, init).then(({ status }) => status);
    expect(await send(`/oauth2/token?${query}`, { method: 'GET' })).toBe(405);
    expect(await send(`/oauth2/token?${query}`, { method: 'POST' })).toBe(400);
    const json = { 'content-type': 'application/json' };
    const body = JSON.stringify(form);
    expect(await send('/oauth2/token', { method: 'POST', headers: json, body })).toBe(400);
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const twice = `${query}&client_assertion=${assertion}`;
    expect(await send('/oauth2/token', { method: 'POST', headers: type, body: twice })).toBe(400);
    const override = { ...type, 'x-http-method-override': 'POST' };
    expect(await send(`/oauth2/token?${query}`, { method: 'GET', headers: override })).toBe(405);
    const access = await cast.agent.token();
    expect(await send(`/v1/tasks?access_token=${access}`, { method: 'GET' })).toBeGreaterThan(399);
    // None of that used the assertion up.
    expect((await signIn(asClient(assertion))).status).toBe(200);
  });
});

describe('a token whose claims are moved about', () => {
  it('is none of ours: what is signed is the bytes, and by our keys alone', async () => {
    const token = await cast.agent.token();
    const [head = '', payload = '', mark = ''] = token.split('.');
    const claims = decodeJwt(token);
    const key = await newKey();
    const resigned = await new SignJWT({ ...claims, jti: randomUUID() })
      .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', jwk: key.publicJwk })
      .sign(key.privateKey);
    const shifted = Buffer.from(JSON.stringify({ ...claims, sub: other.id, client_id: other.id }));
    for (const forged of [
      resigned,
      `${head}.${shifted.toString('base64url')}.${mark}`,
      `${head}.${payload}.${mark}=`,
      `${head}.${payload}.${Buffer.from(mark, 'base64url').toString('hex')}`,
      `${head}.${payload}.`,
      `${head}.${payload}`,
    ]) {
      const headers = { authorization: `Bearer ${forged}` };
      const { status } = await fetch(`${cast.service.url}/v1/tasks`, { headers });
      expect([forged, status]).toEqual([forged, 401]);
    }
  });
});

describe('an agent that is stopped', () => {
  it('I3: gets no token by any grant, and what it hands on is worth nothing', async () => {
    const agent = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const task = await startTask(agent);
    const handed = await subjectToken(agent, task, other);
    await admin(cast.service).call('POST', `/v1/agents/${agent.id}/suspend`, {});
    const assertion = () => clientAssertion(cast.service, agent.id, agent.key);
    expect(said(await signIn(asClient(await assertion())))).toBe(NOBODY);
    const grant = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
    expect(said(await signIn({ grant_type: grant, assertion: await assertion() }))).toBe(NOBODY);
    expect(said(await exchange(cast.service, agent, handed))).toBe(NOBODY);
    expect(said(await exchange(cast.service, other, handed))).toBe('400 invalid_request');
    const token = await cast.agent.token();
    const inspect = { token, ...asClient(await assertion()) };
    expect(said(await postForm(cast.service, '/oauth2/introspect', inspect))).toBe(NOBODY);
  });
});
