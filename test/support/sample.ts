// A sample target for one test file: a copy of the sample database, so that what its logins do, its observer sees
// and its sweeps end is nobody else's.
import { randomUUID } from 'node:crypto';
import { inject } from 'vitest';
import { connect } from '../../db/client.ts';

export interface SampleTarget {
  database: string;
  /** As the issuer, as the observer, and as the old shared login that the sample has. */
  target: string;
  observer: string;
  legacy: string;
  close(): Promise<void>;
}

/** Who may open the sample: a copy of a database does not take over who may. */
const LOGINS = [
  'countersign_issuer',
  'countersign_observer',
  'legacy_batch',
  'orders_read',
  'orders_write',
  'payouts_write',
];

/** Copying wants the copied database to itself, and another test file may be copying just now. */
export const COPY_LOCK = 77;

export async function freshSample(): Promise<SampleTarget> {
  const servers = inject('servers');
  const database = `sample_${randomUUID().replaceAll('-', '').slice(0, 12)}`;
  const admin = connect(servers.admin, { role: null, application: 'tests', connectionsMax: 1 });
  await admin.sql`select pg_advisory_lock(${COPY_LOCK})`;
  await admin.sql.unsafe(`CREATE DATABASE ${database} TEMPLATE sample`);
  await admin.sql`select pg_advisory_unlock(${COPY_LOCK})`;
  await admin.sql.unsafe(`REVOKE CONNECT ON DATABASE ${database} FROM PUBLIC`);
  await admin.sql.unsafe(`GRANT CONNECT ON DATABASE ${database} TO ${LOGINS.join(', ')}`);
  await admin.sql.unsafe(`ALTER DATABASE ${database} SET log_statement = 'all'`);
  const inside = (url: string): string => {
    const moved = new URL(url);
    moved.pathname = `/${database}`;
    return moved.href;
  };
  return {
    database,
    target: inside(servers.target),
    observer: inside(servers.observer),
    legacy: inside(servers.legacy),
    close: async () => {
      await admin.sql.unsafe(`DROP DATABASE ${database} WITH (FORCE)`);
      await admin.close();
    },
  };
}
