// As whom a person could vote: as themselves, and for people who are away; with the groups that count for a request.
import { and, eq, gt, inArray, isNull, lte } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { AbsenceRow, PersonRow, OnCallRow } from '../../db/rows.ts';
import { absence, onCall, person } from '../../db/schema/index.ts';
import type { FrozenRoute, Voter } from '../../domain/approval.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import { onCallGroup, RESOURCE_OWNER, sourcesIn } from '../../domain/seats.ts';
import { mayVote } from '../principal.ts';

/** Rows that are read to decide something are held until it is decided. */
export type Lock = 'share' | null;

/** Whoever could cast a vote, and what says so where it is not their own. */
export interface Standing extends Voter {
  id: Id<'person'>;
  inSteadOf: Id<'person'> | null;
  absence: Id<'absence'> | null;
}

/** An answer of a source that is older than this is no answer. */
const ON_CALL_GOOD_SECONDS = 300;

/** People by the duty that makes them approvers. */
export type Called = ReadonlyMap<string, Id<'person'>[]>;

/** Whether what a source said counts now: it answered, and not too long ago. */
export const isOnCallGood = (
  { code, lookedAt }: Pick<OnCallRow, 'code' | 'lookedAt'>,
  at: string,
): boolean => code === null && lookedAt >= addSeconds(at, -ON_CALL_GOOD_SECONDS);

/** Who is on call now, by the group that a source makes; nobody where it did not answer lately (I6). */
export async function readOnCall(
  query: Query | Transaction,
  routes: readonly FrozenRoute[],
  at: string,
  lock: Lock = null,
): Promise<Called> {
  const sources = [...new Set(routes.flatMap(({ rule }) => sourcesIn(rule)))];
  if (sources.length === 0) return new Map();
  const read = query
    .select()
    .from(onCall)
    .where(inArray(onCall.source, sources))
    .orderBy(onCall.source);
  const rows = await (lock ? read.for(lock) : read);
  return new Map(
    rows.map(({ source, people, lookedAt, code }) => [
      onCallGroup(source),
      isOnCallGood({ code, lookedAt }, at) ? people : [],
    ]),
  );
}

/** A person with the groups that count for a request. The role says whether they approve at all, a group of what. */
export function asVoter(
  who: PersonRow,
  routes: readonly FrozenRoute[],
  called: Called,
): Voter & { id: Id<'person'> } {
  const duties = [...called].filter(([, people]) => people.includes(who.id)).map(([name]) => name);
  const owns = routes.some((route) => ownsResource(who, route));
  return {
    id: who.id,
    groups: [...who.groups, ...duties, ...(owns ? [RESOURCE_OWNER] : [])],
    active: who.state === 'active' && mayVote(who.roles),
  };
}

/** Whether what is asked for is theirs: by their address, or as one of a group. */
function ownsResource(who: PersonRow, { resource_owner: owner }: FrozenRoute): boolean {
  if (typeof owner !== 'string') return false;
  return owner.includes('@')
    ? who.email?.toLowerCase() === owner.toLowerCase()
    : who.groups.includes(owner);
}

/** Somebody's vote for a person who is away: by that person's groups, if both of them may vote at all. */
export const standIn = (voter: Voter, away: Voter): Voter => ({
  id: voter.id,
  groups: away.groups,
  active: voter.active && away.active,
  inSteadOf: away.id,
});

/** As whom a person could vote now, themselves first; told for the routes of each request. */
export async function standingsOf(
  query: Query | Transaction,
  id: Id<'person'>,
  at: string,
  lock: Lock = null,
): Promise<(routes: readonly FrozenRoute[]) => Promise<Standing[]>> {
  const absences = await awayFor(query, id, at);
  const read = query
    .select()
    .from(person)
    .where(inArray(person.id, [id, ...absences.map((each) => each.person)]))
    .orderBy(person.id);
  const people = await (lock ? read.for(lock) : read);
  const known = new Map(people.map((who) => [who.id, who]));
  // Held by now, they cannot be taken back under the vote; read before, they might have been.
  const standing = lock && absences.length > 0 ? await awayFor(query, id, at) : absences;
  return async (routes) => {
    const called = await readOnCall(query, routes, at, lock);
    const own = known.get(id);
    if (!own) return [];
    const voter = asVoter(own, routes, called);
    return [
      { ...voter, inSteadOf: null, absence: null },
      ...standing.flatMap((each): Standing[] => {
        const away = known.get(each.person);
        if (!away) return [];
        const vote = standIn(voter, asVoter(away, routes, called));
        return [{ ...vote, id, inSteadOf: away.id, absence: each.id }];
      }),
    ];
  };
}

/** The absences in force in which this person stands in. */
const awayFor = (query: Query | Transaction, id: Id<'person'>, at: string): Promise<AbsenceRow[]> =>
  query
    .select()
    .from(absence)
    .where(
      and(
        eq(absence.standIn, id),
        lte(absence.startsAt, at),
        gt(absence.endsAt, at),
        isNull(absence.withdrawnAt),
      ),
    )
    .orderBy(absence.id);
