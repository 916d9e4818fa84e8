// Counts votes: whose count, on which route, as the tables know their people now.
import { inArray } from 'drizzle-orm';
import type { Query, Transaction } from '../db/client.ts';
import type { PersonRow, RequestRow } from '../db/rows.ts';
import { person } from '../db/schema/index.ts';
import {
  foldVotes,
  routesFor,
  type FrozenRoute,
  type Tally,
  type Voter,
} from '../domain/approval.ts';
import { mayVote } from './principal.ts';
import { votesOn } from './requests.ts';

/** Counts the votes as their people stand now: who lost a group or was deactivated counts no more. */
export async function tallyOf(
  query: Query | Transaction,
  row: RequestRow,
  at: string,
  lock: 'share' | null = null,
): Promise<Tally> {
  const votes = await votesOn(query, row.id);
  const read = query
    .select()
    .from(person)
    .where(
      inArray(
        person.id,
        votes.map((each) => each.person),
      ),
    )
    .orderBy(person.id);
  const people = await (lock ? read.for(lock) : read);
  const voters = new Map<string, Voter>(people.map((who) => [who.id, asVoter(who)]));
  const elapsed = elapsedSeconds(row, at);
  const isEligible = (id: string, route: FrozenRoute): boolean => {
    const who = voters.get(id);
    return who !== undefined && routesFor(who, [route], row.involved, elapsed).length > 0;
  };
  return foldVotes(row.routes, votes, isEligible);
}

/** A group alone makes nobody an approver: it says of what, and the role says whether. */
export const asVoter = (who: PersonRow): Voter => ({
  id: who.id,
  groups: who.groups,
  active: who.state === 'active' && mayVote(who.roles),
});

/** How long a request has waited. */
export const elapsedSeconds = (row: RequestRow, at: string): number =>
  (Date.parse(at) - Date.parse(row.createdAt)) / 1000;
