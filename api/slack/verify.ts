// Slack's request signature, over the raw bytes and before anything is parsed.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { Refusal } from '../../domain/refusal.ts';

/** Further from now than this, in either direction, a request is refused. */
const SKEW_SECONDS_MAX = 300;

export interface SignedRequest {
  timestamp: string | undefined;
  signature: string | undefined;
  body: string;
}

export function verifySlack(secret: string, signed: SignedRequest, nowSeconds: number): void {
  const { timestamp = '', signature = '', body } = signed;
  // Written so that NaN, infinity and an empty header fail.
  if (
    !/^\d{1,12}$/.test(timestamp) ||
    !(Math.abs(nowSeconds - Number(timestamp)) <= SKEW_SECONDS_MAX)
  )
    throw new Refusal(
      'stale_timestamp',
      'X-Slack-Request-Timestamp is not from the last five minutes: check the clock of this server.',
    );
  const given = /^v0=([0-9a-f]{64})$/.exec(signature)?.[1];
  const expected = createHmac('sha256', secret).update(`v0:${timestamp}:${body}`).digest();
  if (given === undefined || !timingSafeEqual(Buffer.from(given, 'hex'), expected))
    throw new Refusal(
      'bad_signature',
      'X-Slack-Signature does not fit the body: check the signing secret (countersign slack connect).',
    );
}
