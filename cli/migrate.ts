// Makes or updates everything an installation needs before its processes start.
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { ensureSigningKey } from '../commands/credentials/signing-keys.ts';
import { ensureFirstAdmin, makeSignInLink } from '../commands/people/people.ts';
import { activateFirstPolicy } from '../commands/policy/policies.ts';
import { PolicyError } from '../commands/policy/yaml.ts';
import { transact, type Call, type UnitDeps } from '../commands/unit.ts';
import { connect, type Database } from '../db/client.ts';
import { migrateDatabase, SchemaError } from '../db/migrate.ts';
import { installation } from '../db/schema/index.ts';
import { KEY_USES } from '../domain/signing-key.ts';
import { parseTrustDomain, SpiffeIdError } from '../domain/spiffe-id.ts';
import { openKeys, requireDatabase } from './compose.ts';
import type { Config } from './config.ts';
import { messageOf, StartError } from './embedded/process.ts';
import { MIGRATIONS, PACKAGE_ROOT } from './package.ts';
import { readPolicyFolder } from './policy-folder.ts';
import { keyDrivers } from './signing.ts';
import { prepareNamespace } from './temporal.ts';

export async function migrate(config: Config): Promise<void> {
  const url = config.databaseAdminUrl ?? requireDatabase(config);
  const db = connect(url, { role: null, application: 'countersign migrate', connectionsMax: 3 });
  try {
    await migrateDatabase(db, MIGRATIONS, config.databaseUrl);
    await fixNames(db, config);
  } catch (error) {
    if (error instanceof StartError) throw error;
    if (error instanceof SchemaError) throw new StartError(`${error.message}.`, { cause: error });
    throw new StartError(`the database could not be migrated: ${rootMessage(error)}`, {
      cause: error,
    });
  } finally {
    await db.close();
  }
  await withUnits(config, async (deps) => {
    const { first } = keyDrivers(config, deps.vault, () => undefined);
    for (const use of KEY_USES)
      await ensureSigningKey(deps, BY_OPERATOR, first, use).catch((cause: unknown) => {
        throw new StartError(`no key to sign with could be made: ${messageOf(cause)}`, { cause });
      });
    const files = await readPolicyFolder(config.policyFolder ?? path.join(PACKAGE_ROOT, 'policy'));
    await transact(deps, BY_OPERATOR, (unit) => activateFirstPolicy(unit, files));
    await transact(deps, BY_OPERATOR, ensureFirstAdmin);
  });
  if (config.temporalAddress !== null)
    await prepareNamespace(config, config.temporalAddress).catch((cause: unknown) => {
      throw new StartError(`Temporal cannot be reached: ${messageOf(cause)}`, { cause });
    });
}

/** Whoever can run this owns the installation anyway. */
const BY_OPERATOR: Call = { principal: { kind: 'service', id: 'operator' }, traceId: null };

/** A link that lets the first administrator in once. */
export async function adminLink(config: Config): Promise<string> {
  return withUnits(config, (deps) =>
    transact(deps, BY_OPERATOR, async (unit) => {
      const admin = await ensureFirstAdmin(unit);
      const { token } = await makeSignInLink(unit, admin);
      return `${config.publicUrl}/sign-in/${token}`;
    }),
  );
}

async function withUnits<T>(config: Config, use: (deps: UnitDeps) => Promise<T>): Promise<T> {
  const keys = await openKeys(config);
  const db = connect(requireDatabase(config), {
    role: 'service',
    application: 'countersign cli',
    connectionsMax: 2,
  });
  try {
    const [facts] = await db.query.select().from(installation);
    if (!facts) throw new StartError('the database is empty: run countersign migrate.');
    return await use({ db, installation: facts, vault: keys.vault, crashPoint: () => undefined });
  } catch (error) {
    if (error instanceof PolicyError)
      throw new StartError(`the policy has mistakes:\n${error.message}`, { cause: error });
    throw error;
  } finally {
    await db.close();
  }
}

/** Names that appear in what we sign. They stay what they were at the first migration. */
async function fixNames(db: Database, config: Config): Promise<void> {
  const host = new URL(config.publicUrl).hostname;
  const own = config.hasPublicUrl && host.includes('.') ? host : null;
  const trustDomain = readTrustDomain(config.trustDomain ?? own ?? 'countersign.local');
  await db.query
    .insert(installation)
    .values({
      issuer: config.publicUrl,
      trustDomain,
      // Origins should be unique in the world; a local installation has no name that is.
      logOrigin:
        own === null ? `${trustDomain}/log/${randomBytes(4).toString('hex')}` : `${own}/log`,
      createdAt: new Date().toISOString(),
    })
    .onConflictDoNothing();
}

function readTrustDomain(text: string): string {
  try {
    return parseTrustDomain(text);
  } catch (error) {
    if (!(error instanceof SpiffeIdError)) throw error;
    throw new StartError(`COUNTERSIGN_TRUST_DOMAIN is "${text}": ${error.message}.`, {
      cause: error,
    });
  }
}

function rootMessage(error: unknown): string {
  let root = error;
  while (root instanceof Error && root.cause instanceof Error) root = root.cause;
  return messageOf(root);
}
