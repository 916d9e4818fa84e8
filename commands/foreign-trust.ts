// What we know of others' keys: the port behind which they are fetched, kept for a while, and forgotten in time.
import type { JsonObject } from '../domain/json.ts';
import type { SpiffeBundle } from '../keys/spiffe-bundle.ts';
import type {
  AuthorityDefinition,
  IssuerDefinition,
  TrustDomainDefinition,
} from './policy-federation.ts';

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
