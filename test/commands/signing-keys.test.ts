// Keys that sign, turned by replicas that know nothing of each other but the table they share.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  ensureSigningKey,
  listSigningKeys,
  makeKey,
  readSigningKeys,
  rotateKeys,
  turnKeys,
} from '../../commands/credentials/signing-keys.ts';
import { transact } from '../../commands/unit.ts';
import { installation } from '../../db/schema/index.ts';
import type { KeySchedule } from '../../domain/signing-key.ts';
import { installationSeal, sealedDriver } from '../../keys/sealed.ts';
import { thumbprint } from '../../keys/signer.ts';
import { transitDriver } from '../../keys/transit.ts';
import { openVault } from '../../keys/vault.ts';
import { startTransit } from '../fakes/transit.ts';
import { BY_TEST, openReplica, type Replica } from '../support/replica.ts';
import { freshDatabase, type TestDatabase } from '../support/service.ts';

const vault = openVault(randomBytes(32));
const driver = sealedDriver([installationSeal(vault)]);
const ISSUER = 'https://issuer.example';
const AUDIENCE = 'https://api.example';

let database: TestDatabase;
let replicas: Replica[];
beforeEach(async () => {
  database = await freshDatabase();
  await database.owner.query.insert(installation).values({
    ...{ issuer: ISSUER, trustDomain: 'issuer.example', logOrigin: 'issuer.example/log' },
    createdAt: new Date().toISOString(),
  });
  replicas = [];
});
afterEach(async () => {
  await Promise.all(replicas.map((replica) => replica.close()));
  await database.close();
});

const hour: KeySchedule = { ageSeconds: 7200, aheadSeconds: 3600, keepSeconds: 3600 };

/** As many replicas as there are asked for, with a first key between them. */
async function open(count: number, from = driver): Promise<Replica[]> {
  const { owner } = database;
  const [facts] = await owner.query.select().from(installation);
  if (!facts) throw new Error('the database has no installation');
  const deps = { db: owner, installation: facts, vault, crashPoint: () => undefined };
  await ensureSigningKey(deps, BY_TEST, from, 'tokens');
  for (let at = 0; at < count; at += 1)
    replicas.push(await openReplica(database.url, vault, from, 1));
  return replicas;
}

async function rotate(
  { deps, tokens }: Replica,
  how: Partial<{ now: boolean; revoke: boolean }> = {},
  from = driver,
): Promise<void> {
  const made = await makeKey(deps.db.query, from, 'tokens');
  const rotation = { now: false, revoke: false, reason: null, ...how };
  await transact(deps, BY_TEST, (unit) => rotateKeys(unit, made, rotation, hour));
  await tokens.reload();
}

const states = async (): Promise<string[]> =>
  (await listSigningKeys(database.owner.query)).map(({ state }) => state).toSorted();

const events = async (type: string): Promise<Record<string, unknown>[]> => {
  const rows = await database.owner.sql<{ leaf: string }[]>`
    select leaf from event where type = ${`dev.countersign.${type}.v1`} order by id`;
  return rows.map(({ leaf }) => JSON.parse(leaf) as Record<string, unknown>);
};

/** Moves everything in the table back in time. */
const later = (seconds: number) =>
  database.owner
    .sql`update signing_key set activates_at = activates_at - ${`${seconds} seconds`}::interval,
    retires_at = retires_at - ${`${seconds} seconds`}::interval`;

const token = ({ tokens }: Replica, seconds = 60): Promise<string> =>
  tokens.sign('JWT', {
    ...{ iss: ISSUER, sub: 'agt_1', aud: AUDIENCE },
    exp: Math.floor(Date.now() / 1000) + seconds,
  });

const verifies = async ({ tokens }: Replica, text: string): Promise<boolean> =>
  (await tokens.verify(text, 'JWT', ISSUER, AUDIENCE)) !== null;

const kidOf = (text: string): unknown =>
  (JSON.parse(Buffer.from(text.split('.')[0] ?? '', 'base64url').toString()) as { kid: string })
    .kid;

describe('a signing key', () => {
  it('is made once, however many start at the same time', async () => {
    const made = await Promise.all(Array.from({ length: 4 }, () => open(1)));
    expect(made.flat().length).toBeGreaterThan(0);
    expect(await states()).toEqual(['active']);
    expect(await events('key.published')).toHaveLength(1);
    expect(await events('key.activated')).toHaveLength(1);
    const [first, ...others] = replicas;
    if (!first) throw new Error('no replica was opened');
    for (const other of others) expect(await verifies(other, await token(first))).toBe(true);
  });

  it('I8: replicas that rotate at the same moment make one new key', async () => {
    const [one, two] = await open(2);
    if (!one || !two) throw new Error('there should be two replicas');
    await Promise.all([one, two, one, two, one, two].map((replica) => rotate(replica)));
    expect(await states()).toEqual(['active', 'published']);
    await later(3600);
    const turns = [one, two, one, two].map(({ deps }) => turnKeys(deps, BY_TEST, driver, hour));
    expect((await Promise.all(turns)).reduce((sum, done) => sum + done, 0)).toBe(1);
    expect(await states()).toEqual(['active', 'retiring']);
    await later(7200);
    const more = [one, two, one, two].map(({ deps }) => turnKeys(deps, BY_TEST, driver, hour));
    await Promise.all(more);
    expect(await states()).toEqual(['active', 'published', 'retired']);
    const names = ['key.published', 'key.activated', 'key.retired'];
    expect(await Promise.all(names.map(async (name) => (await events(name)).length))).toEqual([
      3, 2, 1,
    ]);
  });

  it('I3: is published until what it signed is over, and then verifies nothing', async () => {
    const [one] = await open(1);
    if (!one) throw new Error('there should be a replica');
    const old = await token(one, 7200);
    await rotate(one, { now: true });
    const fresh = await token(one);
    expect(kidOf(fresh)).not.toBe(kidOf(old));
    expect([await verifies(one, old), await verifies(one, fresh)]).toEqual([true, true]);
    expect(one.tokens.jwks.keys.map(({ kid }) => kid)).toEqual([kidOf(fresh), kidOf(old)]);
    await later(3599);
    expect(await turnKeys(one.deps, BY_TEST, driver, hour)).toBe(0);
    await later(2);
    expect(await turnKeys(one.deps, BY_TEST, driver, hour)).toBeGreaterThan(0);
    await one.tokens.reload();
    expect([await verifies(one, old), await verifies(one, fresh)]).toEqual([false, true]);
  });

  it('I5: loses its private part when it stops signing, and its proof when it goes', async () => {
    const [one] = await open(1);
    if (!one) throw new Error('there should be a replica');
    await rotate(one, { now: true });
    await rotate(one);
    const parts = async () =>
      Object.fromEntries(
        (await listSigningKeys(database.owner.query)).map(({ state, sealed, proof }) => [
          state,
          [sealed !== null, proof !== null],
        ]),
      );
    expect(await parts()).toEqual({
      published: [true, true],
      active: [true, true],
      retiring: [false, true],
    });
    await rotate(one, { now: true, revoke: true });
    expect(await parts()).toEqual({ active: [true, true], retired: [false, false] });
  });

  it('that is revoked is dead at once, in every replica, and so is the one that waited', async () => {
    const [one, two] = await open(2);
    if (!one || !two) throw new Error('there should be two replicas');
    const before = await token(one);
    await rotate(one);
    expect(await verifies(two, before)).toBe(true);
    await rotate(one, { now: true, revoke: true });
    await expect.poll(() => verifies(two, before), { timeout: 2_000 }).toBe(false);
    expect(await verifies(one, before)).toBe(false);
    expect(await verifies(two, await token(one))).toBe(true);
    expect(await states()).toEqual(['active', 'retired', 'retired']);
    const retired = await events('key.retired');
    expect(retired.map(({ data }) => (data as { detail: unknown }).detail)).toEqual(
      [1, 2].map(() => ({
        use: 'tokens',
        because: 'revoked',
        by: { type: 'service', id: 'test' },
      })),
    );
  });

  it('goes in its time also while no new one can be made', async () => {
    const [one] = await open(1);
    if (!one) throw new Error('there should be a replica');
    await rotate(one, { now: true });
    await later(7200);
    const away = { ...driver, make: () => Promise.reject(new Error('the key service is away')) };
    await expect(turnKeys(one.deps, BY_TEST, away, hour)).rejects.toThrow('is away');
    expect(await states()).toEqual(['active', 'retired']);
    await turnKeys(one.deps, BY_TEST, driver, hour);
    expect(await states()).toEqual(['active', 'published', 'retired']);
  });

  it('of one use is never touched by turning another', async () => {
    const [one] = await open(1);
    if (!one) throw new Error('there should be a replica');
    await ensureSigningKey(one.deps, BY_TEST, driver, 'x509');
    const before = await token(one);
    const made = await makeKey(one.deps.db.query, driver, 'x509');
    const rotation = { now: true, revoke: true, reason: 'test' };
    await transact(one.deps, BY_TEST, (unit) => rotateKeys(unit, made, rotation, hour));
    expect(await verifies(one, before)).toBe(true);
    expect(await readSigningKeys(one.deps.db.query, vault, 'x509')).toHaveLength(1);
    expect(await readSigningKeys(one.deps.db.query, vault, 'tokens')).toHaveLength(1);
  });

  it('can move to a key service and back, and nothing that was signed stops verifying', async () => {
    const service = await startTransit();
    const transit = transitDriver({
      ...{ address: service.address, mount: 'transit', namespace: null, keyPrefix: 'cs' },
      token: () => service.token,
      onFault: () => undefined,
    });
    try {
      const [one] = await open(1);
      if (!one) throw new Error('there should be a replica');
      const before = await token(one);
      await rotate(one, { now: true }, transit);
      const there = await openReplica(database.url, vault, transit, 1);
      replicas.push(there);
      const meanwhile = await token(there);
      expect(service.calls.at(-1)).toBe('POST /v1/transit/sign/cs-tokens');
      expect([await verifies(there, before), await verifies(there, meanwhile)]).toEqual([
        true,
        true,
      ]);
      await rotate(there, { now: true });
      await one.tokens.reload();
      const after = await token(one);
      for (const text of [before, meanwhile, after]) expect(await verifies(one, text)).toBe(true);
    } finally {
      await service.close();
    }
  });
});

describe('whoever writes to the table', () => {
  it('cannot make a key of theirs verify, nor bring one back that went', async () => {
    const [one] = await open(1);
    if (!one) throw new Error('there should be a replica');
    const { sql } = database.owner;
    const read = () => readSigningKeys(one.deps.db.query, vault, 'tokens');
    const [row] = await read();
    const theirs = await sealedDriver([installationSeal(openVault(randomBytes(32)))]).make(
      'tokens',
      'ES256',
      [],
    );
    expect(thumbprint(theirs.jwk)).toBe(theirs.kid);
    await sql`update signing_key set jwk = ${JSON.stringify(theirs.jwk)}::text::jsonb`;
    await expect(read()).rejects.toThrow('at-rest');
    await sql`update signing_key set jwk = ${JSON.stringify(row?.jwk)}::text::jsonb`;
    await expect(read()).resolves.toHaveLength(1);
    await sql`update signing_key set kid = ${theirs.kid}, jwk = ${JSON.stringify(theirs.jwk)}::text::jsonb`;
    await expect(read()).rejects.toThrow('at-rest');
    await sql`update signing_key set kid = ${row?.kid ?? ''}, jwk = ${JSON.stringify(row?.jwk)}::text::jsonb`;
    await sql`update signing_key set use = 'x509'`;
    await expect(readSigningKeys(one.deps.db.query, vault, 'x509')).rejects.toThrow('at-rest');
    await sql`update signing_key set use = 'tokens'`;
    await rotate(one, { now: true, revoke: true });
    await sql`update signing_key set state = 'retiring', retires_at = now() + interval '1 day' where state = 'retired'`;
    await expect(read()).rejects.toThrow('at-rest');
  });

  it('I5: and may only read, reads no key, sealed or not', async () => {
    await open(0);
    const reads = (role: string) =>
      database.owner.sql.begin(async (sql) => {
        await sql.unsafe(`set local role countersign_${role}`);
        return sql`select kid from signing_key`;
      });
    await expect(reads('reader')).rejects.toThrow('permission denied');
    await expect(reads('sequencer')).rejects.toThrow('permission denied');
    await expect(reads('service')).resolves.toHaveLength(1);
  });
});

/** How long the verifiers of the drill keep what they fetched, and never ask again before that is over. */
const CACHE_MS = 800;

const cachingVerifier = ({ jwks }: Replica) => {
  const keys = createRemoteJWKSet(jwks, { cacheMaxAge: CACHE_MS, cooldownDuration: 600_000 });
  return async (text: string): Promise<boolean> =>
    jwtVerify(text, keys, { issuer: ISSUER, audience: AUDIENCE }).then(
      () => true,
      () => false,
    );
};

describe('the drill', () => {
  it('keys that turn again and again under load fail no verification, ours or of those who cache', async () => {
    const both = await open(2);
    const schedule = { ageSeconds: 4, aheadSeconds: 3, keepSeconds: 12 };
    const until = Date.now() + 18_000;
    const counts = { verified: 0, failed: 0 };
    const kids = new Set<unknown>();
    const check = async (text: string, verify: (text: string) => Promise<boolean>) => {
      if (await verify(text)) counts.verified += 1;
      else counts.failed += 1;
    };
    const verifiers = both.flatMap((replica) => [
      cachingVerifier(replica),
      cachingVerifier(replica),
      (text: string) => verifies(replica, text),
    ]);
    const turn = async ({ deps }: Replica): Promise<void> => {
      while (Date.now() < until) {
        await turnKeys(deps, BY_TEST, driver, schedule);
        await sleep(40);
      }
    };
    const mint = async (replica: Replica): Promise<void> => {
      while (Date.now() < until) {
        const text = await token(replica, 9);
        kids.add(kidOf(text));
        await Promise.all(verifiers.map((verify) => check(text, verify)));
        // Again shortly before it is over, whatever was turned meanwhile.
        void sleep(2_500).then(() => Promise.all(verifiers.map((verify) => check(text, verify))));
        await sleep(25);
      }
    };
    await Promise.all(both.flatMap((replica) => [turn(replica), turn(replica), mint(replica)]));
    await sleep(3_000);
    expect(counts.failed).toBe(0);
    expect(counts.verified).toBeGreaterThan(500);
    expect(kids.size).toBeGreaterThanOrEqual(4);
  }, 60_000);

  it('a key that signs at once is refused by those who cache, which is why it is published ahead', async () => {
    const [one] = await open(1);
    if (!one) throw new Error('there should be a replica');
    const verify = cachingVerifier(one);
    expect(await verify(await token(one))).toBe(true);
    await rotate(one, { now: true });
    const text = await token(one);
    expect(await verify(text)).toBe(false);
    await sleep(CACHE_MS + 200);
    expect(await verify(text)).toBe(true);
  });
});
