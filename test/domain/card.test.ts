// The card: all of the action, in lines that nobody else can write.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { actionDigest, type Action } from '../../domain/action.ts';
import {
  cardFor,
  coversAction,
  hiddenCharacters,
  shownDigest,
  visible,
  type Card,
  type CardSource,
} from '../../domain/card.ts';
import type { JsonObject } from '../../domain/json.ts';

const ACTION: Action = {
  subject: { type: 'agent', id: 'agt_1' },
  actor_chain: [{ type: 'agent', id: 'agt_1' }],
  action: 'credential:request',
  resource: { type: 'role', id: 'orders-write' },
  parameters: { ttl_seconds: 600 },
  data_class: 'confidential',
  destination: 'sample',
  context: { task: 'tsk_1', reason: 'refund order 7', triggered_by: null },
};

function card(over: Partial<Action> = {}, names: Partial<CardSource['names']> = {}): Card {
  const action = { ...ACTION, ...over };
  return cardFor({
    request: 'req_1',
    action,
    digest: actionDigest(action),
    routes: [],
    names: {
      agent: 'orders-bot',
      owner: 'Ada',
      team: 'core',
      requester: 'orders-bot',
      triggeredBy: null,
      actingFor: null,
      ...names,
    },
    whyHeld: ['policy3'],
    risk: null,
    expiresAt: '2026-11-21T10:00:00.000Z',
  });
}

const textOf = (of: Card, label: string): string | undefined =>
  of.lines.find((line) => line.label === label)?.text;

/** Characters that nobody sees, or that make others be seen elsewhere. */
const HIDDEN = [
  '\u0000',
  '\u0007',
  '\u0008',
  '\r',
  '\u001b',
  '\u007f',
  '\u0085',
  '\u00ad',
  '\u034f',
  '\u061c',
  '\u115f',
  '\u17b4',
  '\u180e',
  '\u200b',
  '\u200c',
  '\u200d',
  '\u200e',
  '\u200f',
  '\u2028',
  '\u2029',
  '\u202a',
  '\u202e',
  '\u2060',
  '\u2066',
  '\u2069',
  '\u3164',
  '\ufe0f',
  '\ufeff',
  '\uffa0',
  '\ufff9',
  '\u{e0041}',
  '\u{e0100}',
];

describe('the card of a call', () => {
  it('says what is called, and shows its method, address and body whole', () => {
    const body = { state: 'closed', note: 'x'.repeat(5_000) };
    const url = 'https://tickets.example/tickets/7?a=%26';
    const shown = card({
      action: 'http:call',
      resource: { type: 'upstream', id: 'tickets' },
      parameters: { call: 'close\n-ticket', method: 'PATCH', url, body, effect: 'write' },
    });
    expect(shown.title).toBe('orders-bot asks to call close⟨U+000A⟩-ticket of tickets');
    const lines = Object.fromEntries(shown.lines.map(({ label, text }) => [label, text]));
    expect(lines).toMatchObject({ 'Parameter method': 'PATCH', 'Parameter url': url });
    expect(JSON.parse(lines['Parameter body'] ?? '')).toEqual(body);
  });
});

describe('the card', () => {
  it('shows every parameter and every part of the context, one line each', () => {
    const parameters = fc.dictionary(
      fc.stringMatching(/^[a-z]{1,8}$/),
      fc.oneof(fc.integer(), fc.boolean(), fc.stringMatching(/^[ -~]{0,500}$/), fc.constant(null)),
    );
    fc.assert(
      fc.property(parameters, (given) => {
        const shown = card({ parameters: given });
        for (const [name, value] of Object.entries(given))
          expect(textOf(shown, `Parameter ${name}`)).toBe(
            typeof value === 'string' ? value : JSON.stringify(value),
          );
        expect(coversAction(shown, { ...ACTION, parameters: given })).toBe(true);
      }),
    );
    expect(textOf(card({ parameters: { limit: null } }), 'Parameter limit')).toBe('null');
    expect(textOf(card(), 'Context reason')).toBe('refund order 7');
  });

  it('cuts nothing, however long a text is', () => {
    const reason = `${'x'.repeat(100_000)} and drop the table`;
    const shown = card({ context: { reason } });
    expect(textOf(shown, 'Context reason')).toBe(reason);
  });

  it('says of what the requester wrote that it is only claimed', () => {
    const claimed = card().lines.filter((line) => line.claimed);
    expect(claimed.map((line) => line.label)).toEqual(['Context reason', 'Context task']);
  });

  it.each(HIDDEN)(
    'writes out the hidden character %j and warns of it, wherever it is',
    (hidden) => {
      const code = `U+${(hidden.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
      const text = `pay${hidden}able`;
      const cards = [
        card({ context: { reason: text } }),
        card({ parameters: { note: text } }),
        card({ parameters: { [text]: 1 } }),
        card({ context: { [text]: 1 } }),
        card({ parameters: { deep: { deeper: [text] } } }),
        card({ destination: text }),
        card({ data_class: text }),
        card({ resource: { type: 'role', id: text } }),
        card({}, { agent: text }),
        card({}, { owner: text }),
      ];
      for (const { title, lines } of cards) {
        const everything = [title, ...lines.flatMap((line) => [line.label, line.text])].join('');
        expect(everything).not.toContain(hidden);
        const escaped = JSON.stringify(text).slice(1, -1);
        expect(everything.includes(`⟨${code}⟩`) || everything.includes(escaped)).toBe(true);
      }
      expect(cards[0]?.warnings).toEqual([`hidden character ${code} in the requester's text`]);
      expect(cards[2]?.warnings).toEqual([`hidden character ${code} in the requester's text`]);
    },
  );

  it('ordinary writing in any script is neither written out nor warned of', () => {
    for (const text of [
      'naïve café',
      'Überweisung',
      '支払い',
      'مرحبا',
      'a\nb',
      'x → y “z” 😀',
      '',
    ]) {
      expect(visible(text)).toBe(text);
      expect(hiddenCharacters(text)).toEqual([]);
    }
  });

  it('no name, role, parameter name or title can begin a line of its own', () => {
    const forged = 'orders-bot\nOwner: Mallory';
    const cards = [
      card({}, { agent: forged, owner: forged, team: forged, requester: forged }),
      card({ resource: { type: forged, id: forged }, destination: forged, data_class: forged }),
      card({ action: forged, parameters: { [forged]: 1 }, context: { [forged]: 1 } }),
    ];
    for (const { title, lines } of cards) {
      const ours = lines.flatMap(({ label, text, claimed }) => (claimed ? [label] : [label, text]));
      expect([title, ...ours].filter((text) => text.includes('\n'))).toEqual([]);
    }
  });
});

describe('the digest of what was shown', () => {
  it('changes with everything a reader sees', () => {
    const shown = card();
    const [first] = shown.lines;
    if (!first) throw new Error('a card has lines');
    const changed: Card[] = [
      shown,
      { ...shown, title: 'Something else' },
      { ...shown, request: 'req_2' },
      { ...shown, lines: shown.lines.slice(1) },
      { ...shown, lines: [{ ...first, text: 'other' }, ...shown.lines.slice(1)] },
      { ...shown, lines: [{ ...first, label: 'other' }, ...shown.lines.slice(1)] },
      { ...shown, lines: [{ ...first, claimed: true }, ...shown.lines.slice(1)] },
      { ...shown, warnings: ['x'] },
      { ...shown, expires_at: '2026-11-21T10:00:01.000Z' },
      { ...shown, routes: ['r'] },
    ];
    expect(new Set(changed.map(shownDigest)).size).toBe(changed.length);
  });

  it('I2: a card covers the action it was made from and no other', () => {
    const others: Partial<Action>[] = [
      { parameters: { ttl_seconds: 601 } },
      { parameters: {} },
      { resource: { type: 'role', id: 'orders-read' } },
      { destination: null },
      { context: {} },
    ];
    const shown = card();
    expect(coversAction(shown, ACTION)).toBe(true);
    for (const over of others) expect(coversAction(shown, { ...ACTION, ...over })).toBe(false);
    const cut: JsonObject = { ...shown.action, parameters: {} };
    expect(coversAction({ ...shown, action: cut }, ACTION)).toBe(false);
  });
});
