// Puts the service together. The only place that constructs things.
import { lookup } from 'node:dns/promises';
import path from 'node:path';
import { upstreamCaller } from '../activities/caller.ts';
import {
  checkDestination,
  EgressError,
  openEgress,
  type Egress,
  type EgressPolicy,
} from '../activities/egress.ts';
import { openExchange } from '../activities/exchange.ts';
import { openForeignTrust } from '../activities/foreign-trust.ts';
import { awsIssuer } from '../activities/issuers/aws.ts';
import { githubIssuer } from '../activities/issuers/github.ts';
import { jwtIssuer } from '../activities/issuers/jwt.ts';
import { kubernetesIssuer } from '../activities/issuers/kubernetes.ts';
import { mysqlIssuer } from '../activities/issuers/mysql.ts';
import { oauthIssuer } from '../activities/issuers/oauth.ts';
import { postgresIssuer } from '../activities/issuers/postgres.ts';
import { redisIssuer } from '../activities/issuers/redis.ts';
import { staticIssuer } from '../activities/issuers/static.ts';
import { x509Issuer } from '../activities/issuers/x509.ts';
import { postgresRunner } from '../activities/runner.ts';
import { openAuthorities } from '../commands/credentials/authorities.ts';
import type { Deps } from '../commands/deps.ts';
import { jsonLog, type Log } from '../commands/log-line.ts';
import { openBundleStore } from '../commands/sign-in/foreign-bundles.ts';
import type { ForeignTrust } from '../commands/sign-in/foreign-trust.ts';
import { connect, type Database } from '../db/client.ts';
import { schemaState } from '../db/migrate.ts';
import { installation } from '../db/schema/index.ts';
import { digestOf } from '../domain/digest.ts';
import { Refusal } from '../domain/refusal.ts';
import { openKeyring, type Keyring } from '../keys/keyring.ts';
import type { KeyDriver } from '../keys/signer.ts';
import { openTokenKeys } from '../keys/tokens.ts';
import { crashPoints, isLoopback, type Config } from './config.ts';
import { messageOf, StartError } from './embedded/process.ts';
import { MIGRATIONS } from './package.ts';
import { openSigning } from './signing.ts';

export interface Service {
  config: Config;
  db: Database;
  keys: Keyring;
  /** Where new keys that sign are made. */
  keyDriver: KeyDriver;
  deps: Deps;
  egress: Egress;
  trust: ForeignTrust;
  log: Log;
  close(): Promise<void>;
}

export const openKeys = (config: Config): Promise<Keyring> =>
  openKeyring(path.join(config.state, 'keys')).catch((cause: unknown) => {
    throw new StartError(
      `the keys in ${path.join(config.state, 'keys')} cannot be read or made: ${messageOf(cause)}`,
      { cause },
    );
  });

/** Everything that `serve` and `worker` have in common. */
export async function openService(
  config: Config,
  name: string,
  connectionsMax: number,
): Promise<Service> {
  const log = jsonLog((line) => config.logs && process.stdout.write(line), name);
  const keys = await openKeys(config);
  const db = connect(requireDatabase(config), {
    role: 'service',
    application: `countersign ${name}`,
    connectionsMax,
  });
  const facts = await readInstallation(db);
  const signing = await openSigning(config, keys.vault, db, name, log);
  const tokens = openTokenKeys(signing.ring);
  const egress = openEgress(egressPolicy(config));
  const world = { egress, secrets: config.secret, now: Date.now };
  const mark = deploymentMark(facts);
  const postgres = postgresIssuer(config.secret, mark);
  const mysql = mysqlIssuer(config.secret, mark);
  const unit = { db, installation: facts, vault: keys.vault, crashPoint: crashPoints(config) };
  const authorities = openAuthorities({
    unit,
    db: signing.db,
    ring: signing.authorities,
    drivers: signing.drivers,
  });
  const deps: Deps = {
    ...unit,
    tokens,
    authorities,
    policies: new Map(),
    issuers: {
      aws: awsIssuer(world, tokens, facts.issuer),
      github: githubIssuer(world),
      jwt: jwtIssuer(tokens, facts.issuer),
      kubernetes: kubernetesIssuer(world, deploymentMark(facts)),
      oauth: oauthIssuer(world, tokens),
      static: staticIssuer(unit),
      mysql,
      postgres,
      redis: redisIssuer(config.secret, mark),
      x509: x509Issuer({ unit, authorities, now: Date.now }),
    },
    runner: postgresRunner(config.secret),
    caller: upstreamCaller(openExchange(egressPolicy(config)), config.secret),
  };
  const close = async (): Promise<void> => {
    await Promise.all([mysql.close(), postgres.close()]);
    await signing.close();
    await db.close();
  };
  const trust = openForeignTrust({
    egress,
    bundles: openBundleStore(unit),
    secret: config.secret,
    now: Date.now,
  });
  return { config, db, keys, keyDriver: signing.driver, deps, egress, trust, log, close };
}

export function requireDatabase(config: Config): string {
  if (config.databaseUrl === null)
    throw new StartError('DATABASE_URL is not set: set it, or use countersign start.');
  return config.databaseUrl;
}

/** What roles of ours carry in a target: no two deployments share it, so none ends the logins of another. */
const deploymentMark = (facts: InstallationRow): string =>
  `countersign ${digestOf('countersign/deployment/v1', { ...facts }).slice('sha256:'.length, 'sha256:'.length + 32)} attempt `;

type InstallationRow = typeof installation.$inferSelect;

async function readInstallation(db: Database): Promise<InstallationRow> {
  try {
    const state = await schemaState(db, MIGRATIONS);
    if (state !== 'ok') throw new StartError(`${state}.`);
    const [row] = await db.query.select().from(installation);
    if (!row) throw new StartError('the database is empty: run countersign migrate.');
    return row;
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw new StartError(`the database cannot be reached: ${messageOf(error)}`, { cause: error });
  }
}

/** Where the service listens on loopback only, whoever calls it is on this machine, and so may callbacks be. */
const egressPolicy = (config: Config): EgressPolicy => ({
  allow: config.egressAllow,
  loopback: isLoopback(config.host),
});

/** Refuses callback addresses that would be refused when the time comes. */
export const callbackCheck =
  (config: Config) =>
  async (url: string): Promise<void> => {
    try {
      await checkDestination(url, egressPolicy(config));
    } catch (error) {
      if (error instanceof EgressError)
        throw new Refusal(
          'callback_refused',
          `${error.message} Callbacks go to public https addresses.`,
        );
      throw error;
    }
  };

/** Names under which the service may be called. */
export async function allowedHosts(config: Config): Promise<ReadonlySet<string>> {
  const { host } = config;
  const secure = [config.tls?.port, config.spiffePort].filter((port) => typeof port === 'number');
  const ports = [config.port, ...secure];
  const names = ['localhost', '127.0.0.1', '[::1]', host.includes(':') ? `[${host}]` : host];
  const hosts = new Set(
    names.flatMap((name) =>
      ports.flatMap((port) => [`${name}:${port}`, ...(port === 80 || port === 443 ? [name] : [])]),
    ),
  );
  const url = new URL(config.publicUrl);
  for (const port of secure) hosts.add(new URL(`https://${url.hostname}:${port}`).host);
  hosts.add(url.host);
  hosts.add(`${url.hostname}:${url.port || (url.protocol === 'https:' ? 443 : 80)}`);
  await lookup(host).catch(() => {
    throw new StartError(`HOST is "${host}", which is no address of this machine.`);
  });
  return new Set([...hosts].map((name) => name.toLowerCase()));
}
