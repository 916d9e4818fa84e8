// A request as a Slack message. Everything the requester wrote goes into plain_text, where it can neither
// mention anyone, nor link, nor look like our own words; and what does not fit is not cut but sent to the web.
import { termsOf } from '../../commands/approvals/narrow.ts';
import type { RequestRow, VoteRow } from '../../db/rows.ts';
import { isStrongEnough, type Tally } from '../../domain/approval.ts';
import { linesOutside } from '../../domain/card-outside.ts';
import { shownDigest, type Card, type CardLine } from '../../domain/card.ts';
import type { JsonObject } from '../../domain/json.ts';
import { offerOf } from '../../domain/narrow-form.ts';
import { isRisky } from '../../domain/risk.ts';
import { progressInWords } from '../../domain/seats.ts';
import { escapeMarkup, plainText, type SlackFace } from './client.ts';
import { fitsForm } from './modal.ts';

/** Slack's own limits (Block Kit reference). */
const HEADER_MAX = 150;
const FIELD_MAX = 2000;
const FIELDS_PER_SECTION = 10;
/** Messages near 13,000 characters are refused by Slack, whatever its limits per block say. */
const MESSAGE_TEXT_MAX = 9_000;

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
  const { row, card } = source;
  const open = row.state === 'pending';
  const decideHere = mayDecideHere(row, card);
  const { lines, isPartial } = linesOutside(card);
  const blocks: JsonObject[] = [
    { type: 'header', text: plainText(cut(headerOf(row, card))) },
    ...(isRisky(row.risk) ? riskBanner(row.risk ?? '') : []),
    ...(fitsSlack(row, card) ? sections(lines) : [section(tooLong(card))]),
    ...(isPartial ? [section(KEPT_BACK)] : []),
    ...(card.warnings.length > 0 ? [section(lookClosely(card))] : []),
    { type: 'context', elements: stateElements(source) },
    { type: 'context', elements: [plainText(`${row.id} · ${card.digest.slice(0, 23)}…`)] },
    ...(open ? [actions(source, decideHere)] : []),
  ];
  // Here Slack reads markup even beside blocks: what is not ours is escaped.
  return { text: escapeMarkup(`${cut(headerOf(row, card))}: ${stateLine(source)}`), blocks };
}

/** The name of the block says which card its buttons are under: a click brings it back, from what was on the screen. */
const actions = ({ row, card, url }: FaceSource, decideHere: boolean): JsonObject => ({
  type: 'actions',
  block_id: shownDigest(card),
  elements: buttons(row, decideHere, url),
});

/** What is at stake comes first, so that a risky card never looks like the one before it. */
const headerOf = (row: RequestRow, card: Card): string =>
  isRisky(row.risk) ? `⚠ ${(row.risk ?? '').toUpperCase()} RISK · ${card.title}` : card.title;

/** A risky card has another shape, not only another word: people stop reading what always looks the same. */
const riskBanner = (risk: string): JsonObject[] => [
  { type: 'divider' },
  section(
    `The policy calls this ${risk} risk. It is not decided in Slack: open it, read all of it, and decide there.`,
  ),
  { type: 'divider' },
];

const KEPT_BACK =
  'Something in it looks like a secret and is not sent here. Open it to see everything that would run.';

function tooLong(card: Card): string {
  const hidden = card.lines.reduce((sum, line) => sum + fieldText(line).length, 0);
  return `This is too long to show here in full: ${hidden} characters are not shown. Open it to see everything that would run.`;
}

const WARNING_TEXT_MAX = 2_900;

function lookClosely({ warnings }: Card): string {
  const text = `Look closely: ${warnings.join('; ')}.`;
  if (text.length <= WARNING_TEXT_MAX) return text;
  return `Look closely: ${warnings.length} things in this text could mislead you. They are listed on the web.`;
}

/** A click here counts only where the whole action is visible and the route asks for no more than Slack gives. */
export function mayDecideHere(row: RequestRow, card: Card): boolean {
  const allowed = row.routes.every(
    ({ rule }) => rule.channels.includes('slack') && isStrongEnough('session', rule.strength),
  );
  const isWhole = fitsSlack(row, card) && !linesOutside(card).isPartial;
  return allowed && isWhole && !isRisky(row.risk) && card.warnings.length === 0;
}

/** Whether all that can be approved less of fits a form here; where it does not, that is for the web. */
const mayNarrowHere = (row: RequestRow): boolean => fitsForm(offerOf(termsOf(row), row.narrowable));

function fitsSlack(row: RequestRow, card: Card): boolean {
  const texts = card.lines.map(fieldText);
  return (
    headerOf(row, card).length <= HEADER_MAX &&
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
      fields: lines.slice(at, at + FIELDS_PER_SECTION).map((line) => plainText(fieldText(line))),
    });
  return blocks;
}

const section = (text: string): JsonObject => ({ type: 'section', text: plainText(text) });
const cut = (text: string): string =>
  text.length <= HEADER_MAX ? text : `${text.slice(0, HEADER_MAX - 1)}…`;

/** The state, and while it is open how long is left, by the reader's own clock. */
function stateElements(source: FaceSource): JsonObject[] {
  const { row } = source;
  const said = plainText(stateLine(source));
  return row.state === 'pending' ? [said, timeLeft(row.expiresAt)] : [said];
}

/**
 * The one place where Slack reads markup: it holds nothing but a time and words of ours, and Slack writes the time in
 * its reader's zone, as a span and as a date.
 */
export const timeLeft = (at: string): JsonObject => ({
  type: 'mrkdwn',
  text: `Expires <!date^${Math.floor(Date.parse(at) / 1000)}^{ago}, {date_short_pretty} at {time}|at ${at}>`,
});

export function stateLine({ row, votes, tally, names }: FaceSource): string {
  const who = (decision: 'approve' | 'deny'): string =>
    votes
      .filter((vote) => vote.decision === decision)
      .map((vote) => names.get(vote.person) ?? vote.person)
      .join(', ');
  switch (row.state) {
    case 'pending':
      return `Waiting: ${progress(row, tally)}`;
    case 'approved':
      return `Approved by ${who('approve')} at ${row.decidedAt ?? ''}`;
    case 'consumed':
      return `Approved by ${who('approve')} at ${row.decidedAt ?? ''}, and used`;
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
    text: plainText(label),
    value: row.id,
    ...(style && { style }),
    accessibility_label: `${label} ${row.id}`,
  });
  const review = { ...button('review', 'Review', null), url };
  if (!decideHere) return [review];
  return [
    button('approve', 'Approve', 'primary'),
    ...(mayNarrowHere(row) ? [button('narrow', 'Approve less…', null)] : []),
    button('deny', 'Deny…', 'danger'),
    review,
  ];
}
