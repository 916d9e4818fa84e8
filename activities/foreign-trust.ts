// Fetches others' keys: an issuer's by OpenID discovery, a trust domain's bundle from its endpoint.
import type { IssuerDefinition, TrustDomainDefinition } from '../commands/policy/federation.ts';
import {
  TrustUnavailable,
  type BundleStore,
  type ForeignTrust,
  type Freshness,
} from '../commands/sign-in/foreign-trust.ts';
import { digestOf, type Digest } from '../domain/digest.ts';
import { JsonError, parseJson, type JsonObject, type JsonValue } from '../domain/json.ts';
import { trustDomainOf } from '../domain/spiffe-id.ts';
import {
  BundleError,
  formatSpiffeBundle,
  mayFollow,
  parseSpiffeBundle,
  type SpiffeBundle,
} from '../keys/spiffe-bundle.ts';
import { verifyX509Svid } from '../keys/x509/path.ts';
import { toPem } from '../keys/x509/pem.ts';
import { EgressError, type Egress, type Peer } from './egress.ts';
import { openKeeper, type Fetched } from './kept.ts';

const TIMEOUT_MS = 5_000;
const KEYS_MAX = 100;
/** How long a key set is good before it is looked at again. */
const KEYS_FRESH_SECONDS = 300;
/** SPIFFE Federation §5: how often to poll a bundle that gives no hint, and what a hint may ask for. */
const BUNDLE_FRESH_SECONDS = { usual: 300, least: 30, most: 1_800 } as const;

export interface ForeignTrustDeps {
  bundles: BundleStore;
  egress: Egress;
  /** A secret or certificate by the name of its variable. */
  secret: (name: string) => string | null;
  now: () => number;
}

export function openForeignTrust(deps: ForeignTrustDeps): ForeignTrust {
  const keySets = openKeeper<readonly JsonObject[]>(deps.now);
  const bundles = openKeeper<SpiffeBundle>(deps.now);
  return {
    issuerKeys: (definition, freshness) =>
      unavailable(definition.issuer, () =>
        keySets.get(
          `${definition.issuer} ${definition.jwks_uri ?? ''}`,
          () => fetchKeys(deps.egress, definition),
          isNewer(freshness),
        ),
      ),
    bundle: (trustDomain, definition, freshness) =>
      unavailable(trustDomain, async () => {
        const { bundle_endpoint: endpoint } = definition;
        if (endpoint === undefined) return handedOver(deps, definition);
        const first = firstOf(deps, definition);
        const source = sourceOf(trustDomain, definition, first);
        return bundles.get(
          source,
          () => fetchBundle(deps, { trustDomain, definition, endpoint, first, source }),
          isNewer(freshness),
        );
      }),
    authorities: ({ ca_from: name }) => {
      const pem = deps.secret(name);
      if (pem === null) throw new TrustUnavailable(`the variable ${name} is not set`);
      return pem;
    },
  };
}

const isNewer = (freshness: Freshness): boolean => freshness === 'newer';

/** What went wrong out there is said as one thing; faults of ours go on as they are. */
async function unavailable<T>(source: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof EgressError || cause instanceof JsonError || cause instanceof BundleError)
      throw new TrustUnavailable(`the keys of ${source} cannot be had: ${cause.message}`, {
        cause,
      });
    throw cause;
  }
}

function handedOver(
  { secret }: ForeignTrustDeps,
  { bundle_from: name = '' }: TrustDomainDefinition,
): SpiffeBundle {
  const text = secret(name);
  if (text === null) throw new TrustUnavailable(`the variable ${name} is not set`);
  return parseSpiffeBundle(text);
}

async function fetchKeys(
  egress: Egress,
  { issuer, jwks_uri: configured }: IssuerDefinition,
): Promise<Fetched<readonly JsonObject[]>> {
  const uri = configured ?? (await discover(egress, issuer));
  // An address that somebody else's document names is a caller's address, unless it is where we just were.
  const trusted = configured !== undefined || new URL(uri).host === new URL(issuer).host;
  const { keys } = await fetchObject(egress, uri, trusted);
  if (!Array.isArray(keys) || keys.length > KEYS_MAX || !keys.every(isObject))
    throw new EgressError('bad_answer', `${uri} is no set of at most ${KEYS_MAX} keys.`);
  return { value: keys.filter(isObject), freshSeconds: KEYS_FRESH_SECONDS };
}

/** OpenID Connect Discovery §4.3: a document that names another issuer is not this issuer's. */
async function discover(egress: Egress, issuer: string): Promise<string> {
  const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const { issuer: named, jwks_uri: uri } = await fetchObject(egress, address, true);
  if (named !== issuer)
    throw new EgressError('bad_answer', `${address} is the document of another issuer.`);
  if (typeof uri !== 'string' || !URL.canParse(uri))
    throw new EgressError('bad_answer', `${address} names no jwks_uri.`);
  return uri;
}

/** How a bundle is had, and by whom it is believed the first time: once either changes it begins anew. */
const sourceOf = (
  trustDomain: string,
  { bundle_endpoint, profile, endpoint_spiffe_id }: TrustDomainDefinition,
  first: SpiffeBundle | null,
): Digest =>
  digestOf('countersign/bundle-source/v1', {
    trustDomain,
    endpoint: bundle_endpoint ?? null,
    profile,
    endpointId: endpoint_spiffe_id ?? null,
    first: first && formatSpiffeBundle(first),
  });

/** What people handed over for the first connection, which `https_web` does without. */
function firstOf(deps: ForeignTrustDeps, definition: TrustDomainDefinition): SpiffeBundle | null {
  const { profile, bundle_from: name } = definition;
  return profile === 'https_web' || name === undefined ? null : handedOver(deps, definition);
}

interface Asked {
  trustDomain: string;
  definition: TrustDomainDefinition;
  endpoint: string;
  first: SpiffeBundle | null;
  source: Digest;
}

async function fetchBundle(
  { egress, bundles }: ForeignTrustDeps,
  { trustDomain, definition, endpoint, first, source }: Asked,
): Promise<Fetched<SpiffeBundle>> {
  // Whoever answers is judged by the newest that was ever had, for authorities turn while nobody looks.
  const known = (await bundles.newest(source)) ?? first;
  const peer = first && known ? peerOf(definition, known) : undefined;
  const text = await fetchText(egress, endpoint, true, peer);
  const value = parseSpiffeBundle(text);
  // An older bundle would bring back keys that were taken out of it.
  if (!mayFollow(known, value) || !(await bundles.keep(source, trustDomain, text)))
    throw new BundleError('the bundle is older than the one before');
  const { usual, least, most } = BUNDLE_FRESH_SECONDS;
  const hint = value.refreshHintSeconds ?? usual;
  return { value, freshSeconds: Math.min(Math.max(hint, least), most) };
}

/** SPIFFE Federation §5.2.2: the endpoint shows an SVID, which is judged by what is known of its domain so far. */
const peerOf = (
  { endpoint_spiffe_id: id }: TrustDomainDefinition,
  { x509Authorities }: SpiffeBundle,
): Peer => ({
  authorities: x509Authorities.map((der) => toPem('CERTIFICATE', der)).join(''),
  isMeant: (chain) => {
    const verdict = verifyX509Svid(chain, {
      authorities: x509Authorities,
      trustDomain: trustDomainOf(id ?? ''),
      now: new Date(),
    });
    return verdict.fault === null && verdict.spiffeId === id;
  },
});

async function fetchObject(egress: Egress, url: string, trusted: boolean): Promise<JsonObject> {
  const value = parseJson(await fetchText(egress, url, trusted));
  if (isObject(value)) return value;
  throw new EgressError('bad_answer', `${url} did not answer with a JSON object.`);
}

/** A redirect is no answer: who is asked is who policy names. */
async function fetchText(
  egress: Egress,
  url: string,
  trusted: boolean,
  peer?: Peer,
): Promise<string> {
  const { status, body } = await egress(url, {
    method: 'GET',
    headers: { accept: 'application/json' },
    body: '',
    timeoutMs: TIMEOUT_MS,
    trusted,
    ...(peer && { peer }),
  });
  if (status !== 200) throw new EgressError('bad_answer', `${url} answered ${status}.`);
  return body;
}

const isObject = (value: JsonValue): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
