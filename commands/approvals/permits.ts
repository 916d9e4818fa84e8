// A permit is a right to run one digest once. Redeeming it asks today's policy again.
import { eq } from 'drizzle-orm';
import type { RequestRow, PermitRow } from '../../db/rows.ts';
import { permit, request } from '../../db/schema/index.ts';
import { isSameRoute } from '../../domain/approval.ts';
import type { Id } from '../../domain/id.ts';
import { canMove, type PermitState } from '../../domain/lifecycle.ts';
import { startOf } from '../../domain/narrowing.ts';
import { Refusal, type RefusalCode } from '../../domain/refusal.ts';
import type { Deps } from '../deps.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { activeBundle, loadBundle } from '../policy/policies.ts';
import { evaluateAction } from '../policy/questions.ts';
import { isRoleKept } from '../policy/role-kept.ts';
import type { Unit } from '../unit.ts';
import { effectiveAction, effectiveDigest, effectiveRef } from './narrow.ts';
import { aboutRequest } from './requests.ts';

/** The permit of a request, locked until the transaction ends. */
export async function lockPermit(unit: Unit, request: Id<'request'>): Promise<PermitRow> {
  const [row] = await unit.sql
    .select()
    .from(permit)
    .where(eq(permit.request, request))
    .for('update');
  if (!row) throw new Error(`the approved request ${request} has no permit`);
  return row;
}

/**
 * Redeems the permit of a locked, approved request. A refusal is an outcome, with its event: the approval
 * lapsed, the action is not the approved one, or the policy no longer holds it open.
 */
export async function redeemPermit(
  unit: Unit,
  deps: Deps,
  row: RequestRow,
): Promise<PermitRow | Refusal> {
  const held = await lockPermit(unit, row.id);
  const now = await unit.readClock();
  if (held.state !== 'live' && held.state !== 'redeemed')
    return refusePermit(unit, row, held, 'policy_changed', 'The approval is no longer good.');
  if (!(now < held.expiresAt)) {
    if (held.state === 'live') await movePermit(unit, held, 'lapsed');
    return refusePermit(unit, row, held, 'approval_lapsed', 'The approval was not used in time.');
  }
  const start = startOf(effectiveAction(row));
  if (start !== null && now < start)
    return refusePermit(unit, row, held, 'not_started', `This is approved from ${start} on.`);
  if (effectiveDigest(row) !== held.digest)
    return voidPermit(unit, row, held, 'digest_mismatch', 'The action is not the one approved.');
  const today = await standingToday(unit, deps, row);
  if (today === 'changed') return voidPermit(unit, row, held, 'policy_changed', POLICY_CHANGED);
  // Nothing is wrong with the approval: it is good again as soon as somebody independent sees.
  if (today === 'unseen') return refuseUnseen(unit, row, held);
  // A redeemed permit whose lease was abandoned may be used again: one login at a time is what it allows.
  if (held.state === 'redeemed') return held;
  await unit.sql
    .update(permit)
    .set({ state: 'redeemed', redeemedAt: now, used: held.used + 1 })
    .where(eq(permit.id, held.id));
  unit.emit('permit.redeemed', {
    ...aboutRequest(row),
    detail: {
      permit: held.id,
      digest_matches: true,
      rules_unchanged: true,
      effective_ref: effectiveRef(row),
      grant: null,
      redemption: null,
      uses_left: 0,
      receipt_due_at: null,
    },
    private: {},
  });
  return { ...held, state: 'redeemed', redeemedAt: now };
}

/** Asks today's policy about an approved request once more; when it says no, the permit is void. */
export async function voidUnlessApproved(
  unit: Unit,
  deps: Deps,
  row: RequestRow,
): Promise<Refusal | null> {
  const today = await standingToday(unit, deps, row);
  if (today === 'good') return null;
  if (today === 'unseen') return refuseUse(unit, row, 'sensor_silent', UNSEEN);
  const held = await lockPermit(unit, row.id);
  return voidPermit(unit, row, held, 'policy_changed', POLICY_CHANGED);
}

const POLICY_CHANGED = 'The policy changed since this was approved: ask again.';

/** Said on record once, however often it is tried again while nobody sees. */
async function refuseUnseen(unit: Unit, row: RequestRow, held: PermitRow): Promise<Refusal> {
  if (row.failure === 'sensor_silent') return new Refusal('sensor_silent', UNSEEN);
  await unit.sql.update(request).set({ failure: 'sensor_silent' }).where(eq(request.id, row.id));
  return refusePermit(unit, row, held, 'sensor_silent', UNSEEN);
}

/** What whoever tries meanwhile is told. */
export const UNSEEN =
  'Nobody independent sees its target now, which today’s policy wants: try again once its observer is alive.';

const standingToday = async (unit: Unit, deps: Deps, row: RequestRow): Promise<Standing> =>
  standingUnder(unit, deps, await activeBundle(unit, deps.policies, 'share'), row);

/** What an approval is worth: good, no longer, or good again once somebody independent sees what comes of it. */
type Standing = 'good' | 'changed' | 'unseen';

/**
 * Whether a policy lets the approval of a request through: no denial but for want of eyes, no route or rule it does not pass, and the role
 * is the one that people were shown. The one rule for requests that policy changes underneath.
 */
export async function standingUnder(
  unit: Unit,
  deps: Pick<Deps, 'policies'>,
  bundle: PolicyBundle,
  row: RequestRow,
): Promise<Standing> {
  if (replacesAnother(row, bundle.version)) return 'changed';
  if (row.policyVersion !== bundle.version) {
    const asked = await loadBundle(unit.sql, deps.policies, row.policyVersion);
    if (!isRoleKept(effectiveAction(row), asked, bundle)) return 'changed';
  }
  const today = await evaluateAction(unit.sql, bundle, effectiveAction(row));
  if (today.decision === 'deny') return today.unseen.length > 0 ? 'unseen' : 'changed';
  return today.routes.every((route) => row.routes.some((passed) => isSameRoute(passed, route)))
    ? 'good'
    : 'changed';
}

/** A change of policy was approved against the policy of its day: what it would silence was judged by that one. */
const replacesAnother = ({ action }: RequestRow, active: string): boolean =>
  action.action === 'policy:activate' && action.parameters['replaces'] !== active;

async function voidPermit(
  unit: Unit,
  row: RequestRow,
  held: PermitRow,
  code: 'digest_mismatch' | 'policy_changed',
  message: string,
): Promise<Refusal> {
  if (canMove('permit', held.state, 'voided')) await movePermit(unit, held, 'voided');
  unit.emit('permit.voided', {
    ...aboutRequest(row),
    detail: { permit: held.id, code },
    private: {},
  });
  return new Refusal(code, message);
}

/** Records that a permit was asked to be used for what it is not good for; `because` is what the log says of it. */
export function refusePermit(
  unit: Unit,
  row: RequestRow,
  held: PermitRow,
  code: RefusalCode,
  message: string,
  because: string = code,
): Refusal {
  unit.emit('permit.refused', {
    ...aboutRequest(row),
    decision: 'refused',
    detail: { permit: held.id, code: because },
    private: {},
  });
  return new Refusal(code, message);
}

async function movePermit(unit: Unit, held: PermitRow, to: PermitState): Promise<void> {
  if (!canMove('permit', held.state, to))
    throw new Error(`a permit cannot go from ${held.state} to ${to}`);
  await unit.sql.update(permit).set({ state: to }).where(eq(permit.id, held.id));
}

/** Records an attempt to use an approval for something it is not good for. */
export async function refuseUse(
  unit: Unit,
  row: RequestRow,
  code: 'already_collected' | 'digest_mismatch' | 'approval_lapsed' | 'sensor_silent',
  message: string,
): Promise<Refusal> {
  return refusePermit(unit, row, await lockPermit(unit, row.id), code, message);
}
