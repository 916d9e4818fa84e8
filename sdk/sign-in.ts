// Who the client is: automation with a token, or an agent that signs itself in (RFC 7523 private_key_jwt).
import { importJWK, SignJWT, type CryptoKey } from 'jose';
import { asBearer, openProver, type Prover } from './dpop.ts';
import { CountersignError } from './error.ts';
import { exchange, type Fetch } from './http.ts';
import { parsePrivateKey, type PrivateJwk } from './keys.ts';
import { retrying, type Attempt } from './retry.ts';
import type { Subject } from './transport.ts';

/** An agent and its key: a JWK, its JSON text, or a WebCrypto key that never leaves its store. */
export interface AgentCredential {
  agent: string;
  key: PrivateJwk | string | CryptoKey;
}

/** What a client proves itself with. */
export type ClientCredential = { token: string } | AgentCredential;

/** The token endpoint's answer (RFC 6749 §5.1). */
interface AccessToken {
  access_token: string;
  token_type: 'Bearer' | 'DPoP';
  expires_in: number;
  scope: string;
}

export interface Bearer {
  /** A token that is good now. */
  token(): Promise<string>;
  /** Throws away a token that was refused; false when there is no way to get another. */
  renew(refused: string): boolean;
  /** Exchanges what another agent handed on for a token of this client's agent (RFC 8693). */
  exchange(subject: Subject): Promise<string>;
  /** How tokens of this client are sent. */
  prover: Prover;
}

export interface SignInOptions {
  /** Where the server is. */
  url: URL;
  /** What the server calls itself. */
  audience: string;
  fetch: Fetch;
  retrySeconds: number;
  /** Whether tokens are bound to a key of this client. */
  dpop: boolean;
}

export function bearerOf(credential: ClientCredential, options: SignInOptions): Bearer {
  if ('token' in credential)
    return {
      token: () => Promise.resolve(credential.token),
      renew: () => false,
      exchange: () => Promise.reject(notAnAgent()),
      prover: asBearer,
    };
  return agentBearer(credential, options);
}

const notAnAgent = (): CountersignError =>
  new CountersignError(
    'invalid_request',
    'Only an agent takes over what another handed on: open the client with { agent, key }.',
  );

/** A token is renewed this long before its end, or in the last fifth of a short one. */
const RENEW_BEFORE_SECONDS = 60;

function agentBearer(credential: AgentCredential, options: SignInOptions): Bearer {
  const prover = options.dpop ? openProver() : asBearer;
  /** The token in use; replaced as a whole, and only by `signIn`. */
  let current: { token: string; renewAtMs: number } | null = null;
  /** The sign-in under way, shared by all calls that come in the meantime. */
  let pending: Promise<string> | null = null;
  const renewed = async (): Promise<string> => {
    const answer = await askToken(credential, options, prover, SIGN_IN);
    const early = Math.min(RENEW_BEFORE_SECONDS, answer.expires_in / 5);
    const renewAtMs = Date.now() + (answer.expires_in - early) * 1000;
    current = { token: answer.access_token, renewAtMs };
    return answer.access_token;
  };
  return {
    token: () => {
      if (current !== null && Date.now() < current.renewAtMs) return Promise.resolve(current.token);
      pending ??= renewed().finally(() => (pending = null));
      return pending;
    },
    renew: (refused) => {
      if (current?.token === refused) current = null;
      return true;
    },
    exchange: async ({ token: subjectToken, of }) => {
      const answer = await askToken(credential, options, prover, {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: subjectToken,
        subject_token_type: SUBJECT_TYPES[of],
      });
      return answer.access_token;
    },
    prover,
  };
}

const SUBJECT_TYPES = {
  agent: 'urn:ietf:params:oauth:token-type:access_token',
  person: 'urn:ietf:params:oauth:token-type:id_token',
} as const;

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const ASSERTION_SECONDS = 60;
const TIMEOUT_MS = 30_000;

const SIGN_IN = { grant_type: 'client_credentials' };

/** Asks for a token. Each attempt signs a new assertion, for one that arrived is used up. */
async function askToken(
  { agent, key }: AgentCredential,
  { url: server, audience, fetch, retrySeconds }: SignInOptions,
  prover: Prover,
  grant: Record<string, string>,
): Promise<AccessToken> {
  const signingKey = await importSigningKey(key);
  const url = new URL('/oauth2/token', server);
  const attempt = async (): Promise<Attempt<string>> => {
    const assertion = await signAssertion(agent, signingKey, audience);
    return exchange(fetch, {
      method: 'POST',
      url,
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        ...(await prover.headers('POST', url, null)),
      },
      body: new URLSearchParams({
        ...grant,
        client_assertion_type: ASSERTION_TYPE,
        client_assertion: assertion,
      }).toString(),
      timeoutMs: TIMEOUT_MS,
      signal: undefined,
      onHeaders: (headers) => prover.learn(headers),
    });
  };
  return readToken(await retrying(attempt, { retrySeconds, signal: undefined }));
}

const signAssertion = (agent: string, key: CryptoKey, audience: string): Promise<string> => {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ jti: crypto.randomUUID() })
    .setProtectedHeader({ alg: 'ES256', typ: 'JWT' })
    .setIssuer(agent)
    .setSubject(agent)
    .setAudience(audience)
    .setIssuedAt(now)
    .setExpirationTime(now + ASSERTION_SECONDS)
    .sign(key);
};

async function importSigningKey(key: AgentCredential['key']): Promise<CryptoKey> {
  if (isCryptoKey(key)) return key;
  const imported = await importJWK({ ...parsePrivateKey(key) }, 'ES256').catch((cause: unknown) => {
    throw new CountersignError('invalid_key', 'x, y and d do not belong to one P-256 key.', {
      cause,
    });
  });
  if (isCryptoKey(imported)) return imported;
  throw new CountersignError('invalid_key', 'This is not an EC key.');
}

const isCryptoKey = (key: AgentCredential['key'] | Uint8Array): key is CryptoKey =>
  typeof key === 'object' && 'usages' in key;

function readToken(text: string): AccessToken {
  const answer: unknown = JSON.parse(text);
  if (isAccessToken(answer)) return answer;
  throw new CountersignError('bad_answer', 'The token endpoint answered without an access token.');
}

const isAccessToken = (value: unknown): value is AccessToken =>
  typeof value === 'object' &&
  value !== null &&
  'access_token' in value &&
  typeof value.access_token === 'string' &&
  'expires_in' in value &&
  typeof value.expires_in === 'number';
