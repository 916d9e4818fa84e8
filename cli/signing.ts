// The keys that sign for us, put together: where new ones are made, and the ring of those that replicas share.
import { readSigningKeys } from '../commands/credentials/signing-keys.ts';
import type { Log } from '../commands/log-line.ts';
import { CHANNELS } from '../commands/unit.ts';
import { connect, type Database } from '../db/client.ts';
import type { KeyDriverName, KeyUse } from '../domain/signing-key.ts';
import { openSigningRing, type SigningRing } from '../keys/ring.ts';
import { configuredSeal, installationSeal, sealedDriver, type Seals } from '../keys/sealed.ts';
import type { KeyDriver } from '../keys/signer.ts';
import { transitDriver } from '../keys/transit.ts';
import type { Vault } from '../keys/vault.ts';
import type { Config } from './config.ts';
import { messageOf, StartError } from './embedded/process.ts';

export interface Signing {
  /** Keys of tokens. */
  ring: SigningRing;
  /** Keys of our X.509 authorities. */
  authorities: SigningRing;
  driver: KeyDriver;
  drivers: Partial<Record<KeyDriverName, KeyDriver>>;
  /** The connection that no transaction of ours holds. */
  db: Database;
  close(): Promise<void>;
}

interface KeyDrivers {
  /** Where new keys are made. */
  first: KeyDriver;
  /** Everywhere where a key may still be. */
  all: Partial<Record<KeyDriverName, KeyDriver>>;
}

/** A key service where one is configured, else our own table. */
export function keyDrivers(config: Config, vault: Vault, log: Log): KeyDrivers {
  const own = installationSeal(vault);
  const seals: Seals = config.sealKey === null ? [own] : [configuredSeal(config.sealKey), own];
  const sealed = sealedDriver(seals);
  if (config.transit === null) return { first: sealed, all: { sealed } };
  const transit = transitDriver({
    ...config.transit,
    token: () => config.secret('COUNTERSIGN_TRANSIT_TOKEN'),
    onFault: (status, message) => log('key_service_failed', { status, message }),
  });
  return { first: transit, all: { sealed, transit } };
}

/** Opens the keys that sign tokens; refuses to start where the one that signs cannot be used. */
export async function openSigning(
  config: Config,
  vault: Vault,
  main: Database,
  name: string,
  log: Log,
): Promise<Signing> {
  const drivers = keyDrivers(config, vault, log);
  // A connection of its own: tokens are signed inside transactions, which may hold all the others.
  const db = connect(config.databaseUrl ?? '', {
    role: 'service',
    application: `countersign ${name} keys`,
    connectionsMax: 1,
  });
  const open = (use: KeyUse): Promise<SigningRing> =>
    openSigningRing({
      read: () => readSigningKeys(db.query, vault, use),
      drivers: drivers.all,
    });
  try {
    const ring = await open('tokens');
    await ring.signer();
    const authorities = await open('x509');
    const told = (): void => {
      ring.invalidate();
      authorities.invalidate();
    };
    const listening = await main.sql.listen(CHANNELS.keys, told, told);
    const close = async (): Promise<void> => {
      await listening.unlisten().catch(() => undefined);
      await db.close();
    };
    return { ring, authorities, driver: drivers.first, drivers: drivers.all, db, close };
  } catch (cause) {
    await db.close();
    throw new StartError(`the keys that sign cannot be used: ${messageOf(cause)}`, { cause });
  }
}
