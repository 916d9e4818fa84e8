// Our own tokens: one algorithm, our keys, one type per kind; everything else is nobody's token.
import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { SignJWT, UnsecuredJWT, type JWTPayload } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { ACCESS_TOKEN, openTokenKeys, type TokenKeys } from '../../keys/tokens.ts';
import { fileKey, ringOf, tokensOf, type FiledKey } from '../support/signing.ts';

const ISSUER = 'https://issuer.example';
const AUDIENCE = 'https://api.example';
const now = Math.floor(Date.now() / 1000);
const CLAIMS = { iss: ISSUER, aud: AUDIENCE, sub: 'agt_1', exp: now + 300 };

let filed: FiledKey;
let stored: { kid: string };
let keys: TokenKeys;
beforeAll(async () => {
  filed = await fileKey('active');
  stored = filed.key;
  keys = await tokensOf([filed]);
});

const ownKey = (): Promise<KeyObject> => Promise.resolve(filed.privateKey);

const verify = (token: string): Promise<JWTPayload | null> =>
  keys.verify(token, ACCESS_TOKEN, ISSUER, AUDIENCE);

/** Signs with our real key whatever a caller could never get us to sign. */
async function signed(
  header: Record<string, unknown>,
  claims: Record<string, unknown> = {},
): Promise<string> {
  const key = await ownKey();
  return new SignJWT({ jti: 'one', iat: now, ...CLAIMS, ...claims })
    .setProtectedHeader({ alg: 'ES256', typ: ACCESS_TOKEN, kid: stored.kid, ...header })
    .sign(key);
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
/** The same signature in another spelling: its last digit has four bits that nothing reads. */
const spareBit = (token: string): string =>
  token.slice(0, -1) + DIGITS.charAt(DIGITS.indexOf(token.slice(-1)) ^ 1);

describe('a token of ours', () => {
  it('verifies, with an id, a time and what it was signed with', async () => {
    const token = await keys.sign(ACCESS_TOKEN, CLAIMS);
    const claims = await verify(token);
    expect(claims).toMatchObject(CLAIMS);
    expect(claims?.jti).toMatch(/^[0-9a-f-]{36}$/);
    expect(claims?.iat).toBeGreaterThanOrEqual(now);
    expect(await verify(await signed({}))).toMatchObject(CLAIMS);
  });

  it('is refused under another type, audience or issuer', async () => {
    const token = await keys.sign(ACCESS_TOKEN, CLAIMS);
    expect(await keys.verify(token, 'JWT', ISSUER, AUDIENCE)).toBeNull();
    expect(await keys.verify(token, ACCESS_TOKEN, `${ISSUER}/`, AUDIENCE)).toBeNull();
    expect(await keys.verify(token, ACCESS_TOKEN, ISSUER, `${AUDIENCE}/`)).toBeNull();
    expect(await keys.verify(token, ACCESS_TOKEN, ISSUER, null)).toMatchObject(CLAIMS);
    expect(await verify(await signed({ typ: 'JWT' }))).toBeNull();
    expect(await verify(await signed({ typ: undefined }))).toBeNull();
  });

  it('I3: is refused from the second it expires, and before it begins', async () => {
    for (const claims of [{ exp: now - 1 }, { exp: now }, { nbf: now + 60 }, { exp: 'never' }])
      expect(await verify(await signed({}, claims))).toBeNull();
  });

  it('is refused without any claim that it needs', async () => {
    for (const name of ['sub', 'aud', 'exp', 'iat', 'jti', 'iss'])
      expect(await verify(await signed({}, { [name]: undefined }))).toBeNull();
  });

  it('is refused under a key id that is not ours, or none that can be told', async () => {
    expect(await verify(await signed({ kid: 'other' }))).toBeNull();
    const other = await tokensOf([await fileKey('active')]);
    expect(await verify(await other.sign(ACCESS_TOKEN, CLAIMS))).toBeNull();
    // Another key behind our key id.
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const forged = await new SignJWT({ jti: 'one', iat: now, ...CLAIMS })
      .setProtectedHeader({ alg: 'ES256', typ: ACCESS_TOKEN, kid: stored.kid })
      .sign(privateKey);
    expect(await verify(forged)).toBeNull();
  });

  it('is never without a signature', async () => {
    expect(
      await verify(new UnsecuredJWT({ jti: 'one', ...CLAIMS }).setIssuedAt().encode()),
    ).toBeNull();
    const claims = part({ jti: 'one', iat: now, ...CLAIMS });
    for (const alg of ['none', 'None', 'NONE', ''])
      expect(
        await verify(`${part({ alg, typ: ACCESS_TOKEN, kid: stored.kid })}.${claims}.`),
      ).toBeNull();
    const [header = '', body = ''] = (await keys.sign(ACCESS_TOKEN, CLAIMS)).split('.');
    expect(await verify(`${header}.${body}.`)).toBeNull();
  });

  it('is never signed with a secret that is our public key', async () => {
    const pem = createPublicKey(filed.privateKey).export({ type: 'spki', format: 'pem' });
    for (const secret of [pem, JSON.stringify(keys.jwks.keys[0]), Buffer.alloc(0)]) {
      const text = `${part({ alg: 'HS256', typ: ACCESS_TOKEN, kid: stored.kid })}.${part({ jti: 'one', iat: now, ...CLAIMS })}`;
      const mac = createHmac('sha256', secret).update(text).digest('base64url');
      expect(await verify(`${text}.${mac}`)).toBeNull();
    }
  });

  it('is refused with a critical header that we do not know, or a key of its own', async () => {
    const key = await ownKey();
    const critical = await new SignJWT({ jti: 'one', iat: now, ...CLAIMS })
      .setProtectedHeader({ alg: 'ES256', typ: ACCESS_TOKEN, kid: stored.kid, crit: ['x'], x: 1 })
      .sign(key, { crit: { x: true } });
    expect(await verify(critical)).toBeNull();
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const embedded = await new SignJWT({ jti: 'one', iat: now, ...CLAIMS })
      .setProtectedHeader({
        alg: 'ES256',
        typ: ACCESS_TOKEN,
        jwk: publicKey.export({ format: 'jwk' }),
        jku: 'https://evil.example/jwks.json',
      })
      .sign(privateKey);
    expect(await verify(embedded)).toBeNull();
  });

  it('by a key that another replica has only just made is verified, after reading again', async () => {
    const next = await fileKey('active');
    let rows = [filed.key];
    let elapsed = 0;
    const here = openTokenKeys(
      await ringOf(
        () => Promise.resolve(rows),
        () => elapsed,
      ),
    );
    const token = await (await tokensOf([next])).sign(ACCESS_TOKEN, CLAIMS);
    rows = [next.key, { ...filed.key, state: 'retiring' }];
    expect(await here.verify(token, ACCESS_TOKEN, ISSUER, AUDIENCE)).toBeNull();
    elapsed = 2_000;
    expect(await here.verify(token, ACCESS_TOKEN, ISSUER, AUDIENCE)).toMatchObject(CLAIMS);
  });

  it('is refused with any character changed', async () => {
    const token = await keys.sign(ACCESS_TOKEN, CLAIMS);
    for (let at = 0; at < token.length; at += 7) {
      const other = token.charAt(at) === 'A' ? 'B' : 'A';
      expect(await verify(token.slice(0, at) + other + token.slice(at + 1))).toBeNull();
    }
    for (const text of [
      '',
      '.',
      '..',
      'a.b.c',
      `${token}.`,
      `${token} `,
      ` ${token}`,
      `${token}=`,
      spareBit(token),
      token.slice(0, -4),
    ])
      expect(await verify(text)).toBeNull();
  });
});
