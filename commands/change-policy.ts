// Making another policy the active one, and closing what people were asked under rules that are no longer good:
// nobody should be asked to agree to something that would then be refused.
import { asc, eq } from 'drizzle-orm';
import type { RequestRow } from '../db/rows.ts';
import { request } from '../db/schema/index.ts';
import type { Digest } from '../domain/digest.ts';
import type { EventFacts } from '../domain/event.ts';
import type { Deps } from './deps.ts';
import { isStillApproved } from './permits.ts';
import { activatePolicy, activeBundle } from './policies.ts';
import { aboutRequest, moveRequest } from './requests.ts';
import type { Unit } from './unit.ts';

/** One activation looks at this many; of any beyond it, redeeming their approval is what asks again. */
const SUPERSEDED_MAX = 1_000;

/** Activates a stored policy, and closes the pending requests whose approval it would not let through. */
export async function changePolicy(
  unit: Unit,
  deps: Deps,
  version: Digest,
  approved: Partial<EventFacts> = {},
): Promise<void> {
  const { version: before } = await activeBundle(unit, deps.policies);
  await activatePolicy(unit, version, approved);
  if (before === version) return;
  const bundle = await activeBundle(unit, deps.policies);
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
    if (now < row.expiresAt && !(await isStillApproved(unit, bundle, row)))
      await supersede(unit, row, version);
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
