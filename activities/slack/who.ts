// Who somebody in Slack is here, asking Slack about them where that is needed.
import type { PersonPrincipal, Principal } from '../../commands/principal.ts';
import type { SlackProfile } from '../../commands/slack/links.ts';
import { isActivePerson, whoHasAddress, whoInSlack } from '../../commands/slack/people.ts';
import type { Query } from '../../db/client.ts';
import type { NoticeDeps } from '../notices.ts';
import { callSlack, type SlackLine } from './client.ts';

/** What everybody who deals with deliveries from Slack works with. */
export interface Desk {
  deps: NoticeDeps;
  line: SlackLine;
}

/** The person behind a Slack user, unless they were deactivated here: then it is a stranger's. */
export async function activePersonBehind(
  { deps, line }: Desk,
  slackUser: string,
): Promise<PersonPrincipal | null> {
  const who = await whoIs(deps.db.query, line, slackUser);
  return who.kind === 'person' && (await isActivePerson(deps.db.query, who)) ? who : null;
}

/** The person behind a Slack user; by address alone only where the settings allow it. */
export async function whoIs(query: Query, line: SlackLine, slackUser: string): Promise<Principal> {
  const known = await whoInSlack(query, slackUser);
  if (known.kind === 'person' || line.slack.match_email !== true) return known;
  const address = await ownAddress(line, slackUser).catch(() => null);
  return (address === null ? null : await whoHasAddress(query, address)) ?? known;
}

/**
 * The address of a Slack user of our own workspace that Slack has confirmed. Somebody from another workspace, in a
 * channel that is shared with it, has whatever address that one's administrators gave them.
 */
async function ownAddress(line: SlackLine, slackUser: string): Promise<string | null> {
  const { team_id: team } = await callSlack(line, 'auth.test', {});
  const user = await readUser(line, slackUser);
  const isOurs = typeof team === 'string' && user['team_id'] === team;
  const isFull =
    user['deleted'] !== true &&
    user['is_bot'] !== true &&
    user['is_restricted'] !== true &&
    user['is_ultra_restricted'] !== true &&
    user['is_stranger'] !== true &&
    user['is_email_confirmed'] === true;
  const email = asObject(user['profile'])['email'];
  return isOurs && isFull && typeof email === 'string' ? email : null;
}

/** What Slack says about a user, as far as the app may ask. */
export async function profileOf(line: SlackLine, slackUser: string): Promise<SlackProfile> {
  const user = await readUser(line, slackUser).catch((): Record<string, unknown> => ({}));
  const profile = asObject(user['profile']);
  return {
    slackName: text(user['real_name']) ?? text(user['name']) ?? slackUser,
    slackTeam: text(user['team_id']) ?? 'not told',
    email: text(profile['email']),
  };
}

const readUser = async (line: SlackLine, user: string): Promise<Record<string, unknown>> =>
  asObject((await callSlack(line, 'users.info', { user }))['user']);

const asObject = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? { ...value } : {};

const text = (value: unknown): string | null =>
  typeof value === 'string' && value !== '' ? value.slice(0, 200) : null;
