// Signatures on what we send out (Standard Webhooks, asymmetric form): nobody needs to share a secret with us.
import { createHmac } from 'node:crypto';
import { base64, utf8 } from '../domain/bytes.ts';
import type { Ed25519Key } from './ed25519.ts';

export interface WebhookSigner {
  /** The public key as receivers configure it. */
  publicKey: string;
  headers(id: string, timestampSeconds: number, body: string): Record<string, string>;
}

export function openWebhookSigner(key: Ed25519Key): WebhookSigner {
  return {
    publicKey: `whpk_${base64(key.publicKey)}`,
    headers: (id, timestampSeconds, body) => ({
      'webhook-id': id,
      'webhook-timestamp': String(timestampSeconds),
      'webhook-signature': `v1a,${base64(key.sign(utf8(`${id}.${timestampSeconds}.${body}`)))}`,
    }),
  };
}

/** The prefix of secrets that two sides share (Standard Webhooks, symmetric form). */
const SHARED = 'whsec_';

/** Signatures by secrets that a receiver has, for receivers that check the symmetric form only. */
export const sharedSignatures = (
  secrets: readonly string[],
  id: string,
  timestampSeconds: number,
  body: string,
): string =>
  secrets
    .map((secret) =>
      createHmac('sha256', Buffer.from(secret.slice(SHARED.length), 'base64'))
        .update(`${id}.${timestampSeconds}.${body}`)
        .digest('base64'),
    )
    .map((signature) => `v1,${signature}`)
    .join(' ');
