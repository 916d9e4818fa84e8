// The certificate by which a caller's connection was made: as our own TLS saw it, or as a proxy in front says it did.
import { createHash, X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP, type BlockList } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { ClientCertificate } from '../commands/sign-in/foreign-certificates.ts';
import { CHAIN_MAX, chainOf } from '../keys/x509/peer.ts';
import { fromPem } from '../keys/x509/pem.ts';
import { invalid } from './body.ts';
import type { AppContext } from './route.ts';

/** Proxies that end TLS in front of us, and the header in which they say whose certificate they saw. */
export interface TrustedProxies {
  header: string;
  addresses: BlockList;
}

export type CertificateReader = (context: AppContext) => ClientCertificate | null;

/** Reads the certificate of a call: of its own connection, else what a trusted proxy says of the one before it. */
export const certificateReader =
  (proxies: TrustedProxies | null): CertificateReader =>
  (context) => {
    const { socket } = incomingOf(context);
    if (socket instanceof TLSSocket) return fromConnection(socket);
    // From anybody else the header is a caller's own word about itself, and not read.
    if (!proxies || !isTrusted(proxies, socket.remoteAddress)) return null;
    const text = context.req.header(proxies.header);
    return text === undefined || text === '' ? null : fromHeader(text);
  };

/** The server hands every call on together with the request of Node that it came in. */
const incomingOf = (context: AppContext): IncomingMessage =>
  (context.env as { incoming: IncomingMessage }).incoming;

/** The connection was made with the key of its first certificate; what the chain is worth is judged elsewhere. */
const fromConnection = (socket: TLSSocket): ClientCertificate | null =>
  certificateOf(chainOf(socket.getPeerCertificate(true)));

function certificateOf(chain: readonly Buffer[]): ClientCertificate | null {
  const [leaf] = chain;
  if (!leaf) return null;
  return { thumbprint: createHash('sha256').update(leaf).digest('base64url'), chain };
}

/** Whether an address is one of a trusted proxy, in either of the forms in which IPv4 arrives. */
function isTrusted({ addresses }: TrustedProxies, remote: string | undefined): boolean {
  const address = (remote ?? '').replace(/^::ffff:(?=\d+\.)/, '');
  const family = isIP(address);
  return family !== 0 && addresses.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

/** RFC 9440 §2.1 (`:base64:`), or PEM with its special characters as percent signs, as most proxies write it. */
function fromHeader(text: string): ClientCertificate {
  const binary = /^:([A-Za-z0-9+/]+={0,2}):$/.exec(text)?.[1];
  const chain = binary === undefined ? pemOf(text) : [Buffer.from(binary, 'base64')];
  const certificate = chain.length <= CHAIN_MAX ? certificateOf(chain) : null;
  if (!certificate || !isCertificate(chain))
    throw invalid('The proxy in front sent a client certificate that cannot be read.');
  return certificate;
}

/** Blocks and white space, and nothing else: what two headers were joined with is a comma. */
const ONLY_PEM =
  /^(?:\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----)+\s*$/;

function pemOf(text: string): Buffer[] {
  try {
    const pem = decodeURIComponent(text);
    return ONLY_PEM.test(pem) ? fromPem(pem, 'CERTIFICATE') : [];
  } catch (error) {
    if (error instanceof URIError) return [];
    throw error;
  }
}

function isCertificate(chain: readonly Buffer[]): boolean {
  try {
    return chain.every((der) => new X509Certificate(der).raw.equals(der));
  } catch {
    return false;
  }
}
