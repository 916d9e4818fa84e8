import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { cluesIn, fingerprintsOf } from '../../keys/secret-text.ts';
import { openVault } from '../../keys/vault.ts';

const vault = openVault(randomBytes(32));
const password = randomBytes(32).toString('base64url');
const login = 'cs_06bzq3v8h2e9s8rk7t5m1n0pq4';
const url = `postgresql://${login}:${encodeURIComponent(password)}@db.example:5432/orders`;
const material = {
  kind: 'postgres',
  host: 'db.example',
  port: 5432,
  database: 'orders-of-everybody-here',
  username: login,
  password,
  url,
};
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

const isFoundIn = (text: string, of: Parameters<typeof fingerprintsOf>[1] = material): boolean => {
  const marks = new Set(fingerprintsOf(vault, of));
  return cluesIn(vault, text).secrets.some((each) => marks.has(each));
};

describe('I5: the fingerprint of a secret', () => {
  it('holds nothing of it, and is worth nothing without the key', () => {
    const marks = fingerprintsOf(vault, material);
    expect(marks).toHaveLength(1);
    expect(marks.join(' ')).not.toContain(password);
    expect(fingerprintsOf(openVault(randomBytes(32)), material)).not.toEqual(marks);
    expect(fingerprintsOf(vault, material)).toEqual(marks);
  });

  it('is not that of another use of the same key', () => {
    expect(vault.mark(password, 'one')).not.toBe(vault.mark(password, 'another'));
  });
});

describe('a leaked secret is known again', () => {
  it.each([
    ['alone', password],
    ['with blanks around it', `\n  ${password}\t\n`],
    ['in a connection string', url],
    ['in an environment file', `PGUSER=${login}\nPGPASSWORD=${password}\nOTHER=x`],
    ['in a shell line', `psql "${url}" -c 'select 1'`],
    ['in YAML', `password: ${password}\n`],
    ['in JSON', JSON.stringify({ db: [{ secret: password }] })],
    ['in JSON inside JSON', JSON.stringify({ env: `PASSWORD=${password};` })],
    ['in base64, as in a Kubernetes secret', `data:\n  p: ${btoa(password)}\n`],
    ['at the end of a sentence', `The password is ${password}.`],
    ['in a query', `https://evil.example/?p=${password}&x=1`],
    ['in a log of a call', `"Authorization: Bearer ${password}"`],
  ])('%s', (_how, text) => {
    expect(isFoundIn(text)).toBe(true);
  });

  it('as a private key, however its lines were broken', () => {
    const key = { kind: 'x509', private_key: pem };
    expect(isFoundIn(pem, key)).toBe(true);
    expect(isFoundIn(JSON.stringify({ key: pem }), key)).toBe(true);
    expect(isFoundIn(pem.replaceAll('\n', String.raw`\n`), key)).toBe(true);
    expect(isFoundIn(`tls:\n  ${pem.replaceAll('\n', '\n    ')}`, key)).toBe(true);
  });

  it('whatever member an issuer keeps it in', () => {
    for (const member of ['token', 'secret_access_key', 'value', 'client_secret'])
      expect(isFoundIn(password, { kind: 'other', nested: { [member]: password } })).toBe(true);
  });
});

describe('what is not secret in issued material', () => {
  it.each([
    'db.example',
    'orders-of-everybody-here',
    login,
    `postgresql://db.example:5432/orders`,
    password.slice(0, -1),
    password.toUpperCase(),
    '',
  ])('leads to nothing: %s', (text) => {
    expect(isFoundIn(text)).toBe(false);
  });

  it('is not kept as if it were: times, addresses, names of things', () => {
    const plain = {
      kind: 'aws',
      not_after: '2026-11-21T13:00:00.000Z',
      api: 'https://api.example/v1/things',
      arn_of_role: 'arn:aws:iam::123456789012:role/x',
      task: 'tsk_06bzq3v8h2e9s8rk7t5m1n0pq4',
      short: 'abc',
    };
    expect(fingerprintsOf(vault, plain)).toEqual([]);
  });
});

describe('clues', () => {
  it('are names of leases in both spellings, and signed tokens', () => {
    const token = `eyJhbGciOiJFUzI1NiJ9.${'a'.repeat(40)}.${'b'.repeat(86)}`;
    const clues = cluesIn(vault, `${login} and crd_06bzq3v8h2e9s8rk7t5m1n0pq5, ${token}`);
    expect(clues.leases).toEqual([
      'crd_06bzq3v8h2e9s8rk7t5m1n0pq4',
      'crd_06bzq3v8h2e9s8rk7t5m1n0pq5',
    ]);
    expect(clues.tokens).toEqual([token]);
  });

  it('are found in bounded time in a text made to be hard to read', () => {
    const started = performance.now();
    for (const piece of [
      'eyJ',
      'eyJa.',
      'a=',
      '{"',
      'cs_0',
      '-----BEGIN PRIVATE KEY-----\n',
      '://',
    ])
      cluesIn(vault, piece.repeat(65_536 / piece.length));
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});
