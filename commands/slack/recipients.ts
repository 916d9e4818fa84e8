// Who is told of a request in Slack: the places that its routes name, its approvers, and in the end whoever answers
// for the agent.
import { and, eq, inArray } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { PersonRow, RequestRow } from '../../db/rows.ts';
import { person } from '../../db/schema/index.ts';
import { BREAK_GLASS } from '../../domain/break-glass.ts';
import { approversReachedBy } from '../channels/reachable.ts';

/** Whether any of its routes takes votes from Slack, or it is an emergency: that is said everywhere at once. */
export const isForSlack = (row: RequestRow): boolean =>
  isEmergency(row) || row.routes.some(({ rule }) => rule.channels.includes('slack'));

const isEmergency = ({ action }: RequestRow): boolean => action.action === BREAK_GLASS;

/** The channels and the Slack users who get the card. */
export async function cardRecipients(
  query: Query,
  row: RequestRow,
  usual: string,
  now: string,
): Promise<string[]> {
  const isLoud = isEmergency(row);
  const routes = row.routes.filter(({ rule }) => isLoud || rule.channels.includes('slack'));
  const places = routes.flatMap(({ rule }) => {
    const named = rule.slack?.channels ?? [];
    if (isLoud) return [usual, ...named];
    if (named.length > 0) return named;
    return rule.slack?.approvers === true ? [] : [usual];
  });
  const direct = routes.filter(({ rule }) => isLoud || rule.slack?.approvers === true);
  if (direct.length === 0) return [...new Set(places)];
  return [
    ...new Set([
      ...places,
      ...slackUsers(await approversReachedBy(query, 'slackUserId', row, direct, now)),
    ]),
  ];
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
