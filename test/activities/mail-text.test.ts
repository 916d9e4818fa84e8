// A notice as a mail, whatever is in the request: its headers are ours, its links too, and claims are quoted.
import fc from 'fast-check';
import { createTransport } from 'nodemailer';
import { describe, expect, it } from 'vitest';
import {
  envelopeOf,
  mailAbout,
  mailDigest,
  type Told,
} from '../../activities/channels/mail-text.ts';
import { cardFor, type Card } from '../../domain/card.ts';
import { headersOf } from '../fakes/smtp.ts';

const URL = 'https://cs.example/requests/req_1';
const HEADERS = [
  ...['auto-submitted', 'content-type', 'date', 'from', 'in-reply-to', 'message-id'],
  ...['mime-version', 'references', 'subject', 'to', 'x-auto-response-suppress'],
];

const cardWith = (name: string, reason: string): Card =>
  cardFor({
    request: 'req_1',
    action: {
      subject: { type: 'agent', id: 'agt_1' },
      actor_chain: [{ type: 'agent', id: 'agt_1' }],
      action: 'credential:request',
      resource: { type: 'role', id: name },
      parameters: { ttl_seconds: 600 },
      data_class: null,
      destination: 'sample',
      context: { reason },
    },
    digest: `sha256:${'a'.repeat(64)}`,
    routes: [],
    names: {
      ...{ agent: name, owner: name, team: 'core', requester: name },
      ...{ triggeredBy: null, actingFor: null },
    },
    ...{ whyHeld: [], risk: null, expiresAt: '2026-11-21T10:00:00.000Z' },
  });

const told = (card: Card): Told => ({ kind: 'opened', state: 'pending', card, url: URL });

/** The mail as it goes over the wire. */
async function sent(one: Told): Promise<string> {
  const transport = createTransport({ streamTransport: true, buffer: true, newline: 'windows' });
  const { message } = await transport.sendMail(
    envelopeOf(mailAbout(one), {
      ...{ from: 'cs@example.com', to: 'ada@example.com' },
      ...{ message: '<a@cs.example>', references: '<b@cs.example>' },
    }),
  );
  return Buffer.isBuffer(message) ? message.toString('latin1') : '';
}

const NASTY = [
  'a\r\nBcc: mallory@example.com',
  'a\nBcc: mallory@example.com\n\n<html>',
  'a\r\n\r\n.\r\nMAIL FROM:<mallory@example.com>',
  '=?utf-8?q?=0D=0ABcc:_mallory=40example.com?=',
  '\u2028Bcc: mallory@example.com\u0085X: y\u0000',
  '<img src="https://evil.example/x.png"><a href="https://evil.example">Approve</a>',
  `" onload="alert(1)' <script>`,
  '\u202Etxt.exe\u202C \u200B',
  'ü€😀'.repeat(2_000),
];

describe('a mail about a request', () => {
  it('whatever the names and reasons are: no header but ours, and each once', async () => {
    const anything = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 2_000 }),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }),
      fc.constantFrom(...NASTY),
    );
    await fc.assert(
      fc.asyncProperty(anything, anything, async (name, reason) => {
        const raw = await sent(told(cardWith(name, reason)));
        const headers = headersOf(raw);
        expect(headers.map(([each]) => each).toSorted()).toEqual(HEADERS);
        expect(headers.find(([each]) => each === 'to')?.[1]).toBe('ada@example.com');
        expect(raw.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/);
        for (const line of raw.split('\r\n')) expect(line.length).toBeLessThanOrEqual(998);
      }),
      { numRuns: 80 },
    );
  });

  it.each(NASTY)('%j is no markup, no picture and no link', (nasty) => {
    const { html } = mailAbout(told(cardWith(nasty, nasty)));
    expect([...html.matchAll(/href="([^"]*)"/g)].map(([, to]) => to)).toEqual([URL]);
    expect(html).not.toMatch(/<(img|script|iframe|link|style|form|input|button)/i);
    expect(html).not.toContain('src="http');
    const digest = mailDigest([told(cardWith(nasty, nasty))], 'https://cs.example/').html;
    expect([...digest.matchAll(/href="([^"]*)"/g)].map(([, to]) => to)).toEqual([
      URL,
      'https://cs.example/',
    ]);
  });

  it('what was claimed is marked and quoted, line by line', () => {
    const { text } = mailAbout(told(cardWith('bot', 'fine\nRisk: low\nRead it here:\nhttps://x')));
    const at = text.indexOf('Context reason (as claimed):');
    expect(text.slice(at).split('\n').slice(0, 5)).toEqual([
      'Context reason (as claimed):',
      '> fine',
      '> Risk: low',
      '> Read it here:',
      '> https://x',
    ]);
    expect(text.split('\n').filter((line) => /^https?:/.test(line))).toEqual([URL]);
  });

  it('leaves out what looks like a secret, in both its forms, and says so', () => {
    const { text, html } = mailAbout(told(cardWith('bot', 'log in with password=hunter2')));
    for (const form of [text, html]) {
      expect(form).not.toContain('hunter2');
      expect(form).toContain('What looks like a secret is not sent');
    }
  });

  it('too long for a mail is not cut: the page has it', () => {
    const { text } = mailAbout(told(cardWith('bot', 'y'.repeat(30_000))));
    expect(text).not.toContain('yyy');
    expect(text).toContain('It is too long for a mail: open it to see all of it.');
  });

  it('of one that is decided says so, and asks nobody to decide', () => {
    const { text } = mailAbout({ ...told(cardWith('bot', 'x')), state: 'denied' });
    expect(text).toContain('This is closed');
    expect(text).not.toMatch(/decide, signed in/);
  });
});
