// One PostgreSQL and one Temporal for all tests of the service: real ones, started once. Each test file gets a
// database and a namespace of its own.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestProject } from 'vitest/node';
import { startPostgres } from '../../cli/embedded/postgres.ts';
import { prepareDatabases } from '../../cli/embedded/sample.ts';
import { startTemporal } from '../../cli/embedded/temporal.ts';
import { MIGRATIONS } from '../../cli/package.ts';
import { connect } from '../../db/client.ts';
import { migrateDatabase } from '../../db/migrate.ts';

export interface Servers {
  /** The owner's URL of the maintenance database, where new databases are made. */
  admin: string;
  /** A migrated database to copy. */
  template: string;
  /** The issuer's and the observer's URL of the sample target, and its standing login; tests use copies of it. */
  target: string;
  observer: string;
  legacy: string;
  temporal: string;
  namespaces: string[];
}

declare module 'vitest' {
  interface ProvidedContext {
    servers: Servers;
  }
}

const TEMPLATE = 'countersign_template';
/** More than there are test files; making them later would wait for the server's cache. */
const NAMESPACES = 400;

/** Nothing here uses the server's own schedules and batches, for which each namespace would have a worker that polls. */
const SETTINGS = ['worker.perNamespaceWorkerCount=0'];

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(path.join(tmpdir(), 'countersign-test-'));
  const postgres = await startPostgres({
    folder: path.join(folder, 'postgres'),
    password: 'owner-password',
    fast: true,
    port: 0,
  });
  const urls = await prepareDatabases(postgres, folder);
  const admin = connect(postgres.url('postgres'), {
    role: null,
    application: 'tests',
    connectionsMax: 1,
  });
  await admin.sql.unsafe(`CREATE DATABASE ${TEMPLATE}`);
  const template = connect(postgres.url(TEMPLATE), {
    role: null,
    application: 'tests',
    connectionsMax: 2,
  });
  await migrateDatabase(template, MIGRATIONS, null);
  await template.close();
  await admin.sql.unsafe(`CREATE SEQUENCE IF NOT EXISTS taken_namespaces MINVALUE 0 START 0`);
  await admin.close();
  const namespaces = Array.from({ length: NAMESPACES }, (_, at) => `test-${at}`);
  const temporal = await startTemporal({
    folder,
    namespaces,
    say: () => undefined,
    inMemory: true,
    settings: SETTINGS,
  });
  project.provide('servers', {
    admin: postgres.url('postgres'),
    template: TEMPLATE,
    target: urls.target,
    observer: urls.observer,
    legacy: urls.legacy,
    temporal: temporal.address,
    namespaces,
  });
  return async () => {
    await temporal.stop();
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  };
}
