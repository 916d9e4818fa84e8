// A replica without its servers: a database pool, the keys as a process knows them, and their public part over HTTP.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readSigningKeys } from '../../commands/credentials/signing-keys.ts';
import { CHANNELS, type Call, type UnitDeps } from '../../commands/unit.ts';
import { connect, type Database } from '../../db/client.ts';
import { installation } from '../../db/schema/index.ts';
import { openSigningRing } from '../../keys/ring.ts';
import type { KeyDriver } from '../../keys/signer.ts';
import { openTokenKeys, type TokenKeys } from '../../keys/tokens.ts';
import type { Vault } from '../../keys/vault.ts';

export interface Replica {
  deps: UnitDeps;
  tokens: TokenKeys;
  /** Where verifiers fetch its keys. */
  jwks: URL;
  close(): Promise<void>;
}

export const BY_TEST: Call = { principal: { kind: 'service', id: 'test' }, traceId: null };

export async function openReplica(
  url: string,
  vault: Vault,
  driver: KeyDriver,
  cacheSeconds: number,
): Promise<Replica> {
  const db = connect(url, { role: 'service', application: 'replica', connectionsMax: 3 });
  const deps = await depsOf(db, vault);
  const read = () => readSigningKeys(db.query, vault, 'tokens');
  const ring = await openSigningRing({ read, drivers: { [driver.name]: driver } });
  const told = (): void => ring.invalidate();
  const listening = await db.sql.listen(CHANNELS.keys, told, told);
  const tokens = openTokenKeys(ring);
  const server = createServer((_request, response) => {
    void tokens.refresh().then(() => {
      response.setHeader('content-type', 'application/json');
      response.setHeader('cache-control', `public, max-age=${cacheSeconds}`);
      response.end(JSON.stringify(tokens.jwks));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    deps,
    tokens,
    jwks: new URL(`http://127.0.0.1:${asAddress(server.address()).port}/jwks.json`),
    close: async () => {
      server.closeAllConnections();
      server.close();
      await listening.unlisten();
      await db.close();
    },
  };
}

/** What a command needs, with the installation that the database is of. */
export async function depsOf(db: Database, vault: Vault): Promise<UnitDeps> {
  const [facts] = await db.query.select().from(installation);
  if (!facts) throw new Error('the database has no installation');
  return { db, installation: facts, vault, crashPoint: () => undefined };
}

/** It listens on a port, so its address is one with a port. */
const asAddress = (address: unknown): AddressInfo => address as AddressInfo;
