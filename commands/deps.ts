// What the composition root hands to commands.
import type { TokenKeys } from '../keys/tokens.ts';
import type { IssuerName } from './access/kinds.ts';
import type { Authorities } from './credentials/authorities.ts';
import type { Issuer } from './credentials/issuer.ts';
import type { PolicyCache } from './policy/policies.ts';
import type { Caller } from './runs/caller.ts';
import type { StatementRunner } from './runs/runner.ts';
import type { UnitDeps } from './unit.ts';

export interface Deps extends UnitDeps {
  tokens: TokenKeys;
  authorities: Authorities;
  policies: PolicyCache;
  issuers: Record<IssuerName, Issuer>;
  runner: StatementRunner;
  caller: Caller;
}
