// Receipts close the loop: whoever used a permit says what came of it. A use of which nobody said anything in time is
// a finding, and so is one that ran something else than what was approved.
import { and, asc, eq, isNotNull, isNull, lt, or } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { PermitRow, RedemptionRow, RequestRow } from '../../db/rows.ts';
import { permit, redemption, request, type OUTCOMES } from '../../db/schema/index.ts';
import type { Digest } from '../../domain/digest.ts';
import type { Id } from '../../domain/id.ts';
import { Refusal } from '../../domain/refusal.ts';
import { transact, type Call, type Unit, type UnitDeps } from '../unit.ts';
import { findForeignPermit, isAudience, noPermit } from './redemptions.ts';
import { aboutRequest } from './requests.ts';

export interface Receipt {
  permit: string;
  redemption: string;
  outcome: (typeof OUTCOMES)[number];
  digestRun: Digest;
  resultDigest: Digest | null;
}

export type FindingKind = 'receipt_missing' | 'digest_mismatch';

/** Records what came of one use: once, and the same again is the same. */
export async function recordReceipt(
  unit: Unit,
  receipt: Receipt,
): Promise<RedemptionRow | Refusal> {
  const found = await findForeignPermit(unit.sql, receipt.permit);
  if (!found || !isAudience(unit.call.principal, found.request)) throw noPermit();
  const [row] = await unit.sql
    .select()
    .from(redemption)
    .where(
      and(
        eq(redemption.id, asRedemptionId(receipt.redemption)),
        eq(redemption.permit, found.permit.id),
      ),
    )
    .for('update');
  if (!row)
    throw new Refusal(
      'not_found',
      'This permit was not redeemed under that id: send the redemption that redeeming it answered.',
    );
  if (row.recordedAt !== null) return sameOrRefused(row, receipt);
  const said = {
    recordedAt: await unit.readClock(),
    outcome: receipt.outcome,
    digestRun: receipt.digestRun,
    digestMatches: receipt.digestRun === found.permit.digest,
    resultDigest: receipt.resultDigest,
  };
  await unit.sql.update(redemption).set(said).where(eq(redemption.id, row.id));
  unit.emit('receipt.recorded', {
    ...aboutRequest(found.request),
    detail: {
      permit: found.permit.id,
      digest_matches: said.digestMatches,
      outcome: said.outcome,
      effect: row.id,
    },
    private: { result_digest: said.resultDigest },
  });
  if (!said.digestMatches)
    emitFinding(unit, 'finding.raised', found.request, row, 'digest_mismatch');
  if (row.missedAt !== null)
    emitFinding(unit, 'finding.closed', found.request, row, 'receipt_missing');
  return { ...row, ...said };
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asRedemptionId = (id: string): Id<'redemption'> => id as Id<'redemption'>;

/** What was said once is not said otherwise later. */
function sameOrRefused(row: RedemptionRow, receipt: Receipt): RedemptionRow | Refusal {
  const isSame =
    row.outcome === receipt.outcome &&
    row.digestRun === receipt.digestRun &&
    row.resultDigest === receipt.resultDigest;
  if (isSame) return row;
  return new Refusal(
    'receipt_conflict',
    'There is a receipt of this use already, and it says something else: it stays.',
  );
}

function emitFinding(
  unit: Unit,
  name: 'finding.raised' | 'finding.closed',
  about: RequestRow,
  { id, permit: of }: RedemptionRow,
  kind: FindingKind,
): void {
  const detail = { kind, permit: of, redemption: id };
  unit.emit(name, { ...aboutRequest(about), detail, private: {} });
}

/** Findings raised in one go; the next round goes on. */
const MISSING_MAX = 100;

/** Finds uses of which nobody said in time what came of them: each once, whoever else is looking. */
export async function findMissingReceipts(deps: UnitDeps, call: Call): Promise<boolean> {
  return transact(deps, call, async (unit) => {
    const rows = await unit.sql
      .select({ row: redemption, request })
      .from(redemption)
      .innerJoin(permit, eq(permit.id, redemption.permit))
      .innerJoin(request, eq(request.id, permit.request))
      .where(
        and(
          isNull(redemption.recordedAt),
          isNull(redemption.missedAt),
          lt(redemption.receiptDueAt, unit.at),
        ),
      )
      .orderBy(asc(redemption.receiptDueAt))
      .limit(MISSING_MAX)
      .for('update', { of: redemption, skipLocked: true });
    for (const { row, request: about } of rows) {
      await unit.sql.update(redemption).set({ missedAt: unit.at }).where(eq(redemption.id, row.id));
      emitFinding(unit, 'finding.raised', about, row, 'receipt_missing');
    }
    return rows.length === MISSING_MAX;
  });
}

export const redemptionsOf = (
  query: Query | Transaction,
  { id }: PermitRow,
): Promise<RedemptionRow[]> =>
  query.select().from(redemption).where(eq(redemption.permit, id)).orderBy(redemption.number);

/** Whether what is known of a use is a finding now. */
export function findingIn(row: RedemptionRow): FindingKind | null {
  if (row.digestMatches === false) return 'digest_mismatch';
  return row.missedAt !== null && row.recordedAt === null ? 'receipt_missing' : null;
}

const UNANSWERED = and(isNotNull(redemption.missedAt), isNull(redemption.recordedAt));
const ANOTHER = eq(redemption.digestMatches, false);

/** Permits with a use that is a finding now, of one kind or of any. */
export async function permitsWith(
  query: Query | Transaction,
  kind: FindingKind | null,
  limit: number,
): Promise<{ permit: PermitRow; request: RequestRow }[]> {
  const which = { receipt_missing: UNANSWERED, digest_mismatch: ANOTHER };
  return query
    .selectDistinctOn([permit.id], { permit, request })
    .from(redemption)
    .innerJoin(permit, eq(permit.id, redemption.permit))
    .innerJoin(request, eq(request.id, permit.request))
    .where(kind === null ? or(UNANSWERED, ANOTHER) : which[kind])
    .orderBy(permit.id)
    .limit(limit);
}
