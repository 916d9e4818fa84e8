// How a scanner proves that a report is its own: GitHub's partner signature, or Standard Webhooks with a shared secret.
import { createHmac, createPublicKey, timingSafeEqual, verify } from 'node:crypto';
import { base64, fromBase64 } from '../domain/bytes.ts';
import { Refusal } from '../domain/refusal.ts';

type Header = (name: string) => string | undefined;

const forged = (): Refusal =>
  new Refusal('bad_signature', 'The signature does not fit the body and the keys of this scanner.');

/** Whether a text is the public key that GitHub signs with: EC on P-256, in PEM. */
export function isScannerKey(pem: string): boolean {
  try {
    const { asymmetricKeyType, asymmetricKeyDetails } = createPublicKey(pem);
    return asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'prime256v1';
  } catch {
    return false;
  }
}

/** ECDSA on P-256 with SHA-256 over the raw body, by the key that the header names; throws unless it fits. */
export function verifyGithub(keys: Record<string, string>, header: Header, body: string): void {
  const named = header('github-public-key-identifier') ?? '';
  const pem = Object.hasOwn(keys, named) ? keys[named] : undefined;
  const signature = fromBase64(header('github-public-key-signature') ?? '');
  if (pem === undefined || !signature || signature.length === 0) throw forged();
  if (!verify('sha256', Buffer.from(body, 'utf8'), createPublicKey(pem), signature)) throw forged();
}

/** Further from now than this, in either direction, a report is refused. */
const SKEW_SECONDS_MAX = 300;

/** Standard Webhooks, symmetric form (`v1`); says the id of the message, throws unless it fits. */
export function verifyWebhookScanner(
  secret: string,
  header: Header,
  body: string,
  nowSeconds: number,
): string {
  const id = header('webhook-id') ?? '';
  const timestamp = header('webhook-timestamp') ?? '';
  // Written so that NaN and an empty header fail.
  if (
    !/^\d{1,12}$/.test(timestamp) ||
    !(Math.abs(nowSeconds - Number(timestamp)) <= SKEW_SECONDS_MAX)
  )
    throw new Refusal(
      'stale_timestamp',
      'The webhook-timestamp is not from the last five minutes.',
    );
  const key = fromBase64(secret.replace(/^whsec_/, ''));
  if (!key || !/^[\x21-\x7e]{1,200}$/.test(id)) throw forged();
  const wanted = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest();
  const given = (header('webhook-signature') ?? '').split(' ').slice(0, 10);
  if (!given.some((each) => fits(each, wanted))) throw forged();
  return id;
}

function fits(entry: string, wanted: Uint8Array): boolean {
  const bytes = entry.startsWith('v1,') ? fromBase64(entry.slice('v1,'.length)) : null;
  return bytes?.length === wanted.length && timingSafeEqual(bytes, wanted);
}

/** A shared secret as Standard Webhooks writes it. */
export const webhookSecret = (bytes: Uint8Array): string => `whsec_${base64(bytes)}`;
