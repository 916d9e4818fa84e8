// Which of the people who decide on a request now can be told of it one by one, on a way of their own.
import { and, eq, isNotNull } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { PersonRow, RequestRow } from '../../db/rows.ts';
import { person } from '../../db/schema/index.ts';
import { whyIneligible, type FrozenRoute } from '../../domain/approval.ts';
import { asVoter, readOnCall } from '../approvals/approvers.ts';
import { elapsedSeconds, tallyOf } from '../approvals/tally.ts';

/** More approvers than that are not told one by one: for them there is a channel. */
const APPROVERS_MAX = 50;
/** People who could be told that way who are looked at for that. */
const CANDIDATES_MAX = 5_000;

/** Those whose vote would count now and who can be told by this. Who stands in for somebody finds it in their inbox. */
export async function approversReachedBy(
  query: Query,
  way: 'slackUserId' | 'email',
  row: RequestRow,
  routes: readonly FrozenRoute[],
  now: string,
): Promise<PersonRow[]> {
  const people = await query
    .select()
    .from(person)
    .where(and(eq(person.state, 'active'), isNotNull(person[way])))
    .orderBy(person.id)
    .limit(CANDIDATES_MAX);
  const called = await readOnCall(query, routes, now);
  const { open } = await tallyOf(query, row, now);
  const elapsed = elapsedSeconds(row, now);
  return people
    .filter((who) => {
      const voter = asVoter(who, routes, called);
      return whyIneligible(voter, routes, row.involved, elapsed, open) === null;
    })
    .slice(0, APPROVERS_MAX);
}
