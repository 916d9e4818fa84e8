// Encryption at rest: any changed bit, any other key and any other use is refused.
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decrypt, encrypt, openVault } from '../../keys/vault.ts';

const key = randomBytes(32);
const vault = openVault(key);

describe('the vault', () => {
  it('opens what it sealed, for the same use', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (text, use) => {
        expect(vault.open(vault.seal(text, use), use)).toBe(text);
      }),
    );
  });

  it('I5: says nothing of what is inside, and never the same twice', () => {
    const [one, other] = [
      vault.seal('a very secret text', 'x'),
      vault.seal('a very secret text', 'x'),
    ];
    expect(Buffer.from(one).toString('latin1')).not.toContain('secret');
    expect(Buffer.compare(one, other)).not.toBe(0);
  });

  it('refuses every single changed bit', () => {
    const sealed = vault.seal('text', 'use');
    for (let bit = 0; bit < sealed.length * 8; bit += 1) {
      const changed = Uint8Array.from(sealed);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => vault.open(changed, 'use')).toThrow(Error);
    }
  });

  it('refuses another key, and a use it was not sealed for', () => {
    const sealed = vault.seal('text', 'use');
    expect(() => openVault(randomBytes(32)).open(sealed, 'use')).toThrow(Error);
    for (const use of ['', 'Use', 'use ', 'other'])
      expect(() => vault.open(sealed, use)).toThrow(Error);
  });

  it('refuses what was cut short or lengthened, and never checks a shorter tag', () => {
    const sealed = encrypt(key, Buffer.from('text'), 'use');
    for (let length = 0; length < sealed.length; length += 1) {
      expect(() => decrypt(key, sealed.subarray(0, length), 'use')).toThrow(Error);
      expect(() => decrypt(key, sealed.subarray(sealed.length - length), 'use')).toThrow(Error);
    }
    expect(() => decrypt(key, Buffer.concat([sealed, Buffer.alloc(1)]), 'use')).toThrow(Error);
    expect(() => decrypt(key, new Uint8Array(16), 'use')).toThrow('cut short');
  });

  it('refuses a key of another length', () => {
    for (const length of [0, 16, 24, 31, 33])
      expect(() => openVault(randomBytes(length)).seal('text', 'use')).toThrow(Error);
  });
});
