// @spec ARAP-1.0-draft-1#requestable-denial
// Denials that people could lift: what was asked and by whom, for as long as that may be taken to them.
import { and, eq, isNull, lt, or } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { AccessDenialRow } from '../../db/rows.ts';
import { accessDenial } from '../../db/schema/index.ts';
import type { Action } from '../../domain/action.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import type { JsonValue } from '../../domain/json.ts';
import type { Vault } from '../../keys/vault.ts';
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

/** What a call back carries, and about which ends it is made: null is all of them. */
export interface CallbackWish {
  state: JsonValue;
  events: string[] | null;
}

/** The state is the caller's own, and may be a secret of theirs (I5). */
const useOf = (id: Id<'evaluation'>): string => `access_denial/${id}/callback`;

/** Keeps which request a denial led to, and what its call back is to carry. */
export async function linkDenial(
  unit: Unit,
  { id }: AccessDenialRow,
  request: Id<'request'>,
  wish: CallbackWish | null,
): Promise<void> {
  const callback = wish && unit.vault.seal(JSON.stringify(wish), useOf(id));
  await unit.sql.update(accessDenial).set({ request, callback }).where(eq(accessDenial.id, id));
}

/** What the newest denial behind a request wants in its call back. */
export async function callbackOf(
  { query, vault }: { query: Query; vault: Vault },
  request: Id<'request'>,
): Promise<CallbackWish | null> {
  const rows = await query
    .select()
    .from(accessDenial)
    .where(eq(accessDenial.request, request))
    .orderBy(accessDenial.id);
  const newest = rows.findLast(({ callback }) => callback !== null);
  return newest?.callback ? asWish(vault.open(newest.callback, useOf(newest.id))) : null;
}

/** Only what `linkDenial` sealed opens under this use. */
const asWish = (opened: string): CallbackWish => JSON.parse(opened) as CallbackWish;

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
