// A card on its way to where somebody else keeps it: a chat, a mailbox, another program.
import type { Card, CardLine } from './card.ts';
import { withoutSecrets } from './secrets.ts';

/** The lines of a card without what looks like a secret, and whether that left anything out. */
export interface OutsideLines {
  lines: CardLine[];
  isPartial: boolean;
}

/** What of a card may leave this service. Whoever is to see all of it opens the page. */
export function linesOutside({ lines }: Pick<Card, 'lines'>): OutsideLines {
  const kept = lines.map((line) => ({ ...line, text: without(line) }));
  return { lines: kept, isPartial: kept.some(({ text }, at) => text !== lines[at]?.text) };
}

/** Digests are part of many actions, and of what somebody merely says they are not. */
const without = ({ text, claimed }: CardLine): string =>
  withoutSecrets(
    text,
    ({ kind }) => `[looks like a secret: ${kind.replaceAll('_', ' ')}]`,
    claimed ? 'words' : 'digests',
  );
