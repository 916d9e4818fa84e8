// What is left of a request once approvers took something away: what is shown from then on, approved, and carried out.
import { eq } from 'drizzle-orm';
import type { RequestRow, VoteRow } from '../../db/rows.ts';
import { request } from '../../db/schema/index.ts';
import { actionDigest, actionRef, type Action } from '../../domain/action.ts';
import type { Digest } from '../../domain/digest.ts';
import { latest } from '../../domain/instant.ts';
import {
  isWithin,
  meet,
  narrow,
  startOf,
  type Limits,
  type Narrowing,
  type Terms,
} from '../../domain/narrowing.ts';
import { usesOf } from '../../domain/permit-rule.ts';
import type { Unit } from '../unit.ts';

/** The action that would run now, or did: what was asked for, less what approvers took away. */
export const effectiveAction = ({ action, narrowed }: RequestRow): Action =>
  narrowed?.action ?? action;

/** Its digest: what a permit is bound to. */
export const effectiveDigest = (row: RequestRow): Digest => actionDigest(effectiveAction(row));

/** How the public log names the action that is carried out. */
export const effectiveRef = (row: RequestRow): Digest => actionRef(row.salt, effectiveDigest(row));

/** What there is to approve now. */
export function termsOf(row: RequestRow): Terms {
  const limits = row.narrowed?.limits;
  return {
    action: effectiveAction(row),
    valid_seconds:
      limits?.valid_seconds ?? Math.min(...row.routes.map(({ rule }) => rule.valid_seconds)),
    // What we carry out ourselves is carried out once.
    uses: limits?.uses ?? (row.audience === null ? 1 : usesOf(row.routes)),
  };
}

/** What limits would make of a request as it is now. */
export const narrowingOf = (row: RequestRow, limits: Limits): Narrowing =>
  narrow(termsOf(row), row.narrowable, limits);

/** A request as it is once an approver took something away. The caller has seen to it that it is a narrowing. */
export function withNarrowing(
  row: RequestRow,
  { id: person, name }: { id: string; name: string },
  limits: Limits,
): RequestRow {
  const narrowing = narrowingOf(row, limits);
  if (narrowing.kind === 'refused')
    throw new Error(`${narrowing.limit} of ${row.id} cannot be narrowed: ${narrowing.says}`);
  const { action } = narrowing.terms;
  const narrowed = {
    action,
    digest: actionDigest(action),
    limits: meet(row.narrowable, row.narrowed?.limits ?? {}, limits),
    by: [...(row.narrowed?.by ?? []), { person, name, limits }],
  };
  return { ...row, narrowed };
}

/** Takes away what one more approver wants less of. */
export async function narrowRequest(
  unit: Unit,
  row: RequestRow,
  by: { id: string; name: string },
  limits: Limits,
): Promise<RequestRow> {
  const left = withNarrowing(row, by, limits);
  await unit.sql.update(request).set({ narrowed: left.narrowed }).where(eq(request.id, row.id));
  return left;
}

/** Whether what is about to be carried out is no more than each of these votes approved. */
export const isWithinVotes = (row: RequestRow, votes: readonly VoteRow[]): boolean =>
  votes.every(({ limits }) => {
    const approved = narrow(termsOf({ ...row, narrowed: null }), row.narrowable, limits ?? {});
    return (
      approved.kind === 'narrowed' &&
      isWithin(effectiveAction(row), approved.terms.action, row.narrowable) &&
      termsOf(row).valid_seconds <= approved.terms.valid_seconds &&
      termsOf(row).uses <= approved.terms.uses
    );
  });

/** When the time begins in which an approval is good: once it is given, or at the start that was approved. */
export const goodFrom = (row: RequestRow, approvedAt: string): string =>
  latest(approvedAt, startOf(effectiveAction(row)) ?? approvedAt);
