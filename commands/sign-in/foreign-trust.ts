// What we know of others' keys: the port behind which they are fetched, kept for a while, and forgotten in time.
import type { Digest } from '../../domain/digest.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { SpiffeBundle } from '../../keys/spiffe-bundle.ts';
import type {
  AuthorityDefinition,
  IssuerDefinition,
  TrustDomainDefinition,
} from '../policy/federation.ts';

/** Others' keys cannot be had just now, so that nothing signed with them can be believed. */
export class TrustUnavailable extends Error {}

/** How fresh an answer has to be: `newer` after a key was not found, which looks again at most twice a minute. */
export type Freshness = 'kept' | 'newer';

/** The keys of those whom policy names. Each throws TrustUnavailable where there are none to go by. */
export interface ForeignTrust {
  issuerKeys(definition: IssuerDefinition, freshness: Freshness): Promise<readonly JsonObject[]>;
  bundle(
    trustDomain: string,
    definition: TrustDomainDefinition,
    freshness: Freshness,
  ): Promise<SpiffeBundle>;
  /** The certificates of an authority of one's own, as PEM. */
  authorities(definition: AuthorityDefinition): string;
}

/** Where the newest bundles are kept, by how policy says that they are had. */
export interface BundleStore {
  /** The newest one that anybody here was ever given, however long ago; null before the first. */
  newest: (source: Digest) => Promise<SpiffeBundle | null>;
  /** Keeps a bundle, as it came; false when a newer one is kept. */
  keep: (source: Digest, trustDomain: string, text: string) => Promise<boolean>;
}
