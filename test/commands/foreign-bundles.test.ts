// The newest bundle of others, kept for all replicas: never older than before, never believed when it was altered.
import { randomBytes } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { forgetForeignBundles, openBundleStore } from '../../commands/sign-in/foreign-bundles.ts';
import { transact } from '../../commands/unit.ts';
import { connect, type Database } from '../../db/client.ts';
import { installation } from '../../db/schema/index.ts';
import { digestOf, type Digest } from '../../domain/digest.ts';
import { openVault } from '../../keys/vault.ts';
import { BY_TEST, depsOf } from '../support/replica.ts';
import { freshDatabase, type TestDatabase } from '../support/service.ts';

const vault = openVault(randomBytes(32));
const DOMAIN = 'partner.example';

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await freshDatabase();
  await database.owner.query.insert(installation).values({
    ...{ issuer: 'https://issuer.example', trustDomain: 'issuer.example' },
    logOrigin: 'issuer.example/log',
    createdAt: new Date().toISOString(),
  });
  db = connect(database.url, { role: 'service', application: 'bundles', connectionsMax: 10 });
});
afterAll(async () => {
  await db.close();
  await database.close();
});

const store = async () => openBundleStore(await depsOf(db, vault));
let sources = 0;
const newSource = (): Digest => digestOf('test/source', (sources += 1));
const bundle = (sequence: number | null, more = ''): string =>
  `{"keys":[]${sequence === null ? '' : `,"spiffe_sequence":${sequence}`}${more}}`;

const changesOf = (source: Digest): Promise<{ leaf: string }[]> =>
  database.owner.sql<{ leaf: string }[]>`
    select leaf from event where type like '%trust.bundle_changed%' and leaf like ${`%${source}%`}`;

describe('a bundle that is kept', () => {
  it('is the newest that any replica had, however many had one at once', async () => {
    const source = newSource();
    const { keep, newest } = await store();
    expect(await newest(source)).toBeNull();
    const kept = await Promise.all(
      Array.from({ length: 8 }, (_, at) => keep(source, DOMAIN, bundle(10 + at))),
    );
    expect(kept.at(-1)).toBe(true);
    expect((await newest(source))?.sequence).toBe(17);
    expect(await keep(source, DOMAIN, bundle(16))).toBe(false);
    expect(await keep(source, DOMAIN, bundle(null))).toBe(false);
    expect(await keep(source, DOMAIN, bundle(17))).toBe(true);
    expect((await newest(source))?.sequence).toBe(17);
  });

  it('is of one source, and no word about another', async () => {
    const [one, two] = [newSource(), newSource()];
    const { keep, newest } = await store();
    await keep(one, DOMAIN, bundle(5));
    expect(await newest(two)).toBeNull();
    expect(await keep(two, DOMAIN, bundle(4))).toBe(true);
    expect((await newest(one))?.sequence).toBe(5);
  });

  it('I1: leaves an event when it changes and none when it does not, with no name in the open', async () => {
    const source = newSource();
    const { keep } = await store();
    for (const text of [bundle(1), bundle(1), bundle(0), bundle(2), bundle(2)])
      await keep(source, DOMAIN, text);
    const events = await changesOf(source);
    expect(events).toHaveLength(2);
    for (const { leaf } of events) expect(leaf).not.toContain(DOMAIN);
  });

  it('is believed only as we wrote it: neither altered, nor moved from another source', async () => {
    const [one, two] = [newSource(), newSource()];
    const { keep, newest } = await store();
    await keep(one, DOMAIN, bundle(1));
    await keep(two, DOMAIN, bundle(2));
    await database.owner.query.execute(
      sql`update foreign_bundle set sealed = (select sealed from foreign_bundle where source = ${two}) where source = ${one}`,
    );
    await expect(newest(one)).rejects.toThrow(/authenticate/);
    await expect(keep(one, DOMAIN, bundle(3))).rejects.toThrow(/authenticate/);
    await database.owner.query.execute(
      sql`update foreign_bundle set sealed = 'clear'::bytea where source = ${two}`,
    );
    await expect(newest(two)).rejects.toThrow(/cut short/);
  });

  it('is forgotten when nobody looked at it for 90 days', async () => {
    const [old, recent] = [newSource(), newSource()];
    const { keep, newest } = await store();
    for (const source of [old, recent]) await keep(source, DOMAIN, bundle(1));
    await database.owner.query.execute(
      sql`update foreign_bundle set fetched_at = now() - interval '91 days' where source = ${old}`,
    );
    await transact(await depsOf(db, vault), BY_TEST, forgetForeignBundles);
    expect(await newest(old)).toBeNull();
    expect(await newest(recent)).not.toBeNull();
  });
});
