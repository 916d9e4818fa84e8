// The chain of certificates by which the other end of a TLS connection showed who it is.
import type { DetailedPeerCertificate } from 'node:tls';

/** Longer chains are nobody's, and would cost signatures to refuse. */
export const CHAIN_MAX = 8;

/** The certificates as DER, its own first, as far as each names the next. */
export function chainOf(certificate: Partial<DetailedPeerCertificate>): Buffer[] {
  const chain: Buffer[] = [];
  let next: Partial<DetailedPeerCertificate> | undefined = certificate;
  // An authority that signed itself stands above itself, for ever.
  while (next?.raw && chain.length < CHAIN_MAX) {
    const { raw }: { raw?: Buffer } = next;
    if (!raw || chain.some((der) => raw.equals(der))) break;
    chain.push(Buffer.from(raw));
    next = next.issuerCertificate;
  }
  return chain;
}
