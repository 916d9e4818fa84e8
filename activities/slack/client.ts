// Slack's Web API: the two calls that put a card up and keep it true.
import { ApplicationFailure } from '@temporalio/common';
import type { SlackSettings } from '../../commands/integrations.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { Egress } from '../egress.ts';
import type { SlackFace } from './card.ts';

const CALL_TIMEOUT_MS = 10_000;

export interface SlackPost {
  channel: string;
  ts: string;
}

export async function postCard(
  egress: Egress,
  slack: SlackSettings,
  face: SlackFace,
): Promise<SlackPost> {
  const { text, blocks } = face;
  const answer = await call(egress, slack, 'chat.postMessage', {
    channel: slack.channel,
    text,
    blocks,
    unfurl_links: false,
  });
  const { channel, ts } = answer;
  if (typeof channel !== 'string' || typeof ts !== 'string')
    throw ApplicationFailure.retryable('Slack did not say where it put the message', 'slack');
  return { channel, ts };
}

export async function updateCard(
  egress: Egress,
  slack: SlackSettings,
  post: SlackPost,
  face: SlackFace,
): Promise<void> {
  const { text, blocks } = face;
  await call(egress, slack, 'chat.update', { ...post, text, blocks });
}

/** Errors that no repetition mends: the installation or the message is wrong. */
const FINAL_ERRORS = [
  'invalid_blocks',
  'msg_too_long',
  'msg_blocks_too_long',
  'message_not_found',
  'cant_update_message',
];

async function call(
  egress: Egress,
  slack: SlackSettings,
  method: string,
  body: JsonObject,
): Promise<Record<string, unknown>> {
  const sent = await egress(`${slack.api_url.replace(/\/$/, '')}/${method}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${slack.bot_token}`,
      'content-type': 'application/json; charset=utf-8',
    },
    body: JSON.stringify(body),
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
  if (FINAL_ERRORS.includes(error))
    throw ApplicationFailure.nonRetryable(`Slack: ${error}`, 'slack');
  throw ApplicationFailure.retryable(`Slack: ${error}`, 'slack');
}

function parseAnswer(body: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
  } catch {
    return {};
  }
}

/** Tells one person why their click did nothing. Visible to them alone. */
export async function replyEphemeral(
  egress: Egress,
  responseUrl: string,
  text: string,
  trusted: boolean,
): Promise<void> {
  await egress(responseUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json; charset=utf-8' },
    body: JSON.stringify({
      response_type: 'ephemeral',
      replace_original: false,
      text,
      blocks: [{ type: 'section', text: { type: 'plain_text', text, emoji: false } }],
    }),
    timeoutMs: CALL_TIMEOUT_MS,
    trusted,
  });
}
