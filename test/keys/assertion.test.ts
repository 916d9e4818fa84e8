// Client assertions: by and about one client, by a key of its own, and of no other kind.
import { SignJWT, exportJWK, generateKeyPair, type CryptoKey } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { verifyAssertion } from '../../keys/assertion.ts';

const NOW = new Date('2026-11-21T12:00:00.000Z');
const seconds = NOW.getTime() / 1000;
const AUDIENCE = 'https://countersign.example';
const CLAIMS = { iss: 'agt_1', sub: 'agt_1', aud: AUDIENCE, jti: 'once', exp: seconds + 60 };

interface Registered {
  id: string;
  jwk: JsonObject;
  privateKey: CryptoKey;
}

let first: Registered;
let second: Registered;
beforeAll(async () => {
  const make = async (id: string): Promise<Registered> => {
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    const { kty = '', crv = '', x = '', y = '' } = await exportJWK(publicKey);
    return { id, jwk: { kty, crv, x, y }, privateKey };
  };
  [first, second] = [await make('key_1'), await make('key_2')];
});

const assertion = (
  by: Registered,
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
): Promise<string> =>
  new SignJWT({ ...CLAIMS, ...claims })
    .setProtectedHeader({ alg: 'ES256', ...header })
    .sign(by.privateKey);

const judge = async (text: Promise<string>, keys = [first, second]) =>
  verifyAssertion(await text, { client: 'agt_1', keys, audience: [AUDIENCE], now: NOW });

describe('a client assertion', () => {
  it('says which registered key signed it, whatever name it gives the key', async () => {
    for (const header of [{}, { kid: 'anything' }, { typ: 'JWT' }])
      expect(await judge(assertion(second, {}, header))).toEqual({
        ...{ key: second, jti: 'once', exp: CLAIMS.exp, fault: null },
      });
  });

  it('is by and about its client, and nobody else', async () => {
    const fault = async (claims: Record<string, unknown>) =>
      (await judge(assertion(first, claims))).fault;
    expect(await fault({ sub: 'agt_2' })).toBe('claims_refused');
    expect(await fault({ iss: 'agt_2' })).toBe('issuer_wrong');
    expect(await fault({ iss: 'agt_2', sub: 'agt_2' })).toBe('issuer_wrong');
    expect(await fault({ aud: 'https://elsewhere.example' })).toBe('audience_wrong');
    expect(await fault({ jti: undefined })).toBe('claims_refused');
    expect(await fault({ exp: seconds - 30 })).toBe('expired');
  });

  it('is by a key that is registered now', async () => {
    expect((await judge(assertion(first), [second])).fault).toBe('signature_wrong');
    expect((await judge(assertion(first), [])).fault).toBe('key_unknown');
  });

  it('is no token of another kind', async () => {
    for (const typ of ['at+jwt', 'dpop+jwt', 'statuslist+jwt', 'oauth-id-jag+jwt', ''])
      expect((await judge(assertion(first, {}, { typ }))).fault).toBe('type_refused');
  });
});
