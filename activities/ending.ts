// Ending credentials at one target, whatever kind it is: revoke, then look.
import type {
  Death,
  Issuer,
  LeaseToEnd,
  RevokeOutcome,
  TargetRef,
} from '../commands/credentials/issuer.ts';

/** What became of one lease: whether it is over, and what says so. */
export interface Ended {
  outcome: RevokeOutcome;
  death: Death;
  isOver: boolean;
}

/** Revokes, and then looks. What revoking says of itself is no proof; what cannot be looked at proves nothing. */
export async function endCredentials(
  issuer: Issuer,
  ref: TargetRef,
  leases: readonly LeaseToEnd[],
): Promise<Ended[]> {
  const outcomes = await issuer.revoke(ref, leases);
  const deaths = await issuer.verifyDead(ref, leases).catch(() => null);
  const deathOf = new Map(leases.map(({ credential }, index) => [credential, deaths?.[index]]));
  return outcomes.map((outcome) => {
    const death = deathOf.get(outcome.credential) ?? 'alive';
    return { outcome, death, isOver: outcome.code === null && death !== 'alive' };
  });
}
