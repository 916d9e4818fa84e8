// Callers of the service, as tests need them: automation, people with sessions, agents with keys.
import { randomUUID } from 'node:crypto';
import {
  compactDecrypt,
  exportJWK,
  generateKeyPair,
  importJWK,
  SignJWT,
  type CryptoKey,
  type JWK,
} from 'jose';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { holdAgainstTable } from './conformance.ts';

/** A running service, in this process or in another. */
export interface TestTarget {
  url: string;
  adminToken: string;
  publicUrl: string;
}

export interface Reply {
  status: number;
  body: JsonObject;
  headers: Headers;
  text: string;
}

export interface Caller {
  call(
    method: string,
    path: string,
    body?: JsonValue,
    headers?: Record<string, string>,
  ): Promise<Reply>;
}

/** Sends a call, and holds its answer against what the route table promises. */
async function send(
  url: string,
  method: string,
  body: JsonValue | undefined,
  headers: Record<string, string>,
): Promise<Reply> {
  const response = await fetch(url, {
    method,
    redirect: 'manual',
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return readReply(method, url, response);
}

async function readReply(method: string, url: string, response: Response): Promise<Reply> {
  const { status, headers } = response;
  const text = await response.text();
  const { pathname: path } = new URL(url);
  holdAgainstTable({ method, path, status, headers, text });
  return { status, body: parseObject(text), headers, text };
}

function parseObject(text: string): JsonObject {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? (parsed as JsonObject) : {};
  } catch {
    return {};
  }
}

export const anyone = (service: TestTarget): Caller => ({
  call: (method, path, body, headers = {}) => send(service.url + path, method, body, headers),
});

export const admin = (service: TestTarget): Caller => ({
  call: (method, path, body, headers = {}) =>
    send(service.url + path, method, body, {
      authorization: `Bearer ${service.adminToken}`,
      ...headers,
    }),
});

/** Whoever holds this access token. */
export const bearer = (service: TestTarget, token: string): Caller => ({
  call: (method, path, body, headers = {}) =>
    send(service.url + path, method, body, { authorization: `Bearer ${token}`, ...headers }),
});

export interface TestPerson extends Caller {
  id: string;
  cookie: string;
  csrf: string;
}

/** Invites a person and signs them in through their link. */
export async function person(
  service: TestTarget,
  name: string,
  groups: string[],
  more: JsonObject = {},
): Promise<TestPerson> {
  const invited = await admin(service).call('POST', '/v1/people', {
    name,
    roles: ['approver'],
    groups,
    ...more,
  });
  const token = text(invited.body['sign_in_url']).split('/').at(-1) ?? '';
  const session = await anyone(service).call('POST', '/v1/sessions', { token });
  return personIn(service, text(invited.body['id']), session);
}

/** Somebody as the answer to their signing in lets them call. */
export function personIn(service: TestTarget, id: string, session: Reply): TestPerson {
  const cookie = (session.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
  const csrf = text(session.body['csrf_token']);
  return {
    id,
    cookie,
    csrf,
    call: (method, path, body, headers = {}) =>
      send(service.url + path, method, body, { cookie, 'x-csrf-token': csrf, ...headers }),
  };
}

export interface TestKey {
  publicJwk: JWK & JsonObject;
  privateKey: CryptoKey;
  privateJwk: JWK;
}

export async function newKey(): Promise<TestKey> {
  const pair = await generateKeyPair('ES256', { extractable: true });
  const { kty = '', crv = '', x = '', y = '' } = await exportJWK(pair.publicKey);
  return {
    publicJwk: { kty, crv, x, y },
    privateKey: pair.privateKey,
    privateJwk: await exportJWK(pair.privateKey),
  };
}

export interface TestAgent extends Caller {
  id: string;
  name: string;
  key: TestKey;
  /** Signs in again and answers the new access token. */
  token(): Promise<string>;
}

/** Registers an agent without admitting it. */
export async function registerAgent(
  service: TestTarget,
  owner: string,
  more: JsonObject = {},
): Promise<{ reply: Reply; key: TestKey; name: string }> {
  const key = await newKey();
  const name = `bot-${randomUUID().slice(0, 8)}`;
  const reply = await admin(service).call('POST', '/v1/agents', {
    name,
    kind: 'ai_agent',
    owner,
    team: 'core',
    purpose: 'order support',
    keys: [key.publicJwk],
    ...more,
  });
  return { reply, key, name };
}

/** Registers an agent, has it admitted by `approver`, and signs it in. */
export async function admittedAgent(
  service: TestTarget,
  owner: string,
  approver: TestPerson,
  more: JsonObject = {},
): Promise<TestAgent> {
  const { reply, key, name } = await registerAgent(service, owner, more);
  const id = text(reply.body['id']);
  await vote(approver, text(reply.body['request']), 'approve');
  await eventually(async () => {
    const seen = await admin(service).call('GET', `/v1/agents/${id}`);
    return seen.body['state'] === 'active';
  });
  const token = (): Promise<string> => signIn(service, id, key);
  const bearer = await token();
  return {
    id,
    name,
    key,
    token,
    call: (method, path, body, headers = {}) =>
      send(service.url + path, method, body, { authorization: `Bearer ${bearer}`, ...headers }),
  };
}

export async function clientAssertion(
  service: TestTarget,
  agent: string,
  key: TestKey,
  over: Record<string, unknown> = {},
): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({
    iss: agent,
    sub: agent,
    aud: `${service.publicUrl}/oauth2/token`,
    jti: randomUUID(),
    iat: now,
    exp: now + 120,
    ...over,
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'JWT' })
    .sign(key.privateKey);
}

/** Sends a form, as OAuth does. */
export async function postForm(
  service: TestTarget,
  path: string,
  form: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const url = service.url + path;
  const response = await fetch(url, { method: 'POST', headers, body: new URLSearchParams(form) });
  return readReply('POST', url, response);
}

/** What a client sends along to say who it is. */
export const asClient = (assertion: string): Record<string, string> => ({
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  client_assertion: assertion,
});

export const requestToken = (service: TestTarget, assertion: string): Promise<Reply> =>
  postForm(service, '/oauth2/token', {
    grant_type: 'client_credentials',
    ...asClient(assertion),
  });

/** An access token for whoever holds this key of the agent. */
export async function signIn(service: TestTarget, agent: string, key: TestKey): Promise<string> {
  const reply = await requestToken(service, await clientAssertion(service, agent, key));
  return text(reply.body['access_token']);
}

/** Votes on what the voter is shown now. */
export async function vote(
  voter: Caller,
  request: string,
  decision: 'approve' | 'deny',
  more: JsonObject = {},
): Promise<Reply> {
  const seen = await voter.call('GET', `/v1/requests/${request}`);
  return voter.call('POST', `/v1/requests/${request}/votes`, {
    decision,
    shown: text(seen.body['shown']),
    ...more,
  });
}

/** Opens a sealed credential with the key it was sealed to. */
export async function opened(sealed: JsonValue | undefined, key: TestKey): Promise<JsonObject> {
  const { plaintext } = await compactDecrypt(
    text(sealed),
    await importJWK(key.privateJwk, 'ECDH-ES'),
  );
  return parseObject(new TextDecoder().decode(plaintext));
}

/** Asks for a credential, and again while the task's workflow is still starting. */
export async function askCredential(
  agent: Caller,
  task: string,
  body: JsonObject,
  headers: Record<string, string> = {},
): Promise<Reply> {
  for (let tries = 0; ; tries += 1) {
    const reply = await agent.call('POST', `/v1/tasks/${task}/credentials`, body, headers);
    if (reply.status !== 503 || tries > 40) return reply;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

export const text = (value: JsonValue | undefined): string =>
  typeof value === 'string' ? value : '';

export const object = (value: JsonValue | undefined): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};

export const list = (value: JsonValue | undefined): JsonObject[] =>
  Array.isArray(value) ? value.map(object) : [];

/** Waits for something that other processes bring about; says what when it does not come. */
export async function eventually(
  holds: () => Promise<boolean>,
  what = 'the expected state',
  ms = 20_000,
): Promise<void> {
  const deadline = Date.now() + ms;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`${what} did not come within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
