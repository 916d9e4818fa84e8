// EC keys on P-256 as JWKs: what an agent signs in with, and what credentials are sealed to.
import { exportJWK, generateKeyPair } from 'jose';
import { CountersignError } from './error.ts';

/** The public part, as it is registered and sent. */
export interface PublicJwk {
  kty: 'EC';
  crv: 'P-256';
  x: string;
  y: string;
}

/** The whole key: whoever has it is the agent. Keep it in a file that only the agent can read. */
export interface PrivateJwk extends PublicJwk {
  d: string;
}

/** Makes a new key. */
export async function generateKey(): Promise<PrivateJwk> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return parsePrivateKey(await exportJWK(privateKey));
}

/** The public part of a key, safe to send. */
export const publicKeyOf = ({ x, y }: PublicJwk): PublicJwk => ({ kty: 'EC', crv: 'P-256', x, y });

/** Reads a private key from a JWK or its JSON text. */
export function parsePrivateKey(source: unknown): PrivateJwk {
  const members = membersOf(source);
  return { ...publicMembers(members), d: coordinate(members['d'], 'd') };
}

/** Reads the public part of a key from a JWK or its JSON text; a private part is left behind. */
export function parsePublicKey(source: unknown): PublicJwk {
  return publicMembers(membersOf(source));
}

function publicMembers(members: Record<string, unknown>): PublicJwk {
  if (members['kty'] !== 'EC' || members['crv'] !== 'P-256')
    throw invalidKey('it is not an EC key on the curve P-256');
  return {
    kty: 'EC',
    crv: 'P-256',
    x: coordinate(members['x'], 'x'),
    y: coordinate(members['y'], 'y'),
  };
}

/** RFC 7518 §6.2: 32 bytes in base64url, which is 43 characters. */
const COORDINATE = /^[A-Za-z0-9_-]{43}$/;

function coordinate(value: unknown, name: string): string {
  if (typeof value !== 'string' || !COORDINATE.test(value))
    throw invalidKey(`its member "${name}" is missing or not 32 bytes in base64url`);
  return value;
}

function membersOf(source: unknown): Record<string, unknown> {
  const value = typeof source === 'string' ? parseText(source) : source;
  if (!isRecord(value)) throw invalidKey('it is not a JSON object');
  return value;
}

function parseText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message would quote the key.
    throw invalidKey('it is not JSON');
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const invalidKey = (because: string): CountersignError =>
  new CountersignError('invalid_key', `This is not a key that Countersign takes: ${because}.`);
