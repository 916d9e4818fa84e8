// Verifies a callback: Standard Webhooks, asymmetric form (`v1a`, Ed25519), so there is no secret to share.
import type { CryptoKey } from 'jose';
import { fromBase64 } from '../domain/bytes.ts';
import { statesOf } from '../domain/lifecycle.ts';
import { SIGNALS, VERIFICATION, type SignalName } from '../domain/signal.ts';
import { CountersignError } from './error.ts';
import type { AccessRequest } from './types.ts';

/** What a callback says. Read the request itself before acting on it. */
export type WebhookEvent = DecidedEvent | AskedEvent;

/** A request was decided. */
export interface DecidedEvent {
  /** The same for every attempt to deliver this message. */
  id: string;
  type: 'request.decided';
  timestamp: string;
  data: { request: string; state: AccessRequest['state'] };
}

/** An approver asks the agent something: answer it with `requests.answer`. */
export interface AskedEvent {
  id: string;
  type: 'request.asked';
  timestamp: string;
  data: { request: string; question: string };
}

/** What a signal says: access ended, or came back. `receiver.verification` only tests the way. */
export interface SignalMessage {
  /** The same for every attempt to deliver this message: whoever has it already ignores it. */
  id: string;
  type: SignalName | typeof VERIFICATION;
  timestamp: string;
  /** Facts of the event, by the names they have in the log. */
  data: Record<string, unknown>;
}

/** What arrived, before anything was parsed. */
export interface ReceivedWebhook {
  /** `webhook_key` of the server's `/version`: `whpk_…`. */
  key: string;
  headers: Headers | Record<string, string | string[] | undefined>;
  /** The raw body, byte for byte. */
  body: string | Uint8Array;
  /** Milliseconds since 1970; for tests. */
  now?: number;
}

/** Older or newer messages than this are refused: they could be played again. */
const TOLERANCE_SECONDS = 300;

/** Verifies the signature and the time of a callback, and only then reads it. */
export async function verifyWebhook(received: ReceivedWebhook): Promise<WebhookEvent> {
  const { id, type, timestamp, data } = await verified(received);
  const { request, state, question } = data;
  if (type === 'request.asked') {
    if (typeof request !== 'string' || typeof question !== 'string') throw unreadable();
    return { id, type, timestamp, data: { request, question } };
  }
  if (type !== 'request.decided') throw unknownType(type);
  const known = statesOf('request').find((each) => each === state);
  if (typeof request !== 'string' || known === undefined) throw unreadable();
  return { id, type, timestamp, data: { request, state: known } };
}

/** Verifies the signature and the time of a signal, and only then reads it. */
export async function verifySignal(received: ReceivedWebhook): Promise<SignalMessage> {
  const message = await verified(received);
  const known: readonly SignalMessage['type'][] = [VERIFICATION, ...SIGNALS];
  const type = known.find((each) => each === message.type);
  if (type === undefined) throw unknownType(message.type);
  return { ...message, type };
}

interface Verified {
  id: string;
  type: string;
  timestamp: string;
  data: Record<string, unknown>;
}

const unknownType = (type: string): CountersignError =>
  new CountersignError(
    'bad_answer',
    `This is no message of the kind that is read here, but of the type ${type}: read it with the other function, or update the SDK.`,
  );

async function verified(received: ReceivedWebhook): Promise<Verified> {
  const id = headerOf(received, 'webhook-id');
  const timestamp = headerOf(received, 'webhook-timestamp');
  refuseStale(timestamp, received.now ?? Date.now());
  const body =
    typeof received.body === 'string' ? new TextEncoder().encode(received.body) : received.body;
  const message = joined(new TextEncoder().encode(`${id}.${timestamp}.`), body);
  const key = await importKey(received.key);
  for (const signature of signaturesOf(headerOf(received, 'webhook-signature')))
    if (await crypto.subtle.verify('Ed25519', key, signature, message))
      return { ...readMessage(body), id };
  throw new CountersignError(
    'bad_signature',
    'No signature of this callback fits its body and the key: do not act on it.',
  );
}

function headerOf({ headers }: ReceivedWebhook, name: string): string {
  const value =
    headers instanceof Headers
      ? headers.get(name)
      : Object.entries(headers).find(([each]) => each.toLowerCase() === name)?.[1];
  if (typeof value === 'string' && value !== '') return value;
  throw new CountersignError('bad_signature', `The callback has no single header ${name}.`);
}

function refuseStale(timestamp: string, nowMs: number): void {
  // Written so that NaN fails.
  const isFresh =
    /^\d{1,12}$/.test(timestamp) && Math.abs(nowMs / 1000 - Number(timestamp)) <= TOLERANCE_SECONDS;
  if (!isFresh)
    throw new CountersignError(
      'stale_timestamp',
      'The callback was not signed in the last five minutes: check the clock, or drop it.',
    );
}

const PUBLIC_KEY_BYTES = 32;

async function importKey(text: string): Promise<CryptoKey> {
  const bytes = text.startsWith('whpk_') ? fromBase64(text.slice('whpk_'.length)) : null;
  if (bytes?.length !== PUBLIC_KEY_BYTES)
    throw new CountersignError(
      'invalid_key',
      'The webhook key is not whpk_… as /version gives it.',
    );
  return crypto.subtle.importKey('raw', backed(bytes), 'Ed25519', false, ['verify']);
}

/** Several signatures, separated by spaces, let a key be changed without a gap. */
function signaturesOf(header: string): Uint8Array<ArrayBuffer>[] {
  return header
    .split(' ')
    .filter((entry) => entry.startsWith('v1a,'))
    .map((entry) => fromBase64(entry.slice('v1a,'.length)))
    .filter((bytes) => bytes !== null)
    .map(backed);
}

/** WebCrypto wants bytes that are not shared memory. */
const backed = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes);

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

/** What the signature covers has still to be a message: each member is looked at before anybody relies on it. */
function readMessage(body: Uint8Array): Omit<Verified, 'id'> {
  const { type, timestamp, data } = membersOf(parsed(new TextDecoder().decode(body)));
  if (typeof type !== 'string' || typeof timestamp !== 'string') throw unreadable();
  return { type, timestamp, data: membersOf(data) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw unreadable();
  }
}

function membersOf(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unreadable();
  return { ...value };
}

const unreadable = (): CountersignError =>
  new CountersignError(
    'bad_answer',
    'This was signed and is no message that is read here: update the SDK, and do not act on it.',
  );
