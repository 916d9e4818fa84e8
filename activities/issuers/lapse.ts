// What is said of credentials that nobody can take back: that they die by themselves, and when.
import type { Death, LeaseToEnd, RevokeOutcome } from '../../commands/credentials/issuer.ts';
import { addMs } from '../../domain/instant.ts';

/** Clocks differ by less than this. */
const SKEW_MS = 30_000;

/** Whether the other side has let it die by now, whoever's clock it goes by. */
export const hasLapsed = ({ diesAt }: LeaseToEnd, now: number): boolean =>
  diesAt !== null && Date.parse(diesAt) + SKEW_MS <= now;

/** All was done that can be. */
export const done = ({ credential }: LeaseToEnd): RevokeOutcome => ({
  credential,
  code: null,
  sessionsEnded: 0,
});

/** It did not work, for this reason. */
export const failed = (
  { credential }: LeaseToEnd,
  code: string,
  tryAt: string | null = null,
): RevokeOutcome => ({
  credential,
  code,
  sessionsEnded: 0,
  ...(tryAt !== null && { tryAt }),
});

/** Nothing can be done but wait, and that is said until the wait is over. */
export function waitFor(lease: LeaseToEnd, now: number): RevokeOutcome {
  if (hasLapsed(lease, now)) return done(lease);
  const { diesAt } = lease;
  return failed(lease, 'not_revocable', diesAt === null ? null : addMs(diesAt, SKEW_MS));
}

/** What is known of was ended. What was made and never heard of has to be waited for. */
export const doneUnlessUnheard = (lease: LeaseToEnd, now: number): RevokeOutcome =>
  lease.unheard ? waitFor(lease, now) : done(lease);

/** What can be said without asking anybody. */
export const lapsed = (lease: LeaseToEnd, now: number): Death =>
  hasLapsed(lease, now) ? 'gone' : 'alive';
