// Text that shows itself and still reads as something else: letters of one alphabet among those of another, letters
// dressed up as other letters, spaces and marks that imitate ours (UTS #39, cut to what a card needs).

/** At most this many warnings are listed; how many more there are is said. */
const WARNINGS_MAX = 12;
const WORD_SHOWN = 40;

/** What a reader could mistake in a text, in words; empty where nothing is. */
export function lookalikes(text: string): string[] {
  const words = text.match(/[\p{L}\p{M}\p{N}_]+/gu) ?? [];
  const found = [
    ...words.flatMap(aboutWord),
    ...charactersOf(text, /(?! )[\p{Zs}\u2800]/gu, 'a space that is none of the ordinary'),
    ...charactersOf(text, SIGNS, 'a sign that looks like another'),
    ...(/\p{M}{3,}/u.test(text) ? ['marks piled up on one letter'] : []),
  ];
  const distinct = [...new Set(found)];
  if (distinct.length <= WARNINGS_MAX) return distinct;
  const more = distinct.length - WARNINGS_MAX;
  return [...distinct.slice(0, WARNINGS_MAX), `and ${more} more like these`];
}

/** Alphabets whose letters pass for Latin ones, or for each other. */
const ALPHABETS = {
  Latin: /\p{Script=Latin}/u,
  Cyrillic: /\p{Script=Cyrillic}/u,
  Greek: /\p{Script=Greek}/u,
  Armenian: /\p{Script=Armenian}/u,
  Cherokee: /\p{Script=Cherokee}/u,
  Coptic: /\p{Script=Coptic}/u,
  Georgian: /\p{Script=Georgian}/u,
  Lisu: /\p{Script=Lisu}/u,
} as const;

/** Cyrillic and Greek letters that are drawn like Latin ones. */
const LIKE_LATIN = /^[асеорхуіјѕһԁԛԝѵԍьАВСЕНІЈКМОРЅТХУԌԚԜѴοινυρατκχηωΑΒΕΖΗΙΚΜΝΟΡΤΥΧ\p{N}_]{2,}$/u;

function aboutWord(word: string): string[] {
  const alphabets = Object.entries(ALPHABETS)
    .filter(([, pattern]) => pattern.test(word))
    .map(([name]) => name);
  const shown = `“${word.length <= WORD_SHOWN ? word : `${word.slice(0, WORD_SHOWN)}…`}”`;
  if (alphabets.length > 1) return [`${alphabets.join(' and ')} letters in one word: ${shown}`];
  const isForeign = alphabets[0] === 'Cyrillic' || alphabets[0] === 'Greek';
  if (isForeign && LIKE_LATIN.test(word))
    return [`${alphabets[0] ?? ''} letters that look like Latin ones: ${shown}`];
  return isDressedUp(word) ? [`letters dressed up as others: ${shown}`] : [];
}

/** Full-width, mathematical, circled and such: they fall to plain ASCII where text is normalised (NFKC). */
const isDressedUp = (word: string): boolean =>
  Array.from(word).some(
    (character) =>
      /(?![ªº])[\p{L}\p{Nd}]/u.test(character) &&
      /[^\p{ASCII}]/u.test(character) &&
      /^\p{ASCII}+$/u.test(character.normalize('NFKC')),
  );

/** Signs drawn like those of paths, addresses and host names, or like the marks of our own cards. */
const SIGNS =
  /[\u2024\u2010\u2011\u2212\u2044\u2215\u29f8\u2236\ua789\u0589\u2502\u27e8\u27e9\u3002\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]/gu;

const charactersOf = (text: string, pattern: RegExp, what: string): string[] =>
  [...new Set(text.match(pattern) ?? [])].map(
    (character) =>
      `${what}: U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`,
  );
