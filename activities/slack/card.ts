// A request as a Slack message. Everything the requester wrote goes into plain_text, where it can neither
// mention anyone, nor link, nor look like our own words; and what does not fit is not cut but sent to the web.
import type { RequestRow, VoteRow } from '../../db/rows.ts';
import { isStrongEnough, type Tally } from '../../domain/approval.ts';
import type { Card, CardLine } from '../../domain/card.ts';
import type { JsonObject } from '../../domain/json.ts';
import { progressInWords } from '../../domain/seats.ts';

/** Slack's own limits (Block Kit reference). */
const HEADER_MAX = 150;
const FIELD_MAX = 2000;
const FIELDS_PER_SECTION = 10;
/** Messages near 13,000 characters are refused by Slack, whatever its limits per block say. */
const MESSAGE_TEXT_MAX = 9_000;

export interface SlackFace {
  text: string;
  blocks: JsonObject[];
}

export interface FaceSource {
  row: RequestRow;
  card: Card;
  votes: readonly VoteRow[];
  /** What they amount to. */
  tally: Tally;
  /** Names by person, for who voted. */
  names: ReadonlyMap<string, string>;
  url: string;
}

export function slackFace(source: FaceSource): SlackFace {
  const { row, card, url } = source;
  const fits = fitsSlack(card);
  const open = row.state === 'pending';
  const blocks: JsonObject[] = [
    { type: 'header', text: plain(cut(card.title, HEADER_MAX)) },
    ...(fits ? sections(card.lines) : [section(TOO_LONG)]),
    ...(card.warnings.length > 0 ? [section(`Look closely: ${card.warnings.join('; ')}.`)] : []),
    { type: 'context', elements: [plain(stateLine(source))] },
    { type: 'context', elements: [plain(`${row.id} · ${card.digest.slice(0, 23)}…`)] },
    ...(open ? [{ type: 'actions', elements: buttons(row, mayDecideHere(row, card), url) }] : []),
  ];
  return { text: `${cut(card.title, HEADER_MAX)}: ${stateLine(source)}`, blocks };
}

const TOO_LONG = 'This is too long to show here in full. Open it to see everything that would run.';

/** A click here counts only where the whole action is visible and the route asks for no more than Slack gives. */
export function mayDecideHere(row: RequestRow, card: Card): boolean {
  const allowed = row.routes.every(
    ({ rule }) => rule.channels.includes('slack') && isStrongEnough('session', rule.strength),
  );
  return allowed && card.warnings.length === 0 && fitsSlack(card);
}

function fitsSlack(card: Card): boolean {
  const texts = card.lines.map(fieldText);
  return (
    card.title.length <= HEADER_MAX &&
    texts.every((text) => text.length <= FIELD_MAX) &&
    texts.reduce((sum, text) => sum + text.length, 0) <= MESSAGE_TEXT_MAX
  );
}

/** Every further line of a text is marked as such, so that none can pass for a line of the card. */
const fieldText = ({ label, text, claimed }: CardLine): string =>
  `${label}${claimed ? ' (as claimed)' : ''}: ${text.replaceAll('\n', '\n│ ')}`;

function sections(lines: readonly CardLine[]): JsonObject[] {
  const blocks: JsonObject[] = [];
  for (let at = 0; at < lines.length; at += FIELDS_PER_SECTION)
    blocks.push({
      type: 'section',
      fields: lines.slice(at, at + FIELDS_PER_SECTION).map((line) => plain(fieldText(line))),
    });
  return blocks;
}

const section = (text: string): JsonObject => ({ type: 'section', text: plain(text) });
const plain = (text: string): JsonObject => ({ type: 'plain_text', text, emoji: false });
const cut = (text: string, most: number): string =>
  text.length <= most ? text : `${text.slice(0, most - 1)}…`;

function stateLine({ row, votes, tally, names }: FaceSource): string {
  const who = (decision: 'approve' | 'deny'): string =>
    votes
      .filter((vote) => vote.decision === decision)
      .map((vote) => names.get(vote.person) ?? vote.person)
      .join(', ');
  switch (row.state) {
    case 'pending':
      return `Waiting: ${progress(row, tally)}, until ${row.expiresAt}`;
    case 'approved':
    case 'consumed':
      return `Approved by ${who('approve')} at ${row.decidedAt ?? ''}`;
    case 'denied':
      return `Denied by ${who('deny')} at ${row.decidedAt ?? ''}`;
    case 'expired':
      return row.approvedUntil === null
        ? 'Expired: nobody decided in time'
        : 'Approved, and not used in time';
    case 'cancelled':
      return 'Withdrawn before anybody decided';
    case 'failed':
      return `Approved by ${who('approve')}, and could not be carried out`;
    case 'superseded':
      return 'Closed: the policy changed since it was opened';
  }
}

const progress = (row: RequestRow, { stages }: Tally): string =>
  row.routes.map(({ name }) => `${progressInWords(stages[name] ?? [])} for ${name}`).join('; ');

function buttons(row: RequestRow, decideHere: boolean, url: string): JsonObject[] {
  const button = (action: string, label: string, style: string | null): JsonObject => ({
    type: 'button',
    action_id: action,
    text: plain(label),
    value: row.id,
    ...(style && { style }),
    accessibility_label: `${label} ${row.id}`,
  });
  const review = { ...button('review', 'Review', null), url };
  return decideHere
    ? [button('approve', 'Approve', 'primary'), button('deny', 'Deny', 'danger'), review]
    : [review];
}
