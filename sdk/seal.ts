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

/** The member that carries the secret, by kind of access. */
const SECRET_MEMBER: Record<Material['kind'], string> = {
  aws: 'secret_access_key',
  github: 'token',
  jwt: 'token',
  kubernetes: 'token',
  mysql: 'url',
  oauth: 'access_token',
  postgres: 'url',
  redis: 'url',
  static: 'value',
};
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
  const { kind } = value;
  if (typeof kind !== 'string' || !Object.hasOwn(SECRET_MEMBER, kind)) return false;
  const member = Object.entries(SECRET_MEMBER).find(([each]) => each === kind)?.[1] ?? '';
  return typeof Object.entries(value).find(([each]) => each === member)?.[1] === 'string';
}
