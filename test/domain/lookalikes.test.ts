// Text that looks like other text is named, and ordinary text is not.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lookalikes } from '../../domain/lookalikes.ts';

describe('SEC-A6: what could be mistaken for something else', () => {
  it.each([
    ['Cyrillic letters among Latin ones', 'p\u0430ypal', 'Latin and Cyrillic letters in one word'],
    ['Greek letters among Latin ones', 'g\u03bfogle.com', 'Latin and Greek letters in one word'],
    ['Armenian letters among Latin ones', 'st\u0585rage', 'Latin and Armenian letters'],
    ['Cherokee letters among Latin ones', '\u13a0dmin', 'Latin and Cherokee letters'],
    [
      'a word all in letters drawn like Latin ones',
      '\u0440\u0430\u0443\u0440\u0430',
      'Cyrillic letters that look like Latin ones',
    ],
    ['full-width letters', '\uff41\uff44min', 'dressed up'],
    ['mathematical letters', '\u{1d41a}dmin', 'dressed up'],
    ['the Kelvin sign', '\u212aey', 'dressed up'],
    ['a fraction slash in a path', 'a\u2044b', 'U+2044'],
    ['a full-width full stop in a host name', 'evil\uff0ecom', 'U+FF0E'],
    ['a division slash', 'a\u2215b', 'U+2215'],
    ['a space that does not break', 'a\u00a0b', 'U+00A0'],
    ['a Braille blank', 'a\u2800b', 'U+2800'],
    ['the bar that we mark further lines with', 'a\u2502 Risk: low', 'U+2502'],
    ['the brackets that we write hidden characters in', '\u27e8U+202E\u27e9', 'U+27E8'],
    ['marks piled up', `a${'\u0301'.repeat(5)}`, 'marks piled up'],
  ])('names %s', (_what, text, named) => {
    expect(lookalikes(text).join('\n')).toContain(named);
    // Wherever it is in a text.
    expect(lookalikes(`refund order 7: ${text} please`).join('\n')).toContain(named);
  });

  it.each([
    'refund order 7 (ticket #42), 100 € — “asap”',
    'Überweisung für Müller, naïve café, crème brûlée',
    'возврат заказа номер семь',
    'επιστροφή χρημάτων',
    '注文7を返金する',
    'https://example.com/a/b?c=d&e=%20f',
    'n.º 7, 1ª vez, 10 m²',
    '👍 done 🎉',
  ])('says nothing about %s', (text) => {
    expect(lookalikes(text)).toEqual([]);
  });

  it('says nothing about plain ASCII, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme-ascii', maxLength: 200 }), (text) => {
        expect(lookalikes(text)).toEqual([]);
      }),
    );
  });

  it('finds one foreign letter in any Latin word, and never says more than it can list', () => {
    const latin = fc.stringMatching(/^[a-z]{1,20}$/);
    const foreign = fc.constantFrom('\u0430', '\u0435', '\u043e', '\u03bf', '\u0585');
    fc.assert(
      fc.property(latin, foreign, latin, (before, letter, after) => {
        expect(lookalikes(before + letter + after)).toHaveLength(1);
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 500 }), (text) => {
        const found = lookalikes(text);
        expect(found.length).toBeLessThanOrEqual(13);
        for (const warning of found) expect(warning.length).toBeLessThan(200);
      }),
    );
    const many = Array.from({ length: 40 }, (_, at) => `\u0430a${at}`).join(' ');
    expect(lookalikes(many).at(-1)).toBe('and 28 more like these');
  });
});
