// Our own X.509 authorities: the keys of that use, each with the certificate under which others know it.
import { randomBytes, createHash, createPublicKey } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import type { Database } from '../../db/client.ts';
import { signingKey, x509Authority } from '../../db/schema/index.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { KeyDriverName, SigningKeyState } from '../../domain/signing-key.ts';
import type { SigningRing } from '../../keys/ring.ts';
import type { KeyDriver, StoredKey } from '../../keys/signer.ts';
import { authorityCertificate, type X509Signer } from '../../keys/x509/build.ts';
import { readCertificate } from '../../keys/x509/certificate.ts';
import { databaseTime, transact, type Call, type UnitDeps } from '../unit.ts';
import { readSigningKeys } from './signing-keys.ts';

export interface Authority extends X509Signer {
  kid: string;
  state: SigningKeyState;
  notAfter: Date;
}

export interface Authorities {
  /** The one that signs now. */
  active(): Promise<Authority>;
  /** All whose certificates somebody may have to believe: published ahead, signing, or behind. */
  all(): Promise<Authority[]>;
  /** Reads the keys again: something changed here and now. */
  reload(): Promise<void>;
  /** What this trust domain signs with, as others read it. */
  bundle(refreshHintSeconds: number): Promise<JsonObject>;
}

export interface AuthorityDeps {
  unit: UnitDeps;
  /** A connection that no transaction of ours holds. */
  db: Database;
  ring: SigningRing;
  drivers: Partial<Record<KeyDriverName, KeyDriver>>;
}

/** Long enough to outlive its key, which is turned much sooner; bounded, should nobody ever turn it. */
const AUTHORITY_MS = 2 * 365 * 86_400_000;
/** For clocks that are behind ours. */
const BACKDATED_MS = 300_000;

export function openAuthorities(deps: AuthorityDeps): Authorities {
  const known = new Map<string, Authority>();
  const authorityOf = async (key: StoredKey): Promise<Authority> => {
    const kept = known.get(key.kid);
    const authority = kept ?? (await openAuthority(deps, key));
    known.set(key.kid, authority);
    return { ...authority, state: key.state };
  };
  const all = async (): Promise<Authority[]> => {
    await deps.ring.refresh();
    return Promise.all(deps.ring.published().map(authorityOf));
  };
  return {
    all,
    active: async () => {
      const active = (await all()).find(({ state }) => state === 'active');
      if (!active) throw new Error('there is no authority to sign with: run countersign migrate');
      return active;
    },
    reload: () => {
      deps.ring.invalidate();
      return deps.ring.refresh();
    },
    bundle: async (refreshHintSeconds) => ({
      ...(await readBundle(deps, authorityOf)),
      spiffe_refresh_hint: refreshHintSeconds,
    }),
  };
}

async function openAuthority(deps: AuthorityDeps, key: StoredKey): Promise<Authority> {
  const driver = deps.drivers[key.driver];
  // Opened when it is first used: a key that only has to be known needs no key service.
  const sign = (bytes: Uint8Array): Promise<Uint8Array> => {
    if (!driver)
      throw new Error(`the authority ${key.kid} is in a key service not configured here`);
    return driver.open(key).sign(bytes);
  };
  const filed = (await readFiled(deps, key)) ?? (await certify(deps, key, sign));
  return { kid: key.kid, state: key.state, sign, ...filed };
}

type Filed = Pick<Authority, 'certificate' | 'notAfter'>;

/** What the table says is believed only as far as the key itself says it: that key's row is proven to be ours. */
async function readFiled({ db }: AuthorityDeps, key: StoredKey): Promise<Filed | null> {
  const [row] = await db.query.select().from(x509Authority).where(eq(x509Authority.kid, key.kid));
  if (!row) return null;
  const read = readCertificate(Buffer.from(row.certificate));
  const own = createPublicKey({ key: key.jwk, format: 'jwk' });
  if (!read.publicKey.equals(own) || !read.isSignedBy(own))
    throw new Error(`the certificate of the authority ${key.kid} was not signed with its key`);
  return { certificate: read.der, notAfter: read.notAfter };
}

const AS_SELF: Call = { principal: { kind: 'workflow', id: 'authority' }, traceId: null };

/** Certifies a new key. Of several replicas that do so at once, the first one stands. */
async function certify(
  deps: AuthorityDeps,
  key: StoredKey,
  sign: X509Signer['sign'],
): Promise<Filed> {
  const now = Date.parse(await databaseTime(deps.db.query));
  const notAfter = new Date(now + AUTHORITY_MS);
  const der = await authorityCertificate(sign, {
    serial: newSerial(),
    spki: createPublicKey({ key: key.jwk, format: 'jwk' }).export({ format: 'der', type: 'spki' }),
    trustDomain: deps.unit.installation.trustDomain,
    name: `Countersign ${key.kid.slice(0, 16)}`,
    notBefore: new Date(now - BACKDATED_MS),
    notAfter,
  });
  await transact({ ...deps.unit, db: deps.db }, AS_SELF, async (unit) => {
    const [filed] = await unit.sql
      .insert(x509Authority)
      .values({ kid: key.kid, certificate: der, notAfter: notAfter.toISOString() })
      .onConflictDoNothing()
      .returning();
    if (!filed) return;
    unit.emit('authority.certified', {
      subject: key.kid,
      detail: { kid: key.kid, fingerprint: sha256(der), not_after: notAfter.toISOString() },
      private: {},
    });
  });
  const stands = await readFiled(deps, key);
  if (!stands) throw new Error('a certificate that was just filed is not there');
  return stands;
}

const sha256 = (bytes: Uint8Array): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** RFC 5280 §4.1.2.2, and CA/Browser practice: positive, unique, and nothing that anybody could foresee. */
export function newSerial(): Buffer {
  const serial = randomBytes(16);
  // One spelling: never shorter for its leading zeros, nor longer for its sign.
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}

/**
 * The bundle as the table has it now, and not as a cache knows it: its sequence counts every key that ever came or
 * went, so it grows with every change, and all replicas agree on it.
 */
async function readBundle(
  { db, unit }: AuthorityDeps,
  authorityOf: (key: StoredKey) => Promise<Authority>,
): Promise<JsonObject> {
  for (;;) {
    const sequence = await countChanges(db);
    const x509 = await readSigningKeys(db.query, unit.vault, 'x509');
    const tokens = await readSigningKeys(db.query, unit.vault, 'tokens');
    const authorities = await Promise.all(x509.map(authorityOf));
    // A key that came or went meanwhile belongs to the next sequence.
    if ((await countChanges(db)) !== sequence) continue;
    return {
      keys: [
        ...authorities.map(({ certificate }, index) => ({
          ...x509[index]?.jwk,
          use: 'x509-svid',
          x5c: [certificate.toString('base64')],
        })),
        ...tokens.map(({ kid, jwk }) => ({ ...jwk, kid, use: 'jwt-svid' })),
      ],
      spiffe_sequence: sequence,
    };
  }
}

async function countChanges({ query }: Database): Promise<number> {
  const [row] = await query
    .select({
      count: sql<number>`(count(*) + count(*) filter (where ${signingKey.state} = 'retired'))::int`,
    })
    .from(signingKey);
  return row?.count ?? 0;
}
