// Who is believed: scanners that report leaks by themselves, and sources whose signed events set tasks off.
import type { PublicJwk } from './keys.ts';
import type { ListOptions } from './lists.ts';
import { path } from './path.ts';
import type { LeakScanner, NewLeakScanner, TriggerSource } from './signal-types.ts';
import type { CallOptions, Transport } from './transport.ts';
import type { Page } from './types.ts';

/** A scanner to add. */
export interface ScannerOrder {
  name: string;
  /** GitHub secret scanning, or any webhook signed as Standard Webhooks says. */
  kind: LeakScanner['kind'];
  /** `suspend` stops the agent as well. */
  policy?: LeakScanner['policy'] | undefined;
  /** The keys that GitHub signs with, and only those: a webhook has a secret, which the answer tells once. */
  publicKeys?: readonly { key_identifier: string; key: string }[] | undefined;
}

export const scannerCalls = (transport: Transport) => ({
  add: ({ name, kind, policy, publicKeys }: ScannerOrder, options?: CallOptions) =>
    transport.post<NewLeakScanner>('/v1/leak-scanners', {
      ...options,
      body: { name, kind, policy, public_keys: publicKeys?.map((each) => ({ ...each })) },
    }),

  list: ({ limit, cursor }: ListOptions = {}) =>
    transport.get<Page<LeakScanner>>('/v1/leak-scanners', { query: { limit, cursor } }),

  remove: async (id: string, options?: CallOptions): Promise<void> => {
    await transport.delete(path`/v1/leak-scanners/${id}`, options);
  },
});

export const triggerSourceCalls = (transport: Transport) => ({
  /** What this key signs is believed from now on. */
  add: (name: string, key: PublicJwk, options?: CallOptions) =>
    transport.post<TriggerSource>('/v1/trigger-sources', {
      ...options,
      body: { name, key: { ...key } },
    }),

  list: ({ limit, cursor }: ListOptions = {}) =>
    transport.get<Page<TriggerSource>>('/v1/trigger-sources', { query: { limit, cursor } }),

  remove: async (id: string, options?: CallOptions): Promise<void> => {
    await transport.delete(path`/v1/trigger-sources/${id}`, options);
  },
});
