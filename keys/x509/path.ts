// Judging a chain of certificates against authorities that are trusted (RFC 5280 §6.1), and X.509-SVIDs among them.
import { parseSpiffeId, SpiffeIdError, type SpiffeId } from '../../domain/spiffe-id.ts';
import {
  CertificateError,
  KEY_USAGE,
  OID,
  readCertificate,
  type Certificate,
} from './certificate.ts';

/** Why a chain is not believed: for logs and tests. */
export type PathFault =
  | 'malformed'
  | 'too_long'
  | 'not_yet'
  | 'expired'
  | 'unsupported_extension'
  | 'not_an_authority'
  | 'path_too_long'
  | 'no_authority'
  | 'not_a_leaf'
  | 'purpose_refused'
  | 'not_one_spiffe_id'
  | 'spiffe_id_invalid'
  | 'trust_domain_wrong';

export type PathVerdict = { leaf: Certificate; fault: null } | { leaf: null; fault: PathFault };

export interface PathRules {
  /** Certificates of authorities, as DER. One that cannot be read is trusted with nothing. */
  authorities: readonly Buffer[];
  now: Date;
}

/** Chains are short: two or three. Longer ones cost signatures to refuse. */
const CHAIN_MAX = 8;

/** Judges a chain, leaf first, of which each certificate is signed with the next one, up to a trusted authority. */
export function verifyChain(chain: readonly Buffer[], rules: PathRules): PathVerdict {
  if (chain.length === 0 || chain.length > CHAIN_MAX) return refused('too_long');
  const certificates = readAll(chain);
  const [leaf] = certificates ?? [];
  if (!certificates || !leaf) return refused('malformed');
  const anchors = rules.authorities.flatMap((der) => readAll([der]) ?? []);
  let current = leaf;
  for (const [below, certificate] of certificates.entries()) {
    current = certificate;
    const fault =
      faultOf(certificate, rules.now) ??
      (below === 0 ? null : faultOfAuthority(certificate, below));
    if (fault !== null) return refused(fault);
    const anchor = anchors.find((each) => isIssuedBy(certificate, each));
    if (anchor) {
      const wrong = faultOf(anchor, rules.now) ?? faultOfAuthority(anchor, below + 1);
      return wrong === null ? { leaf, fault: null } : refused(wrong);
    }
    const next = certificates[below + 1];
    if (!next || !isIssuedBy(current, next)) return refused('no_authority');
  }
  return refused('no_authority');
}

const refused = (fault: PathFault): { leaf: null; fault: PathFault } => ({ leaf: null, fault });

function readAll(chain: readonly Buffer[]): Certificate[] | null {
  try {
    return chain.map(readCertificate);
  } catch (error) {
    if (error instanceof CertificateError) return null;
    throw error;
  }
}

const isIssuedBy = (certificate: Certificate, authority: Certificate): boolean =>
  certificate.issuer.equals(authority.subject) && certificate.isSignedBy(authority.publicKey);

/** Written so that a time that is no number is outside. */
function faultOf({ notBefore, notAfter, unsupported }: Certificate, now: Date): PathFault | null {
  if (!(now >= notBefore)) return 'not_yet';
  if (!(now <= notAfter)) return 'expired';
  return unsupported.length > 0 ? 'unsupported_extension' : null;
}

/** `below` counts the certificates under it: the leaf, and the authorities between. */
function faultOfAuthority(certificate: Certificate, below: number): PathFault | null {
  const { isAuthority, keyUsage, pathLength, names } = certificate;
  if (!isAuthority || keyUsage?.bits.has(KEY_USAGE.keyCertSign) !== true) return 'not_an_authority';
  if (pathLength !== null && below - 1 > pathLength) return 'path_too_long';
  // X509-SVID §3.2: the SPIFFE ID of a signing certificate has no path, for an identity with one signs nothing.
  const hasPath = names.uris.some((uri) => uri.replace(/^spiffe:\/\//, '').includes('/'));
  return hasPath ? 'not_an_authority' : null;
}

export type SvidVerdict =
  | { spiffeId: SpiffeId; leaf: Certificate; fault: null }
  | { spiffeId: null; leaf: null; fault: PathFault };

/** Judges an X.509-SVID of one trust domain against the authorities of that domain's own bundle (X509-SVID §5). */
export function verifyX509Svid(
  chain: readonly Buffer[],
  rules: PathRules & { trustDomain: string },
): SvidVerdict {
  const path = verifyChain(chain, rules);
  if (path.fault !== null) return noSvid(path.fault);
  const fault = faultOfLeaf(path.leaf);
  if (fault !== null) return noSvid(fault);
  const [uri = '', ...more] = path.leaf.names.uris;
  if (uri === '' || more.length > 0) return noSvid('not_one_spiffe_id');
  try {
    const spiffeId = parseSpiffeId(uri);
    const [, , domain, ...segments] = spiffeId.split('/');
    if (segments.length === 0) return noSvid('spiffe_id_invalid');
    if (domain !== rules.trustDomain) return noSvid('trust_domain_wrong');
    return { spiffeId, leaf: path.leaf, fault: null };
  } catch (error) {
    if (error instanceof SpiffeIdError) return noSvid('spiffe_id_invalid');
    throw error;
  }
}

const noSvid = (fault: PathFault): SvidVerdict => ({ spiffeId: null, leaf: null, fault });

/** X509-SVID §4.3, §4.4, §5.2. */
function faultOfLeaf({ isAuthority, keyUsage, purposes }: Certificate): PathFault | null {
  if (isAuthority || !keyUsage?.critical) return 'not_a_leaf';
  const { bits } = keyUsage;
  if (!bits.has(KEY_USAGE.digitalSignature)) return 'not_a_leaf';
  if (bits.has(KEY_USAGE.keyCertSign) || bits.has(KEY_USAGE.cRLSign)) return 'not_a_leaf';
  const isForBoth =
    purposes === null || [OID.serverAuth, OID.clientAuth].every((each) => purposes.includes(each));
  return isForBoth ? null : 'purpose_refused';
}
