// The PostgreSQL of the distribution, older than the one that comes along, with what ours has switched off.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import postgres, { type Sql } from 'postgres';
import { tryPort } from '../../cli/embedded/process.ts';

const run = promisify(execFile);
const FOLDER = '/usr/lib/postgresql';
const MISSING = 'install the PostgreSQL server (Debian: postgresql)';

export interface OlderPostgres {
  /** The issuer's URL of the database `sample`. */
  url: string;
  /** As the administrator, in a database. */
  root(database: string): Sql;
  close(): Promise<void>;
}

/** What an administrator does once, as docs/credentials.md says it for versions before 16. */
const PREPARATION = `
CREATE ROLE countersign_issuer LOGIN CREATEROLE PASSWORD 'issuer-password';
GRANT pg_signal_backend TO countersign_issuer;
CREATE ROLE orders_write NOLOGIN;
GRANT orders_write TO countersign_issuer WITH ADMIN OPTION`;

const INSIDE = `
CREATE TABLE orders (id integer PRIMARY KEY, item text);
INSERT INTO orders VALUES (1, 'lamp'), (2, 'chair');
GRANT SELECT, INSERT, UPDATE ON orders TO orders_write;
CREATE SCHEMA work; GRANT CREATE, USAGE ON SCHEMA work TO orders_write`;

/** Starts it with two databases that its logins may open, one of them under a name that is hard to quote. */
export async function startOlderPostgres(otherDatabase: string): Promise<OlderPostgres> {
  const binaries = await findBinaries();
  const folder = await mkdtemp(path.join(tmpdir(), 'countersign-older-'));
  const asRoot = process.getuid?.() === 0;
  if (asRoot) {
    await chmod(folder, 0o755);
    await run('chown', ['postgres', folder]);
  }
  const as = asRoot ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups'] : [];
  const [initdb, ...initdbArgs] = [...as, path.join(binaries, 'initdb')];
  const data = path.join(folder, 'data');
  // Passwords as older installations keep them; ours bring their own.
  const cluster = ['-D', data, '-U', 'root', '--auth-local=trust', '--auth-host=md5', '--no-sync'];
  await run(initdb, [...initdbArgs, ...cluster], { cwd: folder });
  const port = (await tryPort(0, '127.0.0.1')) ?? 0;
  const settings = Object.entries({
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: folder,
    password_encryption: 'md5',
    max_prepared_transactions: 10,
    wal_level: 'logical',
    max_replication_slots: 5,
    fsync: 'off',
  }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const [command = '', ...args] = [...as, path.join(binaries, 'postgres'), '-D', data, ...settings];
  const server = spawn(command, args, { stdio: 'ignore', cwd: folder });
  const connections: Sql[] = [];
  const root = (database: string): Sql => {
    const options = { host: folder, port, user: 'root', max: 1, onnotice: () => undefined };
    const sql = postgres({ ...options, database });
    connections.push(sql);
    return sql;
  };
  const admin = root('postgres');
  await untilReady(admin);
  await admin.unsafe(PREPARATION);
  for (const database of ['sample', otherDatabase]) {
    await admin`CREATE DATABASE ${admin(database)}`;
    await admin`REVOKE CONNECT ON DATABASE ${admin(database)} FROM PUBLIC`;
    await admin`GRANT CONNECT ON DATABASE ${admin(database)} TO orders_write, countersign_issuer`;
    await root(database).unsafe(INSIDE);
  }
  return {
    url: `postgres://countersign_issuer:issuer-password@127.0.0.1:${port}/sample`,
    root,
    close: async () => {
      await Promise.all(connections.map((sql) => sql.end({ timeout: 1 })));
      const ended = once(server, 'exit');
      server.kill('SIGINT');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function findBinaries(): Promise<string> {
  const versions = await readdir(FOLDER).catch(() => []);
  const found = versions
    .map((version) => path.join(FOLDER, version, 'bin'))
    .find((folder) => existsSync(path.join(folder, 'initdb')));
  if (found === undefined) throw new Error(MISSING);
  return found;
}

async function untilReady(sql: Sql): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    const answer = await sql`select 1`.catch(() => null);
    if (answer) return;
    if (tries > 100) throw new Error('the PostgreSQL of the distribution does not start');
    await sleep(100);
  }
}
