// How long it takes to issue a credential of each kind at its target, and to revoke it until it is seen gone. Our own
// database is not part of it. A measurement to look at, not a test: other work on the machine shows in it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { jwtIssuer } from '../activities/issuers/jwt.ts';
import { mysqlIssuer } from '../activities/issuers/mysql.ts';
import { postgresIssuer } from '../activities/issuers/postgres.ts';
import { redisIssuer } from '../activities/issuers/redis.ts';
import { startPostgres } from '../cli/embedded/postgres.ts';
import { prepareDatabases } from '../cli/embedded/sample.ts';
import { jwtRole, OWN_TOKENS } from '../commands/access/jwt.ts';
import type { RoleDefinition } from '../commands/access/kinds.ts';
import { mysqlRole, mysqlTarget } from '../commands/access/mysql.ts';
import { postgresRole, postgresTarget } from '../commands/access/postgres.ts';
import { redisRole, redisTarget } from '../commands/access/redis.ts';
import type { Issuer, LeaseToIssue, TargetRef } from '../commands/credentials/issuer.ts';
import {
  anyRole,
  ended,
  leaseOf,
  withoutHandles,
} from '../test/support/issuer-fixtures/fixture.ts';
import { startMariaDb } from '../test/support/mariadb.ts';
import { quantile } from '../test/support/quantile.ts';
import { startRedis } from '../test/support/redis.ts';
import { fileKey, tokensOf } from '../test/support/signing.ts';

const ROUNDS = Number(process.argv[2] ?? 200);
/** As the reaper does it. */
const BATCH = 100;
const WARM_UP = 10;

interface Figures {
  name: string;
  issue: number[];
  revoke: number[];
  /** Milliseconds for each of a batch that is revoked together. */
  batched: number | null;
}

const all: Figures[] = [await tokens(), await postgres(), await mariadb(), await redis()];
const at = (values: readonly number[], share: number): string =>
  quantile(values, share)?.toFixed(1) ?? '';
const say = (line: string): void => void process.stdout.write(`${line}\n`);
say(`${ROUNDS} of each, one after the other; milliseconds.`);
say('');
say('| kind     | issue p50 | p99    | revoke p50 | p99    | each of 100 |');
say('| -------- | --------- | ------ | ---------- | ------ | ----------- |');
for (const { name, issue, revoke, batched } of all) {
  const cells = [
    name.padEnd(8),
    at(issue, 0.5).padStart(9),
    at(issue, 0.99).padStart(6),
    at(revoke, 0.5).padStart(10),
    at(revoke, 0.99).padStart(6),
    (batched === null ? '' : batched.toFixed(1)).padStart(11),
  ];
  say(`| ${cells.join(' | ')} |`);
}
process.exit();

async function measure(
  name: string,
  issuer: Issuer,
  role: RoleDefinition,
  target: TargetRef,
): Promise<Figures> {
  const figures: Figures = { name, issue: [], revoke: [], batched: null };
  for (let round = -WARM_UP; round < ROUNDS; round += 1) {
    const lease = leaseOf(role, target);
    const issue = await timed(() => issuer.issue(lease));
    const revoke = await timed(() => endAll(issuer, [lease]));
    if (round < 0) continue;
    figures.issue.push(issue);
    figures.revoke.push(revoke);
  }
  const leases = Array.from({ length: BATCH }, () => leaseOf(role, target));
  for (const lease of leases) await issuer.issue(lease);
  figures.batched = (await timed(() => endAll(issuer, leases))) / BATCH;
  return figures;
}

async function endAll(issuer: Issuer, leases: readonly LeaseToIssue[]): Promise<void> {
  const [first] = leases;
  if (!first) return;
  const ids = leases.map(({ credential }) => credential);
  const outcomes = await ended(issuer, first.target, withoutHandles(ids));
  if (!outcomes.every(({ isOver }) => isOver)) throw new Error('a credential did not end');
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

async function tokens(): Promise<Figures> {
  const issuer = jwtIssuer(await tokensOf([await fileKey('active')]), 'https://issuer.example');
  const role = jwtRole.parse({ ...anyRole, issuer: 'jwt', audience: 'https://api.example' });
  const figures = await measure('jwt', issuer, role, { name: OWN_TOKENS, definition: null });
  return { ...figures, revoke: [], batched: null };
}

async function postgres(): Promise<Figures> {
  const folder = await mkdtemp(path.join(tmpdir(), 'countersign-bench-'));
  const password = 'owner-password';
  const options = { folder: path.join(folder, 'postgres'), password, port: 0 };
  const server = await startPostgres(options);
  const { target } = await prepareDatabases(server, folder);
  const issuer = postgresIssuer(() => target, 'countersign bench attempt ');
  const definition = postgresTarget.parse({ issuer: 'postgres', url_from: 'TARGET' });
  const role = postgresRole.parse({
    ...anyRole,
    issuer: 'postgres',
    target: 'sample',
    member_of: ['orders_read'],
  });
  try {
    return await measure('postgres', issuer, role, { name: 'sample', definition });
  } finally {
    await issuer.close();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function mariadb(): Promise<Figures> {
  const server = await startMariaDb();
  const issuer = mysqlIssuer((name) => (name === 'CA' ? server.ca : server.url), 'bench');
  const definition = mysqlTarget.parse({ issuer: 'mysql', url_from: 'TARGET', ca_from: 'CA' });
  const role = mysqlRole.parse({
    ...anyRole,
    issuer: 'mysql',
    target: 'shop',
    member_of: ['orders_read'],
  });
  try {
    return await measure('mariadb', issuer, role, { name: 'shop', definition });
  } finally {
    await issuer.close();
    await server.close();
  }
}

async function redis(): Promise<Figures> {
  const server = await startRedis({ aclFile: true });
  const issuer = redisIssuer((name) => (name === 'CA' ? server.ca : server.url), 'bench');
  const definition = redisTarget.parse({ issuer: 'redis', url_from: 'TARGET', ca_from: 'CA' });
  const role = redisRole.parse({
    ...anyRole,
    issuer: 'redis',
    target: 'cache',
    keys: ['orders:*'],
    commands: ['get'],
    backstop: 'none',
  });
  try {
    return await measure('redis', issuer, role, { name: 'cache', definition });
  } finally {
    await server.close();
  }
}
