// What a target's catalog says about who may write what, however the right to it was given.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { observePostgres, type TargetObserver } from '../../activities/observer/postgres.ts';
import { connect, type Database } from '../../db/client.ts';
import { freshSample, type SampleTarget } from '../support/sample.ts';

let sample: SampleTarget;
let owner: Database;
let observer: TargetObserver;

/** Roles belong to the whole server, so these are of this run alone. */
const run = randomUUID().slice(0, 8);
const role = (name: string): string => `${name}_${run}`;
const ROLES = ['by_column', 'by_set_role', 'by_truncate', 'by_reading', 'desk', 'clerk'].map(role);

beforeAll(async () => {
  sample = await freshSample();
  const url = new URL(inject('servers').admin);
  url.pathname = `/${sample.database}`;
  owner = connect(url.href, { role: null, application: 'tests', connectionsMax: 1 });
  observer = observePostgres(sample.observer);
  for (const name of ROLES) await owner.sql.unsafe(`CREATE ROLE ${name} LOGIN NOINHERIT`);
  await owner.sql.unsafe(`
    ALTER ROLE ${role('desk')} NOLOGIN;
    ALTER ROLE ${role('clerk')} NOLOGIN;
    GRANT UPDATE (state) ON orders TO ${role('by_column')};
    GRANT TRUNCATE ON orders TO ${role('by_truncate')};
    GRANT SELECT ON orders TO ${role('by_reading')};
    GRANT INSERT (state) ON orders TO ${role('desk')};
    GRANT SELECT (cents) ON payouts TO ${role('desk')};
    GRANT ${role('desk')} TO ${role('by_set_role')}, ${role('clerk')};`);
});
afterAll(async () => {
  await observer.close();
  for (const name of ROLES) await owner.sql.unsafe(`DROP OWNED BY ${name}; DROP ROLE ${name}`);
  await owner.close();
  await sample.close();
});

it('who may write a single column, only empty a table, or become a role that may, has standing access', async () => {
  const { writes } = await observer.tablesOf([role('desk')]);
  const writable = await observer.writableBy(writes);
  for (const name of ['by_column', 'by_set_role', 'by_truncate'].map(role))
    expect([name, [...(writable.get(name) ?? [])]]).toEqual([name, ['public.orders']]);
  expect(writable.get(role('by_reading'))?.size).toBe(0);
});

it('what a group may write or read in one column only, or as another group, is covered', async () => {
  for (const name of ['desk', 'clerk'].map(role)) {
    const { writes, reads } = await observer.tablesOf([name]);
    expect(writes).toEqual(['public.orders']);
    expect(reads).toEqual(['public.payouts']);
  }
});
