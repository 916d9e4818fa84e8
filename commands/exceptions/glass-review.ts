// The review after emergency access: by somebody independent, with findings and what became of it.
import { and, asc, count, desc, eq, gt, isNotNull, isNull, sql } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { BreakGlassRow, CredentialRow, RequestRow } from '../../db/rows.ts';
import { breakGlass, credential, event, type DISPOSITIONS } from '../../db/schema/index.ts';
import { isStrongEnough } from '../../domain/approval.ts';
import { eventType } from '../../domain/event.ts';
import type { Id } from '../../domain/id.ts';
import { secondsBetween } from '../../domain/instant.ts';
import { ALIVE } from '../../domain/lifecycle.ts';
import { Refusal, type RefusalCode } from '../../domain/refusal.ts';
import { findAgent } from '../agents/agents.ts';
import { whoIsInvolved } from '../approvals/involved.ts';
import { aboutRequest, findRequest } from '../approvals/requests.ts';
import { isAdmin, mayVote, type PersonPrincipal } from '../principal.ts';
import type { Unit } from '../unit.ts';
import { findKit } from './glass-kits.ts';
import { effectsOfKit } from './kit-use.ts';

export interface GlassReview {
  findings: string;
  disposition: (typeof DISPOSITIONS)[number];
}

/** Closes the review of an emergency. A returned refusal is an outcome: that somebody tried is an event. */
export async function reviewEmergency(
  unit: Unit,
  who: PersonPrincipal,
  id: string,
  { findings, disposition }: GlassReview,
): Promise<BreakGlassRow | Refusal> {
  const [row] = await unit.sql
    .select()
    .from(breakGlass)
    .where(eq(breakGlass.id, asEmergencyId(id)))
    .for('update');
  const request = row && (await findRequest(unit.sql, row.request));
  if (!row || !request) throw new Refusal('not_found', 'There is no such emergency.');
  const now = await unit.readClock();
  const refusal = await whyNotReviewed(unit, who, row, request);
  if (refusal) {
    unit.emit('emergency.refused', {
      ...aboutRequest(request),
      subject: row.id,
      decision: 'refused',
      detail: { code: refusal.code, person: who.id },
      private: {},
    });
    return refusal;
  }
  const effects = await effectsOfUse(unit.sql, row, request.credential);
  const change = { closedAt: now, closedBy: who.id, disposition, findings, effects };
  await unit.sql.update(breakGlass).set(change).where(eq(breakGlass.id, row.id));
  unit.emit('emergency.reviewed', {
    ...aboutRequest(request),
    subject: row.id,
    decision: disposition,
    detail: {
      break_glass: row.id,
      person: who.id,
      disposition,
      effects_seen: effects,
      seconds: Math.round(secondsBetween(row.openedAt ?? now, now)),
    },
    private: { findings },
  });
  unit.changed(row.id);
  return { ...row, ...change };
}

async function whyNotReviewed(
  unit: Unit,
  who: PersonPrincipal,
  row: BreakGlassRow,
  request: RequestRow,
): Promise<Refusal | null> {
  const no = (code: RefusalCode, says: string): Refusal => new Refusal(code, says);
  if (row.openedAt === null) return no('wrong_state', 'It was not used, so there is no review.');
  if (row.people.includes(who.id) || (await isInvolved(unit, who, request)))
    return no(
      'self_approval',
      'You used it, own the agent, or set it off: somebody independent has to review it.',
    );
  const isReviewer =
    isAdmin(who) || (mayVote(who.roles) && who.groups.some((each) => row.reviewers.includes(each)));
  if (!isReviewer)
    return no(
      'not_eligible',
      `It is reviewed by those who were not asked: approvers of ${row.reviewers.join(', ')}, or an administrator.`,
    );
  if (!isStrongEnough(who.strength, 'fresh'))
    return no('stronger_auth_required', 'Sign in again first: a review takes a fresh session.');
  if (row.closedAt !== null) return no('already_decided', 'This was reviewed already.');
  if (await isKitThere(unit, row))
    return no(
      'wrong_state',
      'Its login is not seen gone yet, so it is not known what it did: wait until the target was asked.',
    );
  if (await isUnderWay(unit, request))
    return no(
      'wrong_state',
      'Its credential is alive, so it is not known yet what it did: revoke it first, or wait for its end.',
    );
  return null;
}

async function isInvolved(
  unit: Unit,
  who: PersonPrincipal,
  { action, agent, involved }: RequestRow,
): Promise<boolean> {
  const holder = agent && (await findAgent(unit.sql, agent));
  const now = await whoIsInvolved(unit, { action, agent: holder, task: null });
  return [involved.requester, involved.triggeredBy, ...involved.owners, ...now.owners].includes(
    who.id,
  );
}

async function isUnderWay(unit: Unit, { state, credential: id }: RequestRow): Promise<boolean> {
  if (id === null) return state === 'approved';
  const [lease] = await unit.sql.select().from(credential).where(eq(credential.id, id));
  return lease !== undefined && ALIVE.includes(lease.state);
}

async function isKitThere(unit: Unit, { kit }: BreakGlassRow): Promise<boolean> {
  const row = kit && (await findKit(unit.sql, kit));
  return row !== null && row.state !== 'ended';
}

/** How many effects of one use independent eyes saw: of its credential, or of the login that lay ready. */
export const effectsOfUse = (
  query: Query | Transaction,
  { kit }: Pick<BreakGlassRow, 'kit'>,
  issued: CredentialRow['id'] | null,
): Promise<number> => (kit === null ? effectsOf(query, issued) : effectsOfKit(query, kit));

async function effectsOf(
  query: Query | Transaction,
  id: CredentialRow['id'] | null,
): Promise<number> {
  if (id === null) return 0;
  const [row] = await query
    .select({ seen: count() })
    .from(event)
    .where(
      and(
        eq(event.type, eventType('runtime.observed')),
        sql`${event.leaf}::jsonb #>> '{data,detail,credential}' = ${id}`,
        sql`${event.leaf}::jsonb #>> '{data,detail,kind}' = 'effect'`,
      ),
    );
  return row?.seen ?? 0;
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asEmergencyId = (id: string): Id<'breakGlass'> => id as Id<'breakGlass'>;

export async function findEmergency(query: Query, id: string): Promise<BreakGlassRow | null> {
  const [row] = await query
    .select()
    .from(breakGlass)
    .where(eq(breakGlass.id, asEmergencyId(id)));
  return row ?? null;
}

export const listEmergencies = (
  query: Query,
  { isUnreviewed, after, limit }: { isUnreviewed: boolean; after: string | null; limit: number },
): Promise<BreakGlassRow[]> =>
  query
    .select()
    .from(breakGlass)
    .where(
      and(
        after === null ? undefined : gt(breakGlass.id, asEmergencyId(after)),
        isUnreviewed ? and(isNotNull(breakGlass.openedAt), isNull(breakGlass.closedAt)) : undefined,
      ),
    )
    .orderBy(asc(breakGlass.id))
    .limit(limit);

/** The newest ones, for people. */
export const newestEmergencies = (query: Query, limit: number): Promise<BreakGlassRow[]> =>
  query.select().from(breakGlass).orderBy(desc(breakGlass.id)).limit(limit);

const isLateUnsaid = and(
  isNotNull(breakGlass.openedAt),
  isNull(breakGlass.closedAt),
  isNull(breakGlass.remindedAt),
);

const unremindedOf = (query: Query | Transaction, agent: Id<'agent'>): Promise<BreakGlassRow[]> =>
  query
    .select()
    .from(breakGlass)
    .where(and(eq(breakGlass.agent, agent), isLateUnsaid));

/** When a review of an agent's emergency is late. */
export const reviewTimesOf = async (query: Query, agent: Id<'agent'>): Promise<string[]> =>
  (await unremindedOf(query, agent)).flatMap(({ reviewDueAt }) => reviewDueAt ?? []);

/** Says of each review of an agent's emergency that is late that it is, once. */
export const noteLateReviews = async (unit: Unit, agent: Id<'agent'>): Promise<void> =>
  noteLate(unit, await unremindedOf(unit.sql, agent));

/** The same for logins that lay ready, which are no agent's. */
export const noteLateKitReviews = async (unit: Unit): Promise<void> =>
  noteLate(
    unit,
    await unit.sql
      .select()
      .from(breakGlass)
      .where(and(isNotNull(breakGlass.kit), isLateUnsaid))
      .for('update'),
  );

async function noteLate(unit: Unit, rows: readonly BreakGlassRow[]): Promise<void> {
  for (const row of rows) {
    const request = await findRequest(unit.sql, row.request);
    if (!request || row.reviewDueAt === null || unit.at < row.reviewDueAt) continue;
    await unit.sql.update(breakGlass).set({ remindedAt: unit.at }).where(eq(breakGlass.id, row.id));
    unit.emit('emergency.review_late', {
      ...aboutRequest(request),
      subject: row.id,
      detail: { break_glass: row.id, review_due_at: row.reviewDueAt },
      private: {},
    });
  }
}
