// Our OAuth server as others' clients see it: each does what its documents say, and believes nothing unchecked.
import * as oauth from 'oauth4webapi';
import * as client from 'openid-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admittedAgent,
  askCredential,
  newKey,
  opened,
  text,
  type TestAgent,
} from '../support/client.ts';
import { subjectToken } from '../support/delegation.ts';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

/** One service that asks for nonces and one that does not: clients have to get on with both. */
describe.each([
  ['with nonces', { COUNTERSIGN_DPOP_NONCE: 'true' }],
  ['without nonces', {}],
])('%s', (_what, env: Record<string, string>) => {
  let cast: Cast;
  let other: TestAgent;
  let issuer: URL;
  beforeAll(async () => {
    cast = await startCast({ env });
    other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    issuer = new URL(cast.service.publicUrl);
  });
  afterAll(() => cast.close());

  const plain = { [oauth.allowInsecureRequests]: true };

  describe('oauth4webapi', () => {
    const discovered = async (algorithm: 'oauth2' | 'oidc'): Promise<oauth.AuthorizationServer> =>
      oauth.processDiscoveryResponse(
        issuer,
        await oauth.discoveryRequest(issuer, { algorithm, ...plain }),
      );

    const asKey = (agent: TestAgent): oauth.ClientAuth => oauth.PrivateKeyJwt(agent.key.privateKey);

    it('finds us by both documents, which agree, and our API as a resource', async () => {
      const [plainOnes, openId] = await Promise.all([discovered('oauth2'), discovered('oidc')]);
      for (const name of ['issuer', 'token_endpoint', 'jwks_uri', 'introspection_endpoint'])
        expect(openId[name]).toBe(plainOnes[name]);
      const resource = await oauth.processResourceDiscoveryResponse(
        issuer,
        await oauth.resourceDiscoveryRequest(issuer, plain),
      );
      expect(resource.authorization_servers).toEqual([cast.service.publicUrl]);
    });

    it('signs in with a key and a proof, calls our API with it, and takes the token back', async () => {
      const as = await discovered('oauth2');
      const self: oauth.Client = { client_id: cast.agent.id };
      const auth = asKey(cast.agent);
      const DPoP = oauth.DPoP(self, await oauth.generateKeyPair('ES256'));
      const request = () =>
        oauth.clientCredentialsGrantRequest(as, self, auth, { scope: 'agent' }, { DPoP, ...plain });
      const first = await request();
      const answered = oauth.processClientCredentialsResponse(as, self, first);
      // Told to come back with a nonce, a client does; what else goes wrong fails the test.
      const token = await answered.catch(async (error: unknown) => {
        if (!oauth.isDPoPNonceError(error) || !('COUNTERSIGN_DPOP_NONCE' in env)) throw error;
        return oauth.processClientCredentialsResponse(as, self, await request());
      });
      expect(token.token_type).toBe('dpop');
      const call = () =>
        oauth.protectedResourceRequest(
          token.access_token,
          'GET',
          new URL('/v1/tasks', issuer),
          undefined,
          undefined,
          { DPoP, ...plain },
        );
      expect((await call()).status).toBe(200);
      const asked = await oauth.introspectionRequest(as, self, auth, token.access_token, plain);
      const state = await oauth.processIntrospectionResponse(as, self, asked);
      expect(state).toMatchObject({ active: true, client_id: cast.agent.id, token_type: 'DPoP' });
      expect(state.cnf?.jkt).toBe(await DPoP.calculateThumbprint());
      const revoked = await oauth.revocationRequest(as, self, auth, token.access_token, plain);
      expect(await oauth.processRevocationResponse(revoked)).toBeUndefined();
      await expect(call()).rejects.toThrow(oauth.WWWAuthenticateChallengeError);
    });

    it('takes our tokens at a resource server of its own, and those of nobody else', async () => {
      const as = await discovered('oauth2');
      const seal = await newKey();
      const { body } = await askCredential(cast.agent, await startTask(cast.agent), {
        role: 'reports-api',
        seal_to: seal.publicJwk,
      });
      const { token } = await opened(body['sealed'], seal);
      const called = (audience: string, given: string) =>
        oauth.validateJwtAccessToken(
          as,
          new Request('https://reports.example/report', {
            headers: { authorization: `Bearer ${given}` },
          }),
          audience,
          plain,
        );
      const claims = await called('https://reports.example', text(token));
      expect(claims).toMatchObject({ client_id: cast.agent.id, scope: 'reports-api' });
      await expect(called('https://other.example', text(token))).rejects.toThrow(
        'unexpected JWT "aud" (audience) claim value',
      );
      await expect(called('https://reports.example', await cast.agent.token())).rejects.toThrow(
        'unexpected JWT "aud" (audience) claim value',
      );
    });
  });

  describe('openid-client', () => {
    const configured = (agent: TestAgent): Promise<client.Configuration> =>
      client.discovery(issuer, agent.id, undefined, client.PrivateKeyJwt(agent.key.privateKey), {
        execute: [client.allowInsecureRequests],
        algorithm: 'oauth2',
      });

    it('signs in, and finds its token good until it took it back', async () => {
      const config = await configured(cast.agent);
      const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
      const token = await client.clientCredentialsGrant(config, {}, { DPoP });
      const url = new URL('/v1/tasks', issuer);
      const got = await client.fetchProtectedResource(
        config,
        token.access_token,
        url,
        'GET',
        undefined,
        undefined,
        { DPoP },
      );
      expect(got.status).toBe(200);
      const good = await client.tokenIntrospection(config, token.access_token);
      expect(good.active).toBe(true);
      await client.tokenRevocation(config, token.access_token);
      expect((await client.tokenIntrospection(config, token.access_token)).active).toBe(false);
    });

    it('exchanges what another agent handed on', async () => {
      const config = await configured(other);
      const task = await startTask(cast.agent);
      const subject = await subjectToken(cast.agent, task, other);
      const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
      const order = { subject_token: subject, subject_token_type: ACCESS_TOKEN };
      const token = await client.genericGrantRequest(config, EXCHANGE, order, { DPoP });
      expect(token).toMatchObject({ issued_token_type: ACCESS_TOKEN, token_type: 'dpop' });
      const state = await client.tokenIntrospection(config, token.access_token);
      expect(state).toMatchObject({
        active: true,
        sub: cast.agent.id,
        act: { sub: other.id },
        task_id: task,
      });
      const again = client.genericGrantRequest(config, EXCHANGE, order, { DPoP });
      await expect(again).rejects.toMatchObject({ error: 'invalid_request' });
    });
  });
});
