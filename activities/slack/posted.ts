// Finds a card again that was put up and not remembered, where the app may read what it wrote: without that permission
// there may be two, of which only the one we know of counts.
import { callSlack, isFinal, type SlackLine, type SlackPost } from './client.ts';

const LOOKED_AT_MAX = 100;
/** Slack's clock and ours. */
const SKEW_SECONDS = 60;

/** Our own card about this, put up where this recipient is since then; null where none is found. */
export async function findPosted(
  line: SlackLine,
  recipient: string,
  about: string,
  since: string,
): Promise<SlackPost | null> {
  try {
    const { bot_id: bot } = await callSlack(line, 'auth.test', {});
    const channel = await channelOf(line, recipient);
    const { messages } = await callSlack(line, 'conversations.history', {
      channel,
      oldest: String(Math.floor(Date.parse(since) / 1000) - SKEW_SECONDS),
      include_all_metadata: true,
      limit: LOOKED_AT_MAX,
    });
    const found = (Array.isArray(messages) ? messages : []).map(asPosted).find(
      // What another app calls its own message is no card of ours.
      (each) => each.about === about && bot !== undefined && each.bot === bot && each.ts !== '',
    );
    return found ? { channel, ts: found.ts } : null;
  } catch (error) {
    // Not allowed to look, or nothing to look at: trying again mends neither.
    if (isFinal(error)) return null;
    throw error;
  }
}

/** A user is written to in a channel of their own. */
async function channelOf(line: SlackLine, recipient: string): Promise<string> {
  if (!/^[UW]/.test(recipient)) return recipient;
  const { channel } = await callSlack(line, 'conversations.open', { users: recipient });
  const id = membersOf(channel)['id'];
  return typeof id === 'string' ? id : recipient;
}

function asPosted(message: unknown): { ts: string; bot: unknown; about: unknown } {
  const { ts, bot_id: bot, metadata } = membersOf(message);
  const payload = membersOf(membersOf(metadata)['event_payload']);
  return { ts: typeof ts === 'string' ? ts : '', bot, about: payload['about'] };
}

const membersOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? { ...value } : {};
