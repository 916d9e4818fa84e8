// An authorization server by other people (oidc-provider) to be a client of.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JSONWebKeySet } from 'jose';
import OidcProvider from 'oidc-provider';

export interface AuthorizationServer {
  issuer: string;
  tokenEndpoint: string;
  revocationEndpoint: string;
  introspectionEndpoint: string;
  close(): Promise<void>;
}

export const CLIENT_SECRET = 'secret of a client: with + & % in it';
export const RESOURCE = 'https://orders.example/';

/** Runs it with a client for each way of saying who one is; all of them may have `orders.read` and `orders.write`. */
export async function startAuthorizationServer(jwks: JSONWebKeySet): Promise<AuthorizationServer> {
  const server = createServer((request, response) => {
    void handle(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A TCP server that listens has a numbered address.
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = (id: string, method: string, more: object) => ({
    client_id: id,
    token_endpoint_auth_method: method,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    scope: 'orders.read orders.write',
    ...more,
  });
  const provider = new OidcProvider(issuer, {
    scopes: ['orders.read', 'orders.write', 'orders.admin'],
    clients: [
      client('basic client', 'client_secret_basic', { client_secret: CLIENT_SECRET }),
      client('post-client', 'client_secret_post', { client_secret: CLIENT_SECRET }),
      client('key-client', 'private_key_jwt', {
        jwks,
        token_endpoint_auth_signing_alg: 'ES256',
      }),
    ],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    enabledJWA: { clientAuthSigningAlgValues: ['ES256'] },
    ttl: { ClientCredentials: 1200 },
    features: {
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: 'orders.read orders.write',
          accessTokenFormat: 'opaque',
          accessTokenTTL: 1200,
        }),
      },
    },
  });
  const handle = provider.callback();
  return {
    issuer,
    tokenEndpoint: `${issuer}/token`,
    revocationEndpoint: `${issuer}/token/revocation`,
    introspectionEndpoint: `${issuer}/token/introspection`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
