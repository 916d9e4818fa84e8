// Making another policy the active one, and closing what people were asked under rules that are no longer good:
// nobody should be asked to agree to something that would then be refused.
import { and, asc, eq, inArray } from 'drizzle-orm';
import type { RequestRow } from '../../db/rows.ts';
import { credential, request } from '../../db/schema/index.ts';
import type { Digest } from '../../domain/digest.ts';
import type { EventFacts } from '../../domain/event.ts';
import { ALIVE } from '../../domain/lifecycle.ts';
import { Refusal } from '../../domain/refusal.ts';
import { wakeDiscovery } from '../agents/discovery.ts';
import { standingUnder } from '../approvals/permits.ts';
import { aboutRequest, moveRequest } from '../approvals/requests.ts';
import type { Deps } from '../deps.ts';
import { voidGrantsUnder } from '../exceptions/grant-ends.ts';
import type { Unit } from '../unit.ts';
import type { PolicyBundle } from './bundle.ts';
import { activatePolicy, activeBundle, loadBundle } from './policies.ts';
import { placeOf } from './role-kept.ts';

/** One activation looks at this many; of any beyond it, redeeming their approval is what asks again. */
const SUPERSEDED_MAX = 1_000;

/** Activates a stored policy, and closes the pending requests whose approval it would not let through. */
export async function changePolicy(
  unit: Unit,
  deps: Deps,
  version: Digest,
  approved: Partial<EventFacts> = {},
): Promise<Refusal | null> {
  const before = await activeBundle(unit, deps.policies);
  const next = await loadBundle(unit.sql, deps.policies, version);
  const refusal = await whyTargetsMayNotMove(unit, before, next);
  if (refusal) return refusal;
  await activatePolicy(unit, next, approved);
  if (before.version === version) return null;
  const bundle = await activeBundle(unit, deps.policies);
  wakeDiscovery(unit, bundle);
  // Locked in the order of their ids, as everybody does who locks several.
  const pending = await unit.sql
    .select()
    .from(request)
    .where(eq(request.state, 'pending'))
    .orderBy(asc(request.id))
    .limit(SUPERSEDED_MAX)
    .for('update');
  const now = await unit.readClock();
  for (const row of pending)
    if (now < row.expiresAt && (await standingUnder(unit, deps, bundle, row)) === 'changed')
      await supersede(unit, row, version);
  await voidGrantsUnder(unit, deps, bundle);
  return null;
}

/**
 * A login is revoked where it was made. While one is alive, its target can neither go away nor come to mean another
 * server: on that, it would be seen gone without ever having been there.
 */
export async function whyTargetsMayNotMove(
  unit: Unit,
  before: PolicyBundle,
  next: PolicyBundle,
): Promise<Refusal | null> {
  for (const [target, definition] of before.targets) {
    const after = next.targets.get(target);
    if (after && placeOf(after) === placeOf(definition)) continue;
    const alive = await unit.sql.$count(
      credential,
      and(eq(credential.target, target), inArray(credential.state, [...ALIVE])),
    );
    if (alive > 0)
      return new Refusal(
        'wrong_state',
        `This policy takes away or moves the target "${target}", on which credentials are alive (${alive}): end their tasks first, or give the new server a name of its own.`,
        { target, alive },
      );
  }
  return null;
}

async function supersede(unit: Unit, row: RequestRow, version: Digest): Promise<void> {
  await moveRequest(unit, row, 'superseded', { decidedAt: unit.at, failure: 'policy_changed' });
  unit.emit('request.superseded', {
    ...aboutRequest(row),
    cause: 'policy_changed',
    detail: { code: 'policy_changed', policy: version },
    private: {},
  });
}
