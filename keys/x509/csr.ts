// Certificate signing requests (PKCS #10, RFC 2986). All that is taken from one is the key, and the proof of having it.
import { createPublicKey, verify } from 'node:crypto';
import { Refusal } from '../../domain/refusal.ts';
import { readPublicKey, type PublicKey } from '../public-key.ts';
import { OID } from './certificate.ts';
import { children, context, decode, DerError, expectTag, readBytes, readOid, TAG } from './der.ts';
import { fromPem } from './pem.ts';

const CSR_CHARACTERS_MAX = 16_384;

/** The public key of a request in PEM; whatever else it asks for is not read. Throws a Refusal. */
export async function readSigningRequest(pem: string): Promise<PublicKey> {
  const [der, ...more] =
    pem.length > CSR_CHARACTERS_MAX
      ? []
      : fromPem(pem, 'CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST');
  if (!der || more.length > 0)
    throw refused(
      'Send one certificate signing request in PEM (-----BEGIN CERTIFICATE REQUEST-----).',
    );
  try {
    return await readPublicKey(jwkOf(der), 'weak_key');
  } catch (cause) {
    if (cause instanceof DerError)
      throw refused(`The signing request is malformed: ${cause.message}.`);
    throw cause;
  }
}

const refused = (detail: string): Refusal => new Refusal('csr_invalid', detail);

function jwkOf(der: Buffer): { [name: string]: string } {
  const [content, algorithm, signature, ...more] = children(decode(der, TAG.sequence));
  const [, subject, spki, attributes, ...rest] = children(expectTag(content, TAG.sequence));
  expectTag(subject, TAG.sequence);
  expectTag(attributes, context(0, true));
  if (more.length > 0 || rest.length > 0)
    throw new DerError('it has members that do not belong there');
  if (readOid(children(expectTag(algorithm, TAG.sequence))[0]) !== OID.ecdsaWithSha256)
    throw refused('Sign the request with ECDSA and SHA-256, by a key on the curve P-256.');
  const key = publicKeyOf(expectTag(spki, TAG.sequence).raw);
  const { kty = '', crv = '', x = '', y = '' } = key?.export({ format: 'jwk' }) ?? {};
  if (!key || kty !== 'EC' || crv !== 'P-256')
    throw new Refusal('weak_key', 'Make the request with an EC key on the curve P-256.');
  // RFC 2986 §3: the signature proves that whoever asks holds the key, and does not name another's.
  if (!verify('sha256', expectTag(content, TAG.sequence).raw, key, readBytes(signature)))
    throw refused('The request is not signed with the key that it names.');
  return { kty, crv, x, y };
}

function publicKeyOf(spki: Buffer): ReturnType<typeof createPublicKey> | null {
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch {
    return null;
  }
}
