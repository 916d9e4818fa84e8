// The identity of one agent beside its workload: its SVID and the bundles, kept fresh, and dropped when the agent stops.
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '../../domain/json.ts';
import { parseSpiffeBundle, type SpiffeBundle } from '../../keys/spiffe-bundle.ts';
import { signingRequest } from '../../keys/x509/build.ts';
import { fromPem } from '../../keys/x509/pem.ts';
import { CountersignError, type Client, type JwtSvid } from '../../sdk/index.ts';

/** What the workload holds now. */
interface Held {
  spiffeId: string;
  /** Leaf first, DER. */
  chain: readonly Buffer[];
  privateKey: KeyObject;
  issuedAt: number;
  expiresAt: number;
}

/** What the authorities of its trust domain revoked, as last heard. */
interface Revoked {
  /** Tells one state of it from another. */
  digest: string;
  /** Signed, as DER. */
  lists: readonly Buffer[];
  /** When the lists are too old to be believed, and when they came. */
  nextUpdate: number;
  at: number;
}

/** What a workload may be told. */
export type Standing =
  | {
      kind: 'ready';
      held: Held;
      trustDomain: string;
      bundles: ReadonlyMap<string, SpiffeBundle>;
      revoked: Revoked;
    }
  /** The agent is suspended, retired, or its key is no longer good. */
  | { kind: 'denied' }
  /** Nothing is known yet, or not any more: the server cannot be reached. */
  | { kind: 'unavailable' };

export interface Identity {
  /** Resolves when the server was asked once, whatever it said. */
  started: Promise<void>;
  standing(): Standing;
  /** Calls back on every change; what is returned ends that. */
  subscribe(listener: (standing: Standing) => void): () => void;
  jwtSvid(audience: string[]): Promise<JwtSvid>;
  close(): Promise<void>;
}

export interface IdentityOptions {
  client: Client;
  /** How often the server is asked whether anything changed. */
  refreshSeconds: number;
  /** How long an X.509-SVID is to live; it is renewed at half of that. */
  ttlSeconds: number;
  onFault: (error: unknown) => void;
}

export function openIdentity(options: IdentityOptions): Identity {
  let standing: Standing = { kind: 'unavailable' };
  let shown = '';
  const listeners = new Set<(standing: Standing) => void>();
  const stop = new AbortController();

  const become = (next: Standing): void => {
    standing = next;
    const face = faceOf(next);
    if (face === shown) return;
    shown = face;
    for (const listener of listeners) listener(next);
  };
  const round = async (): Promise<void> => {
    try {
      become(await look(options, standing));
    } catch (error) {
      options.onFault(error);
      become(afterFault(standing, error));
    }
  };
  const started = round();
  const running = started.then(() => keepLooking(round, options.refreshSeconds, stop.signal));
  return {
    started,
    standing: () => standing,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    jwtSvid: (audience) => options.client.svids.jwt({ audience }),
    close: async () => {
      stop.abort();
      await running;
    },
  };
}

async function keepLooking(
  round: () => Promise<void>,
  seconds: number,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await sleep(seconds * 1000, undefined, { signal }).catch(() => undefined);
    if (!signal.aborted) await round();
  }
}

/** Asks for the bundles, which only an active agent gets, and for a new SVID where half of the last one is over. */
async function look({ client, ttlSeconds }: IdentityOptions, before: Standing): Promise<Standing> {
  const answer = await client.svids.bundles();
  const bundles = new Map(
    Object.entries(answer.bundles).map(([domain, bundle]) => [
      domain,
      parseSpiffeBundle(JSON.stringify(bundle)),
    ]),
  );
  const own = bundles.get(answer.trust_domain);
  const isGood =
    before.kind === 'ready' &&
    Date.now() < (before.held.issuedAt + before.held.expiresAt) / 2 &&
    // An authority that was dropped at once takes with it what it signed.
    sameAuthorities(before, own);
  const held = isGood ? before.held : await renew(client, ttlSeconds);
  const revoked = await revokedNow(client, before, answer.revocations);
  return { kind: 'ready', held, trustDomain: answer.trust_domain, bundles, revoked };
}

/** The lists of before, unless there is something new on them or half of their time is over. */
async function revokedNow(client: Client, before: Standing, digest: string): Promise<Revoked> {
  if (before.kind === 'ready' && before.revoked.digest === digest) {
    const { at, nextUpdate } = before.revoked;
    if (Date.now() < (at + nextUpdate) / 2) return before.revoked;
  }
  const { revocations, lists, next_update: nextUpdate } = await client.svids.revocations();
  return {
    digest: revocations,
    lists: lists.map(({ crl }) => Buffer.from(crl, 'base64')),
    nextUpdate: Date.parse(nextUpdate),
    at: Date.now(),
  };
}

/** Whether every authority that was there is still there. */
function sameAuthorities(
  before: Extract<Standing, { kind: 'ready' }>,
  own: SpiffeBundle | undefined,
): boolean {
  const now = own?.x509Authorities ?? [];
  const then = before.bundles.get(before.trustDomain)?.x509Authorities ?? [];
  return then.every((each) => now.some((authority) => authority.equals(each)));
}

/** A new key for each SVID: it never leaves this process but to its workload. */
async function renew(client: Client, ttlSeconds: number): Promise<Held> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const csr = await signingRequest(
    (bytes) =>
      Promise.resolve(sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' })),
    publicKey.export({ format: 'der', type: 'spki' }),
  );
  const svid = await client.svids.x509({ csr, ttlSeconds });
  return {
    spiffeId: svid.spiffe_id,
    chain: fromPem(svid.certificate, 'CERTIFICATE'),
    privateKey,
    issuedAt: Date.parse(svid.issued_at),
    expiresAt: Date.parse(svid.expires_at),
  };
}

/** Answers that mean that this agent is to hold nothing. */
const DENIALS: readonly string[] = [
  'agent_not_active',
  'invalid_client',
  'unauthenticated',
  'forbidden',
];

function afterFault(before: Standing, error: unknown): Standing {
  if (error instanceof CountersignError && DENIALS.includes(error.code)) return { kind: 'denied' };
  // What was given stays good while the server is away, and not a moment longer than it says.
  const isGood = before.kind === 'ready' && Date.now() < before.held.expiresAt;
  return isGood || before.kind === 'denied' ? before : { kind: 'unavailable' };
}

/** What a workload would see of it: nothing is pushed that says nothing new. */
function faceOf(standing: Standing): string {
  if (standing.kind !== 'ready') return standing.kind;
  const { held, bundles, revoked } = standing;
  const trust = [...bundles].map(([domain, bundle]): JsonObject => ({
    domain,
    x509: bundle.x509Authorities.map((der) => der.toString('base64')),
    jwt: [...bundle.jwtKeys],
  }));
  const lists = revoked.lists.map((der) => der.toString('base64'));
  return JSON.stringify([held.chain.map((der) => der.toString('base64')), trust, lists]);
}
