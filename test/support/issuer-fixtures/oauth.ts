// Tokens of somebody else's authorization server: one that revokes and can be asked, one that cannot be asked, and one
// that does not revoke.
import { isObject } from '../../../activities/issuers/http.ts';
import { oauthIssuer } from '../../../activities/issuers/oauth.ts';
import { oauthRole, oauthTarget } from '../../../commands/access/oauth.ts';
import type { TargetRef } from '../../../commands/credentials/issuer.ts';
import { startServer } from '../../fakes/server.ts';
import { CLIENT_SECRET, RESOURCE, startAuthorizationServer } from '../authorization-server.ts';
import { text } from '../client.ts';
import { testWorld } from '../issuing.ts';
import { fileKey, tokensOf } from '../signing.ts';
import { anyRole, clockOf, type IssuerKind } from './fixture.ts';

type Endpoint = 'revocation_endpoint' | 'introspection_endpoint';

const oauthKind = (name: string, without: readonly Endpoint[]): IssuerKind => ({
  name,
  start: async () => {
    const world = testWorld({ SECRET: CLIENT_SECRET, WRONG: 'not the secret' });
    const server = await startAuthorizationServer({ keys: [] });
    const odd = await startServer(() => ({ status: 200, body: '<html>Welcome</html>' }));
    const lacking = Object.fromEntries(without.map((endpoint) => [endpoint, undefined]));
    const targetWith = (more: object): TargetRef => ({
      name: 'orders',
      definition: oauthTarget.parse({
        issuer: 'oauth',
        token_endpoint: server.tokenEndpoint,
        revocation_endpoint: server.revocationEndpoint,
        introspection_endpoint: server.introspectionEndpoint,
        client_id: 'basic client',
        client_secret_from: 'SECRET',
        ...more,
        ...lacking,
      }),
    });
    const everywhere = (url: string): object => ({
      token_endpoint: url,
      revocation_endpoint: url,
      introspection_endpoint: url,
    });
    const issuer = oauthIssuer(world, await tokensOf([await fileKey('active')]));
    return {
      issuer,
      target: targetWith({}),
      theirs: null,
      broken: {
        down: { issuer, target: targetWith(everywhere('http://127.0.0.1:1/')) },
        denied: { issuer, target: targetWith({ client_secret_from: 'WRONG' }) },
        garbled: { issuer, target: targetWith(everywhere(odd.url)) },
      },
      role: oauthRole.parse({
        ...anyRole,
        issuer: 'oauth',
        target: 'orders',
        scopes: ['orders.read'],
        resources: [RESOURCE],
      }),
      // As an API does that asks the server of its tokens. That server's clock is not ours to move: ours says when the
      // time is over that the server gave it.
      works: async (material) => {
        const form = {
          token: text(material['access_token']),
          client_id: 'post-client',
          client_secret: CLIENT_SECRET,
        };
        const said: unknown = await (
          await fetch(server.introspectionEndpoint, {
            method: 'POST',
            body: new URLSearchParams(form),
          })
        ).json();
        const dies = Date.parse(text(material['token_expires_at']));
        return isObject(said) && said['active'] === true && dies > world.now();
      },
      secretsOf: (material) => [text(material['access_token'])],
      ownSecrets: [CLIENT_SECRET],
      clock: clockOf(world),
      close: async () => {
        await server.close();
        await odd.close();
      },
    };
  },
});

export const oauthKinds: readonly IssuerKind[] = [
  oauthKind('oauth', []),
  oauthKind('oauth, where nobody can be asked', ['introspection_endpoint']),
  oauthKind('oauth, ended by time', ['revocation_endpoint', 'introspection_endpoint']),
];
