// A notice as a mail. Whatever a requester wrote is quoted and marked, and the only link is the one to our own page, where
// its reader signs in: opening it decides nothing, whoever opens it.
import { linesOutside } from '../../domain/card-outside.ts';
import { visible, type Card, type CardLine } from '../../domain/card.ts';
import type { NoticeKind } from '../../domain/notice.ts';

/** What mail clients show of a subject, and more; RFC 5322 wants lines of at most 998 octets, folded by the transport. */
const SUBJECT_MAX = 150;
/** What is longer is read on the web. */
const LINES_CHARACTERS_MAX = 20_000;

export interface MailText {
  subject: string;
  text: string;
  html: string;
}

interface Envelope {
  from: string;
  to: string;
  /** The name of the mail, and of the first one about the same request. */
  message: string;
  references: string | null;
}

/** A mail as the transport takes it. */
export const envelopeOf = (mail: MailText, { from, to, message, references }: Envelope) => ({
  // As objects, so that nothing in an address is read as another address.
  from: { name: 'Countersign', address: from },
  to: { name: '', address: to },
  ...mail,
  messageId: message,
  ...(references !== null && { references, inReplyTo: references }),
  headers: { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All' },
  disableFileAccess: true,
  disableUrlAccess: true,
});

/** One thing a mail tells of. */
export interface Told {
  kind: NoticeKind;
  state: string;
  card: Card;
  url: string;
}

const SAYS: Record<NoticeKind, string> = {
  opened: 'Somebody has to decide this, and you may.',
  changed: 'This changed.',
  reminded: 'This still waits for a decision.',
  closed: 'This is closed: there is nothing to decide any more.',
};

/** A mail about one request. */
export function mailAbout({ kind, state, card, url }: Told): MailText {
  const isOpen = state === 'pending';
  const says = isOpen ? SAYS[kind] : SAYS.closed;
  const intro = [
    says,
    `Its state: ${state}.`,
    ...(isOpen ? [`It expires at ${card.expires_at}.`] : []),
  ];
  const outside = linesOutside(card);
  const fits =
    outside.lines.reduce((sum, line) => sum + line.text.length, 0) <= LINES_CHARACTERS_MAX;
  const lines = isOpen && fits ? outside.lines : [];
  const rest = [
    ...(isOpen && !fits ? ['It is too long for a mail: open it to see all of it.'] : []),
    ...(isOpen && outside.isPartial ? ['What looks like a secret is not sent: open it.'] : []),
  ];
  const look =
    isOpen && card.warnings.length > 0 ? [`Look closely: ${card.warnings.join('; ')}.`] : [];
  const where = isOpen ? 'Read it and decide, signed in, here:' : 'It can be read here:';
  return {
    // One subject for all mails about a request: that and the references make one thread of them.
    subject: subjectOf(card.title),
    text: [
      card.title,
      ...intro,
      ...look,
      '',
      ...lines.map(plainLine),
      ...rest,
      '',
      where,
      url,
      '',
      FOOT,
      '',
    ].join('\n'),
    html: page([
      `<h1>${escape(card.title)}</h1>`,
      ...[...intro, ...look].map((each) => `<p>${escape(each)}</p>`),
      `<table>${lines.map(htmlLine).join('')}</table>`,
      ...rest.map((each) => `<p>${escape(each)}</p>`),
      `<p>${escape(where)} <a href="${escape(url)}">${escape(url)}</a></p>`,
    ]),
  };
}

/** One mail for many, where one each would be too many. */
export function mailDigest(all: readonly Told[], inbox: string): MailText {
  const entries = all.map(({ state, card, url }) => ({
    line: `${card.title} (${state})`,
    url,
  }));
  const says = `${all.length} requests changed or wait for you. They come in one mail, as there were many.`;
  return {
    subject: subjectOf(`${all.length} requests`),
    text: [
      says,
      '',
      ...entries.flatMap(({ line, url }) => [`- ${line}`, `  ${url}`]),
      '',
      'What waits for you:',
      inbox,
      '',
      FOOT,
      '',
    ].join('\n'),
    html: page([
      `<p>${escape(says)}</p>`,
      `<ul>${entries
        .map(
          ({ line, url }) => `<li>${escape(line)} <a href="${escape(url)}">${escape(url)}</a></li>`,
        )
        .join('')}</ul>`,
      `<p>What waits for you: <a href="${escape(inbox)}">${escape(inbox)}</a></p>`,
    ]),
  };
}

const FOOT = 'Sent by Countersign. Answers to this mail are read by nobody and decide nothing.';

/** A header is one line: what would end it, or turn it around, is written out. */
function subjectOf(title: string): string {
  const line = visible(`[Countersign] ${title.replaceAll('\n', ' ')}`);
  if (line.length <= SUBJECT_MAX) return line;
  // Half a surrogate pair would be no text any more.
  return `${line.slice(0, SUBJECT_MAX - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

/** Every line of what was claimed is quoted, so that none can pass for a line of ours. */
const plainLine = ({ label, text, claimed }: CardLine): string =>
  claimed
    ? [`${label} (as claimed):`, ...text.split('\n').map((each) => `> ${each}`)].join('\n')
    : `${label}: ${text.replaceAll('\n', '\n> ')}`;

const htmlLine = ({ label, text, claimed }: CardLine): string =>
  `<tr><th align="left" valign="top">${escape(label)}${claimed ? ' (as claimed)' : ''}</th><td>${
    claimed
      ? `<blockquote><pre>${escape(text)}</pre></blockquote>`
      : escape(text).replaceAll('\n', '<br>')
  }</td></tr>`;

const page = (parts: readonly string[]): string =>
  `<!doctype html><html><head><meta charset="utf-8"></head><body>${parts.join('\n')}<p>${escape(FOOT)}</p></body></html>`;

const escape = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
