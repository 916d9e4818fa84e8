// What the deciding vote leads to: an approval with its permit, or a denial.
import type { RequestRow, VoteRow } from '../../db/rows.ts';
import { permit } from '../../db/schema/index.ts';
import { asJson } from '../../domain/action.ts';
import { addSeconds } from '../../domain/instant.ts';
import { limitsAsJson, startOf } from '../../domain/narrowing.ts';
import { newId, type Unit } from '../unit.ts';
import { effectiveDigest, effectiveRef, goodFrom, isWithinVotes, termsOf } from './narrow.ts';
import { aboutRequest, moveRequest, votesOn } from './requests.ts';

interface Denial {
  reason: string | null;
  disposition: 'revise' | 'stop';
}

/** The last vote that was needed is in: a permit for exactly what was agreed to. */
export async function approve(
  unit: Unit,
  row: RequestRow,
  deciding: VoteRow,
  approvers: string[],
): Promise<RequestRow> {
  const { action, valid_seconds: valid, uses } = termsOf(row);
  const approvedUntil = addSeconds(goodFrom(row, unit.at), valid);
  const votes = await votesOn(unit.sql, row.id);
  // Every approval, not only those that count: what anybody took away stays away.
  const given = votes.filter(({ decision }) => decision === 'approve');
  if (!isWithinVotes(row, given)) throw new Error(`${row.id} is more than was approved`);
  const moved = await moveRequest(unit, row, 'approved', {
    decidedAt: unit.at,
    decidedBy: deciding.person,
    approvedUntil,
  });
  unit.emit('request.approved', {
    ...aboutRequest(row),
    decision: 'approved',
    detail: {
      deciding_vote: deciding.id,
      approved_by: approvers,
      approved_until: approvedUntil,
      starts_at: startOf(action),
      effective_ref: effectiveRef(row),
      narrowed_by: [...new Set(row.narrowed?.by.map((each) => each.person))],
      within_votes: true,
    },
    private: {
      effective_body: asJson(action),
      limits: row.narrowed && limitsAsJson(row.narrowed.limits),
    },
  });
  const id = newId('permit');
  await unit.sql.insert(permit).values({
    id,
    request: row.id,
    digest: effectiveDigest(row),
    state: 'live',
    createdAt: unit.at,
    expiresAt: approvedUntil,
    uses,
  });
  unit.emit('permit.issued', {
    ...aboutRequest(row),
    detail: {
      permit: id,
      expires_at: approvedUntil,
      uses,
      effective_ref: effectiveRef(row),
      grant: null,
    },
    private: {},
  });
  return moved;
}

/** Somebody said no. */
export async function deny(
  unit: Unit,
  row: RequestRow,
  deciding: VoteRow,
  { reason, disposition }: Denial,
): Promise<RequestRow> {
  const moved = await moveRequest(unit, row, 'denied', {
    decidedAt: unit.at,
    decidedBy: deciding.person,
    denial: { reason, disposition },
  });
  unit.emit('request.denied', {
    ...aboutRequest(row),
    decision: 'denied',
    detail: { deciding_vote: deciding.id, denied_by: deciding.person, disposition },
    private: { reason },
  });
  return moved;
}
