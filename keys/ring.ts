// The keys of one use as this process knows them: read from the table that replicas share, and never for long.
import type { KeyDriverName } from '../domain/signing-key.ts';
import type { KeyDriver, Signer, StoredKey } from './signer.ts';

export interface SigningRing {
  /** The one that signs now. */
  signer(): Promise<Signer>;
  /** All that are published, as last read, newest first. */
  published(): readonly StoredKey[];
  /** Reads again if what is known may be out of date. */
  refresh(): Promise<void>;
  /** Reads again, though not more than once a second: somebody names a key that is not known. */
  renew(): Promise<void>;
  /** Something changed: what is known is out of date. */
  invalidate(): void;
}

/** The longest that a change can go unnoticed when its notice is lost. */
const FRESH_MS = 15_000;
const RENEW_MS = 1_000;

export interface RingSource {
  /** The published keys, newest first; throws if one of them is not of our making. */
  read: () => Promise<StoredKey[]>;
  drivers: Partial<Record<KeyDriverName, KeyDriver>>;
  /** Milliseconds that only go forward. */
  elapsed?: () => number;
}

export async function openSigningRing(source: RingSource): Promise<SigningRing> {
  const elapsed = source.elapsed ?? (() => performance.now());
  let keys: StoredKey[] = [];
  let signer: Signer | null = null;
  let notices = 0;
  let known = { notices: -1, at: 0 };
  let reading: Promise<void> | null = null;
  const isStale = (): boolean => known.notices !== notices || !(elapsed() - known.at <= FRESH_MS);
  const read = async (): Promise<void> => {
    // Counted before reading: a notice that comes meanwhile may be of something this reading misses.
    const before = notices;
    keys = await source.read();
    if (!keys.some(({ kid, state }) => state === 'active' && kid === signer?.kid)) signer = null;
    known = { notices: before, at: elapsed() };
  };
  const refresh = async (): Promise<void> => {
    while (isStale()) {
      reading ??= read().finally(() => (reading = null));
      await reading;
    }
  };
  await refresh();
  return {
    signer: async () => {
      await refresh();
      signer ??= openActive(keys, source.drivers);
      return signer;
    },
    published: () => keys,
    refresh,
    renew: async () => {
      if (elapsed() - known.at > RENEW_MS) notices += 1;
      await refresh();
    },
    invalidate: () => (notices += 1),
  };
}

function openActive(keys: readonly StoredKey[], drivers: RingSource['drivers']): Signer {
  const active = keys.find(({ state }) => state === 'active');
  if (!active) throw new Error('there is no key to sign with: run countersign migrate');
  const driver = drivers[active.driver];
  if (!driver)
    throw new Error(`the active key is in a key service: set COUNTERSIGN_TRANSIT_ADDRESS to it`);
  return driver.open(active);
}
