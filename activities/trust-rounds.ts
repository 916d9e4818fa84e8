// Looks at the bundle of every federated trust domain when it is due, so that none turns its authorities unseen.
import { readActiveBundle, type PolicyCache } from '../commands/policy/policies.ts';
import { TrustUnavailable, type ForeignTrust } from '../commands/sign-in/foreign-trust.ts';
import type { Database } from '../db/client.ts';

export interface TrustRoundDeps {
  db: Database;
  policies: PolicyCache;
  trust: ForeignTrust;
  /** Told once of what is wrong, until it passes or something else is. */
  onFault: (error: TrustUnavailable) => void;
}

/** One round after another is for its caller to make. */
export function openTrustRounds({ db, policies, trust, onFault }: TrustRoundDeps) {
  const said = new Map<string, string>();
  return async (): Promise<void> => {
    const { federation } = await readActiveBundle(db.query, policies);
    for (const [name, definition] of federation.trustDomains) {
      try {
        await trust.bundle(name, definition, 'kept');
        said.delete(name);
      } catch (error) {
        if (!(error instanceof TrustUnavailable)) throw error;
        if (said.get(name) !== error.message) onFault(error);
        said.set(name, error.message);
      }
    }
  };
}
