// Secrets in text: what is one is found wherever it stands, and what only looks odd is left alone.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findSecrets, withoutSecrets } from '../../domain/secrets.ts';

/** Written in pieces, so that nobody who looks through these files takes them for real. */
const of = (...parts: string[]): string => parts.join('');
const random = 'q7Zp2LwX9vRt4KsB8nYc3HdF6mJg1TaQ';
const word = (length: number): string => random.repeat(9).slice(0, length);

const crc = (text: string): number => {
  let rest = 0xffffffff;
  for (const letter of text) {
    rest ^= letter.charCodeAt(0);
    for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  }
  return (rest ^ 0xffffffff) >>> 0;
};
const base62 = (value: number): string => {
  const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  let written = '';
  for (let rest = value; written.length < 6; rest = Math.floor(rest / 62))
    written = (digits[rest % 62] ?? '') + written;
  return written;
};
const checked = (prefix: string, body = word(30)): string => of(prefix, body, base62(crc(body)));
const jwtPart = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const jwt = of(jwtPart({ alg: 'ES256' }), '.', jwtPart({ sub: 'somebody' }), '.', word(86));

const TOKENS: [string, string][] = [
  ['github_token', checked('ghp_')],
  ['github_token', of('github_pat_', word(22), '_', word(59))],
  ['npm_token', checked('npm_')],
  ['gitlab_token', of('glpat-', word(20))],
  ['slack_token', of('xoxb-', '123456789012-', word(24))],
  ['slack_webhook', of('hooks.slack.com', '/services/T0123456/B0123456/', word(24))],
  ['stripe_key', of('sk_live_', word(24))],
  ['google_key', of('AIza', word(35))],
  ['anthropic_key', of('sk-ant-', 'api03-', word(80))],
  ['openai_key', of('sk-proj-', word(20), 'T3BlbkFJ', word(20))],
  ['vault_token', of('hvs.', word(90))],
  ['sendgrid_key', of('SG.', word(22), '.', word(43))],
  ['azure_key', of('AccountKey=', word(86), '==')],
  ['aws_secret_key', 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYZXMPLEK3Y9'],
  ['jwt', jwt],
  ['private_key', of('-----BEGIN EC ', 'PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----')],
  ['random_text', word(40).slice(0, 28)],
];

const NAMED: [string, string][] = [
  ['postgres://app:hunter2@db.internal:5432/orders', 'hunter2'],
  ['password=hunter2', 'hunter2'],
  ['PASSWORD: "correct horse battery staple"', '"correct horse battery staple"'],
  ['{"client_secret":"s3cr3t-value"}', '"s3cr3t-value"'],
  ['DB_PASSWORD=hunter2 npm start', 'hunter2'],
  ["dbPassword: 'hunter2'", "'hunter2'"],
  ['curl -H "Authorization: Bearer abcdef0123456789"', 'abcdef0123456789'],
  ["ALTER ROLE app PASSWORD 'it''s hunter2'", "'it''s hunter2'"],
  ["CREATE USER app IDENTIFIED BY 'hunter2'", "'hunter2'"],
  ['mysqldump --password=hunter2 orders', 'hunter2'],
  ['the password is hunter2', 'hunter2'],
  ['api_key := k-93-x', 'k-93-x'],
];

const HARMLESS = [
  'Refund the order 7 of the customer who wrote on Monday.',
  'The token is invalid, and the password was wrong.',
  'Your password must have eight letters at least.',
  'credential:request of role orders-write, with secret:read and token:create',
  'password: <password>',
  'password=$DB_PASSWORD',
  'token: ${TOKEN}',
  'secret: null',
  '"password": "********"',
  'max_tokens: 4096, token_type: bearer, primaryKey: "id"',
  'const token = readToken(request);',
  'password text not null',
  "UPDATE orders SET state = 'paid' WHERE id = 7 AND token IS NOT NULL",
  'f81d4fae-7dec-11d0-a765-00a0c91e6bf6',
  'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  'commit 50863e3a1b2c3d4e5f60718293a4b5c6d7e8f901',
  'crd_01m8093bybe008mygrf0hybej3 of tsk_01m8093zyhe00aynx0pkrjha8r',
  'cs_01m8093bybe008mygrf0hybej3',
  'ThisIsAVeryLongNameOfAClassThatSomebodyWrote2',
  'src/components/AccountSettings/PasswordResetForm.test.tsx',
  'https://example.com/orders/2026/11/21?page=2&sort=created_at',
  'https://user@example.com/path',
  '2026-11-21T23:54:21.000Z',
  'spiffe://example.org/ns/production/sa/orders-agent',
  of('ghp_', 'x'.repeat(36)),
  'DE89370400440532013000',
  'eyJhbGciOiJub25lIn0',
];

const kindsIn = (text: string): string[] => findSecrets(text).map(({ kind }) => kind);
const hidden = (text: string): string => withoutSecrets(text, ({ kind }) => `[${kind}]`);

describe('a secret', () => {
  it.each(TOKENS)('that is a %s is found in the middle of a sentence', (kind, token) => {
    const text = `use ${token}, and be quick`;
    expect(kindsIn(text)).toContain(kind);
    expect(hidden(text)).not.toContain(token);
    expect(hidden(text)).toMatch(/^use .*, and be quick$/s);
  });

  it.each(NAMED)('that is called one is found, and nothing beside it: %s', (text, value) => {
    const found = findSecrets(text);
    expect(found.map(({ start, end }) => text.slice(start, end))).toContain(value);
    expect(hidden(text)).not.toContain(value);
  });

  it('whose checksum is wrong is not called what it looks like', () => {
    expect(kindsIn(of('ghp_', word(36)))).toEqual(['random_text']);
  });

  it('is found in each of several lines, and once where two ways find it', () => {
    const text = `token=${checked('ghp_')}\npassword=hunter2\n${jwt}`;
    const found = findSecrets(text);
    expect(found).toHaveLength(3);
    for (const [at, each] of found.entries())
      expect(each.start).toBeGreaterThanOrEqual(found[at - 1]?.end ?? 0);
  });

  it('does not hide behind more text than is looked through', () => {
    const text = `${'a '.repeat(40_000)}password=hunter2`;
    expect(hidden(text)).not.toContain('hunter2');
  });
});

describe('no secret', () => {
  it.each(HARMLESS)('is seen in: %s', (text) => {
    expect(findSecrets(text)).toEqual([]);
  });

  it('is seen in a thumbprint, where digests are expected', () => {
    const thumbprint = 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs';
    expect(findSecrets(thumbprint, 'digests')).toEqual([]);
  });
});

describe('whatever the text', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc
      .array(
        fc.constantFrom(
          'eyJ',
          '-',
          '.',
          'password',
          '=',
          ' ',
          '"',
          "'",
          'a9Z',
          '://',
          ':',
          '@',
          'BEGIN',
        ),
      )
      .map((parts) => parts.join('')),
  );

  it('what is found lies in it, in order, and what is written instead takes its place', () => {
    fc.assert(
      fc.property(text, (given) => {
        let at = 0;
        for (const { start, end } of findSecrets(given)) {
          expect(start).toBeGreaterThanOrEqual(at);
          expect(end).toBeGreaterThan(start);
          at = end;
        }
        expect(at).toBeLessThanOrEqual(given.length);
        const kept = withoutSecrets(given, () => '');
        const length = findSecrets(given).reduce((sum, { start, end }) => sum + end - start, 0);
        expect(kept).toHaveLength(given.length - length);
      }),
    );
  });

  it('hostile repetition is read in reasonable time', () => {
    for (const piece of [
      'eyJ-',
      'eyJhbGciOiJub25lIn0.',
      'PASSWORD ',
      'a_',
      'x://a:',
      "'",
      '-----BEGIN PRIVATE KEY-----',
      'xoxb-',
      'password is ',
    ])
      expect(findSecrets(piece.repeat(16_000)).length).toBeGreaterThanOrEqual(0);
  });
});
