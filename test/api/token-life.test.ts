import { inflateSync } from 'node:zlib';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  anyone,
  asClient,
  askCredential,
  bearer,
  clientAssertion,
  eventually,
  list,
  newKey,
  object,
  opened,
  postForm,
  requestToken,
  text,
  type Reply,
  type TestAgent,
} from '../support/client.ts';
import { childTask, subjectToken } from '../support/delegation.ts';

let cast: Cast;
let other: TestAgent;
beforeAll(async () => {
  cast = await startCast();
  other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
});
afterAll(() => cast.close());

const as = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
const asAdmin = (): Record<string, string> => as(cast.service.adminToken);

const revoke = (token: string, headers = asAdmin()): Promise<Reply> =>
  postForm(cast.service, '/oauth2/revoke', { token }, headers);

const isActive = async (token: string, headers = asAdmin()): Promise<boolean> => {
  const reply = await postForm(cast.service, '/oauth2/introspect', { token }, headers);
  return reply.body['active'] === true;
};

const opens = async (token: string): Promise<boolean> =>
  (await bearer(cast.service, token).call('GET', '/v1/tasks')).status === 200;

async function issuedToken(agent: TestAgent, more: JsonObject = {}) {
  const task = await startTask(agent);
  const seal = await newKey();
  const order = { role: 'reports-api', seal_to: seal.publicJwk, ...more };
  const reply = await askCredential(agent, task, order);
  const { token } = await opened(reply.body['sealed'], seal);
  return { task, token: text(token), credential: text(reply.body['id']) };
}

describe('revocation', () => {
  it('ends an access token at once, says so once in the log, and is no error when repeated', async () => {
    const { agent, service } = cast;
    const token = await agent.token();
    const another = await agent.token();
    expect([await opens(token), await isActive(token)]).toEqual([true, true]);
    for (let times = 0; times < 2; times += 1)
      expect((await revoke(token, as(another))).status).toBe(200);
    expect([await opens(token), await isActive(token)]).toEqual([false, false]);
    expect([await opens(another), await isActive(another)]).toEqual([true, true]);
    const events = await admin(service).call('GET', '/v1/events?type=token.revoked&limit=500');
    const ids = list(events.body['data']).map(({ data }) => object(object(data)['detail']));
    const { jti } = decodeJwt(token);
    expect(ids.filter((detail) => detail['token_id'] === jti)).toHaveLength(1);
  });

  it('of an issued token revokes its credential', async () => {
    const { agent } = cast;
    const { token, credential } = await issuedToken(agent);
    expect((await revoke(token, as(await agent.token()))).status).toBe(200);
    expect(await isActive(token)).toBe(false);
    await eventually(async () => {
      const { body } = await agent.call('GET', `/v1/credentials/${credential}`);
      return body['state'] === 'revoked';
    });
  });

  it('of what is none of ours, or is over, is answered all the same', async () => {
    for (const token of ['a', 'a.b.c', `${await cast.agent.token()}x`])
      expect((await revoke(token)).status).toBe(200);
    expect((await postForm(cast.service, '/oauth2/revoke', {}, asAdmin())).status).toBe(400);
  });

  it('is for whoever was given the token: nobody takes away what another holds', async () => {
    const { agent, service } = cast;
    const token = await agent.token();
    const { token: issued } = await issuedToken(agent);
    for (const each of [token, issued]) {
      const refused = await revoke(each, as(await other.token()));
      expect([refused.status, refused.body['error']]).toEqual([400, 'unauthorized_client']);
      expect(await isActive(each)).toBe(true);
      const nobody = await postForm(service, '/oauth2/revoke', { token: each });
      expect([nobody.status, nobody.body['error']]).toEqual([401, 'invalid_client']);
    }
  });

  it('takes a client assertion instead of a token, once', async () => {
    const { agent, service } = cast;
    const client = asClient(await clientAssertion(service, agent.id, agent.key));
    const send = async () =>
      postForm(service, '/oauth2/revoke', { token: await agent.token(), ...client });
    expect((await send()).status).toBe(200);
    expect((await send()).body['error']).toBe('invalid_client');
    const used = await requestToken(service, client['client_assertion'] ?? '');
    expect(used.body['error']).toBe('invalid_client');
  });
});

interface Listed {
  bit: number;
  uri: string;
  index: number;
  token: string;
  reply: Reply;
}

/** Looks a token up in its list, as the draft says. */
async function listed(token: string): Promise<Listed> {
  const { idx, uri } = object(object(decodeJwt<JsonObject>(token)['status'])['status_list']);
  const path = new URL(text(uri)).pathname;
  const reply = await anyone(cast.service).call('GET', path);
  const { lst } = object(decodeJwt<JsonObject>(reply.text)['status_list']);
  const bits = inflateSync(Buffer.from(text(lst), 'base64url'));
  const index = Number(idx);
  const bit = ((bits[Math.floor(index / 8)] ?? 0) >> (index % 8)) & 1;
  return { bit, uri: text(uri), index, token: reply.text, reply };
}

describe('the status list', () => {
  it('is signed, says for how long it may be kept, and holds one bit for each of 2^17 tokens', async () => {
    const { token, reply, uri } = await listed(await cast.agent.token());
    expect(reply.headers.get('content-type')).toBe('application/statuslist+jwt');
    expect(reply.headers.get('cache-control')).toBe('public, max-age=30');
    expect(decodeProtectedHeader(token)).toMatchObject({ typ: 'statuslist+jwt', alg: 'ES256' });
    const claims = decodeJwt<JsonObject>(token);
    expect(claims).toMatchObject({ sub: uri, ttl: 30 });
    expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(300);
    const { bits, lst } = object(claims['status_list']);
    expect(bits).toBe(1);
    expect(inflateSync(Buffer.from(text(lst), 'base64url'))).toHaveLength(2 ** 14);
    const nothing = await anyone(cast.service).call('GET', '/oauth2/status-lists/999');
    expect(nothing.status).toBe(404);
  });

  it('gives every token a place of its own, drawn at random', async () => {
    const places: number[] = [];
    for (let times = 0; times < 12; times += 1)
      places.push((await listed(await cast.agent.token())).index);
    expect(new Set(places).size).toBe(places.length);
    expect(places).not.toEqual(places.toSorted((a, b) => a - b));
  });

  it('has a token dead when it was revoked, and no other', async () => {
    const [token, another] = [await cast.agent.token(), await cast.agent.token()];
    const issued = await issuedToken(cast.agent);
    for (const each of [token, another, issued.token]) expect((await listed(each)).bit).toBe(0);
    await revoke(token);
    await revoke(issued.token);
    expect((await listed(token)).bit).toBe(1);
    expect((await listed(issued.token)).bit).toBe(1);
    expect((await listed(another)).bit).toBe(0);
  });

  it('has everything dead that an agent holds when it is suspended, and keeps it so when it is resumed', async () => {
    const { service, owner, approver } = cast;
    const agent = await admittedAgent(service, owner.id, approver);
    const issued = await issuedToken(agent);
    const token = await agent.token();
    const handed = await subjectToken(agent, issued.task, other);
    const below = await childTask(service, agent, issued.task, other);
    const seal = await newKey();
    const order = { role: 'reports-api', seal_to: seal.publicJwk };
    const delegated = await askCredential(other, below, order);
    const { token: through } = await opened(delegated.body['sealed'], seal);
    const all = [token, issued.token, handed, text(through)];
    for (const each of all) expect((await listed(each)).bit).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await admin(service).call('POST', `/v1/agents/${agent.id}/suspend`, {});
    for (const each of all) expect((await listed(each)).bit).toBe(1);
    await admin(service).call('POST', `/v1/agents/${agent.id}/resume`, {});
    for (const each of all) expect((await listed(each)).bit).toBe(1);
    expect((await listed(await agent.token())).bit).toBe(0);
  });

  it('has the tokens of a task dead when it ends', async () => {
    const { task, token } = await issuedToken(cast.agent);
    const handed = await subjectToken(cast.agent, task, other);
    await cast.agent.call('POST', `/v1/tasks/${task}/complete`, {});
    expect([(await listed(token)).bit, (await listed(handed)).bit]).toEqual([1, 1]);
  });

  it('is not read by anybody as a token', async () => {
    const { token } = await listed(await cast.agent.token());
    expect([await opens(token), await isActive(token)]).toEqual([false, false]);
  });
});

describe('introspection', () => {
  it('tells a resource server of tokens for its own audiences, and of no others', async () => {
    const { service, approver, agent } = cast;
    const server = await admittedAgent(service, cast.owner.id, approver);
    const before = await admin(service).call('GET', '/v1/policies/active');
    const { token } = await issuedToken(agent);
    const own = await agent.token();
    const named = (audience: string) =>
      changePolicy(service, approver, () => ({
        ...Object.fromEntries(
          Object.entries(object(before.body['files'])).map(([name, file]) => [name, text(file)]),
        ),
        'roles.yaml': `${text(object(before.body['files'])['roles.yaml'])}
resource_servers:
  - { agent: ${server.name}, audiences: ["${audience}"] }
`,
      }));
    await named('https://reports.example');
    const asServer = as(await server.token());
    expect([await isActive(token, asServer), await isActive(own, asServer)]).toEqual([true, false]);
    expect(await isActive(own, as(await other.token()))).toBe(true);
    await named('https://elsewhere.example');
    expect(await isActive(token, asServer)).toBe(false);
    const client = asClient(await clientAssertion(service, server.id, server.key));
    const asked = await postForm(service, '/oauth2/introspect', { token, ...client });
    expect(asked.body).toEqual({ active: false });
  });
});

describe('a workload identity', () => {
  it('says what clouds look for, and nothing that they do not expect', async () => {
    const { service, approver, agent } = cast;
    await changePolicy(service, approver, (files) => ({
      ...files,
      'roles.yaml': (files['roles.yaml'] ?? '').replace(
        'audience: https://reports.example\n',
        'audience: sts.amazonaws.com\n    profile: workload_identity\n',
      ),
    }));
    const { token, credential } = await issuedToken(agent);
    expect(decodeProtectedHeader(token)).toMatchObject({ typ: 'JWT', alg: 'ES256' });
    const claims = decodeJwt(token);
    expect(Object.keys(claims).toSorted()).toEqual(['aud', 'exp', 'iat', 'iss', 'jti', 'sub']);
    expect(claims).toMatchObject({
      iss: service.publicUrl,
      aud: 'sts.amazonaws.com',
      sub: `spiffe://countersign.local/agent/${agent.name}`,
      jti: credential,
    });
    expect([await opens(token), await isActive(token)]).toEqual([false, true]);
    const task = await startTask(agent);
    const below = await childTask(service, agent, task, other);
    const seal = await newKey();
    const order = { role: 'reports-api', seal_to: seal.publicJwk };
    const through = await askCredential(other, below, order);
    const { token: theirs } = await opened(through.body['sealed'], seal);
    // A cloud looks at the subject alone: a sub-agent is never taken for its parent.
    expect(decodeJwt(text(theirs)).sub).toBe(`spiffe://countersign.local/agent/${other.name}`);
  });
});
