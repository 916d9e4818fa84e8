// People who are away, and who votes in their stead: by the rights of whoever is away, and as one human with them.
import { and, desc, eq, gt, isNull, lt } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { AbsenceRow } from '../../db/rows.ts';
import { absence, person } from '../../db/schema/index.ts';
import { isStrongEnough } from '../../domain/approval.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import { isAdmin, mayVote, partyOf } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';
import { asPersonId, lockPerson } from './people.ts';

const DAYS_MAX = 90;

interface Away {
  standIn: string;
  /** Null is now. */
  startsAt: string | null;
  endsAt: string;
}

/** Says who votes for a person while they are away. */
export async function goAway(unit: Unit, id: string, away: Away): Promise<AbsenceRow> {
  refuseOthers(unit, id);
  // Whoever counts votes of this person, or for them, waits until this is known.
  const who = await lockPerson(unit, id);
  const now = await unit.readClock();
  const starts = away.startsAt === null ? now : inUtc(away.startsAt);
  const startsAt = starts < now ? now : starts;
  const endsAt = inUtc(away.endsAt);
  if (!(startsAt < endsAt) || endsAt > addSeconds(startsAt, DAYS_MAX * 86_400))
    throw new Refusal(
      'invalid_request',
      `An absence ends after it begins and lasts at most ${DAYS_MAX} days.`,
    );
  await refuseStandIn(unit, who.id, away.standIn);
  const [other] = await unit.sql
    .select()
    .from(absence)
    .where(
      and(
        eq(absence.person, who.id),
        isNull(absence.withdrawnAt),
        lt(absence.startsAt, endsAt),
        gt(absence.endsAt, startsAt),
      ),
    );
  if (other)
    throw new Refusal(
      'wrong_state',
      `There is an absence already in that time, ${other.id}: take it back first.`,
      { absence: other.id },
    );
  const row: AbsenceRow = {
    id: newId('absence'),
    person: who.id,
    standIn: asPersonId(away.standIn),
    startsAt,
    endsAt,
    createdAt: now,
    withdrawnAt: null,
  };
  await unit.sql.insert(absence).values(row);
  unit.emit('person.away', {
    subject: who.id,
    detail: { ...aboutAbsence(unit, row), starts_at: startsAt, ends_at: endsAt },
    private: {},
  });
  return row;
}

/** Takes an absence back. What was voted under it and is not decided yet counts no more. */
export async function comeBack(unit: Unit, id: string, which: string): Promise<AbsenceRow> {
  const who = await lockPerson(unit, id);
  refuseOthers(unit, who.id);
  const now = await unit.readClock();
  const [row] = await unit.sql
    .update(absence)
    .set({ withdrawnAt: now })
    .where(
      and(
        eq(absence.id, asAbsenceId(which)),
        eq(absence.person, who.id),
        isNull(absence.withdrawnAt),
      ),
    )
    .returning();
  if (!row)
    throw new Refusal(
      'not_found',
      'There is no such absence to take back: it may have been taken back already.',
    );
  unit.emit('person.back', { subject: who.id, detail: aboutAbsence(unit, row), private: {} });
  return row;
}

const LISTED_MAX = 100;

/** The absences of a person, the latest first. */
export const absencesOf = (query: Query, id: string): Promise<AbsenceRow[]> =>
  query
    .select()
    .from(absence)
    .where(eq(absence.person, asPersonId(id)))
    .orderBy(desc(absence.id))
    .limit(LISTED_MAX);

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asAbsenceId = (id: string): Id<'absence'> => id as Id<'absence'>;

const inUtc = (at: string): string => new Date(at).toISOString();

function aboutAbsence(unit: Unit, row: AbsenceRow) {
  const { type, id } = partyOf(unit.call.principal);
  return { absence: row.id, person: row.person, stand_in: row.standIn, by: { type, id } };
}

/** One's own vote is handed on by oneself, freshly signed in, or by an administrator. */
function refuseOthers(unit: Unit, id: string): void {
  const { principal } = unit.call;
  if (principal.kind === 'person' && principal.id === id) {
    if (isStrongEnough(principal.strength, 'fresh')) return;
    throw new Refusal(
      'stronger_auth_required',
      'Whoever hands on their vote has to have signed in within five minutes: sign in again.',
    );
  }
  if (!isAdmin(principal))
    throw new Refusal(
      'forbidden',
      'Only they themselves or an administrator can say this: ask one of them.',
    );
}

async function refuseStandIn(unit: Unit, away: string, id: string): Promise<void> {
  const [who] = await unit.sql
    .select()
    .from(person)
    .where(eq(person.id, asPersonId(id)));
  if (who?.id === away)
    throw new Refusal('person_unknown', 'Nobody stands in for themselves: name another person.');
  if (!who || who.state !== 'active' || !mayVote(who.roles))
    throw new Refusal(
      'person_unknown',
      'A stand-in is an active person with the role approver: name another.',
    );
}
