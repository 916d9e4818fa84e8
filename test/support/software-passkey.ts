// An authenticator in software: makes passkeys and signs with them as a browser would send it, or wrongly where a test
// says so.
import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { object, text } from '../../domain/verdict/facts.ts';

export type Kind = 'ES256' | 'EdDSA' | 'RS256';

/** What a test has it do otherwise. */
export interface Wrong {
  origin?: string;
  site?: string;
  type?: string;
  challenge?: string;
  /** User present is 1, user verified 4, may be copied 8, is copied 16. */
  flags?: number;
  counter?: number;
  clientData?: JsonObject;
  /** Bytes after the authenticator data that nothing announces. */
  trailing?: Uint8Array;
}

const VERIFIED = 5;

const sha256 = (bytes: string | Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** CBOR of what is needed here (RFC 8949): maps keep their order. */
export function cbor(value: JsonValue | Uint8Array | Map<number | string, unknown>): Buffer {
  if (typeof value === 'number') return value < 0 ? head(1, -1 - value) : head(0, value);
  if (typeof value === 'string') return Buffer.concat([head(3, value.length), Buffer.from(value)]);
  if (value instanceof Uint8Array) return Buffer.concat([head(2, value.length), value]);
  if (value instanceof Map)
    return Buffer.concat([
      head(5, value.size),
      ...[...value].flatMap(([key, each]) => [cbor(key), cbor(each as JsonValue)]),
    ]);
  throw new TypeError('the tests need no more of CBOR');
}

function head(major: number, length: number): Buffer {
  if (length < 24) return Buffer.from([(major << 5) | length]);
  if (length < 256) return Buffer.from([(major << 5) | 24, length]);
  return Buffer.from([(major << 5) | 25, length >> 8, length & 255]);
}

const fromText = (part: string | undefined): Buffer => Buffer.from(part ?? '', 'base64url');

/** One passkey, with the private part that a real one never shows. */
export class Passkey {
  readonly credential = randomBytes(32).toString('base64url');
  readonly publicKey: Buffer;
  readonly #key: KeyObject;
  readonly #hash: string | null;
  counter = 0;

  constructor(kind: Kind = 'ES256') {
    const { privateKey, cose } = keyPair(kind);
    this.#key = privateKey;
    this.#hash = kind === 'EdDSA' ? null : 'sha256';
    this.publicKey = cbor(cose);
  }

  /** What the browser sends back for options to make a passkey. */
  make(asked: JsonObject, wrong: Wrong = {}): { attestation: string; client_data: string } {
    const options = object(asked['options']);
    const id = Buffer.from(this.credential, 'base64url');
    const site = wrong.site ?? text(object(options['rp'])['id']) ?? '';
    const data = Buffer.concat([
      dataFor(site, (wrong.flags ?? VERIFIED) | 64, wrong.counter ?? 0),
      Buffer.alloc(16),
      Buffer.from([id.length >> 8, id.length & 255]),
      id,
      this.publicKey,
      wrong.trailing ?? Buffer.alloc(0),
    ]);
    const attestation = new Map<string, unknown>([
      ['fmt', 'none'],
      ['attStmt', new Map()],
      ['authData', new Uint8Array(data)],
    ]);
    return {
      attestation: cbor(attestation).toString('base64url'),
      client_data: clientData('webauthn.create', asked, wrong).toString('base64url'),
    };
  }

  /** What the browser sends back for options to sign. */
  sign(asked: JsonObject, wrong: Wrong = {}): JsonObject {
    this.counter += 1;
    const site = wrong.site ?? text(object(asked['options'])['rpId']) ?? '';
    const data = Buffer.concat([
      dataFor(site, wrong.flags ?? VERIFIED, wrong.counter ?? this.counter),
      wrong.trailing ?? Buffer.alloc(0),
    ]);
    const said = clientData('webauthn.get', asked, wrong);
    return {
      credential: this.credential,
      authenticator_data: data.toString('base64url'),
      client_data: said.toString('base64url'),
      signature: this.signBytes(Buffer.concat([data, sha256(said)])).toString('base64url'),
    };
  }

  signBytes(bytes: Uint8Array): Buffer {
    return sign(this.#hash, bytes, this.#key);
  }
}

function dataFor(site: string, flags: number, counter: number): Buffer {
  const rest = Buffer.alloc(5);
  rest.writeUInt8(flags, 0);
  rest.writeUInt32BE(counter, 1);
  return Buffer.concat([sha256(site), rest]);
}

function clientData(type: string, asked: JsonObject, wrong: Wrong): Buffer {
  return Buffer.from(
    JSON.stringify({
      type: wrong.type ?? type,
      challenge: wrong.challenge ?? text(object(asked['options'])['challenge']),
      origin: wrong.origin ?? text(asked['origin']),
      crossOrigin: false,
      ...wrong.clientData,
    }),
  );
}

function keyPair(kind: Kind): { privateKey: KeyObject; cose: Map<number, unknown> } {
  if (kind === 'ES256') {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { x, y } = publicKey.export({ format: 'jwk' });
    const cose = new Map<number, unknown>([
      [1, 2],
      [3, -7],
      [-1, 1],
      [-2, fromText(x)],
      [-3, fromText(y)],
    ]);
    return { privateKey, cose };
  }
  if (kind === 'EdDSA') {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const { x } = publicKey.export({ format: 'jwk' });
    const cose = new Map<number, unknown>([
      [1, 1],
      [3, -8],
      [-1, 6],
      [-2, fromText(x)],
    ]);
    return { privateKey, cose };
  }
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { n, e } = publicKey.export({ format: 'jwk' });
  const cose = new Map<number, unknown>([
    [1, 3],
    [3, -257],
    [-1, fromText(n)],
    [-2, fromText(e)],
  ]);
  return { privateKey, cose };
}
