// A way in is as good as a key: those who agree to keys agree to it, and whoever proposed it decides nothing for its agent.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, hold, seen, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  eventually,
  list,
  object,
  person,
  registerAgent,
  text,
  vote,
  type Caller,
  type Reply,
  type TestPerson,
} from '../support/client.ts';

let cast: Cast;
let keeper: TestPerson;
let grace: TestPerson;

beforeAll(async () => {
  cast = await startCast();
  keeper = await person(cast.service, 'Kay', ['key-keepers']);
  grace = await person(cast.service, 'Grace', ['data-owners'], { roles: ['approver', 'admin'] });
  await changePolicy(cast.service, cast.approver, (files) => ({
    ...files,
    'main.cedar': (files['main.cedar'] ?? '').replace(
      '@id("add-keys")\n@approval("onboarding")',
      '@id("add-keys")\n@approval("key-keepers")',
    ),
    'routes.yaml': `${files['routes.yaml'] ?? ''}\nkey-keepers:\n  title: Keys\n  groups: [key-keepers]\n`,
  }));
}, 60_000);
afterAll(() => cast.close());

const SOURCES =
  'issuers:\n  ci: { issuer: https://ci.example, audience: https://us.example }\nways_in:\n';
const way = (agent: string, subject: string): string =>
  `  - { agent: ${agent}, issuer: ci, subject: "${subject}" }\n`;

async function propose(
  by: Caller,
  federation: string | null,
  change = (cedar: string) => cedar,
): Promise<Reply> {
  const active = await admin(cast.service).call('GET', '/v1/policies/active');
  const { 'federation.yaml': _before, ...files } = object(active.body['files']);
  return by.call('POST', '/v1/policies', {
    files: {
      ...files,
      'main.cedar': change(text(files['main.cedar'])),
      ...(federation !== null && { 'federation.yaml': federation }),
    },
  });
}

const routesOf = (reply: Reply): string[] =>
  list(object(reply.body['request'])['routes'])
    .map(({ name }) => text(name))
    .toSorted();
const idOf = (reply: Reply): string => text(object(reply.body['request'])['id']);
const BOTH = ['key-keepers', 'policy-change'];

async function approve(reply: Reply): Promise<void> {
  for (const voter of [keeper, cast.approver]) await vote(voter, idOf(reply), 'approve');
  await eventually(
    async () => (await seen(cast.service, idOf(reply)))['state'] === 'consumed',
    'the policy to be active',
  );
}

describe('a policy that opens a way in', () => {
  it('waits for those who agree to keys, and tells them what it opens', async () => {
    const reply = await propose(admin(cast.service), SOURCES + way(cast.agent.name, 'a'));
    expect(routesOf(reply)).toEqual(BOTH);
    const { parameters } = object(object(reply.body['request'])['action']) as {
      parameters: JsonObject;
    };
    expect(list(parameters['opens'])).toMatchObject([
      { agent: cast.agent.name, issuer: 'ci', subject: 'a' },
    ]);
    await vote(cast.approver, idOf(reply), 'approve');
    expect((await seen(cast.service, idOf(reply)))['state']).toBe('pending');
    await approve(reply);
  });

  it('I4: waits for them as well when it takes somebody’s word for whom an agent acts, and says whose', async () => {
    const { id } = cast.owner;
    const word = (agent: string) =>
      `${SOURCES} []\npeople:\n  - { person: ${id}, issuer: ci, subject: olga, agents: [${agent}] }\n`;
    const reply = await propose(admin(cast.service), word(cast.agent.name));
    expect(routesOf(reply)).toEqual(BOTH);
    const { parameters } = object(object(reply.body['request'])['action']) as {
      parameters: JsonObject;
    };
    expect(list(parameters['opens'])).toMatchObject([
      { person: id, issuer: 'ci', subject: 'olga', agents: [cast.agent.name] },
    ]);
  });

  it('waits for them when it changes one or what one stands on, and not when it closes one', async () => {
    const { name } = cast.agent;
    const before = SOURCES + way(name, 'a');
    for (const changed of [
      before + way(name, 'b'),
      SOURCES + way(name, 'b'),
      before.replace('https://us.example', 'https://other.example'),
      before.replace('https://ci.example', 'https://other.example'),
      SOURCES + way('nobody-yet', 'a') + way(name, 'a'),
    ])
      expect(routesOf(await propose(admin(cast.service), changed))).toEqual(BOTH);
    for (const closed of [null, SOURCES + ' []', `# the same\n${before}`.replace('[]', '')])
      expect(routesOf(await propose(admin(cast.service), closed))).toEqual(['policy-change']);
  });

  it('is refused where nobody may add a key to the agent', async () => {
    const forbid =
      '\n@id("no-keys")\nforbid (principal, action == Action::"agent:add_key", resource) when { resource.team == "core" };\n';
    const closed = await propose(
      admin(cast.service),
      SOURCES + way(cast.agent.name, 'a'),
      (cedar) => (cedar.includes('no-keys') ? cedar : cedar + forbid),
    );
    await approve(closed);
    const reply = await propose(
      admin(cast.service),
      SOURCES + way(cast.agent.name, 'a') + way(cast.agent.name, 'c'),
    );
    expect([reply.status, reply.body['code']]).toEqual([403, 'denied']);
    await approve(
      await propose(admin(cast.service), SOURCES + way(cast.agent.name, 'a'), (cedar) =>
        cedar.replace(forbid, ''),
      ),
    );
  });
});

describe('I4: whoever proposed a way in', () => {
  it('decides on nothing of its agent, and whoever did not goes on deciding', async () => {
    await approve(await propose(grace, SOURCES + way(cast.agent.name, 'mine')));
    const { request } = await hold(cast.agent, cast.seal);
    expect((await vote(grace, request, 'approve')).body['code']).toBe('self_approval');
    expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
  });
});

describe('the admission of an agent', () => {
  it('shows the ways in that already lead to it', async () => {
    const name = `late-bot-${Date.now()}`;
    await approve(await propose(admin(cast.service), SOURCES + way(name, 'early')));
    const { reply } = await registerAgent(cast.service, cast.owner.id, { name });
    const request = await seen(cast.service, text(reply.body['request']));
    const parameters = object(object(request['action'])['parameters']);
    expect(list(parameters['ways_in'])).toMatchObject([{ issuer: 'ci', subject: 'early' }]);
  });
});
