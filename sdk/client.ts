// The client: the API as functions. Arguments are JavaScript's, answers are the API's JSON as it was sent.
import {
  onCallCalls,
  policyCalls,
  secretCalls,
  signingKeyCalls,
  slackCalls,
} from './administration.ts';
import { agentCalls } from './agents.ts';
import { breakGlassCalls } from './break-glass.ts';
import { channelCalls } from './channels.ts';
import { credentialCalls } from './credentials.ts';
import { discoveryCalls } from './discovery.ts';
import { CountersignError } from './error.ts';
import { eventCalls } from './events.ts';
import { controlCalls, reportCalls, reviewCalls } from './evidence.ts';
import { grantCalls } from './grants.ts';
import type { Fetch } from './http.ts';
import { peopleCalls } from './people.ts';
import { permitCalls, receiptCalls } from './permits.ts';
import { requestCalls } from './requests.ts';
import { revocationCalls } from './revocations.ts';
import { runCalls } from './runs.ts';
import { bearerOf, type ClientCredential } from './sign-in.ts';
import { leakCalls, receiverCalls } from './signals.ts';
import { scannerCalls, triggerSourceCalls } from './sources.ts';
import { svidCalls } from './svids.ts';
import { taskCalls } from './tasks.ts';
import { openTransport, type CallOptions } from './transport.ts';
import type { Introspection, ServerVersion } from './types.ts';

/** Where a client goes, and as whom. */
export interface ClientOptions {
  /** Where the server is, without a path. */
  url: string;
  /** `{ token }` for automation, `{ agent, key }` for an agent. */
  credential: ClientCredential;
  /** What the server calls itself, where that is not `url`: its `COUNTERSIGN_PUBLIC_URL`. */
  audience?: string | undefined;
  /** Binds an agent's tokens to a key of this client alone, so that a stolen one is of no use (RFC 9449). */
  dpop?: boolean | undefined;
  /** How long a call is repeated while the server cannot be reached or says to try later; 30 if it is not said. */
  retrySeconds?: number | undefined;
  /** Instead of the global fetch. */
  fetch?: Fetch | undefined;
}

/** The API as functions, in groups by noun. */
export interface Client {
  /** Where the server is. */
  url: string;
  agents: ReturnType<typeof agentCalls>;
  tasks: ReturnType<typeof taskCalls>;
  credentials: ReturnType<typeof credentialCalls>;
  requests: ReturnType<typeof requestCalls>;
  grants: ReturnType<typeof grantCalls>;
  breakGlass: ReturnType<typeof breakGlassCalls>;
  permits: ReturnType<typeof permitCalls>;
  receipts: ReturnType<typeof receiptCalls>;
  revocations: ReturnType<typeof revocationCalls>;
  runs: ReturnType<typeof runCalls>;
  people: ReturnType<typeof peopleCalls>;
  events: ReturnType<typeof eventCalls>;
  controls: ReturnType<typeof controlCalls>;
  reports: ReturnType<typeof reportCalls>;
  reviews: ReturnType<typeof reviewCalls>;
  discovery: ReturnType<typeof discoveryCalls>;
  policies: ReturnType<typeof policyCalls>;
  secrets: ReturnType<typeof secretCalls>;
  slack: ReturnType<typeof slackCalls>;
  onCall: ReturnType<typeof onCallCalls>;
  channels: ReturnType<typeof channelCalls>;
  receivers: ReturnType<typeof receiverCalls>;
  leaks: ReturnType<typeof leakCalls>;
  scanners: ReturnType<typeof scannerCalls>;
  triggerSources: ReturnType<typeof triggerSourceCalls>;
  svids: ReturnType<typeof svidCalls>;
  signingKeys: ReturnType<typeof signingKeyCalls>;
  /** An access token that is good now, for calls of your own. */
  accessToken(): Promise<string>;
  /** Whether a token is good now (RFC 7662). */
  introspect(token: string, options?: CallOptions): Promise<Introspection>;
  /** Which build the server runs, and under which names it signs; needs no credential. */
  version(options?: CallOptions): Promise<ServerVersion>;
}

const RETRY_SECONDS = 30;

/** Opens a client. Nothing is sent before the first call. */
export function openClient(options: ClientOptions): Client {
  const url = readUrl(options.url);
  const { retrySeconds = RETRY_SECONDS, fetch = globalThis.fetch, dpop = false } = options;
  const audience = options.audience ?? ownName(url);
  const bearer = bearerOf(options.credential, { url, audience, fetch, retrySeconds, dpop });
  const transport = openTransport({ url, fetch, bearer, retrySeconds });
  return {
    url: url.origin,
    agents: agentCalls(transport),
    tasks: taskCalls(transport),
    credentials: credentialCalls(transport),
    requests: requestCalls(transport),
    grants: grantCalls(transport),
    breakGlass: breakGlassCalls(transport),
    permits: permitCalls(transport),
    receipts: receiptCalls(transport),
    revocations: revocationCalls(transport),
    runs: runCalls(transport),
    people: peopleCalls(transport),
    events: eventCalls(transport),
    controls: controlCalls(transport),
    reports: reportCalls(transport),
    reviews: reviewCalls(transport),
    discovery: discoveryCalls(transport),
    policies: policyCalls(transport),
    secrets: secretCalls(transport),
    slack: slackCalls(transport),
    onCall: onCallCalls(transport),
    channels: channelCalls(transport),
    receivers: receiverCalls(transport),
    leaks: leakCalls(transport),
    scanners: scannerCalls(transport),
    triggerSources: triggerSourceCalls(transport),
    svids: svidCalls(transport),
    signingKeys: signingKeyCalls(transport),
    accessToken: () => bearer.token(),
    introspect: (token, call) => transport.post('/oauth2/introspect', { ...call, form: { token } }),
    version: (call) => transport.get('/version', { ...call, anonymous: true }),
  };
}

function readUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url && /^https?:$/.test(url.protocol) && url.pathname === '/' && url.search === '')
    return url;
  throw new CountersignError(
    'invalid_request',
    `"${text}" is not an address of a server: it must be http or https, without a path.`,
  );
}

/** A server on this machine calls itself localhost unless it was told otherwise. */
function ownName({ protocol, hostname, port, origin }: URL): string {
  const isLoopback = hostname === '127.0.0.1' || hostname === '[::1]';
  return isLoopback ? `${protocol}//localhost${port === '' ? '' : `:${port}`}` : origin;
}
