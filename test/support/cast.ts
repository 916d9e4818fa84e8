// The people and agents that most tests of the service need, signed in and admitted.
import type { JsonObject } from '../../domain/json.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  list,
  newKey,
  object,
  person,
  text,
  type Caller,
  type Reply,
  type TestAgent,
  type TestKey,
  type TestPerson,
} from './client.ts';
import { startService, type TestService, type TestServiceOptions } from './service.ts';

export interface Cast {
  service: TestService;
  /** In data-owners and admins, owner of nothing. */
  approver: TestPerson;
  /** Owns the agents and is in no group that decides. */
  owner: TestPerson;
  agent: TestAgent;
  seal: TestKey;
  close(): Promise<void>;
}

export async function startCast(options: TestServiceOptions = {}): Promise<Cast> {
  const service = await startService(options);
  const approver = await person(service, 'Ada', ['data-owners', 'admins']);
  const owner = await person(service, 'Olga', ['engineering']);
  const agent = await admittedAgent(service, owner.id, approver);
  return { service, approver, owner, agent, seal: await newKey(), close: () => service.close() };
}

export async function startTask(agent: Caller, more: JsonObject = {}): Promise<string> {
  const reply = await agent.call('POST', '/v1/tasks', {
    purpose: 'order support',
    ttl_seconds: 900,
    ...more,
  });
  return text(reply.body['id']);
}

export interface Held {
  task: string;
  request: string;
  reply: Reply;
}

let reasons = 0;

/** Asks for something that waits for people, under a task of its own. */
export async function hold(
  agent: Caller,
  seal: TestKey,
  more: JsonObject = {},
  taskMore: JsonObject = {},
): Promise<Held> {
  const task = await startTask(agent, taskMore);
  reasons += 1;
  const reply = await askCredential(agent, task, {
    role: 'orders-write',
    seal_to: seal.publicJwk,
    reason: `refund order ${reasons}`,
    ...more,
  });
  return { task, request: text(object(reply.body['request'])['id']), reply };
}

/** Public details of the events of one type about a request, oldest first. */
export async function detailsOf(
  service: TestService,
  request: string,
  type: string,
): Promise<JsonObject[]> {
  const path = `/v1/events?request=${request}&type=${type}&limit=500`;
  const reply = await admin(service).call('GET', path);
  return list(reply.body['data']).map((event) => object(object(event['data'])['detail']));
}

/** What a request looks like to the service itself. */
export async function seen(service: TestService, request: string): Promise<JsonObject> {
  const reply = await admin(service).call('GET', `/v1/requests/${request}`);
  return reply.body;
}

/** Replaces the active policy as an upgrade would, past the people who would have to agree. */
export async function changePolicy(
  service: TestService,
  approver: TestPerson,
  change: (files: Record<string, string>) => Record<string, string>,
): Promise<Reply> {
  const active = await admin(service).call('GET', '/v1/policies/active');
  const files: Record<string, string> = {};
  for (const [name, content] of Object.entries(object(active.body['files'])))
    files[name] = text(content);
  // The cases of the sample are about the sample, and what is tried here is another policy.
  files['tests.yaml'] = '[]';
  const proposed = await admin(service).call('POST', '/v1/policies', { files: change(files) });
  const request = text(object(proposed.body['request'])['id']);
  if (request === '') return proposed;
  const shown = await approver.call('GET', `/v1/requests/${request}`);
  await approver.call('POST', `/v1/requests/${request}/votes`, {
    decision: 'approve',
    shown: text(shown.body['shown']),
  });
  const version = text(proposed.body['version']);
  for (let tries = 0; tries < 200; tries += 1) {
    const now = await admin(service).call('GET', '/v1/policies/active');
    if (now.body['version'] === version) return proposed;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the policy was not activated');
}
