// Who is told of a request in Slack: the places that its routes name, its approvers, and in the end whoever answers
// for the agent.
import { and, eq, inArray, isNotNull } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { PersonRow, RequestRow } from '../../db/rows.ts';
import { person } from '../../db/schema/index.ts';
import { whyIneligible, type FrozenRoute } from '../../domain/approval.ts';
import { asVoter, readOnCall } from '../approvers.ts';
import { elapsedSeconds, tallyOf } from '../tally.ts';

/** More approvers than that are not told one by one: for them there is a channel. */
const APPROVERS_MAX = 50;
/** People with a Slack user who are looked at for that. */
const CANDIDATES_MAX = 5_000;

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
  return [...new Set([...places, ...slackUsers(await approversOf(query, row, direct, now))])];
}

/** Those whose vote would count now. Who stands in for somebody finds it in their inbox. */
async function approversOf(
  query: Query,
  row: RequestRow,
  routes: readonly FrozenRoute[],
  now: string,
): Promise<PersonRow[]> {
  const people = await query
    .select()
    .from(person)
    .where(and(eq(person.state, 'active'), isNotNull(person.slackUserId)))
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

const slackUsers = (people: readonly PersonRow[]): string[] =>
  people.flatMap(({ slackUserId }) => slackUserId ?? []);

/** The Slack users of those for whom it was asked: who asked, who set it off, who answers for the agent. */
export const outcomeRecipients = (
  query: Query,
  { involved: { requester, owners, triggeredBy } }: RequestRow,
): Promise<string[]> => slackUsersOf(query, [requester, triggeredBy, ...owners]);

/** The Slack users of these people, of those who have one and are still here. */
export async function slackUsersOf(
  query: Query,
  people: readonly (string | null)[],
): Promise<string[]> {
  const ids = people.filter((id) => id !== null).map(asPersonId);
  if (ids.length === 0) return [];
  const rows = await query
    .select()
    .from(person)
    .where(and(inArray(person.id, ids), eq(person.state, 'active')))
    .orderBy(person.id);
  return slackUsers(rows);
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asPersonId = (id: string): PersonRow['id'] => id as PersonRow['id'];
