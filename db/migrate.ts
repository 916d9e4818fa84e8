// Brings a database to this build's schema, and refuses one that a newer build has already changed.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { sql } from 'drizzle-orm';
import { migrate } from 'drizzle-orm/postgres-js/migrator';
import { databaseRole, type Database } from './client.ts';

export class SchemaError extends Error {}

/** Held while migrating, so that two processes that start together do not both migrate. */
const MIGRATION_LOCK = 4_871_200_311;

interface Journal {
  entries: { tag: string; when: number }[];
}

/** Migrates, makes the service's database roles, and grants each what it needs and no more. */
export async function migrateDatabase(
  db: Database,
  migrations: string,
  serviceUrl: string | null,
): Promise<void> {
  const session = await db.sql.reserve();
  try {
    await session`select pg_advisory_lock(${MIGRATION_LOCK})`;
    await refuseNewerSchema(db, migrations);
    await migrate(db.query, { migrationsFolder: migrations });
    await ensureRoles(db, loginOf(serviceUrl));
    await grant(db);
    await db.query.execute(sql`select countersign_ensure_partitions()`);
  } finally {
    await session`select pg_advisory_unlock(${MIGRATION_LOCK})`;
    session.release();
  }
}

/** Whether the database is at exactly this build's schema: `ok`, or what is wrong with it. */
export async function schemaState(db: Database, migrations: string): Promise<string> {
  const known = await readJournal(migrations);
  const applied = await appliedMigrations(db);
  const newest = known.entries.at(-1)?.when ?? 0;
  const at = applied.at(-1) ?? 0;
  if (at === newest) return 'ok';
  return at > newest
    ? 'the database schema is newer than this build: start the newer version again'
    : 'the database schema is older than this build: run countersign migrate';
}

async function refuseNewerSchema(db: Database, migrations: string): Promise<void> {
  const state = await schemaState(db, migrations);
  if (state.includes('newer')) throw new SchemaError(state);
}

async function readJournal(migrations: string): Promise<Journal> {
  const text = await readFile(path.join(migrations, 'meta', '_journal.json'), 'utf8');
  return asJournal(JSON.parse(text));
}

/** The journal is written by drizzle-kit and shipped with the build, so its shape is ours. */
const asJournal = (parsed: unknown): Journal => parsed as Journal;

async function appliedMigrations(db: Database): Promise<number[]> {
  const [table] = await db.sql<{ there: boolean }[]>`
    select to_regclass('drizzle.__drizzle_migrations') is not null as there`;
  if (!table?.there) return [];
  const rows = await db.sql<{ at: string }[]>`
    select created_at::text as at from drizzle.__drizzle_migrations order by created_at`;
  return rows.map((row) => Number(row.at));
}

const ROLES = ['service', 'sequencer', 'reader'] as const;

/** The login that the service will use, which may be another than the one that migrates. */
function loginOf(serviceUrl: string | null): string | null {
  return serviceUrl === null ? null : decodeURIComponent(new URL(serviceUrl).username) || null;
}

/** Group roles without a login. Whoever migrates and whoever serves become members. */
async function ensureRoles(db: Database, login: string | null): Promise<void> {
  for (const role of ROLES) {
    const name = databaseRole(role);
    // Roles belong to the cluster: another database's migration may be making the same one right now.
    await db.sql.unsafe(`
      DO $$ BEGIN
        IF to_regrole('${name}') IS NULL THEN
          BEGIN CREATE ROLE ${name} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
        END IF;
        IF NOT pg_has_role(current_user, '${name}', 'SET') THEN
          EXECUTE format('GRANT ${name} TO %I', current_user);
        END IF;
      END $$`);
    if (login !== null) await grantRole(db, name, login);
  }
}

async function grantRole(db: Database, role: string, login: string): Promise<void> {
  const [member] = await db.sql<
    { is: boolean }[]
  >`select pg_has_role(${login}, ${role}, 'SET') as is`;
  if (!member?.is) await db.sql.unsafe(`GRANT ${role} TO "${login.replaceAll('"', '""')}"`);
}

/** Tables the service may only add to. */
const INSERT_ONLY = ['event', 'log_pending'];
/** Tables that only the sequencer writes. */
const SEQUENCER_ONLY = ['log_entry', 'log_tile', 'log_head'];

async function grant(db: Database): Promise<void> {
  const [service, sequencer, reader] = ROLES.map(databaseRole);
  const database = await db.sql<{ name: string }[]>`select current_database() as name`;
  const name = database[0]?.name.replaceAll('"', '""');
  await db.sql.unsafe(`
    REVOKE CONNECT ON DATABASE "${name}" FROM PUBLIC;
    GRANT USAGE ON SCHEMA public TO ${service}, ${sequencer}, ${reader};
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${service};
    REVOKE INSERT, UPDATE, DELETE ON ${[...INSERT_ONLY, ...SEQUENCER_ONLY].join(', ')} FROM ${service};
    GRANT INSERT ON ${INSERT_ONLY.join(', ')} TO ${service};
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${sequencer}, ${reader};
    REVOKE SELECT ON session, sign_in_link, event_private, integration, signing_key FROM ${reader}, ${sequencer};
    GRANT DELETE, UPDATE ON log_pending TO ${sequencer};
    GRANT INSERT ON log_entry, log_tile, log_head TO ${sequencer};
    GRANT UPDATE ON log_tile, log_head TO ${sequencer};
    GRANT SELECT ON drizzle.__drizzle_migrations TO ${service}, ${reader};
    GRANT USAGE ON SCHEMA drizzle TO ${service}, ${reader};
    REVOKE EXECUTE ON FUNCTION countersign_ensure_partitions() FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION countersign_ensure_partitions() TO ${service};`);
}
