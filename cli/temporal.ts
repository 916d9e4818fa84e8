// Temporal as this service uses it: one namespace, everything encrypted, ids that are our ids.
import path from 'node:path';
import { Client, Connection, type ConnectionOptions } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { payloadCodec } from '../keys/codec.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { Config } from './config.ts';
import { StartError } from './embedded/process.ts';
import { SEARCH_ATTRIBUTES } from './embedded/temporal.ts';
import { PACKAGE_ROOT } from './package.ts';

/** Compiled, because Temporal loads it by its path. */
const CONVERTER_PATH = path.join(PACKAGE_ROOT, 'dist/workflows/failure-converter.js');

export const dataConverter = (keys: Pick<Keyring, 'codec'>): DataConverter => ({
  payloadCodecs: [payloadCodec(keys.codec.key, keys.codec.id)],
  failureConverterPath: CONVERTER_PATH,
});

/** What client and worker connections have in common. */
export function connectionOptions(
  config: Config,
  address: string,
): Pick<ConnectionOptions, 'address'> & { tls?: boolean; apiKey?: string } {
  const { temporalApiKey: apiKey, temporalTls: tls } = config;
  return { address, ...(apiKey === null ? { tls } : { tls: true, apiKey }) };
}

/** A client that connects when it is first used, and again whenever the connection was lost. */
export function lazyClient(config: Config, keys: Keyring, address: string): Client {
  return new Client({
    connection: Connection.lazy({ ...connectionOptions(config, address), connectTimeout: CONNECT }),
    namespace: config.temporalNamespace,
    dataConverter: dataConverter(keys),
  });
}

const CONNECT = '5 seconds';

const RETENTION_SECONDS = 30 * 86_400;
const KEYWORD = 2;

/** Makes the namespace and the search attributes, where they are not there and we may. */
export async function prepareNamespace(config: Config, address: string): Promise<void> {
  const connection = await Connection.connect({
    ...connectionOptions(config, address),
    connectTimeout: CONNECT,
  });
  const namespace = config.temporalNamespace;
  try {
    await connection.workflowService
      .registerNamespace({
        namespace,
        workflowExecutionRetentionPeriod: { seconds: asLong(RETENTION_SECONDS) },
      })
      .catch(async () => {
        // It is there already. A development server made it with a retention of a day.
        await connection.workflowService
          .updateNamespace({
            namespace,
            config: { workflowExecutionRetentionTtl: { seconds: asLong(RETENTION_SECONDS) } },
          })
          .catch(() => undefined);
      });
    await connection.operatorService
      .addSearchAttributes({
        namespace,
        searchAttributes: Object.fromEntries(SEARCH_ATTRIBUTES.map((name) => [name, KEYWORD])),
      })
      .catch(() => undefined);
  } finally {
    await connection.close();
  }
}

/** Protobuf durations take whole seconds, in the client's own type for 64-bit numbers. */
const asLong = (seconds: number): never => seconds as never;

export function requireTemporal(config: Config): string {
  if (config.temporalAddress === null)
    throw new StartError('TEMPORAL_ADDRESS is not set: set it, or use countersign start.');
  return config.temporalAddress;
}
