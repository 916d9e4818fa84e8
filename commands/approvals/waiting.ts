// What waits for a person: pending requests on which their vote would count.
import { and, asc, eq, gt } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { RequestRow } from '../../db/rows.ts';
import { request, vote } from '../../db/schema/index.ts';
import { routesFor, whyIneligible } from '../../domain/approval.ts';
import type { PersonPrincipal } from '../principal.ts';
import { standingsOf } from './approvers.ts';
import { elapsedSeconds, tallyOf } from './tally.ts';

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

/** The requests on which a vote of this person would count now. Only shown; `decide` is what checks. */
export async function decidableBy(
  query: Query,
  principal: PersonPrincipal,
  rows: readonly RequestRow[],
  now: string,
): Promise<RequestRow[]> {
  const standings = await standingsOf(query, principal.id, now);
  const found: RequestRow[] = [];
  for (const row of rows) {
    const voters = await standings(row.routes);
    const elapsed = elapsedSeconds(row, now);
    const couldEver = voters.filter(
      (voter) => routesFor(voter, row.routes, row.involved, elapsed).length > 0,
    );
    if (couldEver.length === 0) continue;
    // Whose turn it is, the votes say; most routes have one stage.
    const isStaged = row.routes.some(({ rule }) => rule.stages !== undefined);
    const open = isStaged ? (await tallyOf(query, row, now)).open : null;
    if (couldEver.some((each) => !whyIneligible(each, row.routes, row.involved, elapsed, open)))
      found.push(row);
  }
  return found;
}
