// Proofs of possession: signed by the very key that they bring along, in one form, and by no key that is weak.
import {
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  sign,
  type KeyObject,
} from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import { describe, expect, it } from 'vitest';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { PROOF_ALGORITHMS, verifyProof } from '../../keys/proof.ts';

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

const asJwk = (key: KeyObject): JsonObject =>
  JSON.parse(JSON.stringify(key.export({ format: 'jwk' }))) as JsonObject;

interface Pair {
  alg: string;
  hash: string | null;
  privateKey: KeyObject;
  jwk: JsonObject;
}

function ec(namedCurve: string, alg: string, hash: string): Pair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve });
  return { alg, hash, privateKey, jwk: asJwk(publicKey) };
}

const P256 = ec('P-256', 'ES256', 'sha256');
const CLAIMS = { jti: 'one', htm: 'GET', htu: 'https://countersign.example/', iat: 1 };

/** Signs any header and claims, so that what is wrong in a test is never the signature. */
function proof(header: JsonObject = {}, pair: Pair = P256, payload = part(CLAIMS)): string {
  const head = { typ: 'dpop+jwt', alg: pair.alg, jwk: pair.jwk, ...header };
  const signed = `${part(head)}.${payload}`;
  const key = { key: pair.privateKey, dsaEncoding: 'ieee-p1363' } as const;
  return `${signed}.${sign(pair.hash, Buffer.from(signed), key).toString('base64url')}`;
}

const text = (value: JsonValue | undefined): string => (typeof value === 'string' ? value : '');

const fault = async (sent: string): Promise<string | null> => (await verifyProof(sent)).fault;

describe('a proof of possession', () => {
  it('is by the key in its header, told by its thumbprint', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const pairs = [
      P256,
      ec('P-384', 'ES384', 'sha384'),
      { alg: 'EdDSA', hash: null, privateKey, jwk: asJwk(publicKey) },
    ];
    expect(pairs.map(({ alg }) => alg)).toEqual(PROOF_ALGORITHMS);
    for (const pair of pairs)
      expect(await verifyProof(proof({}, pair))).toEqual({
        claims: CLAIMS,
        thumbprint: await calculateJwkThumbprint(pair.jwk),
        fault: null,
      });
  });

  it('may name its key, which changes nothing about which one it is', async () => {
    const { thumbprint } = await verifyProof(proof());
    for (const header of [
      { kid: 'a' },
      { jwk: { ...P256.jwk, kid: 'a' } },
      { kid: 'b', jwk: { ...P256.jwk, kid: 'a', alg: 'ES256', use: 'sig', key_ops: ['verify'] } },
    ])
      expect(await verifyProof(proof(header))).toMatchObject({ thumbprint, fault: null });
  });

  it('is refused with a private key, a shared one, another one, none, or what is no key', async () => {
    const { jwk: other } = ec('P-256', 'ES256', 'sha256');
    expect(await fault(proof({ jwk: asJwk(P256.privateKey) }))).toBe('key_refused');
    expect(await fault(proof({ jwk: { ...P256.jwk, d: '' } }))).toBe('key_refused');
    expect(await fault(proof({ jwk: { kty: 'oct', k: 'AAAA' } }))).toBe('key_refused');
    expect(await fault(proof({ jwk: other }))).toBe('signature_wrong');
    for (const jwk of [null, [], [P256.jwk], 'key', 1])
      expect(await fault(proof({ jwk }))).toBe('header_refused');
    const { jwk: _jwk, ...bare } = { typ: 'dpop+jwt', alg: 'ES256', jwk: P256.jwk };
    expect(await fault(`${part(bare)}.${part(CLAIMS)}.AAAA`)).toBe('header_refused');
  });

  it('is refused where a key is for something else, off its curve, or written otherwise', async () => {
    const [x, y] = [text(P256.jwk['x']), text(P256.jwk['y'])];
    for (const wrong of [
      { use: 'enc' },
      { alg: 'ES384' },
      { key_ops: ['sign'] },
      { crv: 'P-384' },
      { crv: 'secp256k1' },
      { kty: 'RSA' },
      { x: y, y: x },
      { x: `${x}=` },
      { x: `AA${x}` },
    ])
      expect([wrong, await fault(proof({ jwk: { ...P256.jwk, ...wrong } }))]).toEqual([
        wrong,
        'key_refused',
      ]);
  });

  it('is refused unsigned, by a shared secret, by RSA, and under another algorithm than its key is for', async () => {
    const none = `${part({ typ: 'dpop+jwt', alg: 'none', jwk: P256.jwk })}.${part(CLAIMS)}.`;
    expect(await fault(none)).toBe('malformed');
    expect(await fault(`${none}AA`)).toBe('algorithm_refused');
    const head = part({ typ: 'dpop+jwt', alg: 'HS256', jwk: P256.jwk });
    const secret = createPublicKey(P256.privateKey).export({ format: 'pem', type: 'spki' });
    const mark = createHmac('sha256', secret)
      .update(`${head}.${part(CLAIMS)}`)
      .digest('base64url');
    expect(await fault(`${head}.${part(CLAIMS)}.${mark}`)).toBe('algorithm_refused');
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pair = { alg: 'RS256', hash: 'sha256', ...rsa, jwk: asJwk(rsa.publicKey) };
    expect(await fault(proof({}, pair))).toBe('algorithm_refused');
    expect(await fault(proof({ alg: 'ES256' }, pair))).toBe('key_refused');
    expect(await fault(proof({ alg: 'EdDSA' }))).toBe('key_refused');
  });

  it('is refused with a header that would change what it means, or bring a key along otherwise', async () => {
    for (const header of [
      { crit: ['b64'], b64: false },
      { crit: [] },
      { zip: 'DEF' },
      { enc: 'A256GCM' },
      { jku: 'https://keys.example' },
      { x5u: 'https://keys.example' },
      { x5c: [] },
    ])
      expect([header, await fault(proof(header))]).toEqual([header, 'header_refused']);
    for (const typ of ['JWT', 'at+jwt', 'dpop+jwt2', ''])
      expect(await fault(proof({ typ }))).toBe('type_refused');
  });

  it('has one spelling, and nothing in it that can be read in two ways', async () => {
    const [head = '', payload = '', mark = ''] = proof().split('.');
    for (const other of [
      `${head}.${payload}.${mark}=`,
      `${head}.${payload}.${mark} `,
      `${head}.${payload}.${mark}, `,
      `${head}.${payload}.${mark}, ${head}.${payload}.${mark}`,
      ` ${head}.${payload}.${mark}`,
      `${head}.${payload}`,
      `${head}.${payload}.${mark}.`,
      `${head}=.${payload}.${mark}`,
      '',
      '..',
    ])
      expect([other, await fault(other)]).toEqual([other, 'malformed']);
    const twice = Buffer.from('{"jti":"a","jti":"b"}').toString('base64url');
    expect(await fault(proof({}, P256, twice))).toBe('malformed');
    expect(await fault(proof({}, P256, part([])))).toBe('malformed');
    expect(await fault('a'.repeat(20_000))).toBe('too_large');
  });

  it('is refused by a key under which anybody can sign anything', async () => {
    // With R the base point and S = 1, [S]B = R + [h]A holds where [h]A is the neutral element.
    const base = `5866${'66'.repeat(30)}`;
    const mark = Buffer.from(base + '01'.padEnd(64, '0'), 'hex').toString('base64url');
    const neutral = Buffer.from('01'.padEnd(64, '0'), 'hex').toString('base64url');
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: neutral };
    const head = part({ typ: 'dpop+jwt', alg: 'EdDSA', jwk });
    expect(await fault(`${head}.${part(CLAIMS)}.${mark}`)).toBe('key_refused');
    for (const hex of [
      '00'.repeat(32),
      '01'.padEnd(64, '0'),
      `${'01'.padEnd(62, '0')}80`,
      `ec${'ff'.repeat(30)}7f`,
      `ed${'ff'.repeat(30)}7f`,
      `ee${'ff'.repeat(30)}7f`,
      `ee${'ff'.repeat(31)}`,
      '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
      '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
      'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    ]) {
      const weak = { ...jwk, x: Buffer.from(hex, 'hex').toString('base64url') };
      const sent = `${part({ typ: 'dpop+jwt', alg: 'EdDSA', jwk: weak })}.${part(CLAIMS)}.${mark}`;
      expect([hex, await fault(sent)]).toEqual([hex, 'key_refused']);
    }
  });
});
