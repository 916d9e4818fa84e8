// A policy under which whoever may change an agent gives it keys without asking anybody: they are as good as the agent.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { changePolicy, hold, startCast, type Cast } from '../support/cast.ts';
import {
  anyone,
  bearer,
  newKey,
  object,
  person,
  signIn,
  text,
  vote,
  type Reply,
  type TestKey,
  type TestPerson,
} from '../support/client.ts';

let cast: Cast;
let eve: TestPerson;
let frank: TestPerson;
beforeAll(async () => {
  cast = await startCast();
  const both = { roles: ['approver', 'admin'] };
  eve = await person(cast.service, 'Eve', ['data-owners', 'admins'], both);
  frank = await person(cast.service, 'Frank', ['data-owners', 'admins'], both);
  await changePolicy(cast.service, cast.approver, (files) => ({
    ...files,
    'main.cedar': (files['main.cedar'] ?? '').replace(
      /@id\("add-keys"\)\n@approval\("onboarding"\)/,
      '@id("add-keys")',
    ),
  }));
});
afterAll(() => cast.close());

const keyFor = (by: TestPerson, key: TestKey): Promise<Reply> =>
  by.call('POST', `/v1/agents/${cast.agent.id}/keys`, { key: key.publicJwk });
const asked = async (key: TestKey): Promise<string> => {
  const caller = bearer(cast.service, await signIn(cast.service, cast.agent.id, key));
  return (await hold(caller, cast.seal)).request;
};

it('I4: whoever brought one decides on nothing the agent asks for', async () => {
  const key = await newKey();
  expect((await keyFor(eve, key)).status).toBe(201);
  expect((await vote(eve, await asked(key), 'approve')).body['code']).toBe('self_approval');
});

it('I4: nor does whoever asked for the token with which one was brought', async () => {
  const made = await frank.call('POST', `/v1/agents/${cast.agent.id}/join-tokens`, {});
  const key = await newKey();
  const joined = await anyone(cast.service).call('POST', '/v1/join', {
    token: text(object(made.body['join_token'])['token']),
    key: key.publicJwk,
  });
  expect(joined.status).toBe(201);
  expect((await vote(frank, await asked(key), 'approve')).body['code']).toBe('self_approval');
});
