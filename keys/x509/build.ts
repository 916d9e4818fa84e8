// Writing certificates and revocation lists (RFC 5280 §4.1 and §5.1), ECDSA on P-256 with SHA-256.
import { createHash } from 'node:crypto';
import { OID } from './certificate.ts';
import {
  bitString,
  children,
  context,
  decode,
  encode,
  integer,
  octetString,
  oid,
  sequence,
  TAG,
  time,
  TRUE,
} from './der.ts';
import { toPem } from './pem.ts';

/** Signs bytes with ECDSA on P-256 and SHA-256; the signature is r and s, 32 bytes each, wherever the key lives. */
export type SignEs256 = (bytes: Uint8Array) => Promise<Uint8Array>;

/** Who signs: the certificate says as whom. */
export interface X509Signer {
  /** Its own certificate, as DER. */
  certificate: Buffer;
  sign: SignEs256;
}

interface Validity {
  notBefore: Date;
  notAfter: Date;
}

export interface LeafContent extends Validity {
  serial: Buffer;
  /** The public key as SubjectPublicKeyInfo. */
  spki: Buffer;
  spiffeId: string;
  /** Where its revocation is published. */
  crlUrl: string;
}

/** An X.509-SVID (X509-SVID §4): one URI, no subject, for both ends of a connection, and for nothing else. */
export function leafCertificate(signer: X509Signer, leaf: LeafContent): Promise<Buffer> {
  return certificate(signer.sign, subjectOf(signer.certificate), {
    ...leaf,
    subject: sequence(),
    extensions: [
      extension(OID.basicConstraints, true, sequence()),
      extension(OID.keyUsage, true, bitString(Buffer.from([0x80]), 7)),
      extension(OID.extendedKeyUsage, false, sequence(oid(OID.serverAuth), oid(OID.clientAuth))),
      authorityKeyIdentifier(signer.certificate),
      // RFC 5280 §4.2.1.6: critical, for there is no subject beside it.
      extension(OID.subjectAltName, true, sequence(uri(leaf.spiffeId))),
      extension(
        OID.crlDistributionPoints,
        false,
        sequence(sequence(encode(context(0, true), encode(context(0, true), uri(leaf.crlUrl))))),
      ),
    ],
  });
}

export interface AuthorityContent extends Validity {
  serial: Buffer;
  spki: Buffer;
  trustDomain: string;
  /** Tells this authority from those before and after it. */
  name: string;
}

/** A self-signed authority of a trust domain, which signs leaves and revocation lists, and no other authority. */
export function authorityCertificate(
  sign: SignEs256,
  authority: AuthorityContent,
): Promise<Buffer> {
  const subject = sequence(
    nameAttribute(ORGANIZATION, authority.trustDomain),
    nameAttribute(COMMON_NAME, authority.name),
  );
  return certificate(sign, subject, {
    ...authority,
    subject,
    extensions: [
      extension(OID.basicConstraints, true, sequence(TRUE, integer(Buffer.from([0])))),
      extension(OID.keyUsage, true, bitString(Buffer.from([0x06]), 1)),
      extension(OID.subjectKeyIdentifier, false, octetString(keyIdentifier(authority.spki))),
      extension(OID.subjectAltName, false, sequence(uri(`spiffe://${authority.trustDomain}`))),
    ],
  });
}

export interface RevokedCertificate {
  /** Hexadecimal. */
  serial: string;
  at: Date;
}

/** Why a certificate is on the list: its holder may no longer use it (RFC 5280 §5.3.1, cessationOfOperation). */
const CESSATION = encode(TAG.enumerated, Buffer.from([5]));

/** A revocation list of one authority. */
export async function revocationList(
  signer: X509Signer,
  list: {
    number: number;
    thisUpdate: Date;
    nextUpdate: Date;
    revoked: readonly RevokedCertificate[];
  },
): Promise<Buffer> {
  const entries = list.revoked.map(({ serial, at }) =>
    sequence(
      integer(Buffer.from(serial, 'hex')),
      time(at),
      sequence(extension(OID.reasonCode, false, CESSATION)),
    ),
  );
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(BigInt(list.number));
  const content = sequence(
    integer(Buffer.from([1])),
    ECDSA_SHA256,
    subjectOf(signer.certificate),
    time(list.thisUpdate),
    time(list.nextUpdate),
    // RFC 5280 §5.1.2.6: a list of nothing is left out.
    ...(entries.length > 0 ? [sequence(...entries)] : []),
    encode(
      context(0, true),
      sequence(
        authorityKeyIdentifier(signer.certificate),
        extension(OID.crlNumber, false, integer(number)),
      ),
    ),
  );
  return signed(signer.sign, content);
}

/** A signing request in PEM (RFC 2986) that names nothing but the key. */
export async function signingRequest(sign: SignEs256, spki: Buffer): Promise<string> {
  const content = sequence(integer(Buffer.from([0])), sequence(), spki, encode(context(0, true)));
  return toPem('CERTIFICATE REQUEST', await signed(sign, content));
}

const ORGANIZATION = '2.5.4.10';
const COMMON_NAME = '2.5.4.3';
const ECDSA_SHA256 = sequence(oid(OID.ecdsaWithSha256));

interface CertificateContent extends Validity {
  serial: Buffer;
  subject: Buffer;
  spki: Buffer;
  extensions: readonly Buffer[];
}

const certificate = (
  sign: SignEs256,
  issuer: Buffer,
  content: CertificateContent,
): Promise<Buffer> =>
  signed(
    sign,
    sequence(
      encode(context(0, true), integer(Buffer.from([2]))),
      integer(content.serial),
      ECDSA_SHA256,
      issuer,
      sequence(time(content.notBefore), time(content.notAfter)),
      content.subject,
      content.spki,
      encode(context(3, true), sequence(...content.extensions)),
    ),
  );

async function signed(sign: SignEs256, content: Buffer): Promise<Buffer> {
  const raw = await sign(content);
  if (raw.length !== 64) throw new RangeError('a signature of ES256 has 64 bytes');
  const value = sequence(integer(raw.subarray(0, 32)), integer(raw.subarray(32)));
  return sequence(content, ECDSA_SHA256, bitString(value));
}

const extension = (id: string, critical: boolean, value: Buffer): Buffer =>
  sequence(oid(id), ...(critical ? [TRUE] : []), octetString(value));

const uri = (text: string): Buffer => encode(context(6, false), Buffer.from(text, 'ascii'));

const nameAttribute = (type: string, value: string): Buffer =>
  encode(TAG.set, sequence(oid(type), encode(TAG.utf8String, Buffer.from(value, 'utf8'))));

const authorityKeyIdentifier = (authority: Buffer): Buffer =>
  extension(
    OID.authorityKeyIdentifier,
    false,
    sequence(encode(context(0, false), keyIdentifier(spkiOf(authority)))),
  );

/** RFC 7093 §2 (1): the first 160 bits of the SHA-256 of the key. */
function keyIdentifier(spki: Buffer): Buffer {
  const [, bits] = children(decode(spki, TAG.sequence));
  return createHash('sha256')
    .update(bits?.content.subarray(1) ?? Buffer.alloc(0))
    .digest()
    .subarray(0, 20);
}

const subjectOf = (der: Buffer): Buffer => memberOf(der, 5);
const spkiOf = (der: Buffer): Buffer => memberOf(der, 6);

/** A member of a certificate of ours, byte for byte as it stands there (RFC 5280 §4.1). */
function memberOf(der: Buffer, at: number): Buffer {
  const [content] = children(decode(der, TAG.sequence));
  const member = content && children(content)[at];
  if (!member) throw new RangeError('an authority without a name or a key');
  return member.raw;
}
