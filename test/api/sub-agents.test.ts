import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, hold, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  asClient,
  bearer,
  clientAssertion,
  newKey,
  object,
  person,
  postForm,
  registerAgent,
  text,
  vote,
  type TestAgent,
} from '../support/client.ts';
import { dpopProof, exchange, subjectToken, thumbprintOf } from '../support/delegation.ts';

let cast: Cast;
let parent: TestAgent;
let child: TestAgent;

const fresh = (more: JsonObject = {}): Promise<TestAgent> =>
  admittedAgent(cast.service, cast.owner.id, cast.approver, more);

beforeAll(async () => {
  cast = await startCast();
  parent = await fresh();
  child = await fresh();
});
afterAll(() => cast.close());

describe('a sub-agent', () => {
  it('is registered with its parent, admitted like every agent, and belongs to whoever owns that', async () => {
    const { service, owner } = cast;
    const { reply } = await registerAgent(service, owner.id, { parent: parent.id });
    expect(reply.body).toMatchObject({ parent: parent.id, state: 'requested', owner: owner.id });
    const unowned = await admin(service).call('POST', '/v1/agents', {
      name: 'sub-of-parent',
      kind: 'ai_agent',
      parent: parent.id,
      team: 'core',
      purpose: 'order support',
      keys: [(await newKey()).publicJwk],
    });
    expect(unowned.body).toMatchObject({ owner: owner.id, parent: parent.id });
    const nobody = await registerAgent(service, owner.id, { parent: 'agt_nobody' });
    expect(nobody.reply.body['code']).toBe('parent_unknown');
  });

  it('I4: what it asks for is decided by nobody who owns its parent', async () => {
    const { service, seal } = cast;
    const boss = await person(service, 'Boss', ['data-owners']);
    const top = await admittedAgent(service, boss.id, cast.approver);
    const sub = await fresh({ parent: top.id });
    const { request } = await hold(sub, seal);
    expect((await vote(boss, request, 'approve')).body['code']).toBe('self_approval');
  });
});

describe('a delegation that is bound to a key', () => {
  it('stays bound: it is exchanged with a proof, for a token that is bound, or not at all', async () => {
    const { service } = cast;
    const url = `${service.publicUrl}/oauth2/token`;
    const boundParent = await postForm(
      service,
      '/oauth2/token',
      {
        grant_type: 'client_credentials',
        ...asClient(await clientAssertion(service, parent.id, parent.key)),
      },
      { dpop: await dpopProof(parent.key, { method: 'POST', url }) },
    );
    const held = text(boundParent.body['access_token']);
    const task = await startTask(parent);
    const path = `/v1/tasks/${task}/delegations`;
    const call = { method: 'POST', url: service.publicUrl + path, token: held };
    const made = await bearer(service, held).call(
      'POST',
      path,
      { agent: child.id },
      {
        authorization: `DPoP ${held}`,
        dpop: await dpopProof(parent.key, call),
      },
    );
    const token = text(made.body['subject_token']);
    const unproven = await exchange(service, child, token);
    expect(text(unproven.body['error_description'])).toMatch(/bound to a key/);
    const proof = await dpopProof(child.key, { method: 'POST', url });
    const exchanged = await exchange(service, child, token, {}, { dpop: proof });
    expect(exchanged.body['token_type']).toBe('DPoP');
    expect(decodeJwt(text(exchanged.body['access_token']))['cnf']).toEqual({
      jkt: await thumbprintOf(child.key),
    });
  });
});

describe('the gates of an exchange', () => {
  it.each(['subject', 'actor'])('are two, and a no at the %s alone is a no', async (gate) => {
    const { service, approver } = cast;
    const actor = await fresh();
    const before = await activeFiles();
    const rule = `
@id("no-${gate}")
@title("Refused at the gate of the ${gate}")
forbid (principal, action == Action::"token:exchange", resource)
when { context.gate == "${gate}" };
`;
    await changePolicy(service, approver, (files) => ({
      ...files,
      'main.cedar': `${files['main.cedar'] ?? ''}${rule}`,
    }));
    const said = text(
      (await exchange(service, actor, await subjectToken(parent, await startTask(parent), actor)))
        .body['error_description'],
    );
    await changePolicy(service, approver, () => before);
    expect(said).toContain(`Refused at the gate of the ${gate}`);
    const again = await subjectToken(parent, await startTask(parent), actor);
    expect((await exchange(service, actor, again)).status).toBe(200);
  });

  const activeFiles = async (): Promise<Record<string, string>> => {
    const { body } = await admin(cast.service).call('GET', '/v1/policies/active');
    const files = Object.entries(object(body['files']));
    return Object.fromEntries(files.map(([name, content]) => [name, text(content)]));
  };
});
