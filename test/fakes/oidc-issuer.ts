// An OIDC issuer of somebody else's, on this machine: discovery, keys, tokens, and ways to misbehave.
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from 'jose';
import type { JsonObject } from '../../domain/json.ts';

export interface SigningKey {
  kid: string;
  algorithm: string;
  privateKey: CryptoKey;
  publicJwk: JWK;
}

export async function newSigningKey(algorithm = 'RS256', use = 'sig'): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const kid = randomUUID();
  const publicJwk = { ...(await exportJWK(publicKey)), kid, use, alg: algorithm };
  return { kid, algorithm, privateKey, publicJwk };
}

/** Signs claims with a key, with whatever header. */
export const signWith = (
  { kid, algorithm, privateKey }: SigningKey,
  claims: JsonObject,
  header: JsonObject = {},
): Promise<string> =>
  new SignJWT(claims)
    .setProtectedHeader({ alg: algorithm, typ: 'JWT', kid, ...header })
    .sign(privateKey);

/** How the server answers, until it is told otherwise. */
type Manner = 'well' | 'down' | 'redirecting' | 'another issuer' | 'endless' | 'not json';

export interface OidcIssuer {
  url: string;
  key: SigningKey;
  /** Answers in this manner from now on. */
  manner: Manner;
  /** The keys it publishes. */
  published: SigningKey[];
  /** What its document says besides. */
  document: JsonObject;
  /** Paths asked for so far. */
  asked: string[];
  /** A token with the usual claims and these. */
  token(claims: JsonObject, header?: JsonObject): Promise<string>;
  close(): Promise<void>;
}

export async function startOidcIssuer(): Promise<OidcIssuer> {
  const key = await newSigningKey();
  const server = createServer((request, response) => answer(issuer, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer: OidcIssuer = {
    url: `http://127.0.0.1:${portOf(server.address())}`,
    key,
    manner: 'well',
    published: [key],
    document: {},
    asked: [],
    token: (claims, header) => {
      const now = Math.floor(Date.now() / 1000);
      const usual = { iss: issuer.url, iat: now, nbf: now, exp: now + 300, jti: randomUUID() };
      return signWith(issuer.key, { ...usual, ...claims }, header);
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
  return issuer;
}

/** A server that listens on a port has an address with that port. */
const portOf = (address: unknown): number => (address as AddressInfo).port;

function answer(issuer: OidcIssuer, request: IncomingMessage, response: ServerResponse): void {
  const path = request.url ?? '';
  issuer.asked.push(path);
  if (issuer.manner === 'down') return void response.writeHead(503).end();
  if (issuer.manner === 'redirecting' && !path.startsWith('/moved'))
    return void response.writeHead(302, { location: `${issuer.url}/moved${path}` }).end();
  if (issuer.manner === 'not json') return send(response, '<html>');
  if (issuer.manner === 'endless') return send(response, `{"keys":[${'"a",'.repeat(100_000)}"a"]}`);
  if (path.endsWith('/.well-known/openid-configuration'))
    return send(
      response,
      JSON.stringify({
        issuer: issuer.manner === 'another issuer' ? `${issuer.url}/` : issuer.url,
        jwks_uri: `${issuer.url}/keys`,
        ...issuer.document,
      }),
    );
  if (path.endsWith('/keys'))
    return send(response, JSON.stringify({ keys: issuer.published.map((each) => each.publicJwk) }));
  response.writeHead(404).end();
}

const send = (response: ServerResponse, body: string): void =>
  void response.writeHead(200, { 'content-type': 'application/json' }).end(body);
