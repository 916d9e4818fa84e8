// Keeps bundles of other trust domains in memory, as the database does for the service.
import type { BundleStore } from '../../commands/sign-in/foreign-trust.ts';
import { mayFollow, parseSpiffeBundle, type SpiffeBundle } from '../../keys/spiffe-bundle.ts';

export function memoryBundles(): BundleStore {
  const kept = new Map<string, SpiffeBundle>();
  return {
    newest: (source) => Promise.resolve(kept.get(source) ?? null),
    keep: (source, _trustDomain, text) => {
      const next = parseSpiffeBundle(text);
      const isNewest = mayFollow(kept.get(source) ?? null, next);
      if (isNewest) kept.set(source, next);
      return Promise.resolve(isNewest);
    },
  };
}
