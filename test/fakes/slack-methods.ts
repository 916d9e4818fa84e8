// The methods of Slack's Web API that we call, with what each checks before it does anything.
import { randomBytes } from 'node:crypto';
import type { JsonObject } from '../../domain/json.ts';
import { asBlocks, asObject, messageError, textOf, viewError } from './slack-blocks.ts';
import { TEAM } from './slack-payloads.ts';

export interface SlackMessage {
  channel: string;
  ts: string;
  text: string;
  blocks: JsonObject[];
  /** The message in whose thread it is. */
  thread: string | null;
  /** How often it was updated. */
  edits: number;
  /** What apps see of it besides. */
  metadata: JsonObject;
}

export interface SlackState {
  botToken: string;
  appToken: string;
  channel: string;
  /** Other channels that are there. */
  channels: Set<string>;
  scopes: Set<string>;
  messages: SlackMessage[];
  replies: string[];
  /** What came to each response URL, by its path. */
  repliesAt: Map<string, string[]>;
  /** Whether messages have to come slowly. */
  isPaced: boolean;
  views: JsonObject[];
  homes: Map<string, JsonObject>;
  received: string[];
  refused: { method: string; error: string }[];
  users: Map<string, JsonObject>;
  /** When each trigger was given out; one that was used is gone. */
  triggers: Map<string, number>;
  uses: Map<string, number>;
  /** The message that each response URL can replace. */
  repliesTo: Map<string, SlackMessage>;
  slow: { calls: number; seconds: number };
  counter: number;
  /** Messages that may still be posted at once, by channel: Slack allows about one a second and short bursts. */
  buckets: Map<string, { tokens: number; at: number }>;
  socketUrl: () => string;
}

export const newState = (): SlackState => ({
  botToken: `xoxb-${randomBytes(12).toString('hex')}`,
  appToken: `xapp-${randomBytes(12).toString('hex')}`,
  channel: 'C0APPROVALS',
  channels: new Set(['C0SECURITY', 'C0DATA']),
  scopes: new Set(['chat:write', 'commands', 'users:read', 'users:read.email', 'im:write']),
  messages: [],
  replies: [],
  repliesAt: new Map(),
  isPaced: true,
  views: [],
  homes: new Map(),
  received: [],
  refused: [],
  users: new Map(),
  triggers: new Map(),
  uses: new Map(),
  repliesTo: new Map(),
  slow: { calls: 0, seconds: 0 },
  counter: 0,
  buckets: new Map(),
  socketUrl: () => '',
});

/** Messages a channel takes at once before the limit of one a second bites. */
const BURST = 8;

/** Whether a call comes slowly enough. */
export function isPaced(method: string, call: JsonObject, { buckets }: SlackState): boolean {
  if (method !== 'chat.postMessage') return true;
  const channel = textOf(call['channel']);
  const now = Date.now();
  const bucket = buckets.get(channel) ?? { tokens: BURST, at: now };
  bucket.tokens = Math.min(BURST, bucket.tokens + (now - bucket.at) / 1000);
  bucket.at = now;
  buckets.set(channel, bucket);
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

const failed = (error: string): JsonObject => ({ ok: false, error });

/** The scope each method wants of the bot token. */
const SCOPES: Record<string, string | null> = {
  'auth.test': null,
  'chat.postMessage': 'chat:write',
  'chat.update': 'chat:write',
  'chat.postEphemeral': 'chat:write',
  'users.info': 'users:read',
  'conversations.open': 'im:write',
  'conversations.history': 'channels:history',
  'views.open': null,
  'views.publish': null,
};

/** Calls a method, with the token it came with. */
export function callMethod(
  method: string,
  authorization: string,
  call: JsonObject,
  state: SlackState,
): JsonObject {
  if (method === 'apps.connections.open')
    return authorization === `Bearer ${state.appToken}`
      ? { ok: true, url: state.socketUrl() }
      : failed('not_allowed_token_type');
  if (authorization !== `Bearer ${state.botToken}`) return failed('invalid_auth');
  const scope = SCOPES[method];
  if (scope === undefined) return failed('unknown_method');
  if (scope !== null && !state.scopes.has(scope))
    return { ...failed('missing_scope'), needed: scope };
  switch (method) {
    case 'auth.test':
      return { ok: true, team_id: TEAM, user_id: 'U0BOT', bot_id: BOT };
    case 'users.info':
      return userInfo(textOf(call['user']), state);
    case 'conversations.open':
      return { ok: true, channel: { id: `D${textOf(call['users']).slice(1)}` } };
    case 'conversations.history':
      return history(call, state);
    case 'views.open':
      return openView(call, state);
    case 'views.publish':
      return publishView(call, state);
    default:
      return message(method, call, state);
  }
}

/** The address is there only for an app that may read it. */
function userInfo(id: string, state: SlackState): JsonObject {
  const user = state.users.get(id) ?? { id, name: id.toLowerCase(), profile: {} };
  const { email, ...profile } = asObject(user['profile']);
  const mayReadEmail = state.scopes.has('users:read.email') && email !== undefined;
  return {
    ok: true,
    user: { team_id: TEAM, ...user, profile: { ...profile, ...(mayReadEmail && { email }) } },
  };
}

const BOT = 'B0BOT';

/** Metadata is given only to whoever asks for it. */
function history(call: JsonObject, { messages }: SlackState): JsonObject {
  const found = messages.filter(
    ({ channel, ts, thread }) =>
      channel === call['channel'] && thread === null && Number(ts) >= Number(call['oldest'] ?? 0),
  );
  const isAsked = call['include_all_metadata'] === 'true';
  return {
    ok: true,
    messages: found
      .slice(-Number(call['limit'] ?? 100))
      .toReversed()
      .map(({ ts, text, metadata }) => ({
        ...{ type: 'message', ts, text, bot_id: textOf(metadata['by']) || BOT },
        ...(isAsked && { metadata }),
      })),
  };
}

const TRIGGER_MS = 3_000;

function openView(call: JsonObject, state: SlackState): JsonObject {
  const trigger = textOf(call['trigger_id']);
  const given = state.triggers.get(trigger);
  if (given === undefined) return failed('exchanged_trigger_id');
  state.triggers.delete(trigger);
  if (Date.now() - given > TRIGGER_MS) return failed('expired_trigger_id');
  const view = asObject(call['view']);
  const wrong = viewError(view, 'modal');
  if (wrong !== null) return failed(wrong);
  state.views.push(view);
  return { ok: true, view: { id: `V${state.views.length}` } };
}

function publishView(call: JsonObject, state: SlackState): JsonObject {
  const user = textOf(call['user_id']);
  const view = asObject(call['view']);
  const wrong = user === '' ? 'invalid_arguments' : viewError(view, 'home');
  if (wrong !== null) return failed(wrong);
  state.homes.set(user, view);
  return { ok: true };
}

function message(method: string, call: JsonObject, state: SlackState): JsonObject {
  const to = textOf(call['channel']);
  const isUser = /^[UW]/.test(to);
  const isDirect = to.startsWith('D');
  if (!isUser && !isDirect && to !== state.channel && !state.channels.has(to))
    return failed('channel_not_found');
  const wrong =
    messageError(call['blocks']) ?? (typeof call['text'] === 'string' ? null : 'no_text');
  if (wrong !== null) return failed(wrong);
  // A direct message is in a channel of its own, which Slack names in its answer.
  const channel = isUser ? `D${to.slice(1)}` : to;
  if (method === 'chat.update') return update(call, state, channel);
  if (method === 'chat.postEphemeral') {
    if (textOf(call['user']) === '') return failed('user_not_in_channel');
    state.replies.push(textOf(call['text']));
    return { ok: true, message_ts: '1' };
  }
  return post(call, state, channel);
}

function post(call: JsonObject, state: SlackState, channel: string): JsonObject {
  state.counter += 1;
  const ts = `${Math.floor(Date.now() / 1000)}.${String(state.counter).padStart(6, '0')}`;
  const thread = call['thread_ts'];
  state.messages.push({
    channel,
    ts,
    text: textOf(call['text']),
    blocks: asBlocks(call['blocks']),
    thread: typeof thread === 'string' ? thread : null,
    edits: 0,
    metadata: asObject(call['metadata']),
  });
  return { ok: true, channel, ts };
}

function update(call: JsonObject, state: SlackState, channel: string): JsonObject {
  const found = state.messages.find((each) => each.ts === call['ts'] && each.channel === channel);
  if (!found) return failed('message_not_found');
  found.text = textOf(call['text']);
  found.blocks = asBlocks(call['blocks']);
  found.edits += 1;
  return { ok: true, channel, ts: found.ts };
}
