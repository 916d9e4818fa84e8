// What waits for a person: pending requests on which their vote would count.
import { and, asc, eq, gt } from 'drizzle-orm';
import type { PersonPrincipal } from '../../commands/principal.ts';
import type { Query } from '../../db/client.ts';
import type { RequestRow } from '../../db/rows.ts';
import { request, vote } from '../../db/schema/index.ts';
import { decidableBy } from '../requests.ts';

/** More than anybody decides in a day; the page says so when there are more. */
export const WAITING_MAX = 500;

/** The requests this person may decide and has not voted on, the most urgent first. */
export async function waitingFor(
  query: Query,
  person: PersonPrincipal,
  now: string,
): Promise<RequestRow[]> {
  const pending = await query
    .select()
    .from(request)
    .where(and(eq(request.state, 'pending'), gt(request.expiresAt, now)))
    .orderBy(asc(request.expiresAt))
    .limit(WAITING_MAX);
  const votes = await query
    .select({ request: vote.request })
    .from(vote)
    .innerJoin(request, eq(vote.request, request.id))
    .where(and(eq(vote.person, person.id), eq(request.state, 'pending')));
  const voted = new Set(votes.map((each) => each.request));
  return decidableBy(
    query,
    person,
    pending.filter((row) => !voted.has(row.id)),
    now,
  );
}

export const countWaiting = async (
  query: Query,
  person: PersonPrincipal,
  now: string,
): Promise<number> => (await waitingFor(query, person, now)).length;
