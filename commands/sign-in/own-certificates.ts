// Signing in by a certificate that an agent made itself for one of its registered keys (RFC 8705 §2.2): the connection
// proves the key, and the certificate vouches for nothing.
import { createPublicKey } from 'node:crypto';
import type { KeyRow } from '../../db/rows.ts';
import {
  CertificateError,
  readCertificate,
  type Certificate,
} from '../../keys/x509/certificate.ts';
import type { Proof } from './agent-sign-in.ts';
import type { ClientCertificate } from './foreign-certificates.ts';

/** How an agent proved one of these keys by the certificate of its connection; null if it did not. */
export function proveKeyByCertificate(
  { chain, thumbprint }: ClientCertificate,
  keys: readonly KeyRow[],
  now: Date,
): Proof | null {
  const [leaf, ...others] = chain;
  const read = leaf && others.length === 0 ? readOrNull(leaf) : null;
  // A certificate of an authority is judged by who vouches for it, and never by its key alone.
  if (!read || !read.issuer.equals(read.subject) || !read.isSignedBy(read.publicKey)) return null;
  if (!(now >= read.notBefore && now <= read.notAfter)) return null;
  const key = keys.find(({ jwk }) =>
    createPublicKey({ key: jwk, format: 'jwk' }).equals(read.publicKey),
  );
  if (!key) return null;
  return {
    method: 'self_signed_tls_client_auth',
    standing: { kind: 'key', key: key.id },
    once: null,
    certificate: { serial: read.serial, thumbprint },
    posture: null,
    workload: null,
  };
}

function readOrNull(der: Buffer): Certificate | null {
  try {
    return readCertificate(der);
  } catch (error) {
    if (error instanceof CertificateError) return null;
    throw error;
  }
}
