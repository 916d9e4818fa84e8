// The life of a login that lies ready: intended before its target is touched, made, looked at every day, and ended for
// every reason there is. Each step is one transaction; what the target does lies between two of them.
import { and, eq, inArray } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { GlassKitRow } from '../../db/rows.ts';
import { glassKit, type KitSeat } from '../../db/schema/index.ts';
import { isBlocked } from '../../domain/break-glass.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds, secondsBetween } from '../../domain/instant.ts';
import { canMove } from '../../domain/lifecycle.ts';
import { Refusal } from '../../domain/refusal.ts';
import { liveStop } from '../agents/stop.ts';
import { targetWorkflow } from '../agents/tasks.ts';
import { standingUnder } from '../approvals/permits.ts';
import { findRequest } from '../approvals/requests.ts';
import type { KitState } from '../credentials/issuer.ts';
import { ISSUE_SECONDS } from '../credentials/leases.ts';
import type { Deps } from '../deps.ts';
import { activeBundle } from '../policy/policies.ts';
import { isAdmin, mayVote, partyOf, type PersonPrincipal } from '../principal.ts';
import type { Unit } from '../unit.ts';
import { unreviewed } from './break-glass.ts';
import { aboutKit, areHoldersFit, holdersOf, lockKit } from './glass-kits.ts';

/** A target that could not be asked is asked again after this long. */
const RETRY_SECONDS = 15;
/** A kit is looked at by its target this often, whether anybody asks or not. */
const CHECK_SECONDS = 86_400;
/** Its people are told that it ends once this much of its time is over. */
const WARNED_AT = 0.9;

/** Why a kit is over. */
export type KitEnd =
  | 'expired'
  | 'used'
  | 'holder_left'
  | 'policy_changed'
  | 'review_open'
  | 'missing'
  | 'altered'
  | 'by_person';

type Change = Partial<typeof glassKit.$inferInsert>;

async function moveKit(
  unit: Unit,
  kit: GlassKitRow,
  to: GlassKitRow['state'],
  change: Change,
): Promise<void> {
  if (!canMove('glassKit', kit.state, to))
    throw new Error(`a kit cannot go from ${kit.state} to ${to}`);
  await unit.sql
    .update(glassKit)
    .set({ ...change, state: to })
    .where(eq(glassKit.id, kit.id));
  unit.changed(kit.id);
}

/** Writes down that a login is about to be made; null where it is not to be, or its holders have not brought their keys. */
export async function intendKit(unit: Unit, id: string): Promise<GlassKitRow | null> {
  const kit = await lockKit(unit, id);
  const now = await unit.readClock();
  const isKeyed = kit.seats.every(({ key }) => key !== null);
  if ((kit.state !== 'waiting' && kit.state !== 'making') || !isKeyed) return null;
  if (kit.nextTryAt !== null && now < kit.nextTryAt) return null;
  // Those that are there stay: a stop is of agents, and they are no agent's. No other is made meanwhile.
  if (await liveStop(unit.sql)) return null;
  const change = { attempt: kit.attempt + 1, issueBy: addSeconds(now, ISSUE_SECONDS) };
  if (kit.state === 'waiting') await moveKit(unit, kit, 'making', change);
  else await unit.sql.update(glassKit).set(change).where(eq(glassKit.id, kit.id));
  unit.emit('emergency.kit_intended', {
    ...aboutKit(kit),
    detail: {
      kit: kit.id,
      target: kit.target,
      people: holdersOf(kit),
      attempt: change.attempt,
      issue_by: change.issueBy,
      expires_at: kit.expiresAt,
    },
    private: {},
  });
  return { ...kit, ...change, state: 'making' };
}

/** Notes what was made. False where it is not wanted any more: then it is ended like whatever else is left over. */
export async function settleKit(
  unit: Unit,
  intended: GlassKitRow,
  { shares, salt }: { shares: readonly [string, string]; salt: string },
): Promise<boolean> {
  const kit = await lockKit(unit, intended.id);
  const now = await unit.readClock();
  if (kit.state !== 'making' || kit.attempt !== intended.attempt) return false;
  // A key that was replaced between intent and outcome cannot be: keys are only brought while it waits.
  const [first, second] = kit.seats;
  const seats: [KitSeat, KitSeat] = [
    { ...first, share: shares[0] },
    { ...second, share: shares[1] },
  ];
  const made = { seats, salt, madeAt: now, checkedAt: now, checked: 'good' };
  await moveKit(unit, kit, 'ready', { ...made, failure: null, nextTryAt: null });
  unit.emit('emergency.kit_made', {
    ...aboutKit(kit),
    detail: {
      kit: kit.id,
      target: kit.target,
      attempt: kit.attempt,
      expires_at: kit.expiresAt,
    },
    private: {},
  });
  return true;
}

/** Notes that the target could not be asked, and when it is asked again. */
export async function noteKitFailure(unit: Unit, id: string, code: string): Promise<void> {
  const kit = await lockKit(unit, id);
  const nextTryAt = addSeconds(await unit.readClock(), RETRY_SECONDS);
  await unit.sql.update(glassKit).set({ failure: code, nextTryAt }).where(eq(glassKit.id, kit.id));
  unit.changed(kit.id);
}

/** Why a kit has to end now; null while it may lie ready. */
async function whyKitEnds(
  unit: Unit,
  deps: Pick<Deps, 'policies'>,
  kit: GlassKitRow,
): Promise<KitEnd | null> {
  if (kit.firstSeenAt !== null) return 'used';
  if (!(unit.at < kit.expiresAt)) return 'expired';
  const agreed = await findRequest(unit.sql, kit.request);
  if (!agreed || !(await areHoldersFit(unit.sql, holdersOf(kit), agreed.routes)))
    return 'holder_left';
  const bundle = await activeBundle(unit, deps.policies, 'share');
  const place = bundle.targets.get(kit.target);
  const isSeen = place?.issuer === 'postgres' && place.observer_url_from !== undefined;
  if (!isSeen || (await standingUnder(unit, deps, bundle, agreed)) === 'changed')
    return 'policy_changed';
  // What lies ready past a gate whose glass was broken unseen would be the next use of it.
  const offline = (await unreviewed(unit.sql)).filter(({ kit: used }) => used !== null);
  const wanted = { agent: null, gates: kit.gates, people: holdersOf(kit), incident: null };
  return isBlocked(wanted, offline) ? 'review_open' : null;
}

/** Ends every kit of a target that has to end by now. */
export async function endDueKits(unit: Unit, deps: Deps, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const kit = await lockKit(unit, id);
    if (kit.state === 'ending' || kit.state === 'ended') continue;
    await unit.readClock();
    const because = await whyKitEnds(unit, deps, kit);
    if (because !== null) await intendKitEnd(unit, kit, because);
  }
}

/** Writes down that a locked kit is to end. Its halves are gone with this, its login once the target was asked. */
export async function intendKitEnd(unit: Unit, kit: GlassKitRow, because: KitEnd): Promise<void> {
  if (kit.state === 'ending' || kit.state === 'ended') return;
  const [first, second] = kit.seats;
  const seats: [KitSeat, KitSeat] = [
    { ...first, share: null },
    { ...second, share: null },
  ];
  await moveKit(unit, kit, 'ending', { seats, because, nextTryAt: null, failure: null });
  const by = partyOf(unit.call.principal);
  unit.emit('emergency.kit_end_intended', {
    ...aboutKit(kit),
    detail: { kit: kit.id, target: kit.target, because, by: { type: by.type, id: by.id } },
    private: {},
  });
  unit.wake('target', targetWorkflow(kit.target));
}

/** Notes that the target was seen to know it no more. */
export async function settleKitEnd(unit: Unit, id: string, sessionsEnded: number): Promise<void> {
  const kit = await lockKit(unit, id);
  if (kit.state !== 'ending') return;
  const endedAt = await unit.readClock();
  await moveKit(unit, kit, 'ended', { endedAt, failure: null, nextTryAt: null });
  unit.emit('emergency.kit_ended', {
    ...aboutKit(kit),
    detail: {
      kit: kit.id,
      target: kit.target,
      because: kit.because,
      sessions_ended: sessionsEnded,
      last_seen: kit.lastSeenAt,
      effects_seen: kit.effects,
    },
    private: {},
  });
}

/** Ends a kit because somebody wants it ended: a holder, an approver of its gates, or an administrator. */
export async function endKit(unit: Unit, who: PersonPrincipal, id: string): Promise<GlassKitRow> {
  const kit = await lockKit(unit, id);
  const isTheirs =
    holdersOf(kit).includes(who.id) ||
    isAdmin(who) ||
    (mayVote(who.roles) && who.groups.some((each) => kit.reviewers.includes(each)));
  if (!isTheirs)
    throw new Refusal(
      'forbidden',
      'A kit is ended by its holders, by approvers of the gates it goes past, or by an administrator.',
    );
  await intendKitEnd(unit, kit, 'by_person');
  return lockKit(unit, id);
}

/** What a look at the login came to: of its target, or that it could not be asked. */
export type KitCheck = KitState | 'unreachable';

/** Records a look. A login that is not as it was made is no kit of its holders any more. */
export async function recordKitCheck(
  unit: Unit,
  id: string,
  outcome: KitCheck,
): Promise<GlassKitRow> {
  const kit = await lockKit(unit, id);
  const now = await unit.readClock();
  if (kit.state !== 'ready') return kit;
  await unit.sql
    .update(glassKit)
    .set({ checkedAt: now, checked: outcome })
    .where(eq(glassKit.id, kit.id));
  unit.emit('emergency.kit_checked', {
    ...aboutKit(kit),
    detail: { kit: kit.id, target: kit.target, outcome },
    private: {},
  });
  unit.changed(kit.id);
  if (outcome === 'missing' || outcome === 'altered') await intendKitEnd(unit, kit, outcome);
  return lockKit(unit, id);
}

/** Whether a kit is to be looked at again. One that could not be asked is not left alone for a day. */
export const isCheckDue = ({ state, checkedAt, checked }: GlassKitRow, now: string): boolean =>
  state === 'ready' &&
  (checkedAt === null ||
    addSeconds(checkedAt, checked === 'unreachable' ? RETRY_SECONDS * 20 : CHECK_SECONDS) <= now);

/** Whether its people have to be told that it ends soon. */
export const isWarningDue = (kit: GlassKitRow, now: string): boolean =>
  kit.state === 'ready' &&
  kit.warnedAt === null &&
  secondsBetween(kit.createdAt, now) >= secondsBetween(kit.createdAt, kit.expiresAt) * WARNED_AT;

/** Notes that they were. */
export async function noteKitWarned(unit: Unit, id: string): Promise<void> {
  const kit = await lockKit(unit, id);
  const now = await unit.readClock();
  if (!isWarningDue(kit, now)) return;
  await unit.sql.update(glassKit).set({ warnedAt: now }).where(eq(glassKit.id, kit.id));
  unit.emit('emergency.kit_expiring', {
    ...aboutKit(kit),
    detail: { kit: kit.id, target: kit.target, expires_at: kit.expiresAt },
    private: {},
  });
}

/** Of these, the kits that something may be left of at a target. */
export async function knownKits(
  query: Query | Transaction,
  ids: readonly Id<'glassKit'>[],
): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await query
    .select({ id: glassKit.id })
    .from(glassKit)
    .where(
      and(inArray(glassKit.id, [...ids]), inArray(glassKit.state, ['making', 'ready', 'ending'])),
    );
  return new Set(rows.map(({ id }) => id));
}
