// Public keys as callers send them: one curve, one spelling, nothing private; and what is sealed to them opens.
import { generateKeyPairSync } from 'node:crypto';
import { compactDecrypt, decodeProtectedHeader, importJWK } from 'jose';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { readPublicKey, sealTo } from '../../keys/public-key.ts';

const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const { kty = '', crv = '', x = '', y = '', d = '' } = pair.privateKey.export({ format: 'jwk' });
const PUBLIC = { kty, crv, x, y };

const codeOf = async (jwk: JsonObject, weak: 'weak_key' | 'seal_key_invalid'): Promise<string> => {
  try {
    await readPublicKey(jwk, weak);
    return 'taken';
  } catch (error) {
    if (error instanceof Refusal) return error.code;
    throw error;
  }
};

describe('a public key', () => {
  it('is read with the thumbprint of RFC 7638, and without what else was said', async () => {
    const more = { ...PUBLIC, kid: 'mine', use: 'sig', alg: 'none', x5c: ['AAAA'] };
    const plain = await readPublicKey(PUBLIC, 'weak_key');
    expect(await readPublicKey(more, 'weak_key')).toEqual(plain);
    expect(plain.jwk).toEqual(PUBLIC);
    expect(plain.thumbprint).toMatch(/^[\w-]{43}$/);
  });

  it('I5: a private key is refused as one that was exposed', async () => {
    for (const member of ['d', 'p', 'q', 'k'])
      for (const value of [d, '', null]) {
        expect(await codeOf({ ...PUBLIC, [member]: value }, 'weak_key')).toBe('private_key_sent');
        expect(await codeOf({ ...PUBLIC, [member]: value }, 'seal_key_invalid')).toBe(
          'seal_key_invalid',
        );
      }
  });

  it('is refused off the curve, on another curve, of another kind, or spelled otherwise', async () => {
    const other = (curve: string): JsonObject => {
      const key = generateKeyPairSync('ec', { namedCurve: curve }).publicKey;
      return key.export({ format: 'jwk' }) as JsonObject;
    };
    const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
    const zero = Buffer.alloc(32).toString('base64url');
    const flipped = Buffer.from(y, 'base64url');
    flipped[31] = (flipped[31] ?? 0) ^ 1;
    const longer = Buffer.concat([Buffer.alloc(1), Buffer.from(x, 'base64url')]);
    const keys: JsonObject[] = [
      {},
      { kty, crv },
      { kty, crv, x },
      { ...PUBLIC, x: zero, y: zero },
      { ...PUBLIC, x: y, y: x },
      { ...PUBLIC, y: flipped.toString('base64url') },
      { ...PUBLIC, x: longer.toString('base64url') },
      { ...PUBLIC, x: `${x}=` },
      { ...PUBLIC, x: ` ${x}` },
      { ...PUBLIC, x: '' },
      { ...PUBLIC, x: 1 },
      { ...PUBLIC, x: [x] },
      { ...PUBLIC, crv: 'p-256' },
      { ...PUBLIC, crv: 'P-384' },
      { ...PUBLIC, kty: 'ec' },
      { ...PUBLIC, kty: 'OKP' },
      other('P-384'),
      other('secp256k1'),
      rsa.export({ format: 'jwk' }) as JsonObject,
      generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }) as JsonObject,
    ];
    for (const key of keys) {
      expect([key, await codeOf(key, 'weak_key')]).toEqual([key, 'weak_key']);
      expect(await codeOf(key, 'seal_key_invalid')).toBe('seal_key_invalid');
    }
  });
});

describe('what is sealed to a key', () => {
  it('is a JWE that another implementation opens with the private key, and nobody else', async () => {
    const { jwk } = await readPublicKey(PUBLIC, 'seal_key_invalid');
    const sealed = await sealTo(jwk, { kind: 'postgres', password: 'hunter2 é' });
    expect(decodeProtectedHeader(sealed)).toMatchObject({
      alg: 'ECDH-ES',
      enc: 'A256GCM',
      cty: 'json',
    });
    const opened = await compactDecrypt(sealed, await importJWK({ ...PUBLIC, d }, 'ECDH-ES'));
    expect(JSON.parse(new TextDecoder().decode(opened.plaintext))).toEqual({
      kind: 'postgres',
      password: 'hunter2 é',
    });
    const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    await expect(compactDecrypt(sealed, stranger)).rejects.toThrow(Error);
    const [header, key, iv, text = '', tag] = sealed.split('.');
    const changed = [header, key, iv, (text.startsWith('A') ? 'B' : 'A') + text.slice(1), tag];
    await expect(compactDecrypt(changed.join('.'), pair.privateKey)).rejects.toThrow(Error);
    expect(await sealTo(jwk, { kind: 'x' })).not.toBe(await sealTo(jwk, { kind: 'x' }));
  });
});
