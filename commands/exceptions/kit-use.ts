// The use of a login that lay ready while we were down: seen by the target's own log, whenever that is read, and from
// then on an emergency like any other, with a review that somebody independent has to close.
import { and, count, eq, inArray, isNull, sql } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { BreakGlassRow, GlassKitRow } from '../../db/rows.ts';
import { breakGlass, event, glassKit } from '../../db/schema/index.ts';
import { REVIEW_SECONDS } from '../../domain/break-glass.ts';
import { eventType } from '../../domain/event.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import type { Seen } from '../record/observe.ts';
import { newId, type Unit } from '../unit.ts';
import { aboutKit, holdersOf, lockKit } from './glass-kits.ts';
import { intendKitEnd } from './kit-care.ts';

/** The kits behind logins, by id; a login that is only named like one is not among them. */
export async function kitsBehind(
  unit: Unit,
  seen: readonly Seen[],
): Promise<ReadonlyMap<string, GlassKitRow>> {
  const ids = [...new Set(seen.flatMap(({ kit }) => kit ?? []))];
  if (ids.length === 0) return new Map();
  const rows = await unit.sql.select().from(glassKit).where(inArray(glassKit.id, ids));
  return new Map(rows.map((row) => [row.id, row]));
}

/** Notes that kits were at work. The first sight of one is an emergency that begins here, however late that is. */
export async function noteKitUses(
  unit: Unit,
  seen: readonly Seen[],
  kits: ReadonlyMap<string, GlassKitRow>,
): Promise<void> {
  for (const id of [...kits.keys()].toSorted()) {
    const own = seen.filter(({ kit }) => kit === id);
    const times = own.map(({ at }) => at).toSorted();
    const [first, last] = [times[0], times.at(-1)];
    if (first === undefined || last === undefined) continue;
    const effects = own.filter((each) => each.kind === 'effect').length;
    await noteKitUse(unit, id, { first, last, effects });
  }
}

interface Sight {
  first: string;
  last: string;
  effects: number;
}

async function noteKitUse(unit: Unit, id: string, sight: Sight): Promise<void> {
  const kit = await lockKit(unit, id);
  const isFirst = kit.firstSeenAt === null;
  const lastSeenAt =
    kit.lastSeenAt !== null && kit.lastSeenAt > sight.last ? kit.lastSeenAt : sight.last;
  const change = {
    firstSeenAt: kit.firstSeenAt ?? sight.first,
    lastSeenAt,
    effects: kit.effects + sight.effects,
  };
  await unit.sql.update(glassKit).set(change).where(eq(glassKit.id, kit.id));
  unit.changed(kit.id);
  if (isFirst) await openOfflineUse(unit, { ...kit, ...change });
}

/** Opens the review of a use, and ends the login: whoever needs another has another prepared. */
async function openOfflineUse(unit: Unit, kit: GlassKitRow): Promise<void> {
  const now = await unit.readClock();
  const row: BreakGlassRow = {
    id: newId('breakGlass'),
    request: kit.request,
    agent: null,
    task: null,
    kit: kit.id,
    role: kit.role,
    gates: kit.gates,
    reviewers: kit.reviewers,
    people: holdersOf(kit),
    incident: null,
    continues: 0,
    createdAt: now,
    openedAt: now,
    reviewDueAt: addSeconds(now, REVIEW_SECONDS),
    remindedAt: null,
    closedAt: null,
    closedBy: null,
    disposition: null,
    findings: null,
    effects: null,
  };
  await unit.sql.insert(breakGlass).values(row);
  unit.emit('emergency.offline_used', {
    ...aboutKit(kit),
    detail: {
      break_glass: row.id,
      kit: kit.id,
      target: kit.target,
      people: row.people,
      first_seen: kit.firstSeenAt,
      last_seen: kit.lastSeenAt,
      effects_seen: kit.effects,
      review_due_at: row.reviewDueAt,
    },
    private: {},
  });
  await intendKitEnd(unit, kit, 'used');
  unit.changed(row.id);
}

/** How many effects of a kit independent eyes saw. */
export async function effectsOfKit(
  query: Query | Transaction,
  kit: Id<'glassKit'>,
): Promise<number> {
  const leaf = sql`${event.leaf}::jsonb`;
  const [row] = await query
    .select({ seen: count() })
    .from(event)
    .where(
      and(
        eq(event.type, eventType('runtime.observed')),
        sql`${leaf} ->> 'subject' = ${kit}`,
        sql`${leaf} #>> '{data,detail,kind}' = 'effect'`,
      ),
    );
  return row?.seen ?? 0;
}

/** Uses of kits of a target that nobody was told of yet. */
export const untoldUses = (query: Query, target: string): Promise<GlassKitRow[]> =>
  query
    .select()
    .from(glassKit)
    .where(
      and(
        eq(glassKit.target, target),
        sql`${glassKit.firstSeenAt} is not null`,
        isNull(glassKit.toldAt),
      ),
    );

/** Notes that people were told. */
export const noteTold = (unit: Unit, id: Id<'glassKit'>): Promise<unknown> =>
  unit.sql.update(glassKit).set({ toldAt: unit.at }).where(eq(glassKit.id, id));
