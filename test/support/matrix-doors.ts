// Every door that leads to a vote: how one goes through it, and how each says what came of it.
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import type { ClickedMessage } from '../fakes/slack-payloads.ts';
import { admin, anyone, eventually, object, text, type Caller, type Reply } from './client.ts';
import {
  expected,
  isForSlack,
  isSlack,
  type Cell,
  type DoorName,
  type RoleName,
} from './matrix-model.ts';
import type { MatrixCast, Member } from './matrix.ts';

export type Decision = 'approve' | 'deny';

/** A request as somebody saw it who now decides on it. */
export interface Seen {
  id: string;
  shown: string;
  /** Its card in Slack as it was while it could be decided, with buttons that it may never have had. */
  card: ClickedMessage;
}

/** What somebody was told: a status over HTTP, and the words. In Slack only a refusal is told to its voter alone. */
export interface Told {
  status: number | null;
  text: string;
}

/** Looks at a request as an approver does, and waits for its card. */
export async function look(cast: MatrixCast, id: string): Promise<Seen> {
  const { body } = await cast.members.approver.call('GET', `/v1/requests/${id}`);
  const shown = text(body['shown']);
  const message = await cast.slack.messageWith(
    (each) => each.thread === null && JSON.stringify(each.blocks).includes(id),
  );
  // Remembered as the card of what is now, as whoever brings it up to date would.
  await eventually(async () => {
    const { sql } = cast.service.database.owner;
    const rows = await sql`update slack_message set shown = ${shown}
      where request = ${id} and ts = ${message.ts} returning ts`;
    return rows.length > 0;
  }, 'a card that we remember');
  const button = (actionId: string): JsonObject => ({
    ...{ type: 'button', action_id: actionId, value: id },
  });
  return {
    ...{ id, shown },
    card: {
      ...{ channel: message.channel, ts: message.ts, text: message.text },
      blocks: [{ type: 'actions', block_id: shown, elements: [button('approve'), button('deny')] }],
    },
  };
}

const memberOf = ({ members }: MatrixCast, role: RoleName): Member => {
  if (role in members) return members[role as keyof typeof members];
  throw new Error(`nobody here is ${role}`);
};

/** The headers with which somebody comes over HTTP, as far as they have any. */
function callerAs(cast: MatrixCast, role: RoleName): Caller {
  switch (role) {
    case 'agent':
      return cast.agent;
    case 'automation':
      return admin(cast.service);
    case 'nobody':
      return anyone(cast.service);
    case 'forged': {
      const { cookie } = memberOf(cast, role);
      return {
        call: (method, path, body, headers) =>
          anyone(cast.service).call(method, path, body, { ...headers, cookie }),
      };
    }
    default:
      return memberOf(cast, role);
  }
}

const told = ({ status, body }: Reply): Told => ({ status, text: text(body['detail']) });

async function byApi(cast: MatrixCast, role: RoleName, { id, shown }: Seen, decision: Decision) {
  const reply = await callerAs(cast, role).call('POST', `/v1/requests/${id}/votes`, {
    ...{ decision, shown },
  });
  return told(reply);
}

/** The form of the page. Whoever is sent to sign in is told 401, as everywhere else. */
async function byForm(
  cast: MatrixCast,
  role: RoleName,
  { id, shown }: Seen,
  decision: Decision,
): Promise<Told> {
  const isMember = role in cast.members;
  const { cookie, csrf } = isMember ? memberOf(cast, role) : { cookie: '', csrf: '' };
  const headers: Record<string, string> = { 'content-type': 'application/x-www-form-urlencoded' };
  if (isMember) headers['cookie'] = cookie;
  if (role === 'automation') headers['authorization'] = `Bearer ${cast.service.adminToken}`;
  if (role === 'agent') headers['authorization'] = `Bearer ${await cast.agent.token()}`;
  const form = { csrf_token: role === 'forged' ? 'made-up' : csrf, decision, shown };
  const response = await fetch(`${cast.service.url}/requests/${id}`, {
    ...{ method: 'POST', redirect: 'manual', headers, body: new URLSearchParams(form) },
  });
  const words = asText(await response.text());
  const isSentAway = (response.headers.get('location') ?? '').startsWith('/sign-in');
  return {
    status: isSentAway ? 401 : response.status === 303 ? 201 : response.status,
    text: words,
  };
}

/** A page without its markup. */
const asText = (html: string): string =>
  html
    .replaceAll(/<[^>]+>/g, '')
    .replaceAll('&#39;', "'")
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&');

const slackUser = (cast: MatrixCast, role: RoleName): string =>
  role === 'unlinked' ? 'U0NOBODY' : memberOf(cast, role).slack;

/** A click, and the path at which Slack would have it answered. */
function clickOn(
  cast: MatrixCast,
  role: RoleName,
  { card }: Seen,
  decision: Decision,
): { body: string; payload: JsonObject; replies: string; trigger: string } {
  // The fake makes the addresses and the triggers; the card is a copy that somebody still has on their screen.
  const body = cast.slack.clickBody(
    { ...card, thread: null, edits: 0, metadata: {} },
    decision,
    slackUser(cast, role),
  );
  const payload = object(JSON.parse(new URLSearchParams(body).get('payload') ?? '') as JsonValue);
  const replies = new URL(text(payload['response_url'])).pathname;
  return { body, payload, replies, trigger: text(payload['trigger_id']) };
}

async function deliver(cast: MatrixCast, body: string): Promise<void> {
  const response = await fetch(`${cast.service.url}/slack/interactions`, {
    ...{ method: 'POST', headers: cast.slack.signed(body), body },
  });
  if (response.status !== 200) throw new Error(`a click was answered ${response.status}`);
}

const saidAt = (cast: MatrixCast, path: string): string | null =>
  cast.slack.repliesAt.get(path)?.join('\n') ?? null;

/** Waits until somebody is told why not. */
async function refusal(said: () => string | null): Promise<Told> {
  let words: string | null = null;
  await eventually(() => {
    words = said();
    return Promise.resolve(words !== null);
  }, 'an answer in Slack');
  return { status: null, text: words ?? '' };
}

/** Whoever is taken is told by the card. */
const TAKEN: Told = { status: null, text: '' };

const isTaken = (cell: Cell): boolean => expected(cell) === 'taken';

async function byButton(cast: MatrixCast, cell: Cell, seen: Seen, decision: Decision) {
  const { body, replies } = clickOn(cast, cell.role, seen, decision);
  await deliver(cast, body);
  return isTaken(cell) ? TAKEN : refusal(() => saidAt(cast, replies));
}

async function bySocket(cast: MatrixCast, cell: Cell, seen: Seen, decision: Decision) {
  const { payload, replies } = clickOn(cast, cell.role, seen, decision);
  cast.slack.socket.send('interactive', payload);
  return isTaken(cell) ? TAKEN : refusal(() => saidAt(cast, replies));
}

/** Deny, then the form, where one is opened; who is nobody here, or sees no decision offered, is refused at once. */
async function byModal(cast: MatrixCast, cell: Cell, seen: Seen) {
  const { body, replies, trigger } = clickOn(cast, cell.role, seen, 'deny');
  await deliver(cast, body);
  if (cell.role === 'unlinked' || !isForSlack(cell.kind))
    return refusal(() => saidAt(cast, replies));
  let view: JsonObject | null = null;
  await eventually(() => {
    view = viewOpenedBy(cast, trigger);
    return Promise.resolve(view !== null);
  }, 'the form of a denial');
  const user = slackUser(cast, cell.role);
  const before = ephemeralsTo(cast, user).length;
  await cast.slack.submit(view ?? {}, user, 'Not like this.');
  if (isTaken(cell)) return TAKEN;
  return refusal(() => ephemeralsTo(cast, user).slice(before).join('\n') || null);
}

/** Calls that Slack got, as JSON. */
const callsTo = ({ slack }: MatrixCast, having: string): JsonObject[] =>
  slack.received
    .filter((body) => body.startsWith('{') && body.includes(having))
    .map((body) => object(JSON.parse(body) as JsonValue));

const viewOpenedBy = (cast: MatrixCast, trigger: string): JsonObject | null => {
  const call = callsTo(cast, trigger).find((each) => each['trigger_id'] === trigger);
  return call ? object(call['view']) : null;
};

const ephemeralsTo = (cast: MatrixCast, user: string): string[] =>
  callsTo(cast, `"user":"${user}"`)
    .map((call) => text(call['text']))
    .filter((words) => words !== '');

/** Which way a vote through a door goes when nothing else is asked for. */
export const usualDecision = (door: DoorName): Decision =>
  door === 'modal' || door === 'form' ? 'deny' : 'approve';

/** Goes through a door and says what was told. */
export function goThrough(
  cast: MatrixCast,
  cell: Cell,
  seen: Seen,
  decision: Decision = usualDecision(cell.door),
): Promise<Told> {
  const { role, door } = cell;
  switch (door) {
    case 'api':
      return byApi(cast, role, seen, decision);
    case 'form':
      return byForm(cast, role, seen, decision);
    case 'button':
      return byButton(cast, cell, seen, decision);
    case 'socket':
      return bySocket(cast, cell, seen, decision);
    case 'modal':
      return byModal(cast, cell, seen);
  }
}

/** The words of a refusal that each door adds its own to. */
export const says = (cell: Cell, detail: string): string =>
  isSlack(cell.door) && !isForSlack(cell.kind)
    ? 'Nothing changed: this card offers no decision. Open it and decide on the web.'
    : isSlack(cell.door)
      ? `Nothing changed: ${detail}`
      : detail;
