import { describe, expect, it } from 'vitest';
import { sealTo } from '../../keys/public-key.ts';
import {
  CountersignError,
  generateKey,
  openSealed,
  parsePrivateKey,
  parsePublicKey,
  publicKeyOf,
} from '../../sdk/index.ts';

const login = { kind: 'postgres', url: 'postgres://cs_1:secret@db:5432/orders' };

describe('a key', () => {
  it('survives being written and read', async () => {
    const key = await generateKey();
    expect(parsePrivateKey(JSON.stringify(key))).toEqual(key);
  });

  it('never leaves its private part in the public one', async () => {
    const key = await generateKey();
    expect(Object.keys(publicKeyOf(key))).toEqual(['kty', 'crv', 'x', 'y']);
    expect(parsePublicKey(JSON.stringify(key))).toEqual(publicKeyOf(key));
  });

  it.each([
    ['text that is not JSON', '{"d":"s3cret'],
    ['a number', 7],
    ['nothing', null],
    ['a key on another curve', { kty: 'EC', crv: 'P-384', x: 'x', y: 'y', d: 'd' }],
    ['a symmetric key', { kty: 'oct', k: 's3cret' }],
    ['a coordinate that is too short', { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA', d: 's3cret' }],
  ])('that is %s is refused without being quoted', (_what, source) => {
    const read = (): unknown => parsePrivateKey(source);
    expect(read).toThrow(CountersignError);
    expect(read).not.toThrow(/s3cret/);
  });
});

describe('a sealed credential', () => {
  it('opens with the key it was sealed to, and with no other', async () => {
    const key = await generateKey();
    const sealed = await sealTo(publicKeyOf(key), login);
    expect(await openSealed(sealed, key)).toEqual(login);
    await expect(openSealed(sealed, await generateKey())).rejects.toMatchObject({
      code: 'seal_mismatch',
    });
  });

  it('of a kind that is not known is refused', async () => {
    const key = await generateKey();
    const sealed = await sealTo(publicKeyOf(key), { kind: 'carrier-pigeon' });
    await expect(openSealed(sealed, key)).rejects.toMatchObject({ code: 'bad_answer' });
  });
});
