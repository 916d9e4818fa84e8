// The card of a request in Slack, whatever is in the request.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mayDecideHere, slackFace } from '../../activities/slack/card.ts';
import { denialForm } from '../../activities/slack/modal.ts';
import { homeView, listFace } from '../../activities/slack/views.ts';
import { cardOf } from '../../commands/approvals/requests.ts';
import type { RequestRow, VoteRow } from '../../db/rows.ts';
import { freezeRoute } from '../../domain/approval.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { messageError, viewError } from '../fakes/slack-blocks.ts';
import { ruleTitled } from '../support/rules.ts';

const rule = { ...ruleTitled('Write to orders'), channels: ['web' as const, 'slack' as const] };

/** As much of a row as a card reads; the rest is never looked at. */
const rowWith = (over: Partial<RequestRow> = {}): RequestRow =>
  ({
    id: 'req_01m7zyrh2te0087w8444vwzp8a',
    state: 'pending',
    action: {
      subject: { type: 'agent', id: 'agt_1' },
      actor_chain: [{ type: 'agent', id: 'agt_1' }],
      action: 'credential:request',
      resource: { type: 'role', id: 'orders-write' },
      parameters: { ttl_seconds: 600 },
      data_class: 'confidential',
      destination: 'sample',
      context: { task: 'tsk_1', reason: 'refund order 7', triggered_by: null },
    },
    digest: `sha256:${'a'.repeat(64)}`,
    names: {
      ...{ agent: 'orders-bot', owner: 'Olga', team: 'core', requester: 'orders-bot' },
      ...{ triggeredBy: 'Tim', actingFor: null },
    },
    whyHeld: ['Writing to orders takes a data owner'],
    risk: 'medium',
    routes: [freezeRoute('orders-write', rule)],
    createdAt: '2026-11-21T09:00:00.000Z',
    expiresAt: '2026-11-21T10:00:00.000Z',
    decidedAt: null,
    approvedUntil: null,
    ...{ narrowable: { options: {}, starts_before: null }, narrowed: null, audience: null },
    ...over,
  }) as unknown as RequestRow;

const faceOf = (row: RequestRow, votes: VoteRow[] = []) =>
  slackFace({
    ...{ row, votes, card: cardOf(row), url: 'https://cs.example/requests/req_1' },
    tally: {
      ...{ outcome: 'pending', approvals: {}, approvers: [], open: {} },
      stages: {
        'orders-write': [
          {
            title: null,
            quorum: 2,
            approvals: votes.length,
            isComplete: false,
            seats: [{ groups: ['data-owners'], quorum: 2, approvals: votes.length }],
          },
        ],
      },
    },
    names: new Map([['per_1', 'Ada <!channel>']]),
  });

/** Every text object of a message. */
function textsOf(value: JsonValue): JsonObject[] {
  if (Array.isArray(value)) return value.flatMap(textsOf);
  if (typeof value !== 'object' || value === null) return [];
  const own = typeof value['type'] === 'string' && typeof value['text'] === 'string' ? [value] : [];
  return [...own, ...Object.values(value).flatMap(textsOf)];
}

const reasoned = (reason: string, over: Partial<RequestRow> = {}): RequestRow => {
  const row = rowWith(over);
  return { ...row, action: { ...row.action, context: { ...row.action.context, reason } } };
};

describe('an ordinary card', () => {
  it('says what, who, on whose behalf, why it is held, the risk, how long and how many', () => {
    const face = faceOf(rowWith());
    expect(face).toMatchInlineSnapshot(`
      {
        "blocks": [
          {
            "text": {
              "emoji": false,
              "text": "orders-bot asks for orders-write",
              "type": "plain_text",
            },
            "type": "header",
          },
          {
            "fields": [
              {
                "emoji": false,
                "text": "Agent: orders-bot",
                "type": "plain_text",
              },
              {
                "emoji": false,
                "text": "Owner: Olga",
                "type": "plain_text",
              },
              {
                "emoji": false,
                "text": "Team: core",
                "type": "plain_text",
              },
              {
                "emoji": false,
                "text": "Asked by: orders-bot",
                "type": "plain_text",
              },
              {
                "emoji": false,
                "text": "On behalf of: Tim",
                "type": "plain_text",
              },
              {
                "emoji": false,
                "text": "Wants: credential:request role orders-write",
                "type": "plain_text",
              },
              {
                "emoji": false,
                "text": "At: sample",
                "type": "plain_text",
              },
              {
                "emoji": false,
                "text": "Data: confidential",
                "type": "plain_text",
              },
              {
                "emoji": false,
                "text": "Parameter ttl_seconds: 600",
                "type": "plain_text",
              },
              {
                "emoji": false,
                "text": "Context reason (as claimed): refund order 7",
                "type": "plain_text",
              },
            ],
            "type": "section",
          },
          {
            "fields": [
              {
                "emoji": false,
                "text": "Context task (as claimed): tsk_1",
                "type": "plain_text",
              },
              {
                "emoji": false,
                "text": "Risk: medium",
                "type": "plain_text",
              },
              {
                "emoji": false,
                "text": "Held because: Writing to orders takes a data owner",
                "type": "plain_text",
              },
            ],
            "type": "section",
          },
          {
            "elements": [
              {
                "emoji": false,
                "text": "Waiting: 0 of 2 for orders-write",
                "type": "plain_text",
              },
              {
                "text": "Expires <!date^1795255200^{ago}, {date_short_pretty} at {time}|at 2026-11-21T10:00:00.000Z>",
                "type": "mrkdwn",
              },
            ],
            "type": "context",
          },
          {
            "elements": [
              {
                "emoji": false,
                "text": "req_01m7zyrh2te0087w8444vwzp8a · sha256:baaf83a7df7b7154…",
                "type": "plain_text",
              },
            ],
            "type": "context",
          },
          {
            "block_id": "sha256:dd3a02f64745242e0dddf530099454ee9a154f689f0fc408238ac57a38575057",
            "elements": [
              {
                "accessibility_label": "Approve req_01m7zyrh2te0087w8444vwzp8a",
                "action_id": "approve",
                "style": "primary",
                "text": {
                  "emoji": false,
                  "text": "Approve",
                  "type": "plain_text",
                },
                "type": "button",
                "value": "req_01m7zyrh2te0087w8444vwzp8a",
              },
              {
                "accessibility_label": "Approve less… req_01m7zyrh2te0087w8444vwzp8a",
                "action_id": "narrow",
                "text": {
                  "emoji": false,
                  "text": "Approve less…",
                  "type": "plain_text",
                },
                "type": "button",
                "value": "req_01m7zyrh2te0087w8444vwzp8a",
              },
              {
                "accessibility_label": "Deny… req_01m7zyrh2te0087w8444vwzp8a",
                "action_id": "deny",
                "style": "danger",
                "text": {
                  "emoji": false,
                  "text": "Deny…",
                  "type": "plain_text",
                },
                "type": "button",
                "value": "req_01m7zyrh2te0087w8444vwzp8a",
              },
              {
                "accessibility_label": "Review req_01m7zyrh2te0087w8444vwzp8a",
                "action_id": "review",
                "text": {
                  "emoji": false,
                  "text": "Review",
                  "type": "plain_text",
                },
                "type": "button",
                "url": "https://cs.example/requests/req_1",
                "value": "req_01m7zyrh2te0087w8444vwzp8a",
              },
            ],
            "type": "actions",
          },
        ],
        "text": "orders-bot asks for orders-write: Waiting: 0 of 2 for orders-write",
      }
    `);
    expect(messageError(face.blocks)).toBeNull();
  });

  it('of each state has its own words, and only a waiting one has buttons', () => {
    const states = [
      'pending',
      'approved',
      'consumed',
      'denied',
      'expired',
      'cancelled',
      'failed',
      'superseded',
    ] as const;
    const faces = states.map((state) => faceOf(rowWith({ state })));
    expect(new Set(faces.map(({ text }) => text)).size).toBe(states.length);
    for (const [at, { blocks }] of faces.entries())
      expect(blocks.some(({ type }) => type === 'actions')).toBe(states[at] === 'pending');
  });
});

const NASTY = [
  '<!channel> <!here> <@U0ADA> <#C0APPROVALS> <https://evil.example|Approve>',
  '*bold* _it_ `code` ```block``` ~no~ > quote\n> more',
  '&lt;!channel&gt; &amp;amp;',
  ':white_check_mark: Approved by Ada :tada:',
  'line\nAgent: orders-bot\nRisk: low\nHeld because: nothing',
  '\u202Etxt.exe \u200Bzero\u200Bwidth \u2066isolate\u2069',
  '\u001b[2J\u001b[31mred\u0007\b\b\b',
  'p\u0430ypal g\u03bfogle \uff41dmin a\u2215b',
  '<!date^1^{ago}|Expires never>',
  'a\u0301\u0302\u0303'.repeat(20),
  'https://evil.example/approve?x=<script>alert(1)</script>',
];

describe('SEC-A6: text that means harm', () => {
  it.each(NASTY)('%j stays text', (nasty) => {
    const face = faceOf(reasoned(nasty));
    expect(messageError(face.blocks)).toBeNull();
    const marked = textsOf(face.blocks).filter(({ type }) => type === 'mrkdwn');
    expect(marked.map(({ text }) => text)).toEqual([
      'Expires <!date^1795255200^{ago}, {date_short_pretty} at {time}|at 2026-11-21T10:00:00.000Z>',
    ]);
    for (const { emoji } of textsOf(face.blocks).filter(({ type }) => type === 'plain_text'))
      expect(emoji).toBe(false);
    // A line that somebody wrote is never a line of the card.
    for (const { text } of textsOf(face.blocks))
      expect(JSON.stringify(text)).not.toMatch(/\\n(?!│ )/);
  });

  it('never gets into the text that Slack reads as markup', () => {
    const dangerous = rowWith({
      names: { ...rowWith().names, agent: '<!channel> & <@U0ADA>' },
    });
    expect(faceOf(dangerous).text).not.toMatch(/[<>]/);
    expect(faceOf({ ...dangerous, state: 'cancelled' }).text).not.toMatch(/[<>]/);
  });

  it('whatever it is: Slack takes the card, no markup, and nothing cut has a button to approve', () => {
    const anything = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 3_000 }),
      fc.string({ unit: 'grapheme', maxLength: 300 }),
      fc.constantFrom(...NASTY),
    );
    fc.assert(
      fc.property(anything, anything, fc.integer({ min: 1, max: 60 }), (reason, name, many) => {
        const row = reasoned(reason, { names: { ...rowWith().names, agent: name || 'a' } });
        const parameters = Object.fromEntries(
          Array.from({ length: many }, (_, at) => [`p${at}`, reason.slice(0, 40)]),
        );
        const full = { ...row, action: { ...row.action, parameters } };
        const face = faceOf(full);
        expect(messageError(face.blocks)).toBeNull();
        expect(textsOf(face.blocks).filter(({ type }) => type === 'mrkdwn')).toHaveLength(1);
        const shown = JSON.stringify(face.blocks);
        const isWhole = cardOf(full).lines.every(({ text }) =>
          shown.includes(JSON.stringify(text.replaceAll('\n', '\n│ ')).slice(1, -1)),
        );
        expect(isWhole || !shown.includes('"action_id":"approve"')).toBe(true);
        expect(viewError(denialForm(cardOf(full), 'x'.repeat(32)), 'modal')).toBeNull();
        const rows = Array.from({ length: 60 }, () => full);
        expect(viewError(homeView(rows, 'https://cs.example'), 'home')).toBeNull();
        expect(messageError(listFace('Found.', rows, 'https://cs.example').blocks)).toBeNull();
      }),
      { numRuns: 60 },
    );
  });
});

describe('SEC-A6: a card that is not decided here', () => {
  it.each([
    ['a reason', { context: { reason: 'log in with password=hunter2 first' } }],
    ['a statement', { parameters: { statement: "ALTER ROLE app PASSWORD 'hunter2'" } }],
  ])('is one with a secret in %s, which stays with us', (_where, change) => {
    const row = rowWith();
    const risky = rowWith({ action: { ...row.action, ...change } });
    const shown = JSON.stringify(faceOf(risky));
    expect(shown).not.toContain('hunter2');
    expect(shown).toContain('looks like a secret');
    expect(mayDecideHere(risky, cardOf(risky))).toBe(false);
    expect(shown).not.toContain('"action_id":"approve"');
  });

  it.each([
    ['a high risk', rowWith({ risk: 'high' })],
    ['a risk in a word we do not know', rowWith({ risk: 'Severe' })],
    [
      'a route that asks for a passkey',
      rowWith({ routes: [freezeRoute('r', { ...rule, strength: 'passkey' })] }),
    ],
    [
      'a route that takes no votes from Slack',
      rowWith({ routes: [freezeRoute('r', { ...rule, channels: ['web'] })] }),
    ],
    [
      'one route of two that takes none',
      rowWith({
        routes: [freezeRoute('a', rule), freezeRoute('b', { ...rule, channels: ['web'] })],
      }),
    ],
    ['text too long to show', reasoned('x'.repeat(2_100))],
    ['hidden characters', reasoned('a\u200Bb')],
    ['letters of two alphabets', reasoned('p\u0430ypal')],
  ])('has only a button that opens the web: %s', (_why, row) => {
    expect(mayDecideHere(row, cardOf(row))).toBe(false);
    const actions = faceOf(row).blocks.find(({ type }) => type === 'actions');
    const elements = Array.isArray(actions?.['elements']) ? actions['elements'] : [];
    expect(JSON.stringify(elements)).not.toMatch(/"action_id":"(approve|deny)"/);
    expect(JSON.stringify(elements)).toContain('"url":"https://cs.example/requests/req_1"');
  });

  it('says how much of it is not shown', () => {
    const shown = JSON.stringify(faceOf(reasoned('x'.repeat(2_100))).blocks);
    expect(shown).toMatch(/too long to show here in full: \d{4} characters are not shown/);
    expect(shown).not.toContain('xxxxx');
  });
});
