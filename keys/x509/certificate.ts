// Reading X.509 certificates (RFC 5280 §4.1): all that a path is judged by, and nothing guessed.
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import {
  children,
  context,
  decode,
  DerError,
  expectTag,
  readBits,
  readBoolean,
  readBytes,
  readCount,
  readInteger,
  readOid,
  readTime,
  TAG,
  type Element,
} from './der.ts';

export interface Certificate {
  der: Buffer;
  /** Lower-case hexadecimal, without leading zeros beyond whole bytes. */
  serial: string;
  /** Names are compared byte for byte. */
  issuer: Buffer;
  subject: Buffer;
  notBefore: Date;
  notAfter: Date;
  publicKey: KeyObject;
  isAuthority: boolean;
  /** How many authorities may stand between it and a leaf; null where it does not say. */
  pathLength: number | null;
  /** Bits of the key usage; null where it does not say. */
  keyUsage: { bits: ReadonlySet<number>; critical: boolean } | null;
  /** Purposes by object identifier; null where it does not say. */
  purposes: readonly string[] | null;
  names: SubjectNames;
  /** Extensions that restrict it in ways not known here: whoever meets one must refuse it. */
  unsupported: readonly string[];
  /** Whether this certificate's signature was made by that key. */
  isSignedBy(key: KeyObject): boolean;
}

interface SubjectNames {
  uris: readonly string[];
  dns: readonly string[];
}

/** A certificate that is malformed, or uses what is not accepted here. */
export class CertificateError extends Error {}

export const KEY_USAGE = { digitalSignature: 0, keyCertSign: 5, cRLSign: 6 } as const;

export const OID = {
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  reasonCode: '2.5.29.21',
  nameConstraints: '2.5.29.30',
  crlDistributionPoints: '2.5.29.31',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
} as const;

/** Signatures that are accepted: no SHA-1, no MD5. */
const SIGNATURES: ReadonlyMap<string, { key: string; hash: string | null }> = new Map([
  [OID.ecdsaWithSha256, { key: 'ec', hash: 'sha256' }],
  ['1.2.840.10045.4.3.3', { key: 'ec', hash: 'sha384' }],
  ['1.2.840.10045.4.3.4', { key: 'ec', hash: 'sha512' }],
  ['1.2.840.113549.1.1.11', { key: 'rsa', hash: 'sha256' }],
  ['1.2.840.113549.1.1.12', { key: 'rsa', hash: 'sha384' }],
  ['1.2.840.113549.1.1.13', { key: 'rsa', hash: 'sha512' }],
  ['1.3.101.112', { key: 'ed25519', hash: null }],
]);

const BYTES_MAX = 16_384;
const CURVES = new Set(['prime256v1', 'secp384r1', 'secp521r1']);
const RSA_BITS_MIN = 2048;

/** Reads one certificate; throws a CertificateError for anything that is not one, whole and well formed. */
export function readCertificate(der: Buffer): Certificate {
  if (der.length > BYTES_MAX) throw new CertificateError('a certificate is too large');
  try {
    return read(der);
  } catch (cause) {
    if (cause instanceof DerError)
      throw new CertificateError(`a certificate is malformed: ${cause.message}`, { cause });
    throw cause;
  }
}

function read(der: Buffer): Certificate {
  const [tbs, algorithm, signature, ...more] = children(decode(der, TAG.sequence));
  if (more.length > 0) throw new DerError('it has members that do not belong there');
  const fields = children(expectTag(tbs, TAG.sequence));
  // Only version 3 has extensions, without which nothing says what a key is for.
  const [version] = children(expectTag(fields[0], context(0, true)));
  if (readCount(version) !== 2) throw new CertificateError('a certificate is not of version 3');
  const [, serial, inner, issuer, validity, subject, spki, ...rest] = fields;
  // RFC 5280 §4.1.1.2: the algorithm stands outside and inside of what is signed, and is the same.
  if (!inner || !algorithm || !inner.raw.equals(algorithm.raw))
    throw new CertificateError('a certificate names two algorithms for its signature');
  const scheme = SIGNATURES.get(readOid(children(algorithm)[0]));
  if (!scheme) throw new CertificateError('a certificate is signed with an algorithm not accepted');
  const [notBefore, notAfter] = children(expectTag(validity, TAG.sequence));
  const signed = expectTag(tbs, TAG.sequence).raw;
  const bytes = readBytes(signature);
  return {
    der,
    serial: readInteger(serial).toString('hex'),
    issuer: expectTag(issuer, TAG.sequence).raw,
    subject: expectTag(subject, TAG.sequence).raw,
    notBefore: readTime(notBefore),
    notAfter: readTime(notAfter),
    publicKey: readKey(expectTag(spki, TAG.sequence).raw),
    ...readExtensions(rest),
    isSignedBy: (key) =>
      key.asymmetricKeyType === scheme.key && verify(scheme.hash, signed, key, bytes),
  };
}

/** RSA keys too short and curves too small to trust are refused wherever they stand in a chain. */
function readKey(spki: Buffer): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch (cause) {
    throw new CertificateError('a certificate carries a key that cannot be read', { cause });
  }
  const { namedCurve = '', modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  const isStrong =
    key.asymmetricKeyType === 'ed25519' ||
    (key.asymmetricKeyType === 'ec' && CURVES.has(namedCurve)) ||
    (key.asymmetricKeyType === 'rsa' && modulusLength >= RSA_BITS_MIN);
  if (!isStrong) throw new CertificateError('a certificate carries a weak key');
  return key;
}

type Extended = Pick<
  Certificate,
  'isAuthority' | 'pathLength' | 'keyUsage' | 'purposes' | 'names' | 'unsupported'
>;

/** Extensions that say nothing about what a certificate is good for. */
const IGNORED = new Set<string>([
  OID.subjectKeyIdentifier,
  OID.authorityKeyIdentifier,
  OID.crlDistributionPoints,
]);

function readExtensions(rest: readonly Element[]): Extended {
  const [last, ...more] = rest;
  // The unique identifiers that could stand before them are of no use, and RFC 5280 §4.1.2.8 has nobody write them.
  if (last?.tag !== context(3, true) || more.length > 0)
    throw new CertificateError('a certificate has no extensions, or more than them');
  const found: Extended = {
    isAuthority: false,
    pathLength: null,
    keyUsage: null,
    purposes: null,
    names: { uris: [], dns: [] },
    unsupported: [],
  };
  const seen = new Set<string>();
  for (const element of children(decode(last.content, TAG.sequence))) {
    const [id, ...members] = children(expectTag(element, TAG.sequence));
    const name = readOid(id);
    if (seen.has(name)) throw new CertificateError('a certificate has an extension twice');
    seen.add(name);
    const critical = members.length > 1 && readBoolean(members[0]);
    if (members.length > 2) throw new DerError('an extension has members that do not belong there');
    const value = decode(expectTag(members.at(-1), TAG.octetString).content);
    if (!IGNORED.has(name)) readExtension(found, { name, critical, value });
  }
  return found;
}

function readExtension(
  found: Extended,
  { name, critical, value }: { name: string; critical: boolean; value: Element },
): void {
  switch (name) {
    case OID.basicConstraints: {
      const [authority, length] = children(expectTag(value, TAG.sequence));
      found.isAuthority = authority !== undefined && readBoolean(authority);
      found.pathLength = length === undefined ? null : readCount(length);
      return;
    }
    case OID.keyUsage:
      found.keyUsage = { bits: readBits(value), critical };
      return;
    case OID.extendedKeyUsage:
      found.purposes = children(expectTag(value, TAG.sequence)).map(readOid);
      return;
    case OID.subjectAltName:
      found.names = readNames(value);
      return;
    default:
      // Constraints on names bind even where their author forgot to say that they are critical.
      if (critical || name === OID.nameConstraints)
        found.unsupported = [...found.unsupported, name];
  }
}

function readNames(value: Element): SubjectNames {
  const all = children(expectTag(value, TAG.sequence));
  const of = (number: number): string[] =>
    all.filter(({ tag }) => tag === context(number, false)).map(({ content }) => ascii(content));
  return { dns: of(2), uris: of(6) };
}

function ascii(bytes: Buffer): string {
  if (bytes.some((byte) => byte < 0x21 || byte > 0x7e))
    throw new CertificateError('a name of a certificate is not printable ASCII');
  return bytes.toString('latin1');
}
