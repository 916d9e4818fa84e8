// The whole service inside a test: real database, real Temporal, real worker, real HTTP on a port of its own.
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inject } from 'vitest';
import { readConfig, type Config } from '../../cli/config.ts';
import { tryPort } from '../../cli/embedded/process.ts';
import { migrate } from '../../cli/migrate.ts';
import type { Running } from '../../cli/running.ts';
import { serve } from '../../cli/serve.ts';
import { work } from '../../cli/worker.ts';
import { connect, type Database } from '../../db/client.ts';
import type { TestTarget } from './client.ts';
import { COPY_LOCK, freshSample, type SampleTarget } from './sample.ts';

export interface TestDatabase {
  name: string;
  /** As the owner of the schema. */
  owner: Database;
  url: string;
  close(): Promise<void>;
}

/** A database of its own, copied from the migrated template. */
export async function freshDatabase(): Promise<TestDatabase> {
  const { admin, template } = inject('servers');
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const maintenance = connect(admin, { role: null, application: 'tests', connectionsMax: 1 });
  await maintenance.sql`select pg_advisory_lock(${COPY_LOCK})`;
  await maintenance.sql.unsafe(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  await maintenance.sql`select pg_advisory_unlock(${COPY_LOCK})`;
  const url = new URL(admin);
  url.pathname = `/${name}`;
  const owner = connect(url.href, { role: null, application: 'tests', connectionsMax: 4 });
  return {
    name,
    owner,
    url: url.href,
    close: async () => {
      await owner.close();
      await maintenance.sql.unsafe(`DROP DATABASE ${name} WITH (FORCE)`);
      await maintenance.close();
    },
  };
}

export interface TestService extends TestTarget {
  config: Config;
  database: TestDatabase;
  /** The target that the sample policy issues logins for. */
  sample: SampleTarget;
  worker: Running;
  /** Stops the worker, so that nothing moves between two steps of a test. */
  stopWorker(): Promise<void>;
  /** Stops the API as its process does when it is told to end. */
  stopApi(): Promise<void>;
  close(): Promise<void>;
}

export interface TestServiceOptions {
  /** Leave the worker out; the test looks at what the API alone does. */
  worker?: boolean;
  env?: Record<string, string>;
}

export async function startService(options: TestServiceOptions = {}): Promise<TestService> {
  const servers = inject('servers');
  const database = await freshDatabase();
  const sample = await freshSample();
  const state = await mkdtemp(path.join(tmpdir(), 'countersign-state-'));
  const port = (await tryPort(0, '127.0.0.1')) ?? 0;
  const adminToken = randomBytes(24).toString('hex');
  const config = readConfig({
    PORT: String(port),
    HOST: '127.0.0.1',
    COUNTERSIGN_STATE: state,
    COUNTERSIGN_ADMIN_TOKEN: adminToken,
    DATABASE_URL: database.url,
    TEMPORAL_ADDRESS: servers.temporal,
    TEMPORAL_NAMESPACE: await takeNamespace(database, servers.admin),
    COUNTERSIGN_SAMPLE_TARGET_URL: sample.target,
    COUNTERSIGN_SAMPLE_OBSERVER_URL: sample.observer,
    COUNTERSIGN_TEST: 'true',
    COUNTERSIGN_LOG: 'off',
    ...options.env,
  });
  await migrate(config);
  const worker = options.worker === false ? idle : await work(config);
  const api = await serve(config);
  let serving = true;
  const stopApi = async (): Promise<void> => {
    if (serving) {
      serving = false;
      await api.close();
    }
  };
  let working = true;
  const stopWorker = async (): Promise<void> => {
    if (working) await worker.close();
    working = false;
  };
  return {
    url: `http://127.0.0.1:${port}`,
    adminToken,
    publicUrl: config.publicUrl,
    config,
    database,
    sample,
    worker,
    stopWorker,
    stopApi,
    close: async () => {
      await stopApi();
      await stopWorker();
      await database.close();
      await sample.close();
      await rm(state, { recursive: true, force: true });
    },
  };
}

const idle: Running = {
  failed: new Promise<never>(() => undefined),
  close: () => Promise.resolve(),
};

async function takeNamespace(database: TestDatabase, admin: string): Promise<string> {
  const maintenance = connect(admin, { role: null, application: 'tests', connectionsMax: 1 });
  const [taken] = await maintenance.sql<
    { at: string }[]
  >`select nextval('taken_namespaces')::text as at`;
  await maintenance.close();
  const name = inject('servers').namespaces[Number(taken?.at ?? '0')];
  if (name === undefined) throw new Error(`no namespace is left for ${database.name}`);
  return name;
}
