import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openWithCode, publicKeyOfCode } from '../../keys/claim-code.ts';
import { readPublicKey, sealTo } from '../../keys/public-key.ts';

const code = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Buffer.from(bytes).toString('base64url'));

describe('a claim code', () => {
  it('opens what was sealed to its key, whichever code it is', async () => {
    await fc.assert(
      fc.asyncProperty(code, fc.string(), async (made, secret) => {
        const { jwk } = await readPublicKey(publicKeyOfCode(made), 'seal_key_invalid');
        expect(await openWithCode(made, await sealTo(jwk, { secret }))).toEqual({ secret });
      }),
      { numRuns: 50 },
    );
  });

  it('opens nothing that was sealed to another, though one bit differs', async () => {
    const bytes = randomBytes(32);
    const { jwk } = await readPublicKey(
      publicKeyOfCode(bytes.toString('base64url')),
      'seal_key_invalid',
    );
    const sealed = await sealTo(jwk, { secret: 'x' });
    for (let bit = 0; bit < 256; bit += 17) {
      const other = Buffer.from(bytes);
      other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await expect(openWithCode(other.toString('base64url'), sealed)).rejects.toThrow(
        'decryption operation failed',
      );
    }
  });

  it('shows nothing of itself in its public key', () => {
    const made = randomBytes(32).toString('base64url');
    expect(Object.keys(publicKeyOfCode(made))).toEqual(['kty', 'crv', 'x', 'y']);
    expect(JSON.stringify(publicKeyOfCode(made))).not.toContain(made);
  });
});
