// Ways in from elsewhere: a token of somebody else's lets in exactly the agent that policy says, once, while it says so.
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import {
  newSigningKey,
  signWith,
  startOidcIssuer,
  type OidcIssuer,
  type SigningKey,
} from '../fakes/oidc-issuer.ts';
import { changePolicy, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  bearer,
  list,
  object,
  postForm,
  text,
  type Reply,
  type TestAgent,
} from '../support/client.ts';

const JWT = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const SVID = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe';
const GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const SUBJECT = 'repo:acme/orders:ref:refs/heads/main';
const AUDIENCE = 'https://countersign.example';
const SPIFFE_ID = 'spiffe://partner.example/ns/shop/agent';

let cast: Cast;
let issuer: OidcIssuer;
let other: OidcIssuer;
let bot: TestAgent;
let twin: TestAgent;
let svidKey: SigningKey;
let federation: string;

beforeAll(async () => {
  [issuer, other] = await Promise.all([startOidcIssuer(), startOidcIssuer()]);
  svidKey = await newSigningKey('ES256', 'jwt-svid');
  cast = await startCast({
    env: { PARTNER_BUNDLE: JSON.stringify({ keys: [svidKey.publicJwk], spiffe_sequence: 1 }) },
  });
  const newAgent = () => admittedAgent(cast.service, cast.owner.id, cast.approver);
  [bot, twin] = [await newAgent(), await newAgent()];
  federation = `
issuers:
  ci: { issuer: "${issuer.url}", audience: "${AUDIENCE}" }
  other: { issuer: "${other.url}", audience: "${AUDIENCE}" }
  typed: { issuer: "${other.url}/typed", audience: "${AUDIENCE}", types: [ci+jwt], jwks_uri: "${other.url}/keys" }
trust_domains:
  partner.example: { bundle_from: PARTNER_BUNDLE }
ways_in:
  - { agent: ${bot.name}, issuer: ci, subject: "${SUBJECT}", claims: { repository_id: "123" } }
  - { agent: ${bot.name}, issuer: ci, subject: digests, artifact_digest_claim: /build/digest }
  - { agent: ${bot.name}, issuer: ci, subject: "system:serviceaccount:shop:bot", claims: { /kubernetes.io/namespace: shop } }
  - { agent: ${bot.name}, issuer: ci, subject: shared }
  - { agent: ${twin.name}, issuer: ci, subject: shared }
  - { agent: ${twin.name}, issuer: ci, subject_prefix: "repo:acme/twin:" }
  - { agent: ${twin.name}, issuer: other, subject: "${SUBJECT}" }
  - { agent: ${bot.name}, issuer: typed, subject: typed }
  - { agent: nobody-yet, issuer: ci, subject: nobody }
  - { agent: ${bot.name}, spiffe_id: "${SPIFFE_ID}" }
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

const activate = (text: string) =>
  changePolicy(cast.service, cast.approver, (files) => ({ ...files, 'federation.yaml': text }));

const USUAL = { sub: SUBJECT, aud: AUDIENCE, repository_id: '123' };
const token = (claims: JsonObject = {}, header: JsonObject = {}): Promise<string> =>
  issuer.token({ ...USUAL, ...claims }, header);

const post = (fields: Record<string, string>): Promise<Reply> =>
  postForm(cast.service, '/oauth2/token', fields);
const bring = (assertion: string, more: Record<string, string> = {}): Promise<Reply> =>
  post({
    grant_type: 'client_credentials',
    client_assertion_type: JWT,
    client_assertion: assertion,
    ...more,
  });

const outcome = ({ status, body }: Reply): string =>
  status === 200 ? '200' : `${status} ${text(body['error'])}`;

/** Who a token of ours is for, as our own API sees it. */
async function whoIs({ body }: Reply): Promise<string> {
  const caller = bearer(cast.service, text(body['access_token']));
  for (const agent of [bot, twin])
    if ((await caller.call('GET', `/v1/agents/${agent.id}`)).status === 200) return agent.name;
  return 'nobody';
}

const REFUSED = '401 invalid_client';

describe('a token of an issuer', () => {
  it('signs in the agent whose way in it is, as client assertion and as a grant', async () => {
    expect(await whoIs(await bring(await token()))).toBe(bot.name);
    const granted = await post({ grant_type: GRANT, assertion: await token() });
    expect(await whoIs(granted)).toBe(bot.name);
  });

  it('is told in the log with its way in, and without a name in public', async () => {
    const reply = await bring(await token());
    expect(reply.status).toBe(200);
    const path = `/v1/events?agent=${bot.id}&type=agent.signed_in&limit=500`;
    const events = list((await admin(cast.service).call('GET', path)).body['data']);
    const event = events.at(-1) ?? {};
    const { method, way_in: wayIn, key } = object(object(event['data'])['detail']);
    expect([method, key]).toEqual(['oidc', null]);
    expect(text(wayIn)).toMatch(/^sha256:/);
    expect(JSON.stringify(event['data'])).not.toContain('acme');
    expect(object(object(event['disclosed'])['workload'])['subject']).toBe(SUBJECT);
  });

  it('is good once, by its jti or else by its bytes, however many bring it at once', async () => {
    const once = await token();
    const replies = await Promise.all(Array.from({ length: 8 }, () => bring(once)));
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(1);
    const now = Math.floor(Date.now() / 1000);
    const without = await signWith(issuer.key, {
      ...USUAL,
      iss: issuer.url,
      iat: now,
      exp: now + 60,
    });
    expect(outcome(await bring(without))).toBe('200');
    expect(outcome(await bring(without))).toBe(REFUSED);
    expect(outcome(await post({ grant_type: GRANT, assertion: without }))).toBe(REFUSED);
  });

  it('is good once by its jti, though it was signed again', async () => {
    const jti = randomUUID();
    expect(outcome(await bring(await token({ jti })))).toBe('200');
    expect(outcome(await bring(await token({ jti, extra: 1 })))).toBe(REFUSED);
  });

  it.each<[string, JsonObject]>([
    ['from the issuer with a slash', { iss: 'slash' }],
    ['for another audience', { aud: 'https://other.example' }],
    ['for this audience and another', { aud: [AUDIENCE, 'https://other.example'] }],
    ['for nobody', { aud: [] }],
    ['of a subject that only begins alike', { sub: `${SUBJECT}-next` }],
    ['of a subject that this one begins with', { sub: 'repo:acme/orders:ref:refs/heads/mai' }],
    ['of the bare name', { sub: 'acme/orders' }],
    ['of the same subject in capitals', { sub: SUBJECT.toUpperCase() }],
    ['without a subject', { sub: '' }],
    ['with a list for a subject', { sub: [SUBJECT] }],
    ['with a condition that is a list', { repository_id: ['123'] }],
    ['with a condition that is a number', { repository_id: 123 }],
    ['with another condition', { repository_id: '124' }],
    ['that expired', { exp: 1_700_000_000 }],
    ['that is good for a week', { exp: Math.floor(Date.now() / 1000) + 7 * 86_400 }],
    ['whose expiry is a text', { exp: '9999999999' }],
    ['that is not good yet', { nbf: Math.floor(Date.now() / 1000) + 600 }],
    ['whose subject is the other agent', { sub: 'twin' }],
    [
      'of a service account by its namespace in another form',
      { sub: 'system:serviceaccount:shop:bot', kubernetes: { namespace: 'shop' } },
    ],
  ])('%s lets nobody in', async (_what, claims) => {
    const iss = claims['iss'] === 'slash' ? { iss: `${issuer.url}/` } : {};
    expect(outcome(await bring(await token({ ...claims, ...iss })))).toBe(REFUSED);
  });

  it('without a claim that its way in asks for lets nobody in', async () => {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: issuer.url, sub: SUBJECT, aud: AUDIENCE, iat: now, exp: now + 60 };
    expect(outcome(await bring(await signWith(issuer.key, claims)))).toBe(REFUSED);
  });

  it('with a nested claim comes in by its whole path', async () => {
    const claims = {
      sub: 'system:serviceaccount:shop:bot',
      'kubernetes.io': { namespace: 'shop' },
    };
    expect(await whoIs(await bring(await token(claims)))).toBe(bot.name);
  });

  it('of a subject below a prefix comes in, and the prefix alone does not', async () => {
    expect(await whoIs(await bring(await token({ sub: 'repo:acme/twin:ref:x' })))).toBe(twin.name);
    expect(outcome(await bring(await token({ sub: 'repo:acme/twin:' })))).toBe(REFUSED);
    expect(outcome(await bring(await token({ sub: 'repo:acme/twin-evil:ref:x' })))).toBe(REFUSED);
  });

  it('that leads to two agents needs to say which, and can say no third', async () => {
    const shared = () => token({ sub: 'shared' });
    expect(outcome(await bring(await shared()))).toBe(REFUSED);
    expect(await whoIs(await bring(await shared(), { client_id: twin.id }))).toBe(twin.name);
    expect(await whoIs(await bring(await shared(), { client_id: bot.id }))).toBe(bot.name);
    expect(outcome(await bring(await shared(), { client_id: cast.agent.id }))).toBe(REFUSED);
    expect(outcome(await bring(await token(), { client_id: twin.id }))).toBe(REFUSED);
  });

  it('that leads to two agents is good once all the same', async () => {
    const shared = await token({ sub: 'shared' });
    expect(outcome(await bring(shared, { client_id: twin.id }))).toBe('200');
    expect(outcome(await bring(shared, { client_id: bot.id }))).toBe(REFUSED);
  });

  it('whose agent is not registered lets nobody in', async () => {
    expect(outcome(await bring(await token({ sub: 'nobody' })))).toBe(REFUSED);
  });

  it('of another issuer of the policy comes in as what that one may, and as nothing else', async () => {
    expect(await whoIs(await bring(await other.token(USUAL)))).toBe(twin.name);
    // Signed by one issuer, in the name of the other.
    expect(outcome(await bring(await other.token({ ...USUAL, iss: issuer.url })))).toBe(REFUSED);
    expect(
      outcome(
        await bring(await other.token({ ...USUAL, iss: issuer.url }, { kid: issuer.key.kid })),
      ),
    ).toBe(REFUSED);
  });

  it('has a type that its issuer may use', async () => {
    const typed = { iss: `${other.url}/typed`, sub: 'typed', aud: AUDIENCE };
    expect(outcome(await bring(await other.token(typed)))).toBe(REFUSED);
    expect(outcome(await bring(await other.token(typed, { typ: 'ci+jwt' })))).toBe('200');
    expect(outcome(await bring(await token({}, { typ: 'at+jwt' })))).toBe(REFUSED);
  });

  it('signed with nothing, a public key, or an algorithm of nobody’s is refused', async () => {
    const encode = (value: JsonObject): string =>
      Buffer.from(JSON.stringify(value)).toString('base64url');
    const body = encode({ ...USUAL, iss: issuer.url, exp: Math.floor(Date.now() / 1000) + 60 });
    expect(outcome(await bring(`${encode({ alg: 'none' })}.${body}.`))).toBe(REFUSED);
    const { kid } = issuer.key;
    expect(outcome(await bring(`${encode({ alg: 'HS256', kid })}.${body}.${encode({})}`))).toBe(
      REFUSED,
    );
    const es = await newSigningKey('ES256');
    issuer.published.push(es);
    const claims = { ...USUAL, iss: issuer.url, exp: Math.floor(Date.now() / 1000) + 60 };
    expect(outcome(await bring(await signWith(es, claims)))).toBe(REFUSED);
  });

  it('that brings its own key along is refused', async () => {
    const mine = await newSigningKey();
    const claims = { ...USUAL, iss: issuer.url, exp: Math.floor(Date.now() / 1000) + 60 };
    const embedded = await signWith(mine, claims, { jwk: mine.publicJwk as JsonObject });
    expect(outcome(await bring(embedded))).toBe(REFUSED);
    expect(outcome(await bring(await signWith(mine, claims)))).toBe(REFUSED);
  });

  it('says what the artifact is where its way in asks for that, and else lets nobody in', async () => {
    const digest = 'a'.repeat(64);
    const built = (value: JsonObject) => token({ sub: 'digests', build: value });
    expect(outcome(await bring(await built({ digest: 'latest' })))).toBe(REFUSED);
    expect(outcome(await bring(await built({})))).toBe(REFUSED);
    expect(outcome(await bring(await built({ digest: `sha256:${digest}` })))).toBe('200');
    const path = `/v1/events?agent=${bot.id}&type=agent.signed_in&limit=500`;
    const events = list((await admin(cast.service).call('GET', path)).body['data']);
    expect(object(object(events.at(-1)?.['data'])['posture'])).toEqual({
      artifact_digest: `sha256:${digest}`,
    });
  });
});

describe('a JWT-SVID of a federated trust domain', () => {
  const svid = (claims: JsonObject = {}, header: JsonObject = {}, key = svidKey) =>
    signWith(
      key,
      {
        sub: SPIFFE_ID,
        aud: [`${cast.service.publicUrl}/oauth2/token`],
        exp: Math.floor(Date.now() / 1000) + 120,
        ...claims,
      },
      header,
    );
  const show = (assertion: string, more: Record<string, string> = {}) =>
    bring(assertion, { client_assertion_type: SVID, ...more });

  it('signs in the agent whose way in it is, once', async () => {
    const assertion = await svid();
    expect(await whoIs(await show(assertion))).toBe(bot.name);
    expect(outcome(await show(assertion))).toBe(REFUSED);
    expect(outcome(await show(await svid({ n: 1 }), { client_id: SPIFFE_ID }))).toBe('200');
    expect(outcome(await show(await svid({ n: 2 }), { client_id: bot.id }))).toBe('200');
    expect(outcome(await show(await svid({ n: 3 }), { client_id: twin.id }))).toBe(REFUSED);
  });

  it.each<[string, JsonObject]>([
    ['of a path that only begins alike', { sub: `${SPIFFE_ID}/more` }],
    ['of the trust domain itself', { sub: 'spiffe://partner.example' }],
    [
      'of a trust domain that nobody federates with',
      { sub: 'spiffe://evil.example/ns/shop/agent' },
    ],
    ['that walks up in its path', { sub: 'spiffe://partner.example/ns/x/../shop/agent' }],
    ['for another audience', { aud: ['https://other.example'] }],
    ['that expired', { exp: 1_700_000_000 }],
  ])('%s lets nobody in', async (_what, claims) => {
    expect(outcome(await show(await svid(claims)))).toBe(REFUSED);
  });

  it('signed with a key that is not for JWT-SVIDs, or typed as something else, is refused', async () => {
    expect(outcome(await show(await svid({}, {}, await newSigningKey('ES256'))))).toBe(REFUSED);
    expect(outcome(await show(await svid({}, { typ: 'at+jwt' })))).toBe(REFUSED);
  });

  it('is no token of an issuer, and a token of an issuer is no SVID', async () => {
    expect(outcome(await bring(await svid()))).toBe(REFUSED);
    expect(outcome(await show(await token()))).toBe(REFUSED);
  });
});

describe('what was signed in by a way in dies with it', () => {
  const isAlive = async (caller: ReturnType<typeof bearer>): Promise<boolean> =>
    (await caller.call('GET', `/v1/agents/${twin.id}`)).status === 200;
  const enter = async () =>
    bearer(cast.service, text((await bring(await other.token(USUAL))).body['access_token']));

  it('when the agent is suspended, even if it is resumed', async () => {
    const caller = await enter();
    expect(await isAlive(caller)).toBe(true);
    await admin(cast.service).call('POST', `/v1/agents/${twin.id}/suspend`, {});
    expect(await isAlive(caller)).toBe(false);
    expect(outcome(await bring(await other.token(USUAL)))).toBe(REFUSED);
    await admin(cast.service).call('POST', `/v1/agents/${twin.id}/resume`, {});
    expect(await isAlive(caller)).toBe(false);
    expect(await isAlive(await enter())).toBe(true);
  });

  it('when policy no longer has it, or has it otherwise, and others go on', async () => {
    const [gone, stays] = [await enter(), await bring(await token())];
    await activate(
      federation.replace(`issuer: other, subject: "${SUBJECT}"`, 'issuer: other, subject: x'),
    );
    expect(await isAlive(gone)).toBe(false);
    expect(await whoIs(stays)).toBe(bot.name);
    expect(outcome(await bring(await other.token(USUAL)))).toBe(REFUSED);
    await activate(federation);
    expect(await isAlive(await enter())).toBe(true);
  });
});
