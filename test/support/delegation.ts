// Agents that hand work on to each other, as tests need them.
import { randomUUID } from 'node:crypto';
import { calculateJwkThumbprint, SignJWT } from 'jose';
import type { JsonObject } from '../../domain/json.ts';
import {
  asClient,
  bearer,
  clientAssertion,
  postForm,
  text,
  type Reply,
  type TestAgent,
  type TestKey,
  type TestTarget,
} from './client.ts';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

/** Hands a task on, and answers the whole reply. */
export const handOn = (
  from: TestAgent,
  task: string,
  to: TestAgent,
  more: JsonObject = {},
): Promise<Reply> => from.call('POST', `/v1/tasks/${task}/delegations`, { agent: to.id, ...more });

export const subjectToken = async (
  from: TestAgent,
  task: string,
  to: TestAgent,
  more: JsonObject = {},
): Promise<string> => text((await handOn(from, task, to, more)).body['subject_token']);

/** Exchanges what was handed on for a token of this agent. */
export async function exchange(
  service: TestTarget,
  actor: TestAgent,
  token: string,
  more: Record<string, string> = {},
  headers: Record<string, string> = {},
): Promise<Reply> {
  const form = {
    grant_type: EXCHANGE,
    subject_token: token,
    subject_token_type: ACCESS_TOKEN,
    ...asClient(await clientAssertion(service, actor.id, actor.key)),
    ...more,
  };
  return postForm(service, '/oauth2/token', form, headers);
}

/** The delegated token of `to`, from `from` under its task. */
export async function delegated(
  service: TestTarget,
  from: TestAgent,
  task: string,
  to: TestAgent,
  more: JsonObject = {},
): Promise<string> {
  const reply = await exchange(service, to, await subjectToken(from, task, to, more));
  return text(reply.body['access_token']);
}

/** Starts a task with a delegated token. */
export const startWith = (
  service: TestTarget,
  token: string,
  more: JsonObject = {},
): Promise<Reply> =>
  bearer(service, token).call('POST', '/v1/tasks', {
    purpose: 'order support',
    ttl_seconds: 600,
    ...more,
  });

/** A task of `to` under one of `from`. */
export async function childTask(
  service: TestTarget,
  from: TestAgent,
  task: string,
  to: TestAgent,
  more: JsonObject = {},
): Promise<string> {
  const started = await startWith(service, await delegated(service, from, task, to, more));
  return text(started.body['id']);
}

/** A DPoP proof for one call (RFC 9449 §4.2). */
export async function dpopProof(
  key: TestKey,
  call: { method: string; url: string; token?: string },
  over: JsonObject = {},
  header: JsonObject = {},
): Promise<string> {
  const hash = call.token === undefined ? null : await sha256(call.token);
  return new SignJWT({
    jti: randomUUID(),
    htm: call.method,
    htu: call.url,
    iat: Math.floor(Date.now() / 1000),
    ...(hash !== null && { ath: hash }),
    ...over,
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: key.publicJwk, ...header })
    .sign(key.privateKey);
}

const sha256 = async (value: string): Promise<string> =>
  Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(value))).toString('base64url');

export const thumbprintOf = ({ publicJwk }: TestKey): Promise<string> =>
  calculateJwkThumbprint(publicJwk);
