// A receiver of Standard Webhooks as a strict one is: it takes nothing whose signatures, by the shared secret and by the
// public key, do not both fit.
import { createHmac, createPublicKey, timingSafeEqual, verify } from 'node:crypto';
import { createServer } from 'node:http';
import { text as readAll } from 'node:stream/consumers';
import type { JsonObject } from '../../domain/json.ts';

/** What it does with the next message instead of judging it. */
export type Mood = { status: number; headers?: Record<string, string>; body?: string } | 'cut';

export interface HeardWebhook {
  id: string;
  message: JsonObject;
  raw: string;
  /** How many of its symmetric signatures there were. */
  signatures: number;
  /** Why it would not have it; null where it took it. */
  fault: string | null;
}

export interface FakeWebhookReceiver {
  url: string;
  heard: HeardWebhook[];
  /** Secrets that it knows, any of which has to fit. */
  secrets: string[];
  /** `webhook_key` of the service. */
  key: string;
  next(...moods: Mood[]): void;
  close(): Promise<void>;
}

export async function startWebhookReceiver(): Promise<FakeWebhookReceiver> {
  const moods: Mood[] = [];
  const fake = { heard: [] as HeardWebhook[], secrets: [] as string[], key: '' };
  const server = createServer((request, response) => {
    void readAll(request).then((raw) => {
      const headers = {
        id: String(request.headers['webhook-id']),
        timestamp: String(request.headers['webhook-timestamp']),
        signature: String(request.headers['webhook-signature']),
      };
      const fault =
        request.headers['content-type'] === 'application/json'
          ? faultOf(headers, raw, fake)
          : 'the content type';
      const signatures = headers.signature.split(' ').filter((each) => each.startsWith('v1,'));
      const message = asMessage(raw);
      fake.heard.push({ id: headers.id, message, raw, signatures: signatures.length, fault });
      const mood = moods.shift();
      if (mood === 'cut') return void request.socket.destroy();
      if (mood)
        return void response.writeHead(mood.status, mood.headers ?? {}).end(mood.body ?? '');
      response.writeHead(fault === null ? 204 : 401).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the fake has no port');
  return Object.assign(fake, {
    url: `http://127.0.0.1:${address.port}/hook`,
    next: (...more: Mood[]) => void moods.push(...more),
    close: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  });
}

/** The service sends JSON objects; anything else fails where it is read. */
const asMessage = (raw: string): JsonObject => JSON.parse(raw) as JsonObject;

function faultOf(
  { id, timestamp, signature }: Record<'id' | 'timestamp' | 'signature', string>,
  raw: string,
  { secrets, key }: { secrets: string[]; key: string },
): string | null {
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= 300)) return 'the time';
  const signed = `${id}.${timestamp}.${raw}`;
  const each = signature.split(' ').map((one) => one.split(','));
  const fits = each.some(
    ([form, value]) =>
      form === 'v1' &&
      secrets.some((secret) => {
        const bytes = Buffer.from(secret.replace('whsec_', ''), 'base64');
        const wanted = createHmac('sha256', bytes).update(signed).digest();
        const given = Buffer.from(value ?? '', 'base64');
        return given.length === wanted.length && timingSafeEqual(given, wanted);
      }),
  );
  if (!fits) return 'no signature by a secret';
  const isOurs = each.some(
    ([form, value]) =>
      form === 'v1a' &&
      verify(null, Buffer.from(signed), publicKey(key), Buffer.from(value ?? '', 'base64')),
  );
  return isOurs ? null : 'no signature by the key';
}

const publicKey = (key: string) =>
  createPublicKey({
    format: 'jwk',
    key: {
      ...{ kty: 'OKP', crv: 'Ed25519' },
      x: Buffer.from(key.replace('whpk_', ''), 'base64').toString('base64url'),
    },
  });
