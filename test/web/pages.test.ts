// What holds of every page, whatever is in it.
import { describe, expect, it } from 'vitest';
import { hiddenCharacters } from '../../domain/card.ts';
import { Untrusted } from '../../web/parts.tsx';
import { RequestPage } from '../../web/request.tsx';
import { PAGES, requestIn, shell } from '../support/pages.ts';

const render = (content: { toString(): string }): string => content.toString();
const matches = (html: string, pattern: RegExp): RegExpMatchArray[] => [...html.matchAll(pattern)];

describe.each(Object.entries(PAGES))('%s', (_name, page) => {
  const html = render(page());

  it('has one h1, one main landmark and a language', () => {
    expect(matches(html, /<h1[ >]/g)).toHaveLength(1);
    expect(matches(html, /<main[ >]/g)).toHaveLength(1);
    expect(html).toMatch(/^<html lang="en">/);
  });

  it('escapes text that somebody else wrote', () => {
    expect(html).not.toMatch(/<script>|<img|<\/title><script/);
    expect(matches(html, /<\/title>/g)).toHaveLength(1);
    // A quote that ends an attribute would leave the handler as one of its own.
    for (const [tag] of matches(html, /<[a-z][^>]*>/g))
      expect(tag).not.toMatch(/\son[a-z]+="alert/);
  });

  it('writes hidden characters out instead of passing them on', () => {
    // What is typed into a field goes back as it was, or sending it again would change it.
    const shown = html
      .replaceAll(/<textarea[^>]*>[^<]*<\/textarea>/g, '')
      .replaceAll(/ (?:value|action)="[^"]*"/g, '');
    expect(hiddenCharacters(shown)).toEqual([]);
  });

  it('holds no inline style and no inline script', () => {
    expect(html).not.toMatch(/<style|\sstyle=|javascript:/);
    for (const [, attributes, body] of matches(html, /<script([^>]*)>([^<]*)<\/script>/g)) {
      expect(attributes).toMatch(/src="\/assets\/(?:console|passkey)\.js"/);
      expect(body).toBe('');
    }
    for (const [tag] of matches(html, /<[a-z][^>]*>/g))
      expect(tag.replaceAll(/"[^"]*"/g, '""')).not.toMatch(/\son[a-z]+=/);
  });

  it('labels every input, and uses every id once', () => {
    const ids = matches(html, /<[a-z][^>]*\sid="([^"]+)"/g).map((found) => found[1]);
    expect(new Set(ids).size).toBe(ids.length);
    const inputs = matches(html, /<(?:input|select|textarea)\b[^>]*>/g)
      .map(([tag]) => tag)
      .filter((tag) => !tag.includes('type="hidden"'));
    const unlabelled = inputs.filter((tag) => {
      const id = /\sid="([^"]+)"/.exec(tag)?.[1] ?? 'none';
      return matches(html, new RegExp(`<label[^>]* for="${id}"`, 'g')).length !== 1;
    });
    expect(unlabelled).toEqual([]);
  });

  it('sends the session’s token with every form that changes something', () => {
    const forms = matches(html, /<form[^>]*method="post"[\s\S]*?<\/form>/g)
      .map(([form]) => form)
      // Whoever signs in has no session yet.
      .filter((form) => !form.includes('action="/sign-in'));
    const token = '<input type="hidden" name="csrf_token" value="the-csrf-token"';
    expect(forms.filter((form) => !form.includes(token))).toEqual([]);
  });

  it('refers to nothing on another site', () => {
    expect(html).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  });
});

it('a reason of any length is shown whole', () => {
  const reason = 'because '.repeat(250).trim();
  const view = requestIn(
    { kind: 'over' },
    { state: 'denied', denial: { reason, disposition: 'stop' } },
  );
  expect(render(RequestPage({ shell, view, refused: null }))).toContain(reason);
});

it('every line of the card that a vote’s digest covers is on the page', () => {
  const view = requestIn({ kind: 'may' });
  const html = render(RequestPage({ shell, view, refused: null }));
  const missing = view.card.lines.filter(
    ({ text }) => !html.includes(/^\d+$/.test(text) ? text : render(Untrusted({ text }))),
  );
  expect(missing).toEqual([]);
  expect(html).toContain(view.card.digest);
  expect(html).toContain(`name="shown" value="${view.shown}"`);
});

it('what is wanted and why comes before who asks and before any id', () => {
  const html = render(RequestPage({ shell, view: requestIn({ kind: 'may' }), refused: null }));
  const places = ['Wants', 'Reason given', 'For how long', 'Agent', 'Task'].map((label) =>
    html.indexOf(`<dt>${label}</dt>`),
  );
  expect(places).not.toContain(-1);
  expect(places).toEqual(places.toSorted((a, b) => a - b));
});

it('each parameter of a statement stands under the name that its text has for it, however many', () => {
  const view = requestIn({ kind: 'may' });
  const values = ['refunded', ...Array.from({ length: 39 }, (_, at) => at + 1), null];
  const line = { label: 'Parameter parameters', text: JSON.stringify(values), claimed: false };
  const action = { ...view.card.action, action: 'statement:run' };
  const card = { ...view.card, action, lines: [line] };
  const html = render(RequestPage({ shell, view: { ...view, card }, refused: null }));
  for (const [at, value] of values.entries())
    expect(html).toContain(
      `<span class="quiet">$${at + 1}</span> <span class="mono">${render(Untrusted({ text: JSON.stringify(value) }))}</span>`,
    );
  // Of anything else it is the text of whoever asks, and no list of ours.
  const other = requestIn({ kind: 'may' }, { card: { ...view.card, lines: [line] } });
  expect(render(RequestPage({ shell, view: other, refused: null }))).not.toContain('$41');
});

it('whoever votes with less proof than one of the routes takes is told for which it does not count', () => {
  const notFor = [{ title: 'A second look', strength: 'passkey' as const }];
  const view = requestIn({ kind: 'may', notFor });
  const html = render(RequestPage({ shell, view, refused: null }));
  expect(html).toMatch(/does not count for .*A second look.*takes a signature with a passkey/);
});

it('who may not decide is told why, and gets no button to press', () => {
  const view = requestIn({ kind: 'may_not', title: 'Not yours', says: 'Somebody else decides.' });
  const html = render(RequestPage({ shell, view, refused: null }));
  expect(html).toContain('Somebody else decides.');
  expect(html).not.toContain('name="decision"');
});

it('a hidden character in a text is marked as one', () => {
  expect(render(Untrusted({ text: 'pay\u202Eecila' }))).toContain('<mark class="hidden-char"');
  expect(render(Untrusted({ text: 'two\nlines' }))).toContain('two\nlines');
});
