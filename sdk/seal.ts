// Opens what the server sealed to a key of ours (RFC 7516: ECDH-ES, A256GCM).
import { compactDecrypt, importJWK } from 'jose';
import { CountersignError } from './error.ts';
import { parsePrivateKey, type PrivateJwk } from './keys.ts';
import type { Material } from './types.ts';

/** Opens a sealed credential with the private part of the key it was sealed to. */
export async function openSealed(sealed: string, sealKey: PrivateJwk): Promise<Material> {
  const material = await unseal(sealed, sealKey);
  if (!isMaterial(material))
    throw new CountersignError(
      'bad_answer',
      'The credential is of a kind that this version of the SDK does not know: update it.',
    );
  return material;
}

/** Opens whatever was sealed to a key. */
export async function unseal(sealed: string, sealKey: PrivateJwk): Promise<unknown> {
  const key = await importJWK({ ...parsePrivateKey(sealKey) }, 'ECDH-ES');
  const { plaintext } = await compactDecrypt(sealed, key, {
    keyManagementAlgorithms: ['ECDH-ES'],
    contentEncryptionAlgorithms: ['A256GCM'],
  }).catch((cause: unknown) => {
    throw new CountersignError(
      'seal_mismatch',
      'This is sealed to another key: use the one that was sent with the request.',
      { cause },
    );
  });
  const opened: unknown = JSON.parse(new TextDecoder().decode(plaintext));
  return opened;
}

function isMaterial(value: unknown): value is Material {
  if (typeof value !== 'object' || value === null || !('kind' in value)) return false;
  if (value.kind === 'jwt') return 'token' in value && typeof value.token === 'string';
  return isLogin(value.kind) && 'url' in value && typeof value.url === 'string';
}

const isLogin = (kind: unknown): boolean =>
  kind === 'postgres' || kind === 'mysql' || kind === 'redis';
