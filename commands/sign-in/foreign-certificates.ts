// Signing in by the certificate of a connection: an X.509-SVID of a federated trust domain, or a certificate of an
// authority of one's own (RFC 8705 §2.1).
import { X509Certificate } from 'node:crypto';
import { trustDomainOf } from '../../domain/spiffe-id.ts';
import {
  CertificateError,
  KEY_USAGE,
  OID,
  readCertificate,
  type Certificate,
} from '../../keys/x509/certificate.ts';
import { verifyChain, verifyX509Svid, type PathFault } from '../../keys/x509/path.ts';
import { fromPem } from '../../keys/x509/pem.ts';
import type { AuthorityDefinition, CertificateWayIn, Federation } from '../policy/federation.ts';
import { letIn, waysOfSpiffeId, type Judgement, type LetIn } from './foreign-tokens.ts';
import { TrustUnavailable, type ForeignTrust } from './foreign-trust.ts';

/** The certificates by which a caller's connection was made, its own first. */
export interface ClientCertificate {
  /** SHA-256 of its own certificate, in base64url (RFC 8705 §3.1). */
  thumbprint: string;
  chain: readonly Buffer[];
}

export interface CertificateJudge {
  federation: Federation;
  trust: ForeignTrust;
  now: Date;
}

/** Judges the certificate of a connection by the sources whose ways in it could be. */
export async function judgeCertificate(
  certificate: ClientCertificate,
  judge: CertificateJudge,
): Promise<Judgement> {
  const leaf = readLeaf(certificate);
  if (!leaf) return { says: 'The certificate of this connection cannot be read.' };
  const [uri = ''] = leaf.names.uris;
  const trustDomain = trustDomainOf(uri);
  const found = judge.federation.trustDomains.has(trustDomain)
    ? await judgeSvid(certificate, trustDomain, judge)
    : judgeByAuthorities(certificate, judge);
  if (!Array.isArray(found)) return found;
  const { thumbprint } = certificate;
  return found.map(({ agent, proof }) => ({
    agent,
    proof: { ...proof, certificate: { serial: leaf.serial, thumbprint } },
  }));
}

function readLeaf({ chain: [leaf] }: ClientCertificate): Certificate | null {
  try {
    return leaf ? readCertificate(leaf) : null;
  } catch (error) {
    if (error instanceof CertificateError) return null;
    throw error;
  }
}

/** An SVID is judged by the bundle of its own trust domain and by nothing else (X509-SVID §5.1). */
async function judgeSvid(
  { chain }: ClientCertificate,
  trustDomain: string,
  { federation, trust, now }: CertificateJudge,
): Promise<Judgement> {
  const definition = federation.trustDomains.get(trustDomain);
  if (!definition) throw new Error('a trust domain went while it was being used');
  const judged = async (freshness: 'kept' | 'newer') => {
    const { x509Authorities: authorities } = await trust.bundle(trustDomain, definition, freshness);
    return verifyX509Svid(chain, { authorities, trustDomain, now });
  };
  const first = await judged('kept');
  // Its authority may be a new one.
  const verdict = first.fault === 'no_authority' ? await judged('newer') : first;
  const place = `trust_domains.${trustDomain}`;
  if (verdict.fault !== null) return { says: sayFault(verdict.fault, place) };
  const { spiffeId } = verdict;
  const lets = waysOfSpiffeId(federation, spiffeId).map((way) =>
    letIn(way, 'x509_svid', null, { posture: null, workload: { spiffe_id: spiffeId } }),
  );
  return lets.length > 0
    ? lets
    : { says: `No way in of the policy has the SPIFFE ID of this certificate of ${place}.` };
}

function judgeByAuthorities(
  { chain }: ClientCertificate,
  { federation, trust, now }: CertificateJudge,
): Judgement {
  const lets: LetIn[] = [];
  let says = 'The policy names no authority that this certificate could be of.';
  let missing: TrustUnavailable | null = null;
  for (const [name, definition] of federation.authorities) {
    const authorities = known(trust, definition);
    // An authority that cannot be had lets nobody in, and keeps nobody out whom another lets in.
    if (authorities instanceof TrustUnavailable) {
      missing = authorities;
      continue;
    }
    const verdict = verifyChain(chain, { authorities, now });
    const place = `certificate_authorities.${name}`;
    const fault = verdict.fault ?? faultOfClient(verdict.leaf);
    if (verdict.fault !== null || fault !== null) {
      says = sayFault(fault ?? 'malformed', place);
      continue;
    }
    const ways = federation.waysIn.filter(
      (way): way is CertificateWayIn =>
        way.kind === 'certificate' && way.authority === name && hasName(verdict.leaf, way.name),
    );
    says = `No way in of the policy has a name of this certificate of ${place}.`;
    for (const way of ways)
      lets.push(
        letIn(way, 'tls_client_auth', null, {
          posture: null,
          workload: { authority: name, [way.name.is]: way.name.value },
        }),
      );
  }
  if (lets.length === 0 && missing) throw missing;
  return lets.length > 0 ? lets : { says };
}

function known(trust: ForeignTrust, definition: AuthorityDefinition): Buffer[] | TrustUnavailable {
  try {
    return fromPem(trust.authorities(definition), 'CERTIFICATE');
  } catch (error) {
    if (error instanceof TrustUnavailable) return error;
    throw error;
  }
}

/** A certificate that says what it is for has to be for this; an authority signs in as nobody. */
function faultOfClient({ isAuthority, keyUsage, purposes }: Certificate): PathFault | null {
  if (isAuthority) return 'not_a_leaf';
  if (keyUsage && !keyUsage.bits.has(KEY_USAGE.digitalSignature)) return 'not_a_leaf';
  return purposes === null || purposes.includes(OID.clientAuth) ? null : 'purpose_refused';
}

function hasName(leaf: Certificate, { is, value }: CertificateWayIn['name']): boolean {
  switch (is) {
    case 'san_uri':
      return leaf.names.uris.includes(value);
    case 'san_dns':
      return leaf.names.dns.includes(value);
    case 'subject_dn':
      return subjectName(leaf) === value;
  }
}

/** The subject in the form of RFC 4514: the last part first, with commas between. */
const subjectName = ({ der }: Certificate): string =>
  (new X509Certificate(der).subject ?? '').split('\n').toReversed().join(',');

const FAULTS: Record<PathFault, string> = {
  malformed: 'cannot be read',
  too_long: 'has a chain that is too long',
  not_yet: 'has a chain that is not good yet',
  expired: 'has a chain that expired',
  unsupported_extension: 'has a chain with a restriction that is not known here',
  not_an_authority: 'is signed with a certificate that may sign none',
  path_too_long: 'has more authorities above it than one of them allows',
  no_authority: 'leads to no authority of it',
  not_a_leaf: 'is not for showing who somebody is',
  purpose_refused: 'is not for clients',
  not_one_spiffe_id: 'does not have one SPIFFE ID',
  spiffe_id_invalid: 'has a SPIFFE ID that is none',
  trust_domain_wrong: 'is of another trust domain',
};

const sayFault = (fault: PathFault, place: string): string =>
  `By ${place} of the policy, the certificate of this connection ${FAULTS[fault]}.`;
