// A MariaDB of its own for one test file: the server of the distribution, on a free port, with TLS and something in it.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createConnection, type Connection } from 'mysql2/promise';
import { tryPort } from '../../cli/embedded/process.ts';
import { certificate } from './certificate.ts';

const exec = promisify(execFile);
const MISSING = 'install MariaDB (Debian: mariadb-server, mariadb-client)';

export interface MariaDb {
  /** The issuer's URL of the database `orders`. */
  url: string;
  /** The certificate that the server shows, as its own authority. */
  ca: string;
  port: number;
  /** As the server's administrator. */
  root: Connection;
  /** Stops the server at once and starts it again, as after a crash. */
  crash(): Promise<void>;
  close(): Promise<void>;
}

/** What an administrator does once, as docs/credentials.md says it. */
const PREPARATION = `
CREATE DATABASE orders;
CREATE TABLE orders.orders (id INT PRIMARY KEY AUTO_INCREMENT, item VARCHAR(50) NOT NULL);
INSERT INTO orders.orders (item) VALUES ('lamp'), ('chair'), ('desk');
CREATE TABLE orders.payouts (id INT PRIMARY KEY);
CREATE ROLE orders_read; GRANT SELECT ON orders.orders TO orders_read;
CREATE ROLE orders_write; GRANT SELECT, INSERT, UPDATE, EVENT ON orders.* TO orders_write;
CREATE ROLE payouts_write; GRANT INSERT ON orders.payouts TO payouts_write;
CREATE DATABASE countersign;
CREATE USER countersign_issuer@'%' IDENTIFIED BY 'issuer-password' REQUIRE SSL;
GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO countersign_issuer@'%';
GRANT EVENT ON countersign.* TO countersign_issuer@'%';
GRANT UPDATE ON mysql.* TO countersign_issuer@'%';
GRANT SELECT (Host, User) ON mysql.user TO countersign_issuer@'%';
GRANT orders_read TO countersign_issuer@'%' WITH ADMIN OPTION;
GRANT orders_write TO countersign_issuer@'%' WITH ADMIN OPTION`;

export async function startMariaDb(options: readonly string[] = []): Promise<MariaDb> {
  const folder = await mkdtemp(path.join(tmpdir(), 'countersign-mariadb-'));
  const data = path.join(folder, 'data');
  await mkdir(data);
  const { key, cert, pem } = await certificate(folder);
  // The server refuses to run as root, and another user has to be able to read what it is given.
  const asRoot = process.getuid?.() === 0;
  if (asRoot) {
    await chmod(folder, 0o755);
    await exec('chown', ['-R', 'mysql', folder]).catch((cause: unknown) => {
      throw new Error(MISSING, { cause });
    });
  }
  const user = asRoot ? ['--user=mysql'] : [];
  await exec('mariadb-install-db', [
    '--no-defaults',
    ...user,
    `--datadir=${data}`,
    '--auth-root-authentication-method=normal',
    '--skip-test-db',
  ]).catch((cause: unknown) => {
    throw new Error(MISSING, { cause });
  });
  const port = (await tryPort(0, '127.0.0.1')) ?? 0;
  const socket = path.join(folder, 's');
  const log = path.join(folder, 'log');
  const start = (): ChildProcess =>
    spawn(
      'mariadbd',
      [
        '--no-defaults',
        ...user,
        `--datadir=${data}`,
        `--socket=${socket}`,
        `--port=${port}`,
        '--bind-address=127.0.0.1',
        `--ssl-cert=${cert}`,
        `--ssl-key=${key}`,
        `--log-error=${log}`,
        '--event-scheduler=ON',
        '--innodb-buffer-pool-size=16M',
        '--innodb-log-file-size=4M',
        ...options,
      ],
      { stdio: 'ignore' },
    );
  let server = start();
  let root = await connected(socket, log);
  await root.query(PREPARATION);
  return {
    url: `mysql://countersign_issuer:issuer-password@127.0.0.1:${port}/orders`,
    ca: pem,
    port,
    get root() {
      return root;
    },
    crash: async () => {
      await end(server, root, 'SIGKILL');
      server = start();
      root = await connected(socket, log);
    },
    close: async () => {
      await end(server, root, 'SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function connected(socketPath: string, log: string): Promise<Connection> {
  for (let tries = 0; ; tries += 1) {
    const connection = await createConnection({
      socketPath,
      user: 'root',
      multipleStatements: true,
    }).catch(() => null);
    if (connection) return connection;
    if (tries > 200)
      throw new Error(
        `MariaDB does not start: ${await readFile(log, 'utf8').catch(() => MISSING)}`,
      );
    await sleep(100);
  }
}

async function end(server: ChildProcess, root: Connection, signal: NodeJS.Signals): Promise<void> {
  root.destroy();
  const ended = once(server, 'exit');
  server.kill(signal);
  await ended;
}
