// Private keys in our own table, encrypted under a key that is not in it. Whoever has both can sign as us.
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hkdfSync,
  sign,
  type KeyObject,
} from 'node:crypto';
import { Refusal } from '../domain/refusal.ts';
import type { SigningAlgorithm } from '../domain/signing-key.ts';
import { publicJwk, thumbprint, type KeyDriver, type Signer, type StoredKey } from './signer.ts';
import { openVault, type Vault } from './vault.ts';

/** Keys to seal under, by name; the first one seals, all of them open. */
export type Seals = readonly [Seal, ...Seal[]];

interface Seal {
  name: string;
  vault: Vault;
}

/** The installation's own key, in its key folder. */
export const installationSeal = (vault: Vault): Seal => ({ name: 'installation', vault });

/** A key from outside. What seals is derived from it, and named by what it derives, not by what it is. */
export function configuredSeal(secret: Uint8Array): Seal {
  const derive = (info: string, length: number): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, '', info, length));
  const name = derive('countersign/seal-name/v1', 6).toString('hex');
  return { name: `seal-key-${name}`, vault: openVault(derive('countersign/signing-keys/v1', 32)) };
}

export function sealedDriver(seals: Seals): KeyDriver {
  const [first] = seals;
  return {
    name: 'sealed',
    make: (use, algorithm) => {
      const privateKey = generate(algorithm);
      const jwk = publicJwk(createPublicKey(privateKey));
      const kid = thumbprint(jwk);
      const text = privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64');
      const sealed = first.vault.seal(text, sealUse(kid));
      return Promise.resolve({
        ...{ kid, use, algorithm, jwk, sealed },
        driver: 'sealed',
        reference: first.name,
      });
    },
    open: (key) => openSealed(key, seals),
  };
}

const sealUse = (kid: string): string => `signing_key/${kid}`;

const generate = (algorithm: SigningAlgorithm): KeyObject =>
  algorithm === 'ES256'
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    : generateKeyPairSync('ed25519').privateKey;

function openSealed(key: StoredKey, seals: Seals): Signer {
  const { kid, algorithm, jwk, sealed, reference } = key;
  const seal = seals.find(({ name }) => name === reference);
  if (!seal || !sealed)
    throw new Refusal(
      'unavailable',
      `The signing key ${kid} was sealed under "${reference}", which this process does not have: start it with the COUNTERSIGN_SEAL_KEY that it was made with.`,
    );
  const der = Buffer.from(seal.vault.open(sealed, sealUse(kid)), 'base64');
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  if (thumbprint(publicJwk(createPublicKey(privateKey))) !== kid || thumbprint(jwk) !== kid)
    throw new Error('a sealed key is not the key it is filed as');
  return {
    kid,
    algorithm,
    jwk,
    sign: (message) => Promise.resolve(new Uint8Array(signWith(privateKey, algorithm, message))),
  };
}

const signWith = (key: KeyObject, algorithm: SigningAlgorithm, message: Uint8Array): Buffer =>
  algorithm === 'ES256'
    ? sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' })
    : sign(null, message, key);
