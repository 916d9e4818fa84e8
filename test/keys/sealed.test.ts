// Keys sealed in our own table: what is stored says nothing, and opens only as what it is.
import { createPublicKey, randomBytes, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { SigningAlgorithm } from '../../domain/signing-key.ts';
import { configuredSeal, installationSeal, sealedDriver } from '../../keys/sealed.ts';
import { thumbprint, type StoredKey } from '../../keys/signer.ts';
import { openVault } from '../../keys/vault.ts';

const MESSAGE = Buffer.from('message');
const own = installationSeal(openVault(randomBytes(32)));
const secret = randomBytes(32);

const filed = async (
  driver = sealedDriver([own]),
  algorithm: SigningAlgorithm = 'ES256',
): Promise<StoredKey> => ({ ...(await driver.make('tokens', algorithm, [])), state: 'active' });

describe('a sealed key', () => {
  it('signs raw: r and s for ES256, 64 bytes for Ed25519', async () => {
    for (const algorithm of ['ES256', 'EdDSA'] as const) {
      const key = await filed(sealedDriver([own]), algorithm);
      const signature = await sealedDriver([own]).open(key).sign(MESSAGE);
      const publicKey = createPublicKey({ key: { ...key.jwk }, format: 'jwk' });
      expect(signature).toHaveLength(64);
      expect(
        verify(
          algorithm === 'ES256' ? 'sha256' : null,
          MESSAGE,
          { key: publicKey, dsaEncoding: 'ieee-p1363' },
          signature,
        ),
      ).toBe(true);
    }
  });

  it('is named by its public part, and never made twice', async () => {
    const [one, other] = [await filed(), await filed()];
    expect(one.kid).toBe(thumbprint(one.jwk));
    expect(one.kid).not.toBe(other.kid);
  });

  it('I5: is stored without anything private in clear', async () => {
    const { sealed, ...row } = await filed();
    expect(Object.keys(row.jwk).toSorted()).toEqual(['crv', 'kty', 'x', 'y']);
    expect(Buffer.from(sealed ?? []).includes(Buffer.from('MIGHAgEA'))).toBe(false);
  });

  it('does not open as another key, altered, without its private part, or under another seal', async () => {
    const [key, other] = [await filed(), await filed()];
    const open = (change: Partial<StoredKey>) => () =>
      sealedDriver([own]).open({ ...key, ...change });
    expect(open({ sealed: other.sealed })).toThrow(Error);
    expect(open({ kid: other.kid, sealed: other.sealed })).toThrow('filed');
    expect(open({ kid: other.kid })).toThrow(Error);
    expect(open({ sealed: new Uint8Array() })).toThrow(Error);
    expect(open({ sealed: null })).toThrow('COUNTERSIGN_SEAL_KEY');
    expect(open({ reference: 'seal-key-000000000000' })).toThrow('seal-key-000000000000');
    const stranger = sealedDriver([installationSeal(openVault(randomBytes(32)))]);
    expect(() => stranger.open(key)).toThrow(Error);
  });

  it('is sealed under a key from outside where there is one, and older ones still open', async () => {
    const before = await filed();
    const driver = sealedDriver([configuredSeal(secret), own]);
    const after = await filed(driver);
    expect(after.reference).toMatch(/^seal-key-[0-9a-f]{12}$/);
    expect(after.reference).not.toContain(secret.toString('hex').slice(0, 12));
    for (const key of [before, after])
      expect(await driver.open(key).sign(MESSAGE)).toHaveLength(64);
    expect(() => sealedDriver([own]).open(after)).toThrow('COUNTERSIGN_SEAL_KEY');
    const another = sealedDriver([configuredSeal(randomBytes(32)), own]);
    expect(() => another.open(after)).toThrow('COUNTERSIGN_SEAL_KEY');
    // Nor does it open for whoever has the secret itself and not what is derived from it.
    const raw = { name: after.reference, vault: openVault(secret) };
    expect(() => sealedDriver([raw]).open(after)).toThrow(Error);
  });
});
