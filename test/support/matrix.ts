// The stage of the matrix: one person for each role, one way to open each kind of request, and each state that a
// request can be in.
import type { JsonObject } from '../../domain/json.ts';
import { startFakeSlack, type FakeSlack } from '../fakes/slack.ts';
import { PUBLISHING, askingAs, publish } from './access-requests.ts';
import { startAccess, type AccessCast } from './authzen.ts';
import { hold, startTask } from './cast.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  eventually,
  newKey,
  object,
  person,
  text,
  vote,
  type Reply,
  type TestAgent,
  type TestPerson,
} from './client.ts';
import type { KindName, RoleName, StateName } from './matrix-model.ts';
import { withRoles } from './policies.ts';
import { adding, all, type Files } from './policy-files.ts';

/** Everybody's groups who could decide on anything here. */
const ALL = ['data-owners', 'admins', 'on-call'];

/** Who has a session, a Slack user, or both. */
export interface Member extends TestPerson {
  slack: string;
}

export interface MatrixCast extends AccessCast {
  slack: FakeSlack;
  members: Record<Exclude<RoleName, 'unlinked' | 'agent' | 'automation' | 'nobody'>, Member>;
  /** The agent of another owner, whose keys and admissions are asked about. */
  bot: TestAgent;
}

const OWNERS = '  groups: [data-owners]\n';
const RISKY =
  '@id("take-risky")\n@approval("owners")\n@risk("high")\npermit (principal is Agent, ' +
  'action == Action::"credential:request", resource == Role::"risky");\n';

const RISKY_ROLE =
  '  risky:\n    title: risky\n    issuer: jwt\n    audience: https://risky.example\n';

/** The sample, the fixture, and a gate for each kind that has none there. */
function matrixPolicy(files: Files): Files {
  // The roles stand before the enforcement points, which are a list of their own.
  const [roles = '', points = ''] = (files['roles.yaml'] ?? '').split('\nenforcement_points:');
  const gated = withRoles({ ...PUBLISHING(files), 'roles.yaml': roles }, [
    { name: 'plain', routes: { owners: OWNERS } },
    {
      name: 'lasting',
      routes: { lasting: `${OWNERS}  standing: { max_seconds: 86400, max_uses: 5 }\n` },
    },
    { name: 'glassy', routes: { glassy: `${OWNERS}  break_glass: { groups: [on-call] }\n` } },
  ]);
  return all(
    adding('main.cedar', RISKY),
    adding('roles.yaml', `${RISKY_ROLE}\nenforcement_points:${points}`),
  )(gated);
}

export async function startMatrix(): Promise<MatrixCast> {
  const cast = await startAccess(matrixPolicy);
  const { service, owner, approver } = cast;
  const slack = await startFakeSlack({
    interactionsUrl: `${service.url}/slack/interactions`,
    unpaced: true,
  });
  await admin(service).call('PUT', '/v1/integrations/slack', {
    api_url: slack.apiUrl,
    signing_secret: slack.signingSecret,
    bot_token: slack.botToken,
    app_token: slack.appToken,
    channel: slack.channel,
  });
  const member = async (
    name: string,
    groups: string[],
    roles: string[] = ['approver'],
  ): Promise<Member> => {
    const id = `U0${name.toUpperCase()}`;
    const made = await person(service, name, groups, { roles, slack_user_id: id });
    return { ...made, slack: id };
  };
  const ava = await member('Ava', ALL);
  const away = await member('Avis', ALL);
  const stan = await member('Stan', ['visitors']);
  await away.call('POST', `/v1/people/${away.id}/absences`, {
    stand_in: stan.id,
    ends_at: new Date(Date.now() + 4 * 3_600_000).toISOString(),
  });
  const gone = await member('Gus', ALL);
  await admin(service).call('PATCH', `/v1/people/${gone.id}`, { state: 'deactivated' });
  await admin(service).call('PATCH', `/v1/people/${owner.id}`, {
    ...{ slack_user_id: 'U0OLGA', groups: ALL, roles: ['approver', 'admin'] },
  });
  await admin(service).call('PATCH', `/v1/people/${approver.id}`, { groups: ALL });
  // By this address she is whom an access request is about.
  await service.database.owner
    .sql`update person set email = 'olga@example.com' where id = ${owner.id}`;
  const members = {
    approver: ava,
    'stand-in': stan,
    stranger: await member('Stranger', ['visitors']),
    requester: { ...owner, slack: 'U0OLGA' },
    trigger: await member('Tim', ALL),
    auditor: await member('Aud', ALL, ['auditor']),
    administrator: await member('Adam', [], ['admin']),
    deactivated: gone,
    forged: ava,
  };
  const bot = await admittedAgent(service, owner.id, approver);
  // An emergency takes fresh sessions, and this takes longer than they stay so.
  await service.database.owner.sql`update session set created_at = now() + interval '1 hour'`;
  const close = async (): Promise<void> => {
    await cast.close();
    await slack.close();
  };
  await eventually(() => Promise.resolve(slack.socket.open() > 0), 'a connection of Socket Mode');
  return { ...cast, slack, members, bot, close };
}

const requestIn = (reply: Reply): string => {
  const id = text(object(reply.body['request'])['id']);
  if (id === '') throw new Error(`nobody was asked: ${reply.text}`);
  return id;
};

let asked = 0;

type Opener = (cast: MatrixCast) => Promise<string>;

/** Asks for a credential; whoever owns the agent and whoever set the task off are both involved. */
const credential =
  (role: string): Opener =>
  async ({ agent, seal, members }) =>
    requestIn((await hold(agent, seal, { role }, { triggered_by: members.trigger.id })).reply);

/** Opens a request of each kind, which is about something else each time. */
const OPENERS: Record<KindName, Opener> = {
  credential: credential('plain'),
  'risky credential': credential('risky'),
  statement: async ({ agent, seal, members }) => {
    const task = await startTask(agent, { triggered_by: members.trigger.id });
    // Once a task can be given credentials its statements can be taken as well.
    await askCredential(agent, task, { role: 'reports-api', seal_to: seal.publicJwk });
    asked += 1;
    return requestIn(
      await agent.call('POST', '/v1/run', {
        ...{ task, role: 'orders-write', seal_to: seal.publicJwk, reason: 'a complaint' },
        ...{ statement: 'update orders set state = $1 where id = $2', parameters: ['x', asked] },
      }),
    );
  },
  grant: async ({ agent }) => {
    asked += 1;
    const wish = { role: 'lasting', uses: 2, for_seconds: 3_600 + asked, reason: 'refunds' };
    return requestIn(await agent.call('POST', '/v1/grants', wish));
  },
  emergency: async ({ agent, seal, members }) => {
    const task = await startTask(agent, { triggered_by: members.trigger.id });
    return requestIn(
      await members.requester.call('POST', '/v1/break-glass', {
        ...{ task, role: 'glassy', seal_to: seal.publicJwk, reason: 'nobody answers' },
      }),
    );
  },
  admission: async ({ members }) => {
    asked += 1;
    const { requester } = members;
    const reply = await requester.call('POST', '/v1/agents', {
      ...{ name: `matrix-${asked}`, kind: 'ai_agent', owner: requester.id, team: 'core' },
      ...{ purpose: 'order support', keys: [(await newKey()).publicJwk] },
    });
    return text(reply.body['request']);
  },
  key: async ({ bot, members }) => {
    const key = (await newKey()).publicJwk;
    return requestIn(await members.requester.call('POST', `/v1/agents/${bot.id}/keys`, { key }));
  },
  policy: async ({ service, members }) => {
    asked += 1;
    const active = await admin(service).call('GET', '/v1/policies/active');
    const files = object(active.body['files']);
    const routes = `${text(files['routes.yaml'])}\nspare-${asked}:\n  title: Spare\n${OWNERS}`;
    const proposed = { files: { ...files, 'routes.yaml': routes } };
    return requestIn(await members.requester.call('POST', '/v1/policies', proposed));
  },
  access: (cast) => {
    const at = askingAs(cast);
    return at.asked(publish({ subject: { email: 'olga@example.com' } }));
  },
};

export const open = (cast: MatrixCast, kind: KindName): Promise<string> => OPENERS[kind](cast);

/**
 * Brings a pending request into a state. Where people or its requester bring it about, they do; the others come of
 * clocks, workers and targets, and are written as those would leave them: how each comes about is tested elsewhere.
 */
export async function bring(cast: MatrixCast, id: string, state: StateName): Promise<void> {
  const { sql } = cast.service.database.owner;
  if (state === 'pending') return;
  if (state === 'due') {
    await sql`update request set state = 'pending', decided_at = null,
      expires_at = created_at + interval '1 millisecond' where id = ${id}`;
    return;
  }
  if (state === 'denied') {
    await vote(cast.approver, id, 'deny', { reason: 'Not so.' });
    return;
  }
  const isOpen = ['expired', 'cancelled', 'superseded'].includes(state);
  await sql`update request set state = ${state}, decided_at = now(),
    decided_by = ${isOpen ? null : cast.approver.id},
    approved_until = ${isOpen ? null : new Date(Date.now() + 3_600_000).toISOString()},
    failure = ${state === 'failed' ? 'task_not_running' : state === 'superseded' ? 'policy_changed' : null}
    where id = ${id}`;
}

/** The number of events about a request, and those that say what was done about deciding it, since some moment. */
export async function decidedSince(
  cast: MatrixCast,
  id: string,
  since: number,
): Promise<{ type: string; detail: JsonObject }[]> {
  const rows = await cast.service.database.owner.sql<{ leaf: string }[]>`
    select leaf from event where request = ${id} order by id offset ${since}`;
  return rows
    .map(({ leaf }) => object(JSON.parse(leaf) as JsonObject))
    .map((leaf) => ({
      type: text(leaf['type']).replace('dev.countersign.', '').replace('.v1', ''),
      detail: object(object(leaf['data'])['detail']),
    }));
}

export async function countEvents(cast: MatrixCast, id: string): Promise<number> {
  const [row] = await cast.service.database.owner.sql<{ n: number }[]>`
    select count(*)::int as n from event where request = ${id}`;
  return row?.n ?? 0;
}
