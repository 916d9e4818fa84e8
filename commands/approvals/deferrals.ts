// Deferral codes: what a client polls with while people decide on the token it asked for. A code is a name for one
// request and the key to what comes of it; it is no way around the request, and opens nothing that was not approved.
import { and, eq, isNull, lt, lte, or } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { DeferralRow, RequestRow } from '../../db/rows.ts';
import { credential, deferral } from '../../db/schema/index.ts';
import type { Confirmation } from '../../domain/delegation.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds, earliest } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { Vault } from '../../keys/vault.ts';
import { revokeWhere } from '../agents/tasks.ts';
import type { Unit } from '../unit.ts';
import { cancelRequest, failRequest } from './request-ends.ts';
import { aboutRequest, lockRequest } from './requests.ts';

/** Seconds that a client waits between two polls. */
export const POLL_SECONDS = 5;

/** How long a code is remembered after it expired, so that its client hears that, and not that it is unknown. */
const REMEMBERED_SECONDS = 24 * 3600;

const markOf = (vault: Vault, code: string): string => vault.mark(code, 'deferral');

/** What a code stands for. */
export interface Deferred {
  code: string;
  request: RequestRow;
  agent: Id<'agent'>;
  confirmation: Confirmation | null;
  deadlineAt: string;
}

/** Remembers a code; answers until when it is good: as long as its request can be decided, and then collected. */
export async function openDeferral(unit: Unit, deferred: Deferred): Promise<string> {
  const { code, request, agent, confirmation, deadlineAt } = deferred;
  const valid = Math.min(...request.routes.map(({ rule }) => rule.valid_seconds));
  const until = request.approvedUntil ?? addSeconds(request.expiresAt, valid);
  const expiresAt = earliest(until, deadlineAt);
  await unit.sql.insert(deferral).values({
    mark: markOf(unit.vault, code),
    request: request.id,
    agent,
    confirmation,
    createdAt: unit.at,
    expiresAt,
    lastPolledAt: null,
  });
  unit.emit('token.deferred', {
    ...aboutRequest(request),
    detail: { expires_at: expiresAt, bound: confirmation !== null },
    private: {},
  });
  return expiresAt;
}

export async function findDeferral(
  query: Query | Transaction,
  vault: Vault,
  code: string,
): Promise<DeferralRow | null> {
  const [row] = await query
    .select()
    .from(deferral)
    .where(eq(deferral.mark, markOf(vault, code)));
  return row ?? null;
}

/** Counts a poll; false for one that came too soon after another, which counts for nothing. */
export async function countPoll(unit: Unit, { mark }: DeferralRow): Promise<boolean> {
  const since = addSeconds(unit.at, -POLL_SECONDS);
  const counted = await unit.sql
    .update(deferral)
    .set({ lastPolledAt: unit.at })
    .where(
      and(
        eq(deferral.mark, mark),
        or(isNull(deferral.lastPolledAt), lte(deferral.lastPolledAt, since)),
      ),
    )
    .returning({ mark: deferral.mark });
  return counted.length > 0;
}

/**
 * Withdraws what a code stands for. What was approved and not handed over ends unseen; what was handed over is a
 * token by now, with a life of its own, and stays.
 */
export async function cancelDeferral(unit: Unit, row: DeferralRow): Promise<void> {
  const held = await lockRequest(unit, row.request);
  if (held.state === 'pending') {
    const cancelled = await cancelRequest(unit, held.id);
    // It had run out of time: that is an expiry, and stays one.
    if (cancelled instanceof Refusal) return;
  }
  if (held.state !== 'approved') return;
  if (held.credential !== null)
    await revokeWhere(unit, eq(credential.id, held.credential), 'revoked', null);
  await failRequest(unit, held, 'cancelled');
}

/** Forgets codes that nobody can poll with any more. */
export async function forgetDeferrals(unit: Unit): Promise<void> {
  await unit.sql
    .delete(deferral)
    .where(lt(deferral.expiresAt, addSeconds(unit.at, -REMEMBERED_SECONDS)));
}
