// Who is told of a request in Slack: the places that its routes name, its approvers, and in the end whoever answers
// for the agent.
import { and, arrayOverlaps, eq, inArray, isNotNull } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { PersonRow, RequestRow } from '../../db/rows.ts';
import { person } from '../../db/schema/index.ts';
import { groupsAfter, routesFor } from '../../domain/approval.ts';
import { secondsBetween } from '../../domain/instant.ts';
import { mayVote } from '../principal.ts';

/** More approvers than that are not told one by one: for them there is a channel. */
const APPROVERS_MAX = 50;

/** Whether any of its routes takes votes from Slack. */
export const isForSlack = (row: RequestRow): boolean =>
  row.routes.some(({ rule }) => rule.channels.includes('slack'));

/** The channels and the Slack users who get the card. */
export async function cardRecipients(
  query: Query,
  row: RequestRow,
  usual: string,
  now: string,
): Promise<string[]> {
  const routes = row.routes.filter(({ rule }) => rule.channels.includes('slack'));
  const places = routes.flatMap(({ rule }) => {
    const named = rule.slack?.channels ?? [];
    if (named.length > 0) return named;
    return rule.slack?.approvers === true ? [] : [usual];
  });
  const direct = routes.filter(({ rule }) => rule.slack?.approvers === true);
  if (direct.length === 0) return [...new Set(places)];
  const elapsed = secondsBetween(row.createdAt, now);
  const groups = direct.flatMap(({ rule }) => groupsAfter(rule, elapsed));
  const candidates = await query
    .select()
    .from(person)
    .where(
      and(
        eq(person.state, 'active'),
        isNotNull(person.slackUserId),
        arrayOverlaps(person.groups, groups),
      ),
    )
    .orderBy(person.id)
    .limit(APPROVERS_MAX);
  const mine = candidates.filter(
    (who) => routesFor(asVoter(who), direct, row.involved, elapsed).length > 0,
  );
  return [...new Set([...places, ...slackUsers(mine)])];
}

const asVoter = (who: PersonRow) => ({
  id: who.id,
  groups: who.groups,
  active: mayVote(who.roles),
});

const slackUsers = (people: readonly PersonRow[]): string[] =>
  people.flatMap(({ slackUserId }) => slackUserId ?? []);

/** The Slack users of those for whom it was asked: who asked, who set it off, who answers for the agent. */
export async function outcomeRecipients(query: Query, row: RequestRow): Promise<string[]> {
  const { requester, owners, triggeredBy } = row.involved;
  const ids = [requester, triggeredBy, ...owners].filter((id) => id !== null);
  if (ids.length === 0) return [];
  const people = await query
    .select()
    .from(person)
    .where(and(inArray(person.id, ids.map(asPersonId)), eq(person.state, 'active')))
    .orderBy(person.id);
  return slackUsers(people);
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asPersonId = (id: string): PersonRow['id'] => id as PersonRow['id'];
