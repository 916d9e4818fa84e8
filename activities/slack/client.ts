// Slack's Web API. Slack says in the body what went wrong; here that becomes "try again", "wait so long" or "never".
import { ApplicationFailure } from '@temporalio/common';
import type { SlackSettings } from '../../commands/integrations.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { Egress } from '../egress.ts';

const CALL_TIMEOUT_MS = 10_000;

/** What a message says: the blocks, and the text that notifications and screen readers get. */
export interface SlackFace {
  text: string;
  blocks: JsonObject[];
}

export interface SlackPost {
  channel: string;
  ts: string;
}

/** One way into Slack: where it is, as whom, and how to get there. */
export interface SlackLine {
  egress: Egress;
  slack: SlackSettings;
}

export interface PostOptions {
  /** A channel, or a Slack user for a direct message. */
  to: string;
  face: SlackFace;
  /** The message to whose thread it belongs. */
  thread?: string;
  /** Whether a message in a thread is shown in the channel as well. */
  broadcast?: boolean;
  /** What it is about, for us alone: by this it is found again. */
  about?: string;
}

/** What our cards are called in what apps see of a message. */
const CARD = 'countersign_card';

/** Puts up a message. Nothing in it is read as markup that mentions somebody or links somewhere. */
export async function postMessage(
  line: SlackLine,
  { to, face, thread, broadcast = false, about }: PostOptions,
): Promise<SlackPost> {
  const answer = await callSlack(line, 'chat.postMessage', {
    channel: to,
    ...asFace(face),
    unfurl_links: false,
    unfurl_media: false,
    ...(about !== undefined && { metadata: { event_type: CARD, event_payload: { about } } }),
    ...(thread !== undefined && { thread_ts: thread, reply_broadcast: broadcast }),
  });
  const { channel, ts } = answer;
  if (typeof channel !== 'string' || typeof ts !== 'string')
    throw ApplicationFailure.retryable('Slack did not say where it put the message', 'slack');
  return { channel, ts };
}

export async function updateMessage(
  line: SlackLine,
  post: SlackPost,
  face: SlackFace,
): Promise<void> {
  await callSlack(line, 'chat.update', { ...post, ...asFace(face) });
}

/** Says something in a channel to one user alone. */
export async function postEphemeral(
  line: SlackLine,
  channel: string,
  user: string,
  text: string,
): Promise<void> {
  const face = { text: escapeMarkup(text), blocks: [plainSection(text)] };
  await callSlack(line, 'chat.postEphemeral', { channel, user, ...asFace(face) });
}

const asFace = ({ text, blocks }: SlackFace): JsonObject => ({
  text,
  blocks,
  // The text is ours and escaped; this is for the day on which it is not.
  parse: 'none',
  link_names: false,
});

/** Slack's three control characters (Formatting text for app surfaces, "Escaping text"). */
export const escapeMarkup = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

export const plainText = (text: string): JsonObject => ({ type: 'plain_text', text, emoji: false });

/** A section takes 3,000 characters; what is longer says how much of it is missing. */
const SECTION_MAX = 3_000;

export function plainSection(text: string): JsonObject {
  const rest = `… (${text.length} characters; the rest is on the web)`;
  const shown = text.length <= SECTION_MAX ? text : text.slice(0, SECTION_MAX - rest.length) + rest;
  return { type: 'section', text: plainText(shown) };
}

/** Errors that no repetition mends: the installation, the recipient or the message is wrong. */
const FINAL_ERRORS = [
  'invalid_blocks',
  'msg_too_long',
  'msg_blocks_too_long',
  'message_not_found',
  'cant_update_message',
  'channel_not_found',
  'is_archived',
  'not_in_channel',
  'user_not_found',
  'cannot_dm_bot',
  'missing_scope',
  'expired_trigger_id',
  'trigger_expired',
  'trigger_exchanged',
  'invalid_arguments',
];

/** Why a call failed, in Slack's word; null if it was not Slack that said no. */
export const slackError = (error: unknown): string | null =>
  error instanceof ApplicationFailure && error.type?.startsWith('slack') ? error.message : null;

/** Whether calling again could help. */
export const isFinal = (error: unknown): boolean =>
  error instanceof ApplicationFailure && error.nonRetryable === true;

/** Calls a method of the Web API; a failed call throws what a workflow understands. */
export async function callSlack(
  { egress, slack }: SlackLine,
  method: string,
  body: JsonObject,
  token = slack.bot_token,
): Promise<Record<string, unknown>> {
  const isRead = READING.includes(method);
  const address = `${slack.api_url.replace(/\/$/, '')}/${method}`;
  const sent = await egress(isRead ? `${address}?${asQuery(body)}` : address, {
    method: isRead ? 'GET' : 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json; charset=utf-8',
    },
    body: isRead ? '' : JSON.stringify(body),
    timeoutMs: CALL_TIMEOUT_MS,
    trusted: true,
  });
  if (sent.status === 429)
    throw ApplicationFailure.create({
      message: 'Slack asks to wait',
      type: 'slack_rate_limited',
      nextRetryDelay: `${Number(sent.headers['retry-after']) || 1} seconds`,
    });
  const answer = parseAnswer(sent.body);
  if (sent.status === 200 && answer['ok'] === true) return answer;
  const error = typeof answer['error'] === 'string' ? answer['error'] : `http_${sent.status}`;
  if (FINAL_ERRORS.includes(error)) throw ApplicationFailure.nonRetryable(error, 'slack');
  throw ApplicationFailure.retryable(error, 'slack');
}

/** Methods that are called by GET. */
const READING = ['users.info', 'conversations.history'];

/** Methods that read take their arguments in the address, and no JSON. */
const asQuery = (body: JsonObject): string =>
  new URLSearchParams(
    Object.entries(body).map(([name, value]): [string, string] => [
      name,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  ).toString();

function parseAnswer(body: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
  } catch {
    return {};
  }
}

/** Answers one user at the address that Slack gave for that; visible to them alone. */
export async function replyAt(
  { egress, slack }: SlackLine,
  responseUrl: string,
  face: SlackFace,
  replaceOriginal = false,
): Promise<void> {
  const trusted = new URL(responseUrl).origin === new URL(slack.api_url).origin;
  if (!trusted && new URL(responseUrl).hostname !== 'hooks.slack.com') return;
  const sent = await egress(responseUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json; charset=utf-8' },
    body: JSON.stringify({
      response_type: 'ephemeral',
      replace_original: replaceOriginal,
      ...asFace(face),
    }),
    timeoutMs: CALL_TIMEOUT_MS,
    trusted,
  });
  if (sent.status >= 500 || sent.status === 429)
    throw ApplicationFailure.retryable(`the response address answered ${sent.status}`, 'slack');
}
