// Turning the keys that sign for us. Every step is one transaction under one lock for each use, and what it finds
// there decides: replicas that turn keys at the same time, or again after a crash, turn them once.
import { and, asc, desc, eq, ne, sql } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { SigningKeyRow } from '../../db/rows.ts';
import { signingKey } from '../../db/schema/index.ts';
import { addSeconds } from '../../domain/instant.ts';
import {
  dueSteps,
  KEY_USES,
  type KeySchedule,
  type KeyStep,
  type KeyUse,
  type SigningAlgorithm,
} from '../../domain/signing-key.ts';
import { thumbprint, type KeyDriver, type NewKey, type StoredKey } from '../../keys/signer.ts';
import type { Vault } from '../../keys/vault.ts';
import { partyOf } from '../principal.ts';
import { CHANNELS, databaseTime, transact, type Call, type Unit, type UnitDeps } from '../unit.ts';

/** What the keys of each use sign with. */
const ALGORITHM: Record<KeyUse, SigningAlgorithm> = { tokens: 'ES256', x509: 'ES256' };
/** A key that comes into the world signs at once where nothing signed before. */
const AT_ONCE = 0;

/** The published keys of one use, newest first; throws if one of them is not of our making. */
export async function readSigningKeys(
  query: Query | Transaction,
  vault: Vault,
  use: KeyUse,
): Promise<StoredKey[]> {
  const rows = await query
    .select()
    .from(signingKey)
    .where(and(eq(signingKey.use, use), ne(signingKey.state, 'retired')))
    .orderBy(desc(signingKey.publishedAt), asc(signingKey.kid));
  for (const row of rows) refuseForeign(row, vault);
  return rows;
}

/** Every key there ever was, newest first. */
export const listSigningKeys = (query: Query | Transaction): Promise<SigningKeyRow[]> =>
  query
    .select()
    .from(signingKey)
    .orderBy(desc(signingKey.publishedAt), asc(signingKey.kid))
    .limit(LISTED_MAX);

const LISTED_MAX = 200;

/** Makes the first key of a use, for an installation that has none. */
export async function ensureSigningKey(
  deps: UnitDeps,
  call: Call,
  driver: KeyDriver,
  use: KeyUse,
): Promise<void> {
  if (await hasActive(deps.db.query, use)) return;
  const made = await makeKey(deps.db.query, driver, use);
  await transact(deps, call, async (unit) => {
    await lockKeys(unit, use);
    if (await hasActive(unit.sql, use)) return;
    await publish(unit, made, AT_ONCE);
    await activate(unit, made.kid, null);
  });
}

/** Makes a key to turn to. Outside of any transaction: a key service may take its time. */
export async function makeKey(
  query: Query | Transaction,
  driver: KeyDriver,
  use: KeyUse,
): Promise<NewKey> {
  const known = await query
    .select({ reference: signingKey.reference })
    .from(signingKey)
    .where(and(eq(signingKey.use, use), eq(signingKey.driver, driver.name)));
  return driver.make(
    use,
    ALGORITHM[use],
    known.map(({ reference }) => reference),
  );
}

export interface Rotation {
  /** Sign with the new key at once, though verifiers may not have fetched it. */
  now: boolean;
  /** Drop the others at once, and with them everything they signed. */
  revoke: boolean;
  reason: string | null;
}

/** Turns the keys of a use by hand. A key that is published already and waits for its turn is the next one. */
export async function rotateKeys(
  unit: Unit,
  made: NewKey,
  rotation: Rotation,
  schedule: KeySchedule,
): Promise<void> {
  const { use } = made;
  await lockKeys(unit, use);
  const keys = await keysOfUse(unit, use);
  const waiting = keys.find(({ state }) => state === 'published');
  if (rotation.revoke) {
    // What waited for its turn lay where the others did.
    for (const key of keys) await retire(unit, key, rotation.reason ?? '', true);
    await publish(unit, made, AT_ONCE);
    await activate(unit, made.kid, null);
    return;
  }
  if (!waiting) await publish(unit, made, rotation.now ? AT_ONCE : schedule.aheadSeconds);
  if (rotation.now) await activate(unit, waiting?.kid ?? made.kid, schedule);
}

/** Does what is due for all keys; returns how much that was. */
export async function turnKeys(
  deps: UnitDeps,
  call: Call,
  driver: KeyDriver,
  schedule: KeySchedule,
): Promise<number> {
  const rows = await deps.db.query.select().from(signingKey).where(ne(signingKey.state, 'retired'));
  const now = await databaseTime(deps.db.query);
  let done = 0;
  const faults: unknown[] = [];
  for (const use of KEY_USES) {
    const keys = rows.filter((row) => row.use === use);
    const due = dueSteps(keys, now, schedule);
    if (due.length === 0) continue;
    const needed = due.some(({ step }) => step === 'publish');
    // A key service that is away delays what is new, never the end of what is old.
    const made = needed
      ? await makeKey(deps.db.query, driver, use).catch((error: unknown) => {
          faults.push(error);
          return null;
        })
      : null;
    done += await transact(deps, call, (unit) => takeSteps(unit, use, made, schedule));
  }
  if (faults.length > 0) throw faults[0];
  return done;
}

/** What is due is asked again under the lock: somebody else may have done it meanwhile. */
async function takeSteps(
  unit: Unit,
  use: KeyUse,
  made: NewKey | null,
  schedule: KeySchedule,
): Promise<number> {
  await lockKeys(unit, use);
  const keys = await keysOfUse(unit, use);
  const due = dueSteps(keys, await unit.readClock(), schedule);
  for (const step of due) await take(unit, step, keys, made, schedule);
  return due.length;
}

async function take(
  unit: Unit,
  step: KeyStep,
  keys: readonly SigningKeyRow[],
  made: NewKey | null,
  schedule: KeySchedule,
): Promise<void> {
  switch (step.step) {
    case 'publish':
      if (made) await publish(unit, made, schedule.aheadSeconds);
      return;
    case 'activate':
      return activate(unit, step.kid, schedule);
    case 'retire': {
      const key = keys.find(({ kid }) => kid === step.kid);
      if (key) await retire(unit, key, null, false);
    }
  }
}

/** One at a time turns the keys of a use. What it then reads is what it decides on. */
async function lockKeys(unit: Unit, use: KeyUse): Promise<void> {
  await unit.sql.execute(
    sql`select pg_advisory_xact_lock(hashtextextended(${`signing_key/${use}`}, 0))`,
  );
  await unit.readClock();
}

const keysOfUse = (unit: Unit, use: KeyUse): Promise<SigningKeyRow[]> =>
  unit.sql
    .select()
    .from(signingKey)
    .where(and(eq(signingKey.use, use), ne(signingKey.state, 'retired')));

async function hasActive(query: Query | Transaction, use: KeyUse): Promise<boolean> {
  const [row] = await query
    .select({ kid: signingKey.kid })
    .from(signingKey)
    .where(and(eq(signingKey.use, use), eq(signingKey.state, 'active')));
  return row !== undefined;
}

async function publish(unit: Unit, made: NewKey, aheadSeconds: number): Promise<void> {
  const activatesAt = addSeconds(unit.at, aheadSeconds);
  const { kid, use, algorithm, driver } = made;
  await unit.sql.insert(signingKey).values({
    ...made,
    proof: unit.vault.seal('', proofUse(made)),
    state: 'published',
    publishedAt: unit.at,
    activatesAt,
  });
  await announce(unit);
  unit.emit('key.published', {
    subject: kid,
    detail: { use, algorithm, driver, activates_at: activatesAt, by: by(unit) },
    private: {},
  });
}

/** The key begins to sign; the one that signed stays published for what it signed, and can sign no more. */
async function activate(unit: Unit, kid: string, schedule: KeySchedule | null): Promise<void> {
  const [next] = await unit.sql.select().from(signingKey).where(eq(signingKey.kid, kid));
  if (!next) throw new Error('a key that is to sign is not there');
  const retiresAt = addSeconds(unit.at, schedule?.keepSeconds ?? 0);
  const [old] = await unit.sql
    .update(signingKey)
    // An authority goes on signing the list of what it revokes, until nothing that it signed is good any more.
    .set({ state: 'retiring', retiresAt, ...(next.use !== 'x509' && { sealed: null }) })
    .where(and(eq(signingKey.use, next.use), eq(signingKey.state, 'active')))
    .returning();
  await unit.sql
    .update(signingKey)
    .set({ state: 'active', activatesAt: unit.at })
    .where(eq(signingKey.kid, kid));
  await announce(unit);
  unit.emit('key.activated', {
    subject: kid,
    detail: { use: next.use, replaces: old?.kid ?? null, by: by(unit) },
    private: {},
  });
}

async function retire(
  unit: Unit,
  { kid, use }: SigningKeyRow,
  reason: string | null,
  revoked: boolean,
): Promise<void> {
  await unit.sql
    .update(signingKey)
    .set({ state: 'retired', retiresAt: unit.at, sealed: null, proof: null, revoked })
    .where(eq(signingKey.kid, kid));
  await announce(unit);
  unit.emit('key.retired', {
    subject: kid,
    detail: { use, because: revoked ? 'revoked' : 'due', by: by(unit) },
    private: { reason },
  });
}

const by = ({ call }: Unit) => {
  const { type, id } = partyOf(call.principal);
  return { type, id };
};

/** Tells every replica that what it knows of the keys is out of date, once this commits. */
async function announce(unit: Unit): Promise<void> {
  await unit.sql.execute(sql`select pg_notify(${CHANNELS.keys}, '')`);
}

const proofUse = ({ kid, use, algorithm, driver, reference }: NewKey): string =>
  `signing_key_proof/${use}/${algorithm}/${driver}/${reference}/${kid}`;

/** Whoever can write to the table must not thereby have a key that verifies as ours. */
function refuseForeign(row: SigningKeyRow, vault: Vault): void {
  try {
    if (thumbprint(row.jwk) !== row.kid) throw new RangeError('its name is another key’s');
    vault.open(row.proof ?? new Uint8Array(), proofUse(row));
  } catch (cause) {
    throw new Error(
      `the signing key ${row.kid} was not written under the key "at-rest" of this installation: restore that file beside its database`,
      { cause },
    );
  }
}
