// Tokens of issuers that others run: what is taken, and every way in which one is bent to be taken.
import {
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  sign,
  type KeyObject,
} from 'node:crypto';
import { SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import type { Algorithm } from '../../keys/jwk.ts';
import {
  unverifiedClaims,
  verifyForeign,
  type Claims,
  type TokenRules,
} from '../../keys/verify.ts';

const NOW = new Date('2026-11-21T12:00:00.000Z');
const seconds = NOW.getTime() / 1000;
const ISSUER = 'https://tokens.example';
const AUDIENCE = 'https://countersign.example';
const CLAIMS = { iss: ISSUER, sub: 'repo:a/b', aud: AUDIENCE, iat: seconds, exp: seconds + 300 };

interface Pair {
  privateKey: KeyObject;
  jwk: JsonObject;
}

const asJwk = (publicKey: KeyObject): JsonObject =>
  JSON.parse(JSON.stringify(publicKey.export({ format: 'jwk' }))) as JsonObject;

function curve(name: string, kid = 'one'): Pair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: name });
  return { privateKey, jwk: { ...asJwk(publicKey), kid } };
}

function rsa(modulusLength: number, publicExponent = 65_537): Pair {
  const pair = generateKeyPairSync('rsa', { modulusLength, publicExponent });
  return { privateKey: pair.privateKey, jwk: { ...asJwk(pair.publicKey), kid: 'one' } };
}

function edwards(name: 'ed25519' | 'ed448'): Pair {
  const { privateKey, publicKey } =
    name === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ed448');
  return { privateKey, jwk: { ...asJwk(publicKey), kid: 'one' } };
}

const P256 = curve('P-256');
const RSA = rsa(2048);

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Signs any bytes as ES256, so that what is wrong in a test is never the signature. */
function es256(header: string, payload: string, key = P256.privateKey): string {
  const bytes = Buffer.from(`${header}.${payload}`);
  const mark = sign('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' });
  return `${header}.${payload}.${mark.toString('base64url')}`;
}

const HEADER = { alg: 'ES256', typ: 'JWT', kid: 'one' };
const token = (header: JsonObject = {}, claims: Record<string, unknown> = {}): string =>
  es256(part({ ...HEADER, ...header }), part({ ...CLAIMS, ...claims }));

const rules = (change: Partial<TokenRules> = {}): TokenRules => ({
  keys: [P256.jwk],
  algorithms: ['ES256'],
  issuer: ISSUER,
  audience: AUDIENCE,
  types: ['JWT'],
  now: NOW,
  ...change,
});

const fault = (text: string, change: Partial<TokenRules> = {}): string | null =>
  verifyForeign(text, rules(change)).fault;

const signedBy = (pair: Pair, alg: string): Promise<string> =>
  new SignJWT(CLAIMS).setProtectedHeader({ alg, typ: 'JWT', kid: 'one' }).sign(pair.privateKey);

describe('a token of a foreign issuer', () => {
  it('verifies under each algorithm that its issuer may use, with what it says', async () => {
    const pairs: [Algorithm, Pair][] = [
      ['ES256', P256],
      ['ES384', curve('P-384')],
      ['ES512', curve('P-521')],
      ['EdDSA', edwards('ed25519')],
      ['Ed25519', edwards('ed25519')],
      ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const).map(
        (alg): [Algorithm, Pair] => [alg, RSA],
      ),
    ];
    for (const [alg, pair] of pairs) {
      const text = await signedBy(pair, alg);
      const verdict = verifyForeign(text, rules({ keys: [pair.jwk], algorithms: [alg] }));
      expect([alg, verdict.fault]).toEqual([alg, null]);
      const claims: Claims | null = verdict.claims;
      expect(claims).toEqual(CLAIMS);
      const others = (['ES256', 'ES384', 'RS256', 'PS256', 'EdDSA'] as const).filter(
        (other) => other !== alg,
      );
      expect(fault(text, { keys: [pair.jwk], algorithms: others })).toBe('algorithm_refused');
      expect(fault(text, { keys: [pair.jwk], algorithms: [] })).toBe('algorithm_refused');
    }
  });

  it('is verified by the key it names, and without a name by any key of its issuer', () => {
    const other = curve('P-256', 'two');
    const keys = [other.jwk, RSA.jwk, P256.jwk];
    expect(fault(token(), { keys })).toBeNull();
    expect(fault(es256(part({ alg: 'ES256', typ: 'JWT' }), part(CLAIMS)), { keys })).toBeNull();
    expect(fault(token({ kid: 'two' }), { keys })).toBe('signature_wrong');
    expect(fault(token({ kid: 'three' }), { keys })).toBe('key_unknown');
    expect(fault(token({ kid: 1 }), { keys })).toBe('malformed');
    expect(fault(token(), { keys: [] })).toBe('key_unknown');
  });
});

describe('a token is refused', () => {
  it('without a signature, under whatever name', () => {
    const claims = part(CLAIMS);
    for (const alg of ['none', 'None', 'NONE', 'nOnE', '', 'HS256', 'constructor', '__proto__'])
      for (const mark of ['', 'AAAA', 'e30']) {
        const text = `${part({ ...HEADER, alg })}.${claims}.${mark}`;
        expect(fault(text)).toBe(mark === '' ? 'malformed' : 'algorithm_refused');
      }
    expect(fault(`${part({ typ: 'JWT' })}.${claims}.AAAA`)).toBe('algorithm_refused');
    expect(fault(`${part(HEADER)}.${claims}.${'A'.repeat(86)}`)).toBe('signature_wrong');
  });

  it('when it is signed with a secret that is the public key', () => {
    const pem = createPublicKey(RSA.privateKey).export({ type: 'spki', format: 'pem' });
    const der = createPublicKey(RSA.privateKey).export({ type: 'spki', format: 'der' });
    const text = `${part({ ...HEADER, alg: 'HS256' })}.${part(CLAIMS)}`;
    for (const secret of [pem, der, JSON.stringify(RSA.jwk), Buffer.alloc(0)]) {
      const mac = createHmac('sha256', secret).update(text).digest('base64url');
      const keys = [RSA.jwk, { kty: 'oct', k: '', kid: 'one', alg: 'HS256' }];
      expect(fault(`${text}.${mac}`, { keys, algorithms: ['RS256'] })).toBe('algorithm_refused');
      // Not even somebody who lists it can have it.
      const algorithms = ['HS256', 'none'] as unknown as Algorithm[];
      expect(fault(`${text}.${mac}`, { keys, algorithms })).toBe('algorithm_refused');
    }
  });

  it('when the algorithm it names is not the one its key is for', async () => {
    const all: Algorithm[] = ['ES256', 'ES384', 'RS256', 'PS256', 'EdDSA'];
    const as = (alg: string, jwk: JsonObject): string | null =>
      fault(token({ alg }), { keys: [jwk], algorithms: all });
    expect(as('ES256', RSA.jwk)).toBe('key_refused');
    expect(as('RS256', P256.jwk)).toBe('key_refused');
    expect(as('EdDSA', P256.jwk)).toBe('key_refused');
    expect(as('ES384', P256.jwk)).toBe('key_refused');
    const text = await signedBy(RSA, 'PS256');
    const said = (jwk: JsonObject) => fault(text, { keys: [jwk], algorithms: all });
    expect(said({ ...RSA.jwk, alg: 'PS256' })).toBeNull();
    expect(said({ ...RSA.jwk, alg: 'RS256' })).toBe('key_refused');
    // The same key under the padding it was not signed with.
    expect(fault(await signedBy(RSA, 'RS256'), { keys: [RSA.jwk], algorithms: ['PS256'] })).toBe(
      'algorithm_refused',
    );
  });

  it('when its key says that it is for something else', () => {
    const said = (member: JsonObject): string | null =>
      fault(token(), { keys: [{ ...P256.jwk, ...member }] });
    for (const good of [
      { use: 'sig' },
      { key_ops: ['verify'] },
      { alg: 'ES256' },
      { use: 'sig', key_ops: ['sign', 'verify'], alg: 'ES256', x5t: 'abc' },
    ])
      expect(said(good)).toBeNull();
    for (const bad of [
      { use: 'enc' },
      { use: '' },
      { use: null },
      { use: 'jwt-svid' },
      { key_ops: ['sign'] },
      { key_ops: ['encrypt', 'deriveKey'] },
      { key_ops: [] },
      { key_ops: 'verify' },
      { alg: 'ES384' },
      { alg: 'RS256' },
      { alg: 'ECDH-ES' },
      { alg: null },
    ])
      expect([bad, said(bad)]).toEqual([bad, 'key_refused']);
    const svid = { keys: [{ ...P256.jwk, use: 'jwt-svid' }], uses: ['jwt-svid'] };
    expect(fault(token(), svid)).toBeNull();
  });

  it('when its key is on another curve, off the curve, written otherwise, or private', () => {
    const said = (jwk: JsonObject): string | null => fault(token(), { keys: [jwk] });
    for (const name of ['secp256k1', 'P-384', 'P-521'])
      expect(said({ ...curve(name).jwk, kid: 'one' })).toBe('key_refused');
    const { x = '', y = '' } = P256.jwk as Record<string, string>;
    const zero = Buffer.alloc(32).toString('base64url');
    for (const change of [
      { crv: 'P-384' },
      { crv: 'p-256' },
      { kty: 'OKP' },
      { x: y, y: x },
      { x: zero, y: zero },
      { x: `${x}=` },
      { x: `A${x}` },
      { x: x.slice(0, -1) },
      { y: null },
      { x: 7 },
      { d: zero },
      { k: '' },
    ])
      expect([change, said({ ...P256.jwk, ...change })]).toEqual([change, 'key_refused']);
    const { y: _y, ...compressed } = P256.jwk;
    expect(said(compressed)).toBe('key_refused');
  });

  it('when its RSA key is short, has a small exponent, or another form', async () => {
    const said = async (pair: Pair): Promise<string | null> =>
      fault(await signedAnyway(pair), { keys: [pair.jwk], algorithms: ['RS256'] });
    expect(await said(RSA)).toBeNull();
    expect(await said(rsa(1024))).toBe('key_refused');
    expect(await said(rsa(2040))).toBe('key_refused');
    expect(await said(rsa(2048, 3))).toBe('key_refused');
    const { n } = RSA.jwk as { n: string };
    const padded = Buffer.concat([Buffer.alloc(1), Buffer.from(n, 'base64url')]);
    for (const change of [
      { n: padded.toString('base64url') },
      { n: '' },
      { e: '' },
      { e: 'AA' },
      { e: 'AQ' },
      { e: 'AQAC' },
      { n: Buffer.alloc(2048, 255).toString('base64url') },
    ])
      expect(await said({ ...RSA, jwk: { ...RSA.jwk, ...change } })).toBe('key_refused');
  });

  it('when it is Edwards-signed on a curve we do not take', async () => {
    const pair = edwards('ed448');
    const text = `${part({ ...HEADER, alg: 'EdDSA' })}.${part(CLAIMS)}`;
    const mark = sign(null, Buffer.from(text), pair.privateKey).toString('base64url');
    expect(fault(`${text}.${mark}`, { keys: [pair.jwk], algorithms: ['EdDSA'] })).toBe(
      'key_refused',
    );
  });

  it('when it brings its own key, or says where to fetch one', () => {
    const forger = curve('P-256');
    const forged = (header: JsonObject): string =>
      es256(part({ ...HEADER, ...header }), part(CLAIMS), forger.privateKey);
    for (const header of [
      { jwk: forger.jwk },
      { jku: 'https://evil.example/jwks.json' },
      { x5u: 'https://evil.example/cert.pem' },
      { x5c: ['MIIB'] },
    ]) {
      expect(fault(forged(header))).toBe('header_refused');
      expect(fault(token(header))).toBe('header_refused');
    }
    expect(fault(forged({}))).toBe('signature_wrong');
  });

  it('when a header would change what its signature means', () => {
    for (const header of [{ crit: ['exp'], exp: 1 }, { crit: [] }, { b64: false }, { zip: 'DEF' }])
      expect(fault(token(header))).toBe('header_refused');
    expect(fault(token({ x5t: 'abc' }))).toBeNull();
  });

  it('under another type than its kind has', () => {
    const said = (typ: string | null, types: (string | null)[]): string | null =>
      fault(typ === null ? es256(part({ alg: 'ES256' }), part(CLAIMS)) : token({ typ }), { types });
    expect(said('jwt', ['JWT'])).toBeNull();
    expect(said('application/jwt', ['JWT'])).toBeNull();
    expect(said(null, [null])).toBeNull();
    expect(said('JOSE', ['JWT', 'JOSE', null])).toBeNull();
    expect(said('at+jwt', ['JWT'])).toBe('type_refused');
    expect(said('dpop+jwt', ['JWT', null])).toBe('type_refused');
    expect(said(null, ['JWT'])).toBe('type_refused');
    expect(said('JWT', [null])).toBe('type_refused');
    expect(said('JWT', [])).toBe('type_refused');
    expect(fault(token({ typ: null }), { types: [null, 'null'] })).toBe('type_refused');
  });

  it('when it can be read in two ways', () => {
    const twice = (text: string): string => Buffer.from(text).toString('base64url');
    const claims = JSON.stringify(CLAIMS).slice(1);
    for (const text of [
      `{"sub":"admin",${claims}`,
      `{"\\u0073ub":"admin",${claims}`,
      `{"deep":{"a":1,"a":2},${claims}`,
      `{"half":"\\ud800",${claims}`,
      `{"number":1e400,${claims}`,
      `\u{feff}{${claims}`,
      `{${claims} x`,
      '[]',
      'null',
      '"text"',
    ])
      expect([text, fault(es256(part(HEADER), twice(text)))]).toEqual([text, 'malformed']);
    const header = twice('{"alg":"none","alg":"ES256","typ":"JWT","kid":"one"}');
    expect(fault(es256(header, part(CLAIMS)))).toBe('malformed');
    const latin = Buffer.from('{"a":"\u{e9}"}', 'latin1').toString('base64url');
    expect(fault(es256(part(HEADER), latin))).toBe('malformed');
  });

  it('in any spelling but one', () => {
    const text = token();
    const [header = '', payload = '', mark = ''] = text.split('.');
    const spare = mark.slice(0, -1) + String.fromCodePoint((mark.codePointAt(85) ?? 65) ^ 1);
    for (const other of [
      `${text}=`,
      `${text}.`,
      ` ${text}`,
      `${text}\n`,
      `${header}.${payload}`,
      `${header}.${payload}.${spare}`,
      `${header}.${payload}\n.${mark}`,
      `${header}..${mark}`,
      `.${payload}.${mark}`,
      `${header}.${payload}.`,
      text.replaceAll('.', '%2E'),
      '',
      '.',
      '..',
      '....',
    ])
      expect(verifyForeign(other, rules()).claims).toBeNull();
    const plain = es256(
      part(HEADER).replaceAll('-', '+').replaceAll('_', '/'),
      `${part(CLAIMS)}==`,
    );
    expect(fault(plain)).toBe('malformed');
  });

  it('before it is read, when it is too long', () => {
    const long = token({}, { filler: 'x'.repeat(16_384) });
    expect(fault(long)).toBe('too_large');
    expect(unverifiedClaims(long)).toBeNull();
    expect(fault(token({}, { filler: 'x'.repeat(8_000) }))).toBeNull();
  });

  it('in signatures that are all zero, cut short, or of another form', () => {
    const [header = '', payload = ''] = token().split('.');
    const der = sign('sha256', Buffer.from(`${header}.${payload}`), P256.privateKey);
    for (const mark of [Buffer.alloc(64), Buffer.alloc(1), Buffer.alloc(63, 1), der])
      expect(fault(`${header}.${payload}.${mark.toString('base64url')}`)).toBe('signature_wrong');
  });
});

describe('what a token claims', () => {
  const said = (claims: Record<string, unknown>, change: Partial<TokenRules> = {}) =>
    fault(token({}, claims), change);

  it('is for us: the issuer is exactly the configured one, the audience one of ours', () => {
    for (const iss of [`${ISSUER}/`, ISSUER.toUpperCase(), undefined, null, [ISSUER], '', 7])
      expect(said({ iss })).toBe('issuer_wrong');
    for (const aud of ['https://other.example', `${AUDIENCE}/`, undefined, null, [], {}, [7], ''])
      expect(said({ aud })).toBe('audience_wrong');
    expect(said({ aud: [AUDIENCE, 7] })).toBe('audience_wrong');
    expect(said({ aud: ['x', AUDIENCE] })).toBeNull();
    expect(said({}, { audience: ['x', AUDIENCE] })).toBeNull();
    expect(said({}, { audience: [] })).toBe('audience_wrong');
    for (const sub of [undefined, '', null, 7, ['a']]) expect(said({ sub })).toBe('claims_refused');
    expect(said({ jti: 7 })).toBe('claims_refused');
  });

  it('I3: is over 30 seconds after it says, and not before it begins', () => {
    expect(said({ exp: seconds - 29 })).toBeNull();
    expect(said({ exp: seconds - 30 })).toBe('expired');
    expect(said({ exp: 0 })).toBe('expired');
    for (const name of ['nbf', 'iat']) {
      expect(said({ [name]: seconds + 30 })).toBeNull();
      expect(said({ [name]: seconds + 31 })).toBe('not_yet');
    }
  });

  it('I6: has times that are numbers, and so has the clock it is held against', () => {
    for (const exp of [undefined, null, 'soon', String(seconds + 300), [seconds + 300], {}, true])
      expect(said({ exp })).toBe('claims_refused');
    for (const name of ['nbf', 'iat'])
      for (const time of [null, 'now', '0', [], {}, false])
        expect(said({ [name]: time })).toBe('claims_refused');
    expect(said({}, { now: new Date(Number.NaN) })).toBe('expired');
  });

  it('can be looked at before it is believed, and only that', () => {
    const forged = es256(part(HEADER), part(CLAIMS), curve('P-256').privateKey);
    expect(unverifiedClaims(forged)).toEqual(CLAIMS);
    expect(fault(forged)).toBe('signature_wrong');
    for (const text of ['', 'a.b.c', `${part(HEADER)}.${part([])}.AAAA`])
      expect(unverifiedClaims(text)).toBeNull();
  });
});

/** With keys so weak that jose would not use them. */
function signedAnyway({ privateKey }: Pair): Promise<string> {
  const text = `${part({ ...HEADER, alg: 'RS256' })}.${part(CLAIMS)}`;
  const mark = sign('sha256', Buffer.from(text), privateKey).toString('base64url');
  return Promise.resolve(`${text}.${mark}`);
}
