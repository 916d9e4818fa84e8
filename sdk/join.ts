// Joining: a workload brings its own key with a token that somebody handed to it.
import { CountersignError } from './error.ts';
import { exchange, type Fetch } from './http.ts';
import type { PublicJwk } from './keys.ts';
import { retrying } from './retry.ts';
import type { Joined } from './types.ts';

/** What joining takes. */
export interface JoinOptions {
  /** Where the server is, without a path. */
  url: string;
  token: string;
  /** Only its public part is sent. */
  key: PublicJwk;
  /** How long it is tried while the server cannot be reached; 30 if it is not said. */
  retrySeconds?: number | undefined;
  /** Instead of the global fetch. */
  fetch?: Fetch | undefined;
}

const RETRY_SECONDS = 30;
const TIMEOUT_MS = 30_000;

/** Binds a key to the agent of a join token. Repeating it with the same key is told the same again. */
export async function joinAgent(options: JoinOptions): Promise<Joined> {
  const { token, retrySeconds = RETRY_SECONDS, fetch = globalThis.fetch } = options;
  if (!URL.canParse(options.url))
    throw new CountersignError(
      'invalid_request',
      `"${options.url}" is not an address of a server.`,
    );
  const { x, y } = options.key;
  const message = {
    method: 'POST' as const,
    url: new URL('/v1/join', options.url),
    headers: { 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID() },
    body: JSON.stringify({ token, key: { kty: 'EC', crv: 'P-256', x, y } }),
    timeoutMs: TIMEOUT_MS,
    signal: undefined,
  };
  const text = await retrying(() => exchange(fetch, message), { retrySeconds, signal: undefined });
  return asJoined(JSON.parse(text));
}

/** The server's route table answers this route in this shape; a test holds the two against each other. */
const asJoined = (answer: unknown): Joined => answer as Joined;
