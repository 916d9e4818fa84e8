// Acting for a person: their own token of a configured issuer, brought by an agent that policy lets, sets off one task.
import { randomUUID } from 'node:crypto';
import { decodeJwt } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { openClient, parsePrivateKey } from '../../sdk/index.ts';
import { newSigningKey, signWith, startOidcIssuer, type OidcIssuer } from '../fakes/oidc-issuer.ts';
import { changePolicy, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  asClient,
  bearer,
  clientAssertion,
  list,
  newKey,
  object,
  person,
  postForm,
  text,
  vote,
  type Reply,
  type TestAgent,
  type TestPerson,
} from '../support/client.ts';
import { dpopProof, startWith, thumbprintOf } from '../support/delegation.ts';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const TYPE = 'urn:ietf:params:oauth:token-type:';
const AUDIENCE = 'https://countersign.example';

let cast: Cast;
let issuer: OidcIssuer;
let other: OidcIssuer;
let bot: TestAgent;
let stranger: TestAgent;
let paula: TestPerson;
let federation: string;

beforeAll(async () => {
  [issuer, other] = await Promise.all([startOidcIssuer(), startOidcIssuer()]);
  cast = await startCast();
  const newAgent = () => admittedAgent(cast.service, cast.owner.id, cast.approver);
  [bot, stranger] = [await newAgent(), await newAgent()];
  paula = await person(cast.service, 'Paula', ['data-owners']);
  federation = `
issuers:
  workforce: { issuer: "${issuer.url}", audience: "${AUDIENCE}" }
  elsewhere: { issuer: "${other.url}", audience: "${AUDIENCE}" }
ways_in:
  - { agent: ${stranger.name}, issuer: workforce, subject: a-workload }
people:
  - { person: ${paula.id}, issuer: workforce, subject: paula, agents: [${bot.name}] }
  - { person: ${cast.owner.id}, issuer: workforce, subject: olga, agents: [${stranger.name}] }
`;
  await activate(federation);
}, 120_000);
afterAll(async () => {
  await cast.close();
  await Promise.all([issuer.close(), other.close()]);
});
afterEach(() => {
  issuer.manner = 'well';
});

const activate = (file: string): Promise<Reply> =>
  changePolicy(cast.service, cast.approver, (files) => ({ ...files, 'federation.yaml': file }));

/** A token of Paula's, made a moment ago for an hour. */
function word(over: JsonObject = {}, header: JsonObject = {}, by = issuer): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const claims: JsonObject = {
    ...{ iss: by.url, sub: 'paula', aud: AUDIENCE, iat: now, exp: now + 3600 },
    ...{ jti: randomUUID(), email: 'paula@acme.example' },
    ...over,
  };
  for (const [name, value] of Object.entries(claims)) if (value === null) delete claims[name];
  return signWith(by.key, claims, header);
}

async function exchanged(
  token: string,
  more: Record<string, string> = {},
  by = bot,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const form = {
    ...{ grant_type: EXCHANGE, subject_token: token, subject_token_type: `${TYPE}id_token` },
    ...asClient(await clientAssertion(cast.service, by.id, by.key)),
    ...more,
  };
  return postForm(cast.service, '/oauth2/token', form, headers);
}

const tokenOf = ({ body }: Reply): string => text(body['access_token']);
const said = ({ status, body }: Reply): string => `${status} ${text(body['error'])}`.trim();
const REFUSED = '400 invalid_request';

describe('a person’s token that an agent exchanges', () => {
  it('makes a token that says who acts for whom, and a task that they are shown to have set off', async () => {
    const reply = await exchanged(await word());
    expect([reply.status, reply.body['issued_token_type'], reply.body['token_type']]).toEqual([
      200,
      `${TYPE}access_token`,
      'Bearer',
    ]);
    const token = tokenOf(reply);
    const claims = decodeJwt(token);
    expect(claims).toMatchObject({ sub: paula.id, act: { sub: bot.id }, client_id: bot.id });
    const headers = { authorization: `Bearer ${cast.service.adminToken}` };
    const seen = await postForm(cast.service, '/oauth2/introspect', { token }, headers);
    expect(seen.body).toMatchObject({ active: true, sub: paula.id, act: { sub: bot.id } });
    const started = await startWith(cast.service, token);
    expect([started.status, started.body['agent']]).toEqual([201, bot.id]);
    expect(started.body).toMatchObject({
      triggered_by: paula.id,
      triggered_by_proof: 'verified',
    });
    const events = await admin(cast.service).call(
      'GET',
      `/v1/events?agent=${bot.id}&type=token.exchanged_for_person`,
    );
    const told = object(list(events.body['data']).at(-1)?.['data']);
    expect(told['human']).toBe(paula.id);
    expect(JSON.stringify(told['detail'])).not.toContain(issuer.url);
  });

  it('may also be named a JWT, and nothing else that it is not', async () => {
    const types = (subject_token_type: string) => ({ subject_token_type });
    expect(said(await exchanged(await word(), types(`${TYPE}jwt`)))).toBe('200');
    for (const type of ['access_token', 'refresh_token', 'saml2', 'id-jag'])
      expect(said(await exchanged(await word(), types(TYPE + type)))).toBe(REFUSED);
  });

  it('lasts for 15 minutes, and never longer than the token of the person', async () => {
    const now = Math.floor(Date.now() / 1000);
    const usual = await exchanged(await word());
    expect(usual.body['expires_in']).toBeLessThanOrEqual(900);
    expect(usual.body['expires_in']).toBeGreaterThan(800);
    const short = await exchanged(await word({ exp: now + 60 }));
    expect(short.body['expires_in']).toBeLessThanOrEqual(60);
    expect(decodeJwt(tokenOf(short)).exp).toBeLessThanOrEqual(now + 60);
  });

  it('is bound to the key that is proved with it', async () => {
    const key = await newKey();
    const url = `${cast.service.publicUrl}/oauth2/token`;
    const dpop = await dpopProof(key, { method: 'POST', url });
    const reply = await exchanged(await word(), {}, bot, { dpop });
    expect(reply.body['token_type']).toBe('DPoP');
    expect(decodeJwt(tokenOf(reply))['cnf']).toEqual({ jkt: await thumbprintOf(key) });
    expect((await startWith(cast.service, tokenOf(reply))).status).toBe(401);
  });

  it('gives no more than it was asked for: a task with these roles', async () => {
    const reply = await exchanged(await word(), { scope: 'task role:reports-api' });
    expect(reply.body['scope']).toBe('task role:reports-api');
    const started = await startWith(cast.service, tokenOf(reply));
    const task = text(started.body['id']);
    const seal_to = { ...cast.seal.publicJwk };
    const granted = await askCredential(bot, task, { role: 'reports-api', seal_to });
    expect(granted.status).toBe(201);
    const refused = await askCredential(bot, task, { role: 'orders-readonly', seal_to });
    expect(refused.status).toBe(403);
    for (const scope of ['agent', 'task agent', 'openid', 'task role:*  admin'])
      expect(said(await exchanged(await word(), { scope }))).toBe('400 invalid_scope');
  });
});

describe('a person’s token is refused', () => {
  const now = Math.floor(Date.now() / 1000);

  it.each<[string, JsonObject, JsonObject?]>([
    ['for another audience', { aud: 'https://elsewhere.example' }],
    ['for us and somebody else', { aud: [AUDIENCE, 'https://elsewhere.example'] }],
    ['for nobody', { aud: null }],
    ['of an issuer that only begins alike', { iss: 'https://issuer.example/' }],
    ['of nobody that policy names', { sub: 'mallory' }],
    ['of somebody with the same address', { sub: 'mallory', email: 'paula@acme.example' }],
    ['of a subject in another spelling', { sub: 'Paula' }],
    ['of a person for another agent', { sub: 'olga' }],
    ['of a workload', { sub: 'a-workload' }],
    ['when it expired', { iat: now - 7200, exp: now - 3600 }],
    ['when it never expires', { exp: null }],
    ['when it is good for days', { exp: now + 7 * 86_400 }],
    ['when it was made long ago', { iat: now - 3700 }],
    ['when it does not say when it was made', { iat: null }],
    ['when it is not good yet', { nbf: now + 600 }],
    ['when it is bound to a key', { cnf: { jkt: 'a'.repeat(43) } }],
    ['when somebody acts in it already', { act: { sub: 'somebody' } }],
    ['when it lets somebody else act', { may_act: { sub: 'somebody' } }],
    ['when it lets nobody in particular act', { may_act: {} }],
    ['when it has another type', {}, { typ: 'at+jwt' }],
    ['when it has a header that is not known', {}, { crit: ['x'], x: 1 }],
  ])('%s', async (_how, over, header = {}) => {
    const token = await word(over, header).catch(() => 'unsigned');
    expect(said(await exchanged(token))).toBe(REFUSED);
  });

  it('signed with another key, another issuer’s key, or not at all', async () => {
    const forged = await signWith(
      { ...(await newSigningKey()), kid: issuer.key.kid },
      { iss: issuer.url, sub: 'paula', aud: AUDIENCE, iat: now, exp: now + 600 },
    );
    const [head = '', claims = ''] = (await word()).split('.');
    const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
    const tokens = [forged, `${none}.${claims}.`, `${none}.${claims}.AA`, `${head}.${claims}.AA`];
    for (const token of [...tokens, '', 'paula', await word({ iss: issuer.url }, {}, other)])
      expect([token, said(await exchanged(token))]).toEqual([token, REFUSED]);
    // Policy has the other issuer, and no person of it.
    expect(said(await exchanged(await word({}, {}, other)))).toBe(REFUSED);
  });

  it('a second time, whoever brings it and however many do at once', async () => {
    const token = await word();
    const replies = await Promise.all(Array.from({ length: 6 }, () => exchanged(token)));
    expect(replies.map(said).toSorted()).toEqual(['200', ...Array<string>(5).fill(REFUSED)]);
    const bare = await word({ jti: null });
    expect(said(await exchanged(bare))).toBe('200');
    expect(said(await exchanged(bare))).toBe(REFUSED);
  });

  it('from an agent that policy does not name, and from nobody', async () => {
    expect(said(await exchanged(await word(), {}, stranger))).toBe(REFUSED);
    expect(said(await exchanged(await word({ sub: 'olga' }), {}, stranger))).toBe('200');
    const form = {
      ...{ grant_type: EXCHANGE, subject_token: await word() },
      subject_token_type: `${TYPE}id_token`,
    };
    expect((await postForm(cast.service, '/oauth2/token', form)).status).toBe(400);
  });

  it('I6: where the keys of its issuer cannot be had', async () => {
    const third = await startOidcIssuer();
    await third.close();
    const names = `gone: { issuer: "${third.url}", audience: "${AUDIENCE}" }`;
    await activate(
      `${federation.replace('issuers:', `issuers:\n  ${names}`)}  - { person: ${paula.id}, issuer: gone, subject: paula, agents: [${bot.name}] }\n`,
    );
    expect(said(await exchanged(await word({}, {}, third)))).toBe('503 temporarily_unavailable');
    await activate(federation);
  });

  it('that lets this agent act, by its id or its SPIFFE ID, is taken', async () => {
    for (const sub of [bot.id, `spiffe://countersign.local/agent/${bot.name}`])
      expect(said(await exchanged(await word({ may_act: { sub } })))).toBe('200');
  });

  it('as a way to sign in, and a workload’s as somebody’s word', async () => {
    const form = {
      grant_type: 'client_credentials',
      ...asClient(await word()),
    };
    expect(said(await postForm(cast.service, '/oauth2/token', form))).toBe('401 invalid_client');
  });
});

describe('the token that comes of it', () => {
  const given = async (): Promise<string> => tokenOf(await exchanged(await word()));

  it('starts one task, however often it is tried', async () => {
    const token = await given();
    const replies = await Promise.all(
      Array.from({ length: 5 }, () => startWith(cast.service, token)),
    );
    expect(replies.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
      201, 422, 422, 422, 422,
    ]);
  });

  it('is asked for and used by the SDK in one call', async () => {
    const client = openClient({
      url: cast.service.url,
      credential: { agent: bot.id, key: parsePrivateKey(bot.key.privateJwk) },
    });
    const order = { purpose: 'order support', ttlSeconds: 60 };
    const task = await client.tasks.start({ ...order, onBehalf: await word() });
    expect(task).toMatchObject({ triggered_by: paula.id, triggered_by_proof: 'verified' });
    const both = { ...order, onBehalf: 'a', parent: 'b' };
    expect(() => client.tasks.start(both)).toThrow(/not both/);
  });

  it('names nobody else beside the person, and brings no other proof', async () => {
    const token = await given();
    for (const more of [{ triggered_by: cast.owner.id }, { trigger_proof: 'a.b.c' }]) {
      const { status, body } = await startWith(cast.service, token, more);
      expect([status, body['code']]).toEqual([400, 'invalid_request']);
    }
    expect((await startWith(cast.service, token, { triggered_by: paula.id })).status).toBe(201);
  });

  it('is good for nothing else: no credential, no SVID, no other exchange, no question about tokens', async () => {
    const token = await given();
    const caller = bearer(cast.service, token);
    for (const [method, path] of [
      ['GET', '/v1/tasks'],
      ['GET', `/v1/agents/${bot.id}`],
      ['POST', '/v1/svid/jwt'],
      ['GET', '/v1/svid/bundles'],
    ] as const)
      expect((await caller.call(method, path, method === 'POST' ? {} : undefined)).status).toBe(
        403,
      );
    const headers = { authorization: `Bearer ${token}` };
    for (const path of ['/oauth2/introspect', '/oauth2/revoke'])
      expect((await postForm(cast.service, path, { token }, headers)).status).toBe(401);
    const again = { subject_token_type: `${TYPE}access_token` };
    expect(said(await exchanged(token, again))).toBe(REFUSED);
    const asActor = { actor_token: token, actor_token_type: `${TYPE}access_token` };
    expect(said(await exchanged(await word(), asActor))).toBe(REFUSED);
  });

  it('I3: is dead once the agent is suspended, the person deactivated, or policy says otherwise', async () => {
    const agent = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const gone = await person(cast.service, 'Gone', ['engineering']);
    const named = `${federation}  - { person: ${gone.id}, issuer: workforce, subject: gone, agents: [${agent.name}, ${bot.name}] }\n`;
    await activate(named);
    const wordOfGone = () => word({ sub: 'gone' });
    const first = tokenOf(await exchanged(await wordOfGone(), {}, agent));
    await admin(cast.service).call('POST', `/v1/agents/${agent.id}/suspend`, {});
    expect((await startWith(cast.service, first)).status).toBe(403);
    await admin(cast.service).call('POST', `/v1/agents/${agent.id}/resume`, {});
    expect((await startWith(cast.service, first)).status).toBe(401);
    const second = tokenOf(await exchanged(await wordOfGone()));
    await admin(cast.service).call('PATCH', `/v1/people/${gone.id}`, { state: 'deactivated' });
    expect((await startWith(cast.service, second)).status).toBe(401);
    expect(said(await exchanged(await wordOfGone()))).toBe(REFUSED);
    const third = await given();
    await activate(federation.replace('subject: paula', 'subject: paula-2'));
    expect((await startWith(cast.service, third)).status).toBe(401);
    await activate(federation);
  });
});

describe('I4: whoever is shown to have set a task off', () => {
  it('does not decide on what is asked under it', async () => {
    const token = tokenOf(await exchanged(await word()));
    const started = await startWith(cast.service, token);
    const asked = await askCredential(bot, text(started.body['id']), {
      ...{ role: 'orders-write', seal_to: cast.seal.publicJwk, reason: 'refund order 4711' },
    });
    const request = text(object(asked.body['request'])['id']);
    const refused = await vote(paula, request, 'approve');
    expect([refused.status, refused.body['code']]).toEqual([403, 'self_approval']);
    expect((await vote(cast.approver, request, 'approve')).status).toBeLessThan(300);
  });
});
