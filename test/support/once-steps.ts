// Calls that take an Idempotency-Key, one for each POST of credentials, runs, keys, signals and stopping:
// with a body that goes through, and another that says something else.
import { randomUUID } from 'node:crypto';
import type { JsonObject } from '../../domain/json.ts';
import { startTask, type Cast } from './cast.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  list,
  newKey,
  object,
  opened,
  person,
  registerAgent,
  text,
  vote,
  type Caller,
  type TestAgent,
} from './client.ts';
import { asSuperuser, giveLogin } from './leases.ts';
import { startService, type TestDatabase } from './service.ts';

/** One call that is repeated with its key. */
interface Step {
  by: Caller;
  path: string;
  body: JsonObject;
  /** A body that is also allowed there, and says something else. */
  otherwise: JsonObject;
  /** Where its effect is to be looked for, when that is a service of its own. */
  database?: TestDatabase;
  end?: () => Promise<void>;
}

/** A step is made when it is needed, for each leaves something behind. */
export type Steps = Record<string, () => Promise<Step> | Step>;

export interface Stage {
  cast: Cast;
  /** An agent beside the cast's own, of the same team. */
  other: TestAgent;
}

/** Nothing listens there. */
const NOBODY = 'http://127.0.0.1:9/hook';

/** Steps on a stage that is set when the first of them is made. */
export const laterSteps = (stage: () => Stage): Steps => ({
  ...credentialSteps(stage),
  ...identitySteps(stage),
  ...stoppingSteps(stage),
  ...signalSteps(stage),
  ...leakSteps(stage),
  ...discoverySteps(stage),
});

/** A token under a task of its own; its workflow is known to run by then. */
async function giveToken({ cast }: Stage): Promise<{ id: string; task: string; token: string }> {
  const task = await startTask(cast.agent);
  const { body } = await askCredential(cast.agent, task, {
    role: 'reports-api',
    seal_to: cast.seal.publicJwk,
    ttl_seconds: 60,
  });
  const { token } = await opened(body['sealed'], cast.seal);
  return { id: text(body['id']), task, token: text(token) };
}

const credentialSteps = (stage: () => Stage): Steps => ({
  'POST /v1/tasks/{id}/delegations': async () => {
    const { cast, other } = stage();
    const body = { agent: other.id, ttl_seconds: 60 };
    return {
      by: cast.agent,
      path: `/v1/tasks/${await startTask(cast.agent)}/delegations`,
      body,
      otherwise: { ...body, roles: ['reports-api'] },
    };
  },
  'POST /v1/credentials/{id}/deliveries': async () => ({
    by: stage().cast.agent,
    path: `/v1/credentials/${(await giveToken(stage())).id}/deliveries`,
    body: { kind: 'env', path: 'REPORTS_TOKEN' },
    otherwise: { kind: 'env', path: 'OTHER_TOKEN' },
  }),
  // A token is made anew by it: the repeated answer has to carry the same one.
  'POST /v1/credentials/{id}/renew': async () => {
    const { cast } = stage();
    const body = { ttl_seconds: 300, seal_to: cast.seal.publicJwk };
    return {
      by: cast.agent,
      path: `/v1/credentials/${(await giveToken(stage())).id}/renew`,
      body,
      otherwise: { ...body, ttl_seconds: 301 },
    };
  },
  'POST /v1/credentials/{id}/claim': async () => {
    const { cast } = stage();
    const task = await startTask(cast.agent);
    const { body } = await askCredential(cast.agent, task, { role: 'reports-api', claim: true });
    return {
      by: cast.agent,
      path: `/v1/credentials/${text(body['id'])}/claim`,
      body: { code: text(object(body['claim'])['code']) },
      otherwise: { code: 'A'.repeat(43) },
    };
  },
  'POST /v1/credentials/{id}/force-close': async () => {
    const { cast } = stage();
    const { id } = await giveLogin(cast);
    // As it stands after a target refused for long, without the wait.
    await cast.service.database.owner.sql`
      update credential set state = 'revoke_failed', because = 'revoked', attempts = 9,
        next_try_at = now() + interval '1 hour', last_error = 'target_unavailable'
      where id = ${id}`;
    return {
      by: await person(cast.service, 'Adam', ['admins'], { roles: ['admin'] }),
      path: `/v1/credentials/${id}/force-close`,
      body: { reason: 'its target is no more' },
      otherwise: { reason: 'nobody cares' },
    };
  },
  'POST /v1/run': async () => {
    const { cast } = stage();
    const { task } = await giveToken(stage());
    const body = { task, role: 'orders-readonly', seal_to: cast.seal.publicJwk };
    return {
      by: cast.agent,
      path: '/v1/run',
      body: { ...body, statement: 'select item from orders' },
      otherwise: { ...body, statement: 'select state from orders' },
    };
  },
});

const identitySteps = (stage: () => Stage): Steps => ({
  'POST /v1/agents/{id}/keys/{key}/retire': async () => {
    const { cast } = stage();
    const keys = [(await newKey()).publicJwk, (await newKey()).publicJwk];
    const { reply } = await registerAgent(cast.service, cast.owner.id, { keys });
    await vote(cast.approver, text(reply.body['request']), 'approve');
    const key = text(list(reply.body['keys'])[0]?.['id']);
    return {
      by: admin(cast.service),
      path: `/v1/agents/${text(reply.body['id'])}/keys/${key}/retire`,
      body: { after_seconds: 600 },
      otherwise: { after_seconds: 0 },
    };
  },
  'POST /v1/agents/{id}/owner': async () => {
    const { cast, other } = stage();
    const owner = (await person(cast.service, 'Otto', ['engineering'])).id;
    return {
      by: admin(cast.service),
      path: `/v1/agents/${other.id}/owner`,
      body: { owner },
      otherwise: { owner, reason: 'moved' },
    };
  },
  // The private key is made for the call: the repeated answer has to carry the same one.
  'POST /v1/svid/x509': () => {
    const { cast } = stage();
    const body = { seal_to: cast.seal.publicJwk };
    return {
      by: cast.agent,
      path: '/v1/svid/x509',
      body,
      otherwise: { ...body, ttl_seconds: 60 },
    };
  },
  'POST /v1/svid/jwt': () => ({
    by: stage().cast.agent,
    path: '/v1/svid/jwt',
    body: { audience: ['https://stock.example'] },
    otherwise: { audience: ['https://orders.example'] },
  }),
  'POST /v1/trigger-sources': async () => {
    const body = { name: 'CI', key: (await newKey()).publicJwk };
    return {
      by: admin(stage().cast.service),
      path: '/v1/trigger-sources',
      body,
      otherwise: { ...body, name: 'Cron' },
    };
  },
  'POST /v1/keys/rotate': () => ({
    by: admin(stage().cast.service),
    path: '/v1/keys/rotate',
    body: { use: 'tokens' },
    otherwise: { use: 'x509' },
  }),
});

const stoppingSteps = (stage: () => Stage): Steps => ({
  'POST /v1/revocations': async () => {
    const body = {
      by: 'task',
      id: (await giveToken(stage())).task,
      reason: 'it was seen elsewhere',
    };
    return {
      by: admin(stage().cast.service),
      path: '/v1/revocations',
      body,
      otherwise: { ...body, reason: 'another' },
    };
  },
  'POST /v1/kill': async () => {
    const { cast } = stage();
    const doomed = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const task = await startTask(doomed);
    await askCredential(doomed, task, { role: 'reports-api', seal_to: cast.seal.publicJwk });
    const body = { scope: 'agent', id: doomed.id, reason: 'it went astray' };
    return {
      by: admin(cast.service),
      path: '/v1/kill',
      body,
      otherwise: { ...body, reason: 'another' },
    };
  },
  // Everything has to stand still for it, so it has a service of its own.
  'POST /v1/kill/lift': async () => {
    const service = await startService({ worker: false });
    await person(service, 'Ada', ['admins']);
    const stopped = { scope: 'everything', confirm: 'everything', reason: 'an intruder' };
    await admin(service).call('POST', '/v1/kill', stopped);
    return {
      by: admin(service),
      path: '/v1/kill/lift',
      body: { reason: 'they are out' },
      otherwise: { reason: 'another' },
      database: service.database,
      end: () => service.close(),
    };
  },
});

const signalSteps = (stage: () => Stage): Steps => ({
  'POST /v1/receivers': () => {
    const body = { kind: 'ssf', url: NOBODY, token: 'a-token-of-the-receiver' };
    return {
      by: admin(stage().cast.service),
      path: '/v1/receivers',
      body,
      otherwise: { ...body, token: 'another-token' },
    };
  },
  'POST /v1/receivers/{id}/verify': async () => {
    const by = admin(stage().cast.service);
    const made = await by.call('POST', '/v1/receivers', { kind: 'webhook', url: NOBODY });
    return {
      by,
      path: `/v1/receivers/${text(made.body['id'])}/verify`,
      body: {},
      otherwise: { state: 'another' },
    };
  },
});

const leakSteps = (stage: () => Stage): Steps => ({
  'POST /v1/leaks': async () => {
    const body = { secret: (await giveToken(stage())).token, source: 'a paste site' };
    return {
      by: admin(stage().cast.service),
      path: '/v1/leaks',
      body,
      otherwise: { ...body, secret: 'something else that was found' },
    };
  },
  // The secret of the scanner is shown in this answer alone.
  'POST /v1/leak-scanners': () => {
    const body = { name: 'scanner', kind: 'webhook' };
    return {
      by: admin(stage().cast.service),
      path: '/v1/leak-scanners',
      body,
      otherwise: { ...body, policy: 'suspend' },
    };
  },
});

/** A login that nobody here made, found in the target. */
async function findLogin({ cast }: Stage): Promise<{ path: string; end: () => Promise<void> }> {
  const name = `once_${randomUUID().slice(0, 8)}`;
  const target = asSuperuser(cast.service);
  await target.unsafe(`CREATE ROLE ${name} LOGIN`);
  await admin(cast.service).call('POST', '/v1/discovery', { target: 'sample' });
  const found = await admin(cast.service).call('GET', '/v1/discovery?limit=500&target=sample');
  const row = list(found.body['data']).find((each) => each['name'] === name);
  return {
    path: `/v1/discovery/${text(row?.['id'])}`,
    end: async () => {
      await target.unsafe(`DROP ROLE ${name}`);
      await target.end();
    },
  };
}

const discoverySteps = (stage: () => Stage): Steps => ({
  'POST /v1/discovery': () => ({
    by: admin(stage().cast.service),
    path: '/v1/discovery',
    body: { target: 'sample' },
    otherwise: {},
  }),
  'POST /v1/discovery/{id}/adopt': async () => {
    const { cast } = stage();
    const { path, end } = await findLogin(stage());
    const name = `adopted-${randomUUID().slice(0, 8)}`;
    const body = { name, owner: cast.owner.id, team: 'core', purpose: 'the batch', join: true };
    return {
      by: admin(cast.service),
      path: `${path}/adopt`,
      body,
      otherwise: { ...body, team: 'edge' },
      end,
    };
  },
  'POST /v1/discovery/{id}/ignore': async () => {
    const { path, end } = await findLogin(stage());
    return {
      by: admin(stage().cast.service),
      path: `${path}/ignore`,
      body: { reason: 'break glass' },
      otherwise: { reason: 'another' },
      end,
    };
  },
});
