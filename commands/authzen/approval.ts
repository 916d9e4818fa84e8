// @spec ARAP-1.0-draft-1#completion-semantics
// An approval is no access. It is good for the very question that people saw, asked by the same caller, once, while
// it lasts and while today's policy lets it through; whatever else comes with it is a no that says what to do next.
import { eq } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { RequestRow } from '../../db/rows.ts';
import { permit } from '../../db/schema/index.ts';
import { ACCESS_ACTION, isSameQuestion, wishOf } from '../../domain/access-tuple.ts';
import type { Action } from '../../domain/action.ts';
import type { Id } from '../../domain/id.ts';
import { earliest } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { redeemPermit, refuseUse, standingUnder } from '../approvals/permits.ts';
import { failRequest } from '../approvals/request-ends.ts';
import { aboutRequest, findRequest, lockRequest, moveRequest } from '../approvals/requests.ts';
import type { Deps } from '../deps.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import type { Unit } from '../unit.ts';

/** What an enforcement point should do about a no. */
type NextAction = 'request' | 'none';

/** Why an approval that came along is not good for this. */
export interface NotApproved {
  reason: 'approval_unverifiable' | 'out_of_scope' | 'approval_used' | 'approval_expired';
  next: NextAction;
  says: string;
}

/** An approval that was just used. */
export interface Approval {
  id: Id<'permit'>;
  until: string;
}

const UNVERIFIABLE: NotApproved = {
  reason: 'approval_unverifiable',
  next: 'none',
  says: 'There is no such approval for this caller.',
};

/** The approval that a context carries, by its id; null where it carries none. */
export function presentedApproval({ approval }: JsonObject): string | null {
  if (approval === undefined) return null;
  const isObject = typeof approval === 'object' && approval !== null && !Array.isArray(approval);
  const id = isObject ? approval['id'] : null;
  // What is there and cannot be read is no approval, and is told apart from none at all.
  return typeof id === 'string' ? id : '';
}

/** Until when an approval may be used: no longer than was asked for. */
function usableUntil({ approvedUntil, action }: RequestRow): string | null {
  const { requested_until: asked } = wishOf(action);
  if (approvedUntil === null) return null;
  return asked === null ? approvedUntil : earliest(approvedUntil, asked);
}

/** Uses an approval for the question that it is about. */
export async function useApproval(
  unit: Unit,
  deps: Deps,
  action: Action,
  id: string,
): Promise<Approval | NotApproved> {
  const row = await approvedFor(unit, id, action);
  if (!row) return UNVERIFIABLE;
  if (!isSameQuestion(row.action, action)) {
    await refuseUse(unit, row, 'digest_mismatch', 'What was approved is another question.');
    return no(
      'out_of_scope',
      'What was approved is another question: this one has to be asked about.',
    );
  }
  if (row.state === 'consumed') {
    await refuseUse(unit, row, 'already_collected', 'The approval was used.');
    return no(
      'approval_used',
      'This approval was used, and is good for one time: ask people again.',
    );
  }
  const until = usableUntil(row);
  if (row.state !== 'approved' || until === null)
    return no('approval_expired', 'This approval is no longer good: ask people again.');
  if (!((await unit.readClock()) < until)) {
    await refuseUse(unit, row, 'approval_lapsed', 'The approval was not used in time.');
    return no('approval_expired', 'This approval was not used in time: ask people again.');
  }
  const redeemed = await redeemPermit(unit, deps, row);
  if (redeemed instanceof Refusal) {
    // One that lapsed is closed by the clock; any other can never be used.
    if (redeemed.code !== 'approval_lapsed') await failRequest(unit, row, redeemed.code);
    return no('approval_expired', redeemed.message);
  }
  await moveRequest(unit, row, 'consumed');
  unit.emit('request.consumed', {
    ...aboutRequest(row),
    detail: { credential: null },
    private: {},
  });
  return { id: redeemed.id, until };
}

const no = (reason: NotApproved['reason'], says: string): NotApproved => ({
  reason,
  next: 'request',
  says,
});

/** The request behind an approval, locked; null where this caller has no such approval. */
async function approvedFor(unit: Unit, id: string, action: Action): Promise<RequestRow | null> {
  const found = await permitOf(unit, id);
  if (!found) return null;
  const seen = await findRequest(unit.sql, found);
  const isTheirs =
    seen?.action.action === ACCESS_ACTION &&
    seen.requester.type === action.subject.type &&
    seen.requester.id === action.subject.id;
  return isTheirs ? lockRequest(unit, found) : null;
}

async function permitOf(unit: Unit, id: string): Promise<Id<'request'> | null> {
  const [row] = await unit.sql
    .select({ request: permit.request })
    .from(permit)
    .where(eq(permit.id, id as Id<'permit'>));
  return row?.request ?? null;
}

/** Whether what a used approval was given for is still let through, by it and by today's policy. */
export async function isUseStillGood(
  unit: Unit,
  deps: Deps,
  bundle: PolicyBundle,
  action: Action,
  id: string,
): Promise<boolean> {
  const row = await approvedFor(unit, id, action);
  if (row?.state !== 'consumed' || !isSameQuestion(row.action, action)) return false;
  const until = usableUntil(row);
  return (
    until !== null &&
    (await unit.readClock()) < until &&
    (await standingUnder(unit, deps, bundle, row)) === 'good'
  );
}

/** What the public face of an approval is, for whoever asked. */
export async function approvalOf(
  query: Query | Transaction,
  row: RequestRow,
): Promise<JsonObject | null> {
  const until = usableUntil(row);
  if (until === null) return null;
  const [held] = await query
    .select({ id: permit.id })
    .from(permit)
    .where(eq(permit.request, row.id));
  return held ? { id: held.id, approved_at: row.decidedAt, approved_until: until } : null;
}
