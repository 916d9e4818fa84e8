// The forms that say who votes for somebody who is away: on one's own page, and on that of a person for administrators.
import { and, asc, eq, gt, isNull, lte } from 'drizzle-orm';
import { absencesOf, comeBack, goAway } from '../../commands/people/absences.ts';
import { mayVote } from '../../commands/principal.ts';
import { transact } from '../../commands/unit.ts';
import type { Query } from '../../db/client.ts';
import type { AbsenceRow } from '../../db/rows.ts';
import { absence, person } from '../../db/schema/index.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { AbsenceLine, Absences } from '../../web/absences.tsx';
import type { StandInLine } from '../../web/duty.tsx';
import { field, type ConsoleDeps, type Visit } from './console.ts';
import { attempt, saidBy, typed } from './forms.ts';
import { personNames } from './names.ts';

/** Absences on a page; the API has the rest. */
const SHOWN = 20;

/** More people than this are named through the API. */
const STAND_INS = 500;

/** What the panel about one person's absences shows. */
export async function absencesFor(
  visit: Visit,
  deps: ConsoleDeps,
  id: string,
  refusal: Refusal | null,
): Promise<Absences> {
  const { query } = deps.db;
  const rows = (await absencesOf(query, id)).slice(0, SHOWN);
  const name = await personNames(
    query,
    rows.map((row) => row.standIn),
  );
  const people = await query
    .select()
    .from(person)
    .where(eq(person.state, 'active'))
    .orderBy(asc(person.name))
    .limit(STAND_INS);
  return {
    rows: rows.map((row) => ({
      id: row.id,
      standIn: name(row.standIn),
      startsAt: row.startsAt,
      endsAt: row.endsAt,
      state: stateOf(row, visit.shell.now),
    })),
    standIns: people
      .filter((each) => each.id !== id && mayVote(each.roles))
      .map((each) => ({ id: each.id, name: each.name })),
    values: refusal ? typed(visit) : {},
    said: refusal && saidBy(refusal),
  };
}

function stateOf(row: AbsenceRow, now: string): AbsenceLine['state'] {
  if (row.withdrawnAt !== null) return 'withdrawn';
  if (now < row.startsAt) return 'ahead';
  return now < row.endsAt ? 'away' : 'over';
}

/** Says that a person is away, as the form has it. Its times are UTC, as everything on these pages. */
export const sayAway = (
  visit: Visit,
  deps: ConsoleDeps,
  id: string,
): Promise<AbsenceRow | Refusal> =>
  attempt(() => {
    const starts = field(visit, 'starts_at');
    const away = {
      standIn: field(visit, 'stand_in'),
      startsAt: starts === '' ? null : inUtc(starts),
      endsAt: inUtc(field(visit, 'ends_at')),
    };
    return transact(deps, visit.call, (unit) => goAway(unit, id, away));
  });

/** Takes an absence back. */
export const sayBack = (
  visit: Visit,
  deps: ConsoleDeps,
  id: string,
): Promise<AbsenceRow | Refusal> =>
  attempt(() =>
    transact(deps, visit.call, (unit) => comeBack(unit, id, visit.params['absence'] ?? '')),
  );

/** What browsers send for a day and a time of it. */
const LOCAL = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2})?$/;

function inUtc(text: string): string {
  const ms = LOCAL.test(text) ? Date.parse(`${text}Z`) : Number.NaN;
  if (Number.isNaN(ms))
    throw new Refusal(
      'invalid_request',
      'A time is a day and an hour in UTC, such as 2026-12-24T18:00.',
    );
  return new Date(ms).toISOString();
}

/** Whoever is away now, with who votes for them. */
export async function awayNow(query: Query, now: string): Promise<StandInLine[]> {
  const rows = await query
    .select()
    .from(absence)
    .where(and(isNull(absence.withdrawnAt), lte(absence.startsAt, now), gt(absence.endsAt, now)))
    .orderBy(asc(absence.endsAt))
    .limit(STAND_INS);
  const name = await personNames(
    query,
    rows.flatMap((row) => [row.person, row.standIn]),
  );
  return rows.map((row) => ({
    person: name(row.person),
    standIn: name(row.standIn),
    endsAt: row.endsAt,
  }));
}
