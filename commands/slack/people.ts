// Who a Slack user is here. Slack says which of its users clicked; that this is one of our people was said by the
// person themselves, by an administrator, or, where the settings allow it, by an e-mail address alone.
import { and, eq, isNull, sql } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { PersonRow } from '../../db/rows.ts';
import { person } from '../../db/schema/index.ts';
import type { PersonPrincipal, Principal, SlackBinding } from '../principal.ts';

/** The person to whom a Slack user is bound; else a stranger, who can decide nothing. */
export async function whoInSlack(query: Query, slackUser: string): Promise<Principal> {
  const [row] = await query.select().from(person).where(eq(person.slackUserId, slackUser));
  return row
    ? principalOf(row, row.slackBinding ?? 'set_by_admin')
    : { kind: 'slack', id: slackUser };
}

/** The one person with this address who has no Slack user of their own. */
export async function whoHasAddress(query: Query, email: string): Promise<PersonPrincipal | null> {
  const [row] = await query
    .select()
    .from(person)
    .where(and(sql`lower(${person.email}) = lower(${email})`, isNull(person.slackUserId)));
  return row ? principalOf(row, 'email_match') : null;
}

/** Whether a person was not deactivated here since. */
export async function isActivePerson(query: Query, { id }: PersonPrincipal): Promise<boolean> {
  const [row] = await query.select({ state: person.state }).from(person).where(eq(person.id, id));
  return row?.state === 'active';
}

/** Whether this person still may is asked where every vote is taken. */
const principalOf = (row: PersonRow, slackBinding: SlackBinding): PersonPrincipal => ({
  kind: 'person',
  id: row.id,
  name: row.name,
  roles: row.roles,
  groups: row.groups,
  session: null,
  strength: 'session',
  slackBinding,
});
