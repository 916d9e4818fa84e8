// What people ask for in Slack besides votes: /countersign, the home tab, and to be known here. Strangers learn
// nothing but how to be known.
import { waitingFor } from '../../commands/approvals/waiting.ts';
import type { PersonPrincipal } from '../../commands/principal.ts';
import type { SlackDelivery } from '../../commands/slack/deliveries.ts';
import { offerLink, unlinkSlack } from '../../commands/slack/links.ts';
import { findRequests, FOUND_MAX } from '../../commands/slack/search.ts';
import { databaseTime, transact, type Call } from '../../commands/unit.ts';
import { callSlack, postMessage, replyAt, type SlackFace } from './client.ts';
import { homeView, listFace, strangersHome, wordsFace } from './views.ts';
import { activePersonBehind, profileOf, type Desk } from './who.ts';

type Command = Extract<SlackDelivery, { kind: 'command' }>;

const asSlackUser = (id: string): Call => ({ principal: { kind: 'slack', id }, traceId: null });

const HELP = [
  '/countersign status: what waits for you',
  '/countersign search <text>: requests by agent, role, action or id',
  '/countersign link: say who you are here',
  '/countersign unlink: take that back',
].join('\n');

const STRANGER =
  'This Slack user is not linked to a person here. Use /countersign link, or ask an administrator.';

/** Answers a slash command, to its user alone. */
export async function answerCommand(desk: Desk, command: Command): Promise<void> {
  const [word = '', ...rest] = command.text.trim().split(/\s+/);
  if (word === 'link') return offerTo(desk, command);
  const face = await answerTo(desk, command.user, word, rest.join(' '));
  if (command.responseUrl !== null) await replyAt(desk.line, command.responseUrl, face);
}

async function answerTo(
  desk: Desk,
  slackUser: string,
  word: string,
  rest: string,
): Promise<SlackFace> {
  if (!['status', '', 'search', 'unlink'].includes(word)) return wordsFace(HELP);
  const { deps } = desk;
  const who = await activePersonBehind(desk, slackUser);
  if (!who) return wordsFace(STRANGER);
  if (word === 'unlink') return unlink(deps, who);
  if (word === 'search') return search(deps, rest);
  const waiting = await waitingFor(deps.db.query, who, await databaseTime(deps.db.query));
  const said =
    waiting.length === 0
      ? 'Nothing waits for you.'
      : `${waiting.length} wait for you, the most urgent first.`;
  return listFace(said, waiting, deps.publicUrl);
}

async function unlink(deps: Desk['deps'], who: PersonPrincipal): Promise<SlackFace> {
  await transact(deps, { principal: who, traceId: null }, (unit) =>
    unlinkSlack(unit, who.id, 'asked'),
  );
  return wordsFace(
    'This Slack user is no longer linked to you: nothing it says counts as your vote.',
  );
}

const SEARCH_MIN = 2;

async function search(deps: Desk['deps'], text: string): Promise<SlackFace> {
  if (text.length < SEARCH_MIN) return wordsFace('Search for two characters or more.');
  const found = await findRequests(deps.db.query, text);
  const most = found.length === FOUND_MAX ? `The newest ${FOUND_MAX}` : String(found.length);
  return listFace(`${most} found.`, found, deps.publicUrl);
}

/** Hands a Slack user the address at which the person they are says so. */
export async function offerTo(
  { deps, line }: Desk,
  { user, responseUrl }: Pick<SlackDelivery, 'user' | 'responseUrl'>,
): Promise<void> {
  const profile = await profileOf(line, user);
  const token = await transact(deps, asSlackUser(user), (unit) => offerLink(unit, user, profile));
  const said = `Open this within ten minutes, and sign in as yourself: ${deps.publicUrl}/link-slack/${token}\nIt is for you alone: whoever confirms it lets this Slack user vote for them.`;
  if (responseUrl !== null) await replyAt(line, responseUrl, wordsFace(said));
  else await postMessage(line, { to: user, face: wordsFace(said) });
}

/** Shows somebody what waits for them. */
export async function showHome(desk: Desk, user: string): Promise<void> {
  const { query } = desk.deps.db;
  const who = await activePersonBehind(desk, user);
  const view = who
    ? homeView(await waitingFor(query, who, await databaseTime(query)), desk.deps.publicUrl)
    : strangersHome();
  await callSlack(desk.line, 'views.publish', { user_id: user, view });
}
