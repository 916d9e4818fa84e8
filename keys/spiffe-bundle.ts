// SPIFFE bundles: what a trust domain signs with (SPIFFE Trust Domain and Bundle §4), read, written, and used to judge
// the JWT-SVIDs of that domain.
import { parseJson, JsonError, type JsonObject, type JsonValue } from '../domain/json.ts';
import { parseSpiffeId, SpiffeIdError, type SpiffeId } from '../domain/spiffe-id.ts';
import type { Algorithm } from './jwk.ts';
import { unverifiedClaims, verifyForeign, type Claims, type TokenFault } from './verify.ts';
import { CertificateError, readCertificate } from './x509/certificate.ts';

/** What a trust domain says it signs with. */
export interface SpiffeBundle {
  /** Keys that sign JWT-SVIDs. */
  jwtKeys: readonly JsonObject[];
  /** Certificates of authorities that sign X.509-SVIDs, as DER. */
  x509Authorities: readonly Buffer[];
  sequence: number | null;
  refreshHintSeconds: number | null;
}

/** A text that is no bundle. */
export class BundleError extends Error {}

const KEYS_MAX = 100;

/** Reads a bundle. Entries of a use that we do not know are left out, as §4.2.2 says; broken ones of a known use are not. */
export function parseSpiffeBundle(text: string): SpiffeBundle {
  const document = readDocument(text);
  const keys = document['keys'];
  if (!Array.isArray(keys) || keys.length > KEYS_MAX)
    throw new BundleError(`a bundle has a list of at most ${KEYS_MAX} keys`);
  const objects = keys.map((key) => {
    if (!isObject(key)) throw new BundleError('a key of the bundle is not an object');
    return key;
  });
  return {
    jwtKeys: objects.filter(({ use }) => use === 'jwt-svid').map(readJwtKey),
    x509Authorities: objects.filter(({ use }) => use === 'x509-svid').flatMap(readAuthority),
    sequence: readCount(document['spiffe_sequence'], 'spiffe_sequence'),
    refreshHintSeconds: readCount(document['spiffe_refresh_hint'], 'spiffe_refresh_hint'),
  };
}

/** Whether a bundle may take the place of one known before: its sequence never goes back (§4.1.1). */
export const mayFollow = (before: SpiffeBundle | null, next: SpiffeBundle): boolean =>
  before?.sequence === null ||
  before === null ||
  (next.sequence !== null && next.sequence >= before.sequence);

/** Writes a bundle again, with what was understood of it and nothing else. */
export const formatSpiffeBundle = (bundle: SpiffeBundle): JsonObject => ({
  keys: [
    ...bundle.x509Authorities.flatMap(authorityEntry),
    ...bundle.jwtKeys.map((key) => ({ ...key, use: 'jwt-svid' })),
  ],
  ...(bundle.sequence !== null && { spiffe_sequence: bundle.sequence }),
  ...(bundle.refreshHintSeconds !== null && { spiffe_refresh_hint: bundle.refreshHintSeconds }),
});

/** A certificate that would judge nothing here is handed to nobody else. */
function authorityEntry(der: Buffer): JsonObject[] {
  try {
    const { kty = '', crv, x, y, n, e } = readCertificate(der).publicKey.export({ format: 'jwk' });
    const members = Object.entries({ kty, crv, x, y, n, e });
    const jwk: JsonObject = {};
    for (const [name, value] of members) if (value !== undefined) jwk[name] = value;
    return [{ ...jwk, use: 'x509-svid', x5c: [der.toString('base64')] }];
  } catch (error) {
    if (error instanceof CertificateError) return [];
    throw error;
  }
}

function readDocument(text: string): JsonObject {
  try {
    const value = parseJson(text);
    if (isObject(value)) return value;
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
  }
  throw new BundleError('the bundle is not a JSON object');
}

const isObject = (value: JsonValue): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** JWT-SVID §6.2.1: without a kid a key cannot be told from the others. */
function readJwtKey(key: JsonObject): JsonObject {
  if (typeof key['kid'] !== 'string' || key['kid'] === '')
    throw new BundleError('a jwt-svid key has no kid');
  return key;
}

/** X509-SVID §6.2: an entry without a certificate is ignored, and so is every certificate but the first. */
function readAuthority({ x5c }: JsonObject): Buffer[] {
  if (x5c === undefined || (Array.isArray(x5c) && x5c.length === 0)) return [];
  const [certificate] = Array.isArray(x5c) ? x5c : [];
  if (typeof certificate !== 'string')
    throw new BundleError('an x509-svid key has no certificate in x5c');
  const der = Buffer.from(certificate, 'base64');
  if (der.length === 0 || der.toString('base64') !== certificate)
    throw new BundleError('a certificate of the bundle is not base64');
  return [der];
}

function readCount(value: JsonValue | undefined, name: string): number | null {
  if (value === undefined) return null;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw new BundleError(`${name} is not a whole number`);
  return value;
}

/** JWT-SVID §2: no EdDSA, no HMAC, and of course no `none`. */
const JWT_SVID_ALGORITHMS: readonly Algorithm[] = [
  'ES256',
  'ES384',
  'ES512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
];

export type JwtSvidVerdict =
  | { spiffeId: SpiffeId; claims: Claims; fault: null }
  | {
      spiffeId: null;
      claims: null;
      fault: TokenFault | 'spiffe_id_invalid' | 'trust_domain_wrong';
    };

export interface JwtSvidRules {
  /** The keys of the trust domain's own bundle. */
  jwtKeys: readonly JsonObject[];
  trustDomain: string;
  audience: string | readonly string[];
  now: Date;
}

/** Judges a JWT-SVID of one trust domain against that domain's own keys (JWT-SVID §5). */
export function verifyJwtSvid(token: string, rules: JwtSvidRules): JwtSvidVerdict {
  const { jwtKeys, audience, now, trustDomain } = rules;
  const verdict = verifyForeign(token, {
    keys: jwtKeys,
    algorithms: JWT_SVID_ALGORITHMS,
    // A trust domain is told by its keys and by the subject; there is no issuer to compare.
    issuer: null,
    audience,
    types: [null, 'JWT', 'JOSE'],
    uses: ['jwt-svid'],
    now,
  });
  if (verdict.fault !== null) return noSvid(verdict.fault);
  const spiffeId = readId(verdict.claims.sub);
  if (spiffeId === null) return noSvid('spiffe_id_invalid');
  if (trustDomainOf(spiffeId) !== trustDomain) return noSvid('trust_domain_wrong');
  return { spiffeId, claims: verdict.claims, fault: null };
}

const noSvid = (
  fault: Exclude<JwtSvidVerdict['fault'], null>,
): Extract<JwtSvidVerdict, { spiffeId: null }> => ({ spiffeId: null, claims: null, fault });

/** The trust domain that a JWT-SVID says it belongs to: enough to choose a bundle, and not to be believed before that. */
export function claimedTrustDomain(token: string): string | null {
  const subject = unverifiedClaims(token)?.['sub'];
  const spiffeId = typeof subject === 'string' ? readId(subject) : null;
  return spiffeId && trustDomainOf(spiffeId);
}

const trustDomainOf = (spiffeId: SpiffeId): string => spiffeId.split('/')[2] ?? '';

function readId(text: string): SpiffeId | null {
  try {
    return parseSpiffeId(text);
  } catch (error) {
    if (error instanceof SpiffeIdError) return null;
    throw error;
  }
}
