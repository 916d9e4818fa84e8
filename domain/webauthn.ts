// What an authenticator and its browser said (WebAuthn Level 3 §6.1, §6.5, §7): read strictly, and checked against where
// and for what it was asked. Whether a signature holds is the caller's to find out, with the key that is read here.
import { base64url, concat, fromBase64url, sameBytes, sha256, utf8 } from './bytes.ts';
import { readCbor, readCborMap, type CborMap } from './cbor.ts';
import { JsonError, parseJson } from './json.ts';

/** Where passkeys are good: one site, under one name. */
export interface RelyingParty {
  /** The domain that a passkey is bound to. */
  id: string;
  /** The only origin whose pages may ask for it. */
  origin: string;
}

/** A public key of an authenticator, tied to its algorithm: the three that browsers are asked for. */
export type PasskeyKey =
  | { alg: 'ES256'; x: Uint8Array; y: Uint8Array }
  | { alg: 'EdDSA'; x: Uint8Array }
  | { alg: 'RS256'; n: Uint8Array; e: Uint8Array };

/** COSE numbers of the algorithms that are taken, the preferred one first (RFC 9053, RFC 8812). */
export const COSE_ALGORITHMS = { ES256: -7, EdDSA: -8, RS256: -257 } as const;

/** Checks a signature by an authenticator's key; false also for a key that is none. */
export type VerifyPasskey = (key: PasskeyKey, signed: Uint8Array, signature: Uint8Array) => boolean;

/** What went wrong with something an authenticator made, in a word. */
export type PasskeyFault =
  | 'malformed'
  | 'wrong_type'
  | 'wrong_challenge'
  | 'wrong_origin'
  | 'wrong_site'
  | 'no_person'
  | 'not_verified'
  | 'wrong_signature';

export const CLIENT_DATA_BYTES_MAX = 1024;
const AUTHENTICATOR_DATA_BYTES_MAX = 512;
const ATTESTATION_BYTES_MAX = 16_384;
const SIGNATURE_BYTES_MAX = 1024;
export const CREDENTIAL_ID_BYTES_MAX = 1023;

const FLAGS = { userPresent: 1, userVerified: 4, backupEligible: 8, backedUp: 16 } as const;
const WITH_KEY = 64;
const WITH_EXTENSIONS = 128;

/** The fixed beginning of authenticator data, and what follows it. */
interface AuthenticatorData {
  siteHash: Uint8Array;
  userPresent: boolean;
  userVerified: boolean;
  backupEligible: boolean;
  backedUp: boolean;
  counter: number;
  registered: { credentialId: Uint8Array; publicKey: Uint8Array } | null;
}

/** Reads authenticator data of which every byte is accounted for; null for anything else. */
export function readAuthenticatorData(bytes: Uint8Array): AuthenticatorData | null {
  if (bytes.length < 37) return null;
  const flags = bytes[32] ?? 0;
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const key = has(WITH_KEY) ? readRegistered(bytes.subarray(37)) : null;
  if (has(WITH_KEY) && !key) return null;
  const rest = bytes.subarray(37 + (key?.length ?? 0));
  if (has(WITH_EXTENSIONS) ? !readCborMap(rest) : rest.length > 0) return null;
  // What cannot be copied cannot have been (§6.1).
  if (has(FLAGS.backedUp) && !has(FLAGS.backupEligible)) return null;
  return {
    siteHash: bytes.slice(0, 32),
    userPresent: has(FLAGS.userPresent),
    userVerified: has(FLAGS.userVerified),
    backupEligible: has(FLAGS.backupEligible),
    backedUp: has(FLAGS.backedUp),
    counter: bytes.subarray(33, 37).reduce((sum, byte) => sum * 256 + byte, 0),
    registered: key,
  };
}

/** §6.5.2: sixteen bytes of the model, two of a length, the credential's id, its key. */
function readRegistered(
  bytes: Uint8Array,
): { credentialId: Uint8Array; publicKey: Uint8Array; length: number } | null {
  const idLength = (bytes[16] ?? 0) * 256 + (bytes[17] ?? 0);
  if (bytes.length < 18 + idLength || idLength === 0 || idLength > CREDENTIAL_ID_BYTES_MAX)
    return null;
  const after = bytes.subarray(18 + idLength);
  const key = readCbor(after);
  if (!key) return null;
  return {
    credentialId: bytes.slice(18, 18 + idLength),
    publicKey: after.slice(0, key.length),
    length: 18 + idLength + key.length,
  };
}

/** A COSE key (RFC 9052 §7) with exactly the members of its kind; null for any other. */
export function readCoseKey(bytes: Uint8Array): PasskeyKey | null {
  const map = readCborMap(bytes);
  if (!map) return null;
  const [kind, algorithm] = [map.get(1), map.get(3)];
  if (kind === 2 && algorithm === COSE_ALGORITHMS.ES256 && map.size === 5 && map.get(-1) === 1) {
    const [x, y] = [bytesOf(map, -2, 32), bytesOf(map, -3, 32)];
    return x && y && { alg: 'ES256', x, y };
  }
  if (kind === 1 && algorithm === COSE_ALGORITHMS.EdDSA && map.size === 4 && map.get(-1) === 6) {
    const x = bytesOf(map, -2, 32);
    return x && { alg: 'EdDSA', x };
  }
  if (kind === 3 && algorithm === COSE_ALGORITHMS.RS256 && map.size === 4) {
    const [n, e] = [bytesOf(map, -1), bytesOf(map, -2)];
    return n && e && { alg: 'RS256', n, e };
  }
  return null;
}

function bytesOf(map: CborMap, label: number, length?: number): Uint8Array | null {
  const value = map.get(label);
  if (!(value instanceof Uint8Array)) return null;
  return length === undefined || value.length === length ? value : null;
}

/** What the browser says it was asked for and by whom (§5.8.1). */
interface Asked {
  type: 'webauthn.create' | 'webauthn.get';
  challenge: string;
}

/** The challenge that client data answers, which says what to check it against; null for what is no client data. */
export function challengeIn(clientData: Uint8Array): string | null {
  const { challenge } = readClientData(clientData) ?? {};
  return typeof challenge === 'string' ? challenge : null;
}

function readClientData(bytes: Uint8Array): Record<string, unknown> | null {
  if (bytes.length > CLIENT_DATA_BYTES_MAX) return null;
  try {
    const value = parseJson(textOf(bytes));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
  } catch (error) {
    if (error instanceof JsonError) return null;
    throw error;
  }
}

/** Browsers escape nothing they need not, but all that is compared is ASCII: other characters cannot matter. */
const textOf = (bytes: Uint8Array): string =>
  [...bytes].map((byte) => (byte < 0x80 ? String.fromCodePoint(byte) : '\uFFFD')).join('');

function faultInClientData(
  bytes: Uint8Array,
  asked: Asked,
  site: RelyingParty,
): PasskeyFault | null {
  const said = readClientData(bytes);
  if (!said) return 'malformed';
  if (said['type'] !== asked.type) return 'wrong_type';
  if (said['challenge'] !== asked.challenge) return 'wrong_challenge';
  if (said['origin'] !== site.origin) return 'wrong_origin';
  // Asked for from within a page of somebody else, what its reader saw was not ours alone.
  const isFramed = said['crossOrigin'] !== undefined && said['crossOrigin'] !== false;
  return isFramed || said['topOrigin'] !== undefined ? 'wrong_origin' : null;
}

function faultInData(data: AuthenticatorData, site: RelyingParty): PasskeyFault | null {
  if (!sameBytes(data.siteHash, sha256(utf8(site.id)))) return 'wrong_site';
  if (!data.userPresent) return 'no_person';
  return data.userVerified ? null : 'not_verified';
}

/** What an authenticator answers when it is asked to sign. */
export interface Assertion {
  authenticatorData: Uint8Array;
  clientData: Uint8Array;
  signature: Uint8Array;
}

/** The counter and the copies of a credential, as it said with a signature that holds. */
export interface Signed {
  counter: number;
  backupEligible: boolean;
  backedUp: boolean;
}

/** Checks one assertion (§7.2) by a key that is known: who was there, where, and that they signed this challenge. */
export function checkAssertion(
  assertion: Assertion,
  expected: { challenge: string; site: RelyingParty; publicKey: Uint8Array },
  verify: VerifyPasskey,
): { signed: Signed; fault: null } | { fault: PasskeyFault } {
  const { authenticatorData, clientData, signature } = assertion;
  const key = readCoseKey(expected.publicKey);
  const isHuge =
    authenticatorData.length > AUTHENTICATOR_DATA_BYTES_MAX ||
    signature.length > SIGNATURE_BYTES_MAX;
  const data = isHuge ? null : readAuthenticatorData(authenticatorData);
  if (!key || !data || data.registered) return { fault: 'malformed' };
  const fault =
    faultInClientData(
      clientData,
      { type: 'webauthn.get', challenge: expected.challenge },
      expected.site,
    ) ?? faultInData(data, expected.site);
  if (fault !== null) return { fault };
  if (!verify(key, concat(authenticatorData, sha256(clientData)), signature))
    return { fault: 'wrong_signature' };
  const { counter, backupEligible, backedUp } = data;
  return { signed: { counter, backupEligible, backedUp }, fault: null };
}

/** A credential that an authenticator just made. */
export interface Registered extends Signed {
  credentialId: Uint8Array;
  publicKey: Uint8Array;
}

/**
 * Checks a registration (§7.1). Who made the authenticator is not asked, so a statement about that is read over: what
 * counts is that the key is one we take, made here, now, by somebody it verified.
 */
export function checkRegistration(
  attestation: Uint8Array,
  clientData: Uint8Array,
  expected: { challenge: string; site: RelyingParty },
): { registered: Registered; fault: null } | { fault: PasskeyFault } {
  const data = attestation.length > ATTESTATION_BYTES_MAX ? null : attestedData(attestation);
  const made = data?.registered;
  if (!data || !made || !readCoseKey(made.publicKey)) return { fault: 'malformed' };
  const fault =
    faultInClientData(
      clientData,
      { type: 'webauthn.create', challenge: expected.challenge },
      expected.site,
    ) ?? faultInData(data, expected.site);
  if (fault !== null) return { fault };
  const { counter, backupEligible, backedUp } = data;
  const { credentialId, publicKey } = made;
  return {
    registered: { credentialId, publicKey, counter, backupEligible, backedUp },
    fault: null,
  };
}

function attestedData(attestation: Uint8Array): AuthenticatorData | null {
  const data = readCborMap(attestation)?.get('authData');
  return data instanceof Uint8Array ? readAuthenticatorData(data) : null;
}

/** A counter that does not go up, where it counts at all, means that the key was copied (§6.1.1). */
export const hasRegressed = (kept: number, said: number): boolean =>
  (kept !== 0 || said !== 0) && said <= kept;

/** The bytes of each part of an assertion as it travels; null where one is not in its one spelling. */
export function readAssertion(sent: {
  authenticator_data: string;
  client_data: string;
  signature: string;
}): Assertion | null {
  const authenticatorData = fromBase64url(sent.authenticator_data);
  const clientData = fromBase64url(sent.client_data);
  const signature = fromBase64url(sent.signature);
  return authenticatorData && clientData && signature
    ? { authenticatorData, clientData, signature }
    : null;
}

/** The same as it travels and as it is kept. */
export const writeAssertion = ({ authenticatorData, clientData, signature }: Assertion) => ({
  authenticator_data: base64url(authenticatorData),
  client_data: base64url(clientData),
  signature: base64url(signature),
});
