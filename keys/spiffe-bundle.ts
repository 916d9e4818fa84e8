// A SPIFFE bundle as another trust domain publishes it (SPIFFE Trust Domain and Bundle §4): its keys by what they are for.
import { parseJson, JsonError, type JsonObject, type JsonValue } from '../domain/json.ts';

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
    x509Authorities: objects.filter(({ use }) => use === 'x509-svid').map(readAuthority),
    sequence: readCount(document['spiffe_sequence'], 'spiffe_sequence'),
    refreshHintSeconds: readCount(document['spiffe_refresh_hint'], 'spiffe_refresh_hint'),
  };
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

function readJwtKey(key: JsonObject): JsonObject {
  if (typeof key['kid'] !== 'string' || key['kid'] === '')
    throw new BundleError('a jwt-svid key has no kid');
  return key;
}

function readAuthority({ x5c }: JsonObject): Buffer {
  const [certificate, ...more] = Array.isArray(x5c) ? x5c : [];
  if (typeof certificate !== 'string' || more.length > 0)
    throw new BundleError('an x509-svid key has exactly one certificate in x5c');
  const der = Buffer.from(certificate, 'base64');
  if (der.length === 0 || der.toString('base64') !== certificate)
    throw new BundleError('a certificate of the bundle is not base64');
  return der;
}

function readCount(value: JsonValue | undefined, name: string): number | null {
  if (value === undefined) return null;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw new BundleError(`${name} is not a whole number`);
  return value;
}
