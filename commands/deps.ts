// What the composition root hands to commands.
import type { TokenKeys } from '../keys/tokens.ts';
import type { IssuerName } from './access/kinds.ts';
import type { Authorities } from './authorities.ts';
import type { Caller } from './caller.ts';
import type { Issuer } from './issuer.ts';
import type { PolicyCache } from './policies.ts';
import type { StatementRunner } from './runner.ts';
import type { UnitDeps } from './unit.ts';

export interface Deps extends UnitDeps {
  tokens: TokenKeys;
  authorities: Authorities;
  policies: PolicyCache;
  issuers: Record<IssuerName, Issuer>;
  runner: StatementRunner;
  caller: Caller;
}
