// @spec ARAP-1.0-draft-1#requestable-denial
// Denials that people could lift: what was asked and by whom, for as long as that may be taken to them.
import { and, eq, isNull, lt, or } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { AccessDenialRow } from '../../db/rows.ts';
import { accessDenial } from '../../db/schema/index.ts';
import type { Action } from '../../domain/action.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import { keyOf } from '../principal.ts';
import type { Unit } from '../unit.ts';

/** How long a denial may be taken to people. */
const REQUESTABLE_SECONDS = 600;

/** Longer than any request waits and its approval lasts. */
const KEPT_SECONDS = 60 * 86_400;

/** Notes that an evaluation was denied, and until when that may be taken to people. */
export async function noteDenial(
  unit: Unit,
  evaluation: Id<'evaluation'>,
  action: Action,
): Promise<string> {
  const expiresAt = addSeconds(unit.at, REQUESTABLE_SECONDS);
  await unit.sql.insert(accessDenial).values({
    id: evaluation,
    caller: keyOf(unit.call.principal),
    action,
    createdAt: unit.at,
    expiresAt,
  });
  return expiresAt;
}

/** A denial that this caller was told of, locked until the transaction ends. */
export async function lockDenial(unit: Unit, evaluation: string): Promise<AccessDenialRow | null> {
  const [row] = await unit.sql
    .select()
    .from(accessDenial)
    .where(
      and(
        eq(accessDenial.id, evaluation as Id<'evaluation'>),
        eq(accessDenial.caller, keyOf(unit.call.principal)),
      ),
    )
    .for('update');
  return row ?? null;
}

/** Keeps which request a denial led to, and what its call back is to carry. */
export async function linkDenial(
  unit: Unit,
  { id }: AccessDenialRow,
  request: Id<'request'>,
  callback: AccessDenialRow['callback'],
): Promise<void> {
  await unit.sql.update(accessDenial).set({ request, callback }).where(eq(accessDenial.id, id));
}

/** What the newest denial behind a request wants in its call back. */
export async function callbackOf(
  query: Query | Transaction,
  request: Id<'request'>,
): Promise<AccessDenialRow['callback']> {
  const rows = await query
    .select()
    .from(accessDenial)
    .where(eq(accessDenial.request, request))
    .orderBy(accessDenial.id);
  return rows.findLast(({ callback }) => callback !== null)?.callback ?? null;
}

/** Forgets what can lead nowhere any more. */
export async function forgetDenials(unit: Unit): Promise<void> {
  await unit.sql
    .delete(accessDenial)
    .where(
      or(
        and(isNull(accessDenial.request), lt(accessDenial.expiresAt, addSeconds(unit.at, -3600))),
        lt(accessDenial.expiresAt, addSeconds(unit.at, -KEPT_SECONDS)),
      ),
    );
}
