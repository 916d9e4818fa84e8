// What authenticators say is read in one way only, and a key is good for its own algorithm alone.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromBase64url, base64url } from '../../domain/bytes.ts';
import { readCbor, readCborMap } from '../../domain/cbor.ts';
import {
  checkAssertion,
  hasRegressed,
  readAssertion,
  readAuthenticatorData,
  readCoseKey,
  type Assertion,
} from '../../domain/webauthn.ts';
import { isUsablePasskey, verifyPasskey } from '../../keys/passkey.ts';
import { cbor, Passkey, type Kind, type Wrong } from '../support/software-passkey.ts';

const SITE = { id: 'localhost', origin: 'http://localhost:8080' };
const CHALLENGE = base64url(new Uint8Array(32).fill(7));
const ASKED = { options: { challenge: CHALLENGE, rpId: SITE.id }, origin: SITE.origin };
const KINDS: Kind[] = ['ES256', 'EdDSA', 'RS256'];

function assertionOf(passkey: Passkey, wrong: Wrong = {}): Assertion {
  const sent = passkey.sign(ASKED, wrong) as Record<string, string>;
  const assertion = readAssertion({
    authenticator_data: sent['authenticator_data'] ?? '',
    client_data: sent['client_data'] ?? '',
    signature: sent['signature'] ?? '',
  });
  if (!assertion) throw new Error('what was signed cannot be read');
  return assertion;
}

const check = (assertion: Assertion, publicKey: Uint8Array) =>
  checkAssertion(assertion, { challenge: CHALLENGE, site: SITE, publicKey }, verifyPasskey);

describe('an assertion', () => {
  it.each(KINDS)('by an %s key holds as it was signed, and with no bit of it changed', (kind) => {
    const passkey = new Passkey(kind);
    const publicKey = new Uint8Array(passkey.publicKey);
    const good = assertionOf(passkey);
    expect(check(good, publicKey).fault).toBe(null);
    const parts = ['authenticatorData', 'clientData', 'signature'] as const;
    for (const part of parts)
      for (let at = 0; at < good[part].length; at += 1) {
        const changed = good[part].slice();
        changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
        expect(check({ ...good, [part]: changed }, publicKey).fault).not.toBe(null);
      }
    for (let at = 0; at < publicKey.length; at += 1) {
      const changed = publicKey.slice();
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      expect(check(good, changed).fault).not.toBe(null);
    }
  });

  it.each(KINDS)('by an %s key does not hold cut short or longer', (kind) => {
    const passkey = new Passkey(kind);
    const good = assertionOf(passkey);
    for (const part of ['authenticatorData', 'clientData', 'signature'] as const)
      for (const changed of [good[part].slice(0, -1), Uint8Array.from([...good[part], 0])])
        expect(check({ ...good, [part]: changed }, passkey.publicKey).fault).not.toBe(null);
  });

  it('by one key does not hold for another, of whatever kind', () => {
    const keys = KINDS.flatMap((kind) => [new Passkey(kind), new Passkey(kind)]);
    for (const signer of keys)
      for (const other of keys)
        expect(check(assertionOf(signer), other.publicKey).fault === null).toBe(signer === other);
  });

  it('as JOSE writes its signature, and not in DER, is refused', () => {
    const passkey = new Passkey();
    const good = assertionOf(passkey);
    expect(check({ ...good, signature: new Uint8Array(64).fill(1) }, passkey.publicKey).fault).toBe(
      'wrong_signature',
    );
  });

  const wrongs: [string, Wrong, string][] = [
    ['on another origin', { origin: 'http://localhost:8081' }, 'wrong_origin'],
    ['on an origin that begins as ours', { origin: `${SITE.origin}.evil` }, 'wrong_origin'],
    ['for a part of our site', { site: 'sub.localhost' }, 'wrong_site'],
    ['of a registration', { type: 'webauthn.create' }, 'wrong_type'],
    ['in a frame', { clientData: { crossOrigin: true } }, 'wrong_origin'],
    ['in a frame, said as a text', { clientData: { crossOrigin: 'false' } }, 'wrong_origin'],
    ['without a person', { flags: 4 }, 'no_person'],
    ['of an unknown person', { flags: 1 }, 'not_verified'],
    ['with a key in it', { flags: 5 | 64 }, 'malformed'],
    ['with extensions that are not there', { flags: 5 | 128 }, 'malformed'],
    ['backed up, though it cannot be', { flags: 5 | 16 }, 'malformed'],
  ];
  it.each(wrongs)('%s is refused', (_name, wrong, fault) => {
    const passkey = new Passkey();
    expect(check(assertionOf(passkey, wrong), passkey.publicKey).fault).toBe(fault);
  });

  it('holds with extensions that are announced', () => {
    const passkey = new Passkey();
    const trailing = cbor(new Map<string, unknown>([['credProtect', 2]]));
    const good = assertionOf(passkey, { flags: 5 | 128, trailing });
    expect(check(good, passkey.publicKey).fault).toBe(null);
  });

  it('of which a member is said twice is refused: readers would differ', () => {
    const passkey = new Passkey();
    const good = assertionOf(passkey);
    const twice = Buffer.from(
      Buffer.from(good.clientData).toString().replace('{', `{"origin":"${SITE.origin}",`),
    );
    const data = Buffer.concat([
      good.authenticatorData,
      createHash('sha256').update(twice).digest(),
    ]);
    const signed = { ...good, clientData: twice, signature: passkey.signBytes(data) };
    expect(check(signed, passkey.publicKey).fault).toBe('malformed');
  });

  it('that is no assertion at all never throws', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 600 }),
        fc.uint8Array({ maxLength: 600 }),
        fc.uint8Array({ maxLength: 600 }),
        fc.uint8Array({ maxLength: 100 }),
        (authenticatorData, clientData, signature, publicKey) => {
          const said = { authenticatorData, clientData, signature };
          expect(check(said, publicKey).fault).not.toBe(null);
        },
      ),
    );
  });
});

describe('a COSE key', () => {
  const ofKind = (kind: Kind) => readCoseKey(new Passkey(kind).publicKey);
  const map = (...entries: [number, unknown][]) =>
    readCoseKey(cbor(new Map<number, unknown>(entries)));
  const bytes = (length: number) => new Uint8Array(length).fill(3);

  it.each(KINDS)('of the kind %s is read as that', (kind) => {
    expect(ofKind(kind)?.alg).toBe(kind);
  });

  it('that says another algorithm than its kind, another curve, or more than it should is none', () => {
    const x: [number, unknown] = [-2, bytes(32)];
    const y: [number, unknown] = [-3, bytes(32)];
    expect(map([1, 2], [3, -7], [-1, 1], x, y)).not.toBe(null);
    for (const wrong of [
      map([1, 2], [3, -8], [-1, 1], x, y),
      map([1, 2], [3, -257], [-1, 1], x, y),
      map([1, 2], [3, -7], [-1, 2], x, y),
      map([1, 1], [3, -7], [-1, 6], x),
      map([1, 2], [3, -7], [-1, 1], x),
      map([1, 2], [3, -7], [-1, 1], x, y, [4, bytes(1)]),
      map([1, 2], [3, -7], [-1, 1], [-2, bytes(31)], y),
      map([1, 4], [3, 5], [-1, bytes(32)]),
    ])
      expect(wrong).toBe(null);
  });

  it('that is a point of small order, off its curve, or too short cannot be used', () => {
    const small = map([1, 1], [3, -8], [-1, 6], [-2, new Uint8Array(32)]);
    const off = map([1, 2], [3, -7], [-1, 1], [-2, bytes(32)], [-3, bytes(32)]);
    const short = map([1, 3], [3, -257], [-1, bytes(128)], [-2, Uint8Array.from([1, 0, 1])]);
    const weak = map([1, 3], [3, -257], [-1, bytes(256)], [-2, Uint8Array.from([3])]);
    for (const key of [small, off, short, weak]) expect(key && isUsablePasskey(key)).toBe(false);
    for (const kind of KINDS) {
      const key = ofKind(kind);
      expect(key && isUsablePasskey(key)).toBe(true);
    }
  });
});

describe('CBOR', () => {
  const hex = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'));

  it('reads what authenticators write', () => {
    expect(readCbor(hex('1903e8'))).toEqual({ value: 1000, length: 3 });
    expect(readCbor(hex('390100'))).toEqual({ value: -257, length: 3 });
    expect(readCbor(hex('82f5f4'))).toEqual({ value: [true, false], length: 3 });
    expect(readCborMap(hex('a1616101'))).toEqual(new Map([['a', 1]]));
  });

  it.each([
    ['a number longer than it need be', '1817'],
    ['a length longer than it need be', '5801ff'],
    ['an indefinite length', '5fff'],
    ['a key twice', 'a201010102'],
    ['a list of more than there is', '9a7fffffff'],
    ['a text of more than there is', '7a7fffffff'],
    ['a map of maps without end', 'a101'.repeat(1) + 'a101a101a101a101a101a101a101a10101'],
    ['null', 'f6'],
    ['a float', 'fb3ff0000000000000'],
    ['a tag', 'c101'],
    ['eight bytes of length', '1b0000000100000000'],
    ['a text that is not plain', '6180'],
    ['nothing', ''],
  ])('refuses %s', (_name, text) => {
    expect(readCbor(hex(text))).toBe(null);
  });

  it('never throws, and never reads beyond the end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const found = readCbor(bytes);
        readAuthenticatorData(bytes);
        expect(found?.length ?? 0).toBeLessThanOrEqual(bytes.length);
      }),
    );
  });
});

it('base64url has one spelling', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const text = base64url(bytes);
      expect(text).toBe(Buffer.from(bytes).toString('base64url'));
      expect(fromBase64url(text)).toEqual(bytes);
    }),
  );
  for (const wrong of ['A', 'AB', 'AA==', 'A+', 'A/', 'A A', 'é'])
    expect(fromBase64url(wrong)).toBe(null);
});

it('a counter has to go up, unless there is none', () => {
  expect([
    hasRegressed(0, 0),
    hasRegressed(0, 1),
    hasRegressed(1, 2),
    hasRegressed(1, 1),
    hasRegressed(2, 1),
    hasRegressed(1, 0),
  ]).toEqual([false, false, false, true, true, true]);
});
