// Signed notes and checkpoints as C2SP has them: a published example opens, everything near it does not.
import { generateKeyPairSync, sign as signWith } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { base64, fromBase64, utf8 } from '../../domain/bytes.ts';
import {
  formatVerifierKey,
  openCheckpoint,
  parseVerifierKey,
  signCheckpoint,
  type VerifierKey,
} from '../../domain/note.ts';
import { makeEd25519Key, openEd25519Key, verifyEd25519 } from '../../keys/ed25519.ts';
import { naiveCheckpoint } from '../support/naive-log.ts';

const key = openEd25519Key(makeEd25519Key());
const ORIGIN = 'log.example/2026';
const VKEY = formatVerifierKey(ORIGIN, key.publicKey);
const CHECKPOINT = { origin: ORIGIN, size: 20_852_163, root: new Uint8Array(32).fill(9) };
const NOTE = signCheckpoint(CHECKPOINT, key.publicKey, key.sign);

/** The example of golang.org/x/mod/sumdb/note. */
const PETER = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const PETER_TEXT =
  "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const PETER_SIGNATURE = new Uint8Array(
  Buffer.from(
    'x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=',
    'base64',
  ),
);

function verifier(text: string): VerifierKey {
  const parsed = parseVerifierKey(text);
  if (!parsed) throw new Error('no verifier key');
  return parsed;
}
const open = (note: string, vkey = VKEY): unknown =>
  openCheckpoint(note, verifier(vkey), verifyEd25519);
/** Signs any text as our log, with whatever signature lines are asked for. */
const signed = (text: string, lines: (own: string) => string = (own) => own): string => {
  const id = Buffer.from(verifier(VKEY).id);
  const own = `— ${ORIGIN} ${Buffer.concat([id, key.sign(utf8(text))]).toString('base64')}\n`;
  return `${text}\n${lines(own)}`;
};
const TEXT = `${ORIGIN}\n1\n${base64(new Uint8Array(32))}\n`;

describe('a verifier key', () => {
  // Go's own example, the example of C2SP signed-note, and Go's checksum database.
  it.each([
    PETER,
    'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
    'sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8',
  ])('%s reads, and prints as it was', (text) => {
    const parsed = verifier(text);
    expect(formatVerifierKey(parsed.name, parsed.publicKey)).toBe(text);
  });

  it('is refused unless its hash fits its name and key, in the one spelling it has', () => {
    const [, name = '', id = '', material = ''] = /^(.+)\+(.{8})\+(.+)$/.exec(VKEY) ?? [];
    for (const text of [
      '',
      VKEY.slice(0, -1),
      `${VKEY} `,
      ` ${VKEY}`,
      `${VKEY}\n`,
      `other${VKEY}`,
      `${name}+${id.toUpperCase()}g+${material}`,
      `${name}+00000000+${material}`,
      `+${id}+${material}`,
      `a b+${id}+${material}`,
      VKEY.replace(/=*$/, '===='),
      // Another algorithm than Ed25519.
      `${name}+${id}+${base64(new Uint8Array(33).fill(2))}`,
      `${name}+${id}+${base64(new Uint8Array(32).fill(1))}`,
    ])
      expect([text, parseVerifierKey(text)]).toEqual([text, null]);
    for (const space of [' ', '\u0085', '\u00a0', '\u2003', '\u3000', '+'])
      expect(parseVerifierKey(formatVerifierKey(`a${space}b`, key.publicKey))).toBeNull();
  });
});

describe('a signed note', () => {
  it('is verified as Go verifies its own example', () => {
    const vkey = verifier(PETER);
    expect(PETER_SIGNATURE.slice(0, 4)).toEqual(vkey.id);
    expect(verifyEd25519(vkey.publicKey, utf8(PETER_TEXT), PETER_SIGNATURE.slice(4))).toBe(true);
    // It is a note and no checkpoint, so it says nothing about a log.
    const note = `${PETER_TEXT}\n— PeterNeumann ${base64(PETER_SIGNATURE)}\n`;
    expect(open(note, PETER)).toBeNull();
  });

  it('signs as the Go implementation signs, byte for byte', () => {
    // The private key of the same example: PRIVATE+KEY+PeterNeumann+c74f20a3+…, a seed behind its algorithm.
    const seed = fromBase64('AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz') ?? new Uint8Array();
    const pkcs8 = `302e020100300506032b657004220420${Buffer.from(seed.slice(1)).toString('hex')}`;
    const pem = `-----BEGIN PRIVATE KEY-----\n${base64(Buffer.from(pkcs8, 'hex'))}\n-----END PRIVATE KEY-----\n`;
    const peter = openEd25519Key(pem);
    expect(formatVerifierKey('PeterNeumann', peter.publicKey)).toBe(PETER);
    expect(base64(peter.sign(utf8(PETER_TEXT)))).toBe(base64(PETER_SIGNATURE.slice(4)));
  });

  it('opens as what was signed, for us and for a reader of its own', () => {
    expect(open(NOTE)).toEqual(CHECKPOINT);
    const naive = naiveCheckpoint(NOTE, VKEY);
    expect(naive.size).toBe(CHECKPOINT.size);
    expect(naive.root.equals(CHECKPOINT.root)).toBe(true);
  });

  it('does not open with any byte changed, removed or added', () => {
    const bytes = Buffer.from(NOTE);
    for (let at = 0; at < bytes.length; at += 1) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      const removed = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
      const added = Buffer.concat([bytes.subarray(0, at), Buffer.from('0'), bytes.subarray(at)]);
      for (const changed of [flipped, removed, added])
        expect([at, open(changed.toString('utf8'))]).toEqual([at, null]);
    }
  });

  it('is refused when malformed, though the signature itself is right', () => {
    for (const note of [
      signed(TEXT, (own) => own.replace('— ', '—  ')),
      signed(TEXT, (own) => own.replace('— ', '- ')),
      signed(TEXT, (own) => own.replace('— ', '—\t')),
      signed(TEXT, (own) => ` ${own}`),
      signed(TEXT, (own) => own.replace('\n', ' \n')),
      signed(TEXT, (own) => own.replace('\n', '\r\n')),
      signed(TEXT, (own) => own.replace('\n', '')),
      signed(TEXT, (own) => `${own}\n`),
      signed(TEXT, (own) => `${own}garbage\n`),
      signed(TEXT, (own) => `garbage\n${own}`),
      signed(TEXT, (own) => `${own}— other.example AAAA\n`),
      signed(TEXT, (own) => `${own}— other.example AAAAAAA\n`),
      signed(TEXT, (own) => `${own}— other.example AAAAAAB=\n`),
      signed(TEXT, (own) => `${own}— other example AAAAAAA=\n`),
      signed(TEXT, (own) => own.replace(/=*\n$/, '\n')),
      signed(TEXT, (own) => own.replace('\n', '====\n')),
      signed(TEXT, () => ''),
      signed(TEXT, (own) => own + '— other.example AAAAAAA=\n'.repeat(100)),
      signed(TEXT).replace('\n\n', '\n'),
      signed(TEXT).replaceAll('\n', '\r\n'),
      `\ufeff${signed(TEXT)}`,
    ])
      expect([note, open(note)]).toEqual([note, null]);
    expect(open(signed(TEXT))).toMatchObject({ size: 1 });
  });

  it('may carry the signatures of others, such as witnesses, in any place', () => {
    const witness = '— witness.example/w1 AAAAAAAAAAA=\n';
    for (const lines of [
      (own: string): string => own + witness,
      (own: string): string => witness + own,
      (own: string): string => witness + own + witness,
      (own: string): string => own + own,
    ])
      expect(open(signed(TEXT, lines))).toMatchObject({ size: 1 });
  });

  it('is refused when one of two lines under our own key does not verify', () => {
    const id = Buffer.from(verifier(VKEY).id);
    const wrong = `— ${ORIGIN} ${Buffer.concat([id, Buffer.alloc(64, 1)]).toString('base64')}\n`;
    const short = `— ${ORIGIN} ${Buffer.concat([id, Buffer.alloc(63, 1)]).toString('base64')}\n`;
    for (const line of [wrong, short]) {
      expect(open(signed(TEXT, (own) => own + line))).toBeNull();
      expect(open(signed(TEXT, (own) => line + own))).toBeNull();
      expect(open(signed(TEXT, () => line))).toBeNull();
    }
  });

  it('is refused under another key, another name, or the hash of another key', () => {
    const other = openEd25519Key(makeEd25519Key());
    expect(open(NOTE, formatVerifierKey(ORIGIN, other.publicKey))).toBeNull();
    expect(open(NOTE, formatVerifierKey('other.example', key.publicKey))).toBeNull();
    const forged = signCheckpoint(CHECKPOINT, key.publicKey, other.sign);
    expect(open(forged)).toBeNull();
    const { privateKey } = generateKeyPairSync('ed25519');
    const named = signCheckpoint(CHECKPOINT, key.publicKey, (message) =>
      signWith(null, message, privateKey),
    );
    expect(open(named)).toBeNull();
  });

  it('is no checkpoint unless its text is exactly origin, size and root', () => {
    const root = base64(new Uint8Array(32));
    for (const text of [
      `${ORIGIN}\n1\n`,
      `${ORIGIN}\n01\n${root}\n`,
      `${ORIGIN}\n+1\n${root}\n`,
      `${ORIGIN}\n-1\n${root}\n`,
      `${ORIGIN}\n1.0\n${root}\n`,
      `${ORIGIN}\n1e3\n${root}\n`,
      `${ORIGIN}\n0x1\n${root}\n`,
      `${ORIGIN}\n\n${root}\n`,
      `${ORIGIN}\n 1\n${root}\n`,
      `${ORIGIN}\n9007199254740993\n${root}\n`,
      `${ORIGIN}\n1\n${root.slice(0, -4)}\n`,
      `${ORIGIN}\n1\n${root}AAAA\n`,
      `${ORIGIN}\n1\n${root.replace('A=', 'B=')}\n`,
      `${ORIGIN}\n1\n${root}\nextension\n`,
      `\n1\n${root}\n`,
      `other.example\n1\n${root}\n`,
      `${ORIGIN}\r\n1\r\n${root}\r\n`,
    ])
      expect([text, open(signed(text))]).toEqual([text, null]);
  });

  it('larger than any checkpoint is not read at all', () => {
    expect(open(signed(TEXT, (own) => own + `— w ${'AAAA'.repeat(20_000)}\n`))).toBeNull();
    expect(open('')).toBeNull();
    expect(open('\n\n')).toBeNull();
  });

  it('says every size and root back as it was signed', () => {
    const root = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(fc.maxSafeNat(), root, (size, bytes) => {
        const checkpoint = { origin: ORIGIN, size, root: new Uint8Array(bytes) };
        expect(open(signCheckpoint(checkpoint, key.publicKey, key.sign))).toEqual(checkpoint);
      }),
      { numRuns: 30 },
    );
  });
});

describe('base64', () => {
  it('has one spelling, the padded one of RFC 4648', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(base64(bytes)).toBe(Buffer.from(bytes).toString('base64'));
        expect(fromBase64(base64(bytes))).toEqual(new Uint8Array(bytes));
      }),
    );
    for (const text of [
      'A',
      'AA',
      'AAA',
      'A===',
      'AB==',
      'AAB=',
      'AA=A',
      'AA==AAAA',
      'AAA\n',
      '_-==',
      ' AAA',
      '====',
    ])
      expect([text, fromBase64(text)]).toEqual([text, null]);
  });
});
