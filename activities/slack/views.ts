// What one person sees of their own in Slack: the home tab, and the answers to /countersign.
import { cardOf } from '../../commands/approvals/requests.ts';
import type { RequestRow } from '../../db/rows.ts';
import type { JsonObject } from '../../domain/json.ts';
import { timeLeft } from './card.ts';
import { escapeMarkup, plainSection, plainText, type SlackFace } from './client.ts';

/** Slack takes a hundred blocks in a view and fifty in a message; each request here takes three. */
const HOME_MAX = 30;
const LIST_MAX = 12;
const TITLE_MAX = 500;

const urlOf = (publicUrl: string, { id }: RequestRow): string => `${publicUrl}/requests/${id}`;

function entry(row: RequestRow, publicUrl: string): JsonObject[] {
  const { title } = cardOf(row);
  const shown =
    title.length <= TITLE_MAX ? title : `${title.slice(0, TITLE_MAX)}… (open it for the rest)`;
  const state =
    row.state === 'pending' ? timeLeft(row.expiresAt) : plainText(`It is ${row.state}.`);
  return [
    plainSection(shown),
    { type: 'context', elements: [plainText(row.id), state] },
    {
      type: 'actions',
      elements: [
        {
          type: 'button',
          action_id: 'review',
          text: plainText('Review'),
          value: row.id,
          url: urlOf(publicUrl, row),
          accessibility_label: `Review ${row.id}`,
        },
      ],
    },
  ];
}

/** A list of requests as a message, with what to say about it first. */
export function listFace(said: string, rows: readonly RequestRow[], publicUrl: string): SlackFace {
  const shown = rows.slice(0, LIST_MAX);
  const more = rows.length - shown.length;
  return {
    text: escapeMarkup(said),
    blocks: [
      plainSection(said),
      ...shown.flatMap((row) => entry(row, publicUrl)),
      ...(more > 0 ? [plainSection(`And ${more} more: ${publicUrl}/`)] : []),
    ],
  };
}

/** A message that is only words of ours. */
export const wordsFace = (said: string): SlackFace => ({
  text: escapeMarkup(said),
  blocks: [plainSection(said)],
});

/** The home tab of somebody we know: what waits for them, what ends first at the top. */
export function homeView(waiting: readonly RequestRow[], publicUrl: string): JsonObject {
  const shown = waiting.slice(0, HOME_MAX);
  const more = waiting.length - shown.length;
  const said = waiting.length === 0 ? 'Nothing waits for you.' : `${waiting.length} wait for you.`;
  return home([
    plainSection(said),
    ...shown.flatMap((row) => entry(row, publicUrl)),
    ...(more > 0 ? [plainSection(`And ${more} more: ${publicUrl}/`)] : []),
  ]);
}

/** The home tab of somebody we do not know, who learns nothing but how to be known. */
export const strangersHome = (): JsonObject =>
  home([
    plainSection('This Slack user is not linked to a person in Countersign.'),
    {
      type: 'actions',
      elements: [
        {
          type: 'button',
          action_id: 'link',
          text: plainText('Link my account'),
          value: 'link',
          style: 'primary',
        },
      ],
    },
  ]);

const home = (blocks: JsonObject[]): JsonObject => ({
  type: 'home',
  blocks: [{ type: 'header', text: plainText('Waiting for you') }, ...blocks],
});
