// Calls that take an Idempotency-Key about the two ways past asking each time: standing grants and broken glass.
import type { JsonObject } from '../../domain/json.ts';
import { seen, startTask } from './cast.ts';
import {
  admin,
  admittedAgent,
  eventually,
  list,
  newKey,
  object,
  person,
  text,
  vote,
} from './client.ts';
import type { TestAgent, TestPerson } from './client.ts';
import { agreedKit, freshen, kitFor, letOffline, readyKit, twoHolders } from './kits.ts';
import type { Stage, Steps } from './once-steps.ts';
import { activateRoles } from './policies.ts';

const OWNERS = '  groups: [data-owners]\n';
const WISH = { role: 'standing', uses: 3, for_seconds: 3600, reason: 'nightly refunds' };
const ACCOUNT = { findings: 'one stuck order was released', disposition: 'justified' };

/** The roles that these steps ask for, once for all of them. */
const ROLES = [
  {
    name: 'standing',
    routes: { standing: `${OWNERS}  standing: { max_seconds: 86400, max_uses: 50 }\n` },
  },
  ...['declared', 'collected', 'reviewed'].map((name) => ({
    name,
    routes: { [name]: `${OWNERS}  break_glass: { groups: [on-call] }\n` },
  })),
];

export function emergencySteps(stage: () => Stage): Steps {
  let ready: Promise<unknown> | null = null;
  const withRoles = (): Promise<unknown> => (ready ??= activateRoles(stage().cast, ROLES));
  return {
    'POST /v1/grants': async () => {
      await withRoles();
      const otherwise = { ...WISH, uses: 4 };
      return { by: await newAgent(stage()), path: '/v1/grants', body: WISH, otherwise };
    },
    'POST /v1/grants/{id}/revoke': async () => {
      await withRoles();
      const by = await newAgent(stage());
      const path = `/v1/grants/${await granted(stage(), by)}/revoke`;
      return { by, path, body: {}, otherwise: { reason: 'no longer needed' } };
    },
    'POST /v1/break-glass': async () => {
      await withRoles();
      const { by, body } = await emergency(stage(), 'declared');
      return { by, path: '/v1/break-glass', body, otherwise: { ...body, reason: 'all is down' } };
    },
    'POST /v1/break-glass/{id}/collect': async () => {
      await withRoles();
      const { by, path } = await broken(stage(), 'collected');
      return { by, path: `${path}/collect`, body: {}, otherwise: { surplus: 1 } };
    },
    'POST /v1/break-glass/{id}/review': async () => {
      await withRoles();
      const { agent, task, path, request } = await broken(stage(), 'reviewed');
      const { service } = stage().cast;
      const by = await person(service, 'Ira', ['data-owners']);
      await agent.call('POST', `/v1/tasks/${task}/complete`, {});
      await eventually(async () => {
        const { credential } = await seen(service, request);
        const { body } = await admin(service).call('GET', `/v1/credentials/${text(credential)}`);
        return body['state'] === 'revoked';
      }, 'the end of the credential');
      const otherwise = { ...ACCOUNT, disposition: 'misused' };
      return { by, path: `${path}/review`, body: ACCOUNT, otherwise };
    },
    // Last, for they have a policy of their own.
    ...kitSteps(stage),
  };
}

/** Calls about a login that lies ready for when we are down. */
function kitSteps(stage: () => Stage): Steps {
  let ready: Promise<unknown> | null = null;
  const offline = (): Promise<unknown> => (ready ??= letOffline(stage().cast));
  const path = (id: string, step: string): string => `/v1/break-glass/kits/${id}/${step}`;
  return {
    'POST /v1/break-glass/kits': async () => {
      await offline();
      const holders = await twoHolders(stage().cast);
      const otherwise = kitFor(holders, { expires_in: 3600 });
      return {
        by: holders.first,
        path: '/v1/break-glass/kits',
        body: kitFor(holders),
        otherwise,
      };
    },
    'POST /v1/break-glass/kits/{id}/key': async () => {
      await offline();
      const { cast } = stage();
      const holders = await twoHolders(cast);
      const id = await agreedKit(cast, holders);
      await freshen(cast);
      const body = { seal_to: cast.seal.publicJwk };
      const otherwise = { seal_to: (await newKey()).publicJwk };
      return { by: holders.first, path: path(id, 'key'), body, otherwise };
    },
    'POST /v1/break-glass/kits/{id}/share': async () => {
      await offline();
      const { first, id } = await readyKit(stage().cast);
      await freshen(stage().cast);
      return { by: first, path: path(id, 'share'), body: {}, otherwise: { surplus: 1 } };
    },
    'POST /v1/break-glass/kits/{id}/check': async () => {
      await offline();
      const { first, id } = await readyKit(stage().cast);
      return { by: first, path: path(id, 'check'), body: {}, otherwise: { surplus: 1 } };
    },
    'POST /v1/break-glass/kits/{id}/end': async () => {
      await offline();
      const { first, id } = await readyKit(stage().cast);
      return { by: first, path: path(id, 'end'), body: {}, otherwise: { surplus: 1 } };
    },
  };
}

const newAgent = async ({ cast }: Stage): Promise<TestAgent> =>
  admittedAgent(cast.service, cast.owner.id, await person(cast.service, 'Abe', ['admins']));

async function granted({ cast }: Stage, agent: TestAgent): Promise<string> {
  const asked = await agent.call('POST', '/v1/grants', WISH);
  await vote(cast.approver, text(object(asked.body['request'])['id']), 'approve');
  let id = '';
  await eventually(async () => {
    const [grant] = list((await agent.call('GET', '/v1/grants')).body['data']);
    id = text(grant?.['id']);
    return id !== '';
  }, 'the grant');
  return id;
}

interface Emergency {
  by: TestPerson;
  /** Who may confirm it. */
  second: TestPerson;
  agent: TestAgent;
  task: string;
  body: JsonObject;
}

/** An agent with a task, and somebody on call who may declare an emergency for it. */
async function emergency(stage: Stage, role: string): Promise<Emergency> {
  const agent = await newAgent(stage);
  const task = await startTask(agent);
  const by = await person(stage.cast.service, 'Fay', ['on-call']);
  const second = await person(stage.cast.service, 'Sol', ['on-call']);
  const body = { task, role, reason: 'orders are stuck', seal_to: stage.cast.seal.publicJwk };
  return { by, second, agent, task, body };
}

/** An emergency in which access was given, by two people. */
async function broken(
  stage: Stage,
  role: string,
): Promise<Emergency & { path: string; request: string }> {
  const made = await emergency(stage, role);
  const reply = await made.by.call('POST', '/v1/break-glass', made.body);
  const request = text(object(reply.body['request'])['id']);
  await vote(made.second, request, 'approve');
  const path = `/v1/break-glass/${text(object(reply.body['emergency'])['id'])}`;
  await eventually(async () => {
    const { body } = await admin(stage.cast.service).call('GET', path);
    return body['opened_at'] !== null;
  }, 'its opening');
  return { ...made, path, request };
}
