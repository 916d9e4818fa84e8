// Signing keys without a database: rows in a list, private parts sealed under a key of the test.
import { createPrivateKey, randomBytes, type KeyObject } from 'node:crypto';
import type { KeyUse, SigningAlgorithm, SigningKeyState } from '../../domain/signing-key.ts';
import { openSigningRing, type SigningRing } from '../../keys/ring.ts';
import { installationSeal, sealedDriver } from '../../keys/sealed.ts';
import type { StoredKey } from '../../keys/signer.ts';
import { openTokenKeys, type TokenKeys } from '../../keys/tokens.ts';
import { openVault } from '../../keys/vault.ts';

const vault = openVault(randomBytes(32));
const driver = sealedDriver([installationSeal(vault)]);

export interface FiledKey {
  key: StoredKey;
  /** What only a test may have beside the row. */
  privateKey: KeyObject;
}

export async function fileKey(
  state: SigningKeyState,
  algorithm: SigningAlgorithm = 'ES256',
  use: KeyUse = 'tokens',
): Promise<FiledKey> {
  const made = await driver.make(use, algorithm, []);
  const der = Buffer.from(
    vault.open(made.sealed ?? new Uint8Array(), `signing_key/${made.kid}`),
    'base64',
  );
  return {
    key: { ...made, state },
    privateKey: createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }),
  };
}

export const ringOf = (
  read: () => Promise<StoredKey[]>,
  elapsed?: () => number,
): Promise<SigningRing> =>
  openSigningRing({ read, drivers: { sealed: driver }, ...(elapsed && { elapsed }) });

export const tokensOf = async (filed: readonly FiledKey[]): Promise<TokenKeys> =>
  openTokenKeys(await ringOf(() => Promise.resolve(filed.map(({ key }) => key))));
