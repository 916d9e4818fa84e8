// Databases of the embedded server: our own, and a sample target with something in it, so that a new
// installation can issue its first login within a minute.
import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import postgres, { type Sql } from 'postgres';
import type { EmbeddedPostgres } from './postgres.ts';

export interface EmbeddedUrls {
  /** The owner of our schema. */
  admin: string;
  /** What the service connects as; it takes its role from there. */
  service: string;
  /** The issuer on the sample target: may create roles, owns nothing. */
  target: string;
  /** The observer of the sample target: may read its log and its catalog, nothing else. */
  observer: string;
  /** An old shared login of the sample, as many databases have one: standing access, past every gate. */
  legacy: string;
}

export const OWN_DATABASE = 'countersign';
const SAMPLE_DATABASE = 'sample';

const LOGINS = [
  'countersign_app',
  'countersign_issuer',
  'countersign_observer',
  'legacy_batch',
] as const;
type Login = (typeof LOGINS)[number];

/** Makes what is missing and says how to reach it. Everything here can be repeated. */
export async function prepareDatabases(
  server: EmbeddedPostgres,
  folder: string,
): Promise<EmbeddedUrls> {
  const passwords = await readPasswords(folder);
  const sql = postgres(server.url('postgres'), { max: 1, onnotice: () => undefined });
  try {
    for (const login of LOGINS) await ensureLogin(sql, login, passwords[login]);
    await sql.unsafe('ALTER ROLE countersign_issuer CREATEROLE');
    await sql.unsafe('GRANT pg_signal_backend TO countersign_issuer');
    // Where the log is, and what is in its folder.
    await sql.unsafe('GRANT pg_monitor TO countersign_observer');
    for (const database of [OWN_DATABASE, SAMPLE_DATABASE]) await ensureDatabase(sql, database);
    // Roles belong to the whole server: without this an issued login could open every database of it.
    for (const database of ['postgres', 'template1', OWN_DATABASE, SAMPLE_DATABASE])
      await sql.unsafe(`REVOKE CONNECT ON DATABASE ${database} FROM PUBLIC`);
    await sql.unsafe(`GRANT CONNECT ON DATABASE ${OWN_DATABASE} TO countersign_app`);
    // The sample's own log says who ran what; only this database pays for that.
    await sql.unsafe(`ALTER DATABASE ${SAMPLE_DATABASE} SET log_statement = 'all'`);
  } finally {
    await sql.end({ timeout: 2 });
  }
  await prepareSample(server.url(SAMPLE_DATABASE));
  const url = (login: Login, database: string): string =>
    server.url(database, login, passwords[login]);
  return {
    admin: server.url(OWN_DATABASE),
    service: url('countersign_app', OWN_DATABASE),
    target: url('countersign_issuer', SAMPLE_DATABASE),
    observer: url('countersign_observer', SAMPLE_DATABASE),
    legacy: url('legacy_batch', SAMPLE_DATABASE),
  };
}

async function readPasswords(folder: string): Promise<Record<Login, string>> {
  const file = path.join(folder, 'passwords.json');
  const known: unknown = JSON.parse(await readFile(file, 'utf8').catch(() => '{}'));
  const passwords = { ...fresh(), ...asPasswords(known) };
  await writeFile(file, JSON.stringify(passwords, null, 2), { mode: 0o600 });
  return passwords;
}

const newPassword = (): string => randomBytes(24).toString('base64url');
const fresh = (): Record<Login, string> => ({
  countersign_app: newPassword(),
  countersign_issuer: newPassword(),
  countersign_observer: newPassword(),
  legacy_batch: newPassword(),
});
/** Written by this module alone. */
const asPasswords = (known: unknown): Partial<Record<Login, string>> =>
  known as Partial<Record<Login, string>>;

async function ensureLogin(sql: Sql, login: Login, password: string): Promise<void> {
  const [there] = await sql`select 1 from pg_roles where rolname = ${login}`;
  if (!there) await sql.unsafe(`CREATE ROLE ${login} LOGIN`);
  // base64url has no quote to escape.
  await sql.unsafe(`ALTER ROLE ${login} PASSWORD '${password}'`);
}

async function ensureDatabase(sql: Sql, name: string): Promise<void> {
  const [there] = await sql`select 1 from pg_database where datname = ${name}`;
  if (!there) await sql.unsafe(`CREATE DATABASE ${name}`);
}

async function prepareSample(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    const mark = `sample ${createHash('sha256').update(SAMPLE).digest('hex')}`;
    const [known] = await sql`
      select from pg_database where datname = ${SAMPLE_DATABASE} and shobj_description(oid, 'pg_database') = ${mark}`;
    // The owner's work is in the log that is observed, so it is done once and not at every start.
    if (known) return;
    await sql.unsafe(`${SAMPLE}; COMMENT ON DATABASE ${SAMPLE_DATABASE} IS '${mark}'`);
  } finally {
    await sql.end({ timeout: 2 });
  }
}

const SAMPLE = `
CREATE TABLE IF NOT EXISTS customers (
  id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  name text NOT NULL
);
CREATE TABLE IF NOT EXISTS orders (
  id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  customer integer NOT NULL REFERENCES customers,
  item text NOT NULL,
  cents integer NOT NULL,
  state text NOT NULL DEFAULT 'placed'
);
CREATE TABLE IF NOT EXISTS payouts (
  id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  customer integer NOT NULL REFERENCES customers,
  cents integer NOT NULL,
  state text NOT NULL DEFAULT 'planned'
);
DO $$
DECLARE role text;
BEGIN
  IF NOT EXISTS (SELECT FROM customers) THEN
    INSERT INTO customers (name) VALUES ('Ada'), ('Blaise'), ('Grace');
    INSERT INTO orders (customer, item, cents)
      SELECT 1 + n % 3, (ARRAY['lamp', 'chair', 'desk'])[1 + n % 3], 1000 + n * 250 FROM generate_series(1, 12) n;
    INSERT INTO payouts (customer, cents) SELECT 1 + n % 3, 5000 + n * 100 FROM generate_series(1, 6) n;
  END IF;
  FOREACH role IN ARRAY ARRAY['orders_read', 'orders_write', 'payouts_write'] LOOP
    IF to_regrole(role) IS NULL THEN EXECUTE format('CREATE ROLE %I NOLOGIN', role); END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE sample TO %I', role);
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role);
    EXECUTE format('GRANT %I TO countersign_issuer WITH ADMIN OPTION, INHERIT FALSE, SET FALSE', role);
  END LOOP;
END $$;
GRANT SELECT ON customers, orders TO orders_read;
GRANT SELECT ON customers TO orders_write;
GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO orders_write;
GRANT SELECT ON customers TO payouts_write;
GRANT SELECT, INSERT, UPDATE ON payouts TO payouts_write;
GRANT CONNECT ON DATABASE sample TO countersign_issuer, countersign_observer, legacy_batch;
GRANT USAGE ON SCHEMA public TO legacy_batch;
GRANT SELECT, INSERT, UPDATE ON orders, payouts TO legacy_batch;
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean) TO countersign_observer;
`;
