// Bundles of trust domains, and the JWT-SVIDs that they judge.
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import {
  BundleError,
  claimedTrustDomain,
  mayFollow,
  parseSpiffeBundle,
  verifyJwtSvid,
} from '../../keys/spiffe-bundle.ts';
import { authorityOf, p256 } from '../support/certificates.ts';

const text = (value: unknown): string => JSON.stringify(value);
const jwk = (key: KeyObject, more: JsonObject = {}): JsonObject => ({
  ...(key.export({ format: 'jwk' }) as JsonObject),
  ...more,
});

describe('a bundle', () => {
  const x5c = [authorityOf('root').der.toString('base64')];
  const authority = { kty: 'EC', use: 'x509-svid', x5c };

  it('gives its keys by what they are for, its sequence and its hint', () => {
    const signing = jwk(p256().publicKey, { use: 'jwt-svid', kid: 'one' });
    const bundle = parseSpiffeBundle(
      text({ keys: [authority, signing], spiffe_sequence: 7, spiffe_refresh_hint: 300 }),
    );
    expect(bundle).toMatchObject({ sequence: 7, refreshHintSeconds: 300, jwtKeys: [signing] });
    expect(bundle.x509Authorities.map((der) => der.toString('base64'))).toEqual(x5c);
  });

  it('leaves out what it has to leave out: unknown uses, and entries without a certificate', () => {
    const keys = [
      { kty: 'EC', use: 'wit-svid' },
      { kty: 'EC' },
      { kty: 'EC', use: 'x509-svid' },
      { ...authority, x5c: [] },
    ];
    expect(parseSpiffeBundle(text({ keys }))).toEqual({
      jwtKeys: [],
      x509Authorities: [],
      sequence: null,
      refreshHintSeconds: null,
    });
  });

  it('takes the first certificate of an entry alone', () => {
    const keys = [{ ...authority, x5c: [...x5c, authorityOf('second').der.toString('base64')] }];
    expect(parseSpiffeBundle(text({ keys })).x509Authorities).toHaveLength(1);
  });

  it.each([
    ['no JSON', 'not json'],
    ['a list', '[]'],
    ['no keys', '{}'],
    ['keys that are no list', text({ keys: {} })],
    ['more keys than any domain has', text({ keys: Array.from({ length: 101 }, () => authority) })],
    ['a key that is no object', text({ keys: ['x'] })],
    ['a JWT key without a kid', text({ keys: [{ kty: 'EC', use: 'jwt-svid' }] })],
    ['a certificate that is no text', text({ keys: [{ ...authority, x5c: [1] }] })],
    ['a certificate that is no base64', text({ keys: [{ ...authority, x5c: ['MII*'] }] })],
    ['a sequence that is no whole number', text({ keys: [], spiffe_sequence: 1.5 })],
    ['a sequence below zero', text({ keys: [], spiffe_sequence: -1 })],
    ['a hint that is a text', text({ keys: [], spiffe_refresh_hint: '300' })],
    ['a member twice', '{"keys":[],"keys":[]}'],
  ])('is none with %s', (_name, document) => {
    expect(() => parseSpiffeBundle(document)).toThrow(BundleError);
  });

  it('never takes the place of one with a higher sequence', () => {
    const at = (spiffe_sequence?: number) => parseSpiffeBundle(text({ keys: [], spiffe_sequence }));
    expect(mayFollow(null, at(1))).toBe(true);
    expect(mayFollow(at(2), at(2))).toBe(true);
    expect(mayFollow(at(2), at(3))).toBe(true);
    expect(mayFollow(at(2), at(1))).toBe(false);
    expect(mayFollow(at(2), at())).toBe(false);
    expect(mayFollow(at(), at(1))).toBe(true);
  });
});

describe('a JWT-SVID', () => {
  const DOMAIN = 'partner.example';
  const ec = p256();
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ed = generateKeyPairSync('ed25519');
  const jwtKeys = [
    jwk(ec.publicKey, { use: 'jwt-svid', kid: 'ec' }),
    jwk(rsa.publicKey, { use: 'jwt-svid', kid: 'rsa' }),
    jwk(ed.publicKey, { use: 'jwt-svid', kid: 'ed' }),
    jwk(p256().publicKey, { use: 'sig', kid: 'other-use' }),
  ];
  const now = new Date();
  const seconds = Math.floor(now.getTime() / 1000);
  const claims = { sub: `spiffe://${DOMAIN}/agent`, aud: ['orders'], exp: seconds + 60 };

  function token(header: JsonObject = {}, over: JsonObject = {}, key: KeyObject = ec.privateKey) {
    const part = (value: JsonObject): string => Buffer.from(text(value)).toString('base64url');
    const content = `${part({ alg: 'ES256', kid: 'ec', ...header })}.${part({ ...claims, ...over })}`;
    const signature = sign(
      key.asymmetricKeyType === 'ed25519' ? null : 'sha256',
      Buffer.from(content),
      { key, dsaEncoding: 'ieee-p1363' },
    );
    return `${content}.${signature.toString('base64url')}`;
  }
  const judged = (svid: string) =>
    verifyJwtSvid(svid, { jwtKeys, trustDomain: DOMAIN, audience: 'orders', now });

  it('is believed, with or without a type, with EC or RSA', () => {
    expect(judged(token())).toMatchObject({ fault: null, spiffeId: claims.sub });
    expect(judged(token({ typ: 'JWT' })).fault).toBeNull();
    expect(judged(token({ typ: 'JOSE' })).fault).toBeNull();
    expect(judged(token({ alg: 'RS256', kid: 'rsa' }, {}, rsa.privateKey)).fault).toBeNull();
  });

  it.each([
    [
      'EdDSA, which JWT-SVID leaves out',
      'algorithm_refused',
      () => token({ alg: 'EdDSA', kid: 'ed' }, {}, ed.privateKey),
    ],
    ['no algorithm', 'algorithm_refused', () => token({ alg: 'none' })],
    ['an access token’s type', 'type_refused', () => token({ typ: 'at+jwt' })],
    ['a key that the bundle does not have', 'key_unknown', () => token({ kid: 'nobody' })],
    [
      'a key of the bundle that is for something else',
      'key_refused',
      () => token({ kid: 'other-use' }),
    ],
    ['another key’s signature', 'signature_wrong', () => token({}, {}, p256().privateKey)],
    ['no audience', 'audience_wrong', () => token({}, { aud: [] })],
    ['another audience', 'audience_wrong', () => token({}, { aud: ['payouts'] })],
    ['no expiry', 'claims_refused', () => token({}, { exp: null })],
    ['an expiry in the past', 'expired', () => token({}, { exp: seconds - 60 })],
    ['a subject that is no SPIFFE ID', 'spiffe_id_invalid', () => token({}, { sub: 'agent' })],
    [
      'a subject of another trust domain',
      'trust_domain_wrong',
      () => token({}, { sub: 'spiffe://other.example/agent' }),
    ],
  ])('is refused with %s', (_name, fault, svid) => {
    expect(judged(svid())).toMatchObject({ fault, spiffeId: null });
  });

  it('says which bundle to judge it by, and nothing when it is none', () => {
    expect(claimedTrustDomain(token())).toBe(DOMAIN);
    expect(claimedTrustDomain(token({}, { sub: 'agent' }))).toBeNull();
    expect(claimedTrustDomain('x.y.z')).toBeNull();
  });
});
