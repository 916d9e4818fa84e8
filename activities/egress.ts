// The one way out to addresses that callers name. It resolves once, judges the number, and connects to that
// number: a name cannot turn into something else between the check and the call.
import { lookup } from 'node:dns/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { BlockList, isIP } from 'node:net';
import type { PeerCertificate } from 'node:tls';
import { chainOf } from '../keys/x509/peer.ts';

export class EgressError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export interface EgressPolicy {
  /** Exact `host:port` pairs or hosts that may be called although they are private or not https. */
  allow: readonly string[];
  /** Whether this machine's own loopback may be called: only where the service listens nowhere else. */
  loopback: boolean;
}

export interface Sent {
  status: number;
  headers: Record<string, string>;
  body: string;
}

export type Egress = (url: string, message: OutgoingMessage) => Promise<Sent>;

export interface OutgoingMessage {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  headers: Record<string, string>;
  body: string;
  timeoutMs: number;
  /** Who must answer, where that is not told by its name and the usual authorities. */
  peer?: Peer;
  /** An administrator configured this address, so it may be private. Never set for what a caller named. */
  trusted?: boolean;
  /** Authorities, in PEM, that may vouch for the other side instead of the public ones. */
  authorities?: string;
}

/** A server known by its certificate alone. */
export interface Peer {
  /** Authorities of which its certificate must be, as PEM. */
  authorities: string;
  /** Whether a chain of certificates, as DER and its own first, is that of whom we call. */
  isMeant: (chain: readonly Buffer[]) => boolean;
}

/** More than this is never read from somebody else's server. */
const RESPONSE_BYTES_MAX = 256 * 1024;

/** Where a name leads: the number that was judged is the number to call. */
export interface Resolved {
  address: string;
  family: number;
}

export function openEgress(policy: EgressPolicy): Egress {
  return async (address, message) => {
    const { url, target } = await judgeDestination(address, policy, message.trusted ?? false);
    return send(url, target, message);
  };
}

/** Judges an address and where its name leads. `trusted` is what an administrator configured: it may be private. */
export async function judgeDestination(
  address: string,
  policy: EgressPolicy,
  trusted: boolean,
): Promise<{ url: URL; target: Resolved }> {
  const judged = trusted ? { allow: [hostPort(new URL(address))], loopback: true } : policy;
  const url = parseDestination(address, judged);
  return { url, target: await resolve(url, judged) };
}

/** Judges what can be judged without looking the name up. */
function parseDestination(address: string, policy: EgressPolicy): URL {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw new EgressError('bad_url', 'The address is not a URL.');
  }
  if (url.username !== '' || url.password !== '')
    throw new EgressError('bad_url', 'The address must not carry a user or a password.');
  const excepted = isAllowed(url, policy) || (policy.loopback && isLoopbackName(url.hostname));
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && excepted))
    throw new EgressError('not_https', 'The address must be https.');
  const literal = addressOf(url.hostname);
  if (literal !== null && !excepted && isPrivate(literal))
    throw new EgressError('private_address', 'The address is private, local or reserved.');
  return url;
}

/**
 * Judges a destination before anything is sent there, name and all. A name that does not resolve just now is let
 * pass: it is judged again whenever it is called.
 */
export async function checkDestination(address: string, policy: EgressPolicy): Promise<void> {
  const url = parseDestination(address, policy);
  try {
    await resolve(url, policy);
  } catch (error) {
    if (error instanceof EgressError && error.code === 'not_resolved') return;
    throw error;
  }
}

const hostPort = (url: URL): string =>
  `${url.hostname}:${url.port || (url.protocol === 'https:' ? '443' : '80')}`;

const isAllowed = (url: URL, { allow }: EgressPolicy): boolean =>
  allow.includes(url.hostname) || allow.includes(hostPort(url));

const isLoopbackName = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host);

/** The number itself, if the host is one. `URL` has already turned octal and hex spellings into dots. */
function addressOf(hostname: string): string | null {
  const bare = hostname.replace(/^\[|\]$/g, '');
  return isIP(bare) === 0 ? null : bare;
}

async function resolve(url: URL, policy: EgressPolicy): Promise<Resolved> {
  const literal = addressOf(url.hostname);
  if (literal !== null) return { address: literal, family: isIP(literal) };
  let found;
  try {
    found = await lookup(url.hostname, { all: true, verbatim: true });
  } catch {
    throw new EgressError('not_resolved', `The name ${url.hostname} could not be resolved.`);
  }
  const usable = found.find(
    ({ address }) =>
      isAllowed(url, policy) ||
      !isPrivate(address) ||
      (policy.loopback && isLoopbackName(url.hostname) && isLoopback(address)),
  );
  if (!usable)
    throw new EgressError(
      'private_address',
      `The name ${url.hostname} leads to a private address.`,
    );
  return usable;
}

const reserved = new BlockList();
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const)
  reserved.addSubnet(net, bits, 'ipv4');
// Only global unicast (2000::/3) is public, and of it not what embeds or tunnels another address.
const globalUnicast = new BlockList();
globalUnicast.addSubnet('2000::', 3, 'ipv6');
for (const [net, bits] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  reserved.addSubnet(net, bits, 'ipv6');

/** Whether an address is anything but public unicast. IPv4 inside IPv6 is judged as not public. */
export function isPrivate(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return reserved.check(address, 'ipv4');
  if (family !== 6) return true;
  return !globalUnicast.check(address, 'ipv6') || reserved.check(address, 'ipv6');
}

const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.');

function send(url: URL, target: Resolved, message: OutgoingMessage): Promise<Sent> {
  const body = Buffer.from(message.body, 'utf8');
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const hasBody = message.method !== 'GET' && (message.method === 'POST' || body.length > 0);
  return new Promise((resolve, reject) => {
    let answered = false;
    const call = request(
      url,
      {
        method: message.method,
        headers: {
          ...message.headers,
          ...(hasBody && { 'content-length': String(body.length) }),
        },
        // The number that was judged is the number that is called; TLS still checks the name.
        lookup: (_name, options, done) => {
          if (options.all) done(null, [target]);
          else done(null, target.address, target.family);
        },
        signal: AbortSignal.timeout(message.timeoutMs),
        ...(message.peer && certificateOf(message.peer)),
        agent: false,
        ...(message.authorities !== undefined && { ca: message.authorities }),
      },
      (response) => {
        answered = true;
        void readBody(response).then(resolve, reject);
      },
    );
    call.once('error', (error) =>
      reject(new EgressError('unreachable', `The call failed: ${error.message}`)),
    );
    // A socket that was switched to another protocol is out of the reach of the call's own time limit.
    call.once('upgrade', (_response, socket) => {
      socket.destroy();
      reject(new EgressError('unreachable', 'The answer switched to another protocol.'));
    });
    call.once('close', () => {
      if (!answered)
        reject(new EgressError('unreachable', 'The connection was closed without an answer.'));
    });
    call.end(hasBody ? body : undefined);
  });
}

/** The chain is judged against these authorities and no others; then the certificate instead of its host name. */
const certificateOf = ({ authorities, isMeant }: Peer) => ({
  ca: authorities,
  minVersion: 'TLSv1.2' as const,
  // A bundle may name an authority that somebody else signed (X509-SVID §4.1), and it is trusted all the same.
  allowPartialTrustChain: true,
  checkServerIdentity: (_host: string, certificate: PeerCertificate): Error | undefined =>
    isMeant(chainOf(certificate)) ? undefined : new Error('the server is somebody else'),
});

async function readBody(response: IncomingMessage): Promise<Sent> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    const bytes = Buffer.from(chunk as Uint8Array);
    length += bytes.length;
    if (length > RESPONSE_BYTES_MAX) {
      response.destroy();
      throw new EgressError('too_large', 'The answer is too large.');
    }
    chunks.push(bytes);
  }
  const headers = Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [name, String(value)]),
  );
  return {
    status: response.statusCode ?? 0,
    headers,
    body: Buffer.concat(chunks).toString('utf8'),
  };
}
