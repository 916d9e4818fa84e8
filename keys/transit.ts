// Private keys in a key service that speaks Vault's transit protocol (HashiCorp Vault, OpenBao): it signs, and
// never gives a key out. Each use has one named key there, and each of our keys is one version of it.
import { createHash, createPublicKey, verify } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { JsonError, parseJson, type JsonObject, type JsonValue } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import type { PublicJwk, SigningAlgorithm } from '../domain/signing-key.ts';
import { fromBase64url } from './jwk.ts';
import { publicJwk, thumbprint, type KeyDriver, type Signer, type StoredKey } from './signer.ts';

export interface TransitOptions {
  /** Where the service is: https, or http on this machine. */
  address: string;
  /** The path at which its transit engine is mounted. */
  mount: string;
  /** For services that are divided into namespaces. */
  namespace: string | null;
  /** What names there begin with; no two installations share it. */
  keyPrefix: string;
  /** Read for each call, so that an agent beside us can renew it. */
  token: () => string | null;
  /** Told what the service said, for the operator; callers only hear that it did not work. */
  onFault: (status: number, text: string) => void;
}

const ATTEMPTS = 3;
const TIMEOUT_MS = 2_000;
const PAUSE_MS = 100;
const PAUSE_MS_MAX = 1_000;
const ANSWER_BYTES_MAX = 256 * 1024;

const TYPE: Record<SigningAlgorithm, string> = { ES256: 'ecdsa-p256', EdDSA: 'ed25519' };

export function transitDriver(options: TransitOptions): KeyDriver {
  return {
    name: 'transit',
    make: async (use, algorithm, taken) => {
      const name = `${options.keyPrefix}-${use}`;
      const there = await call(options, 'GET', `keys/${name}`);
      // A version that is there already may be somebody else's: only one that we asked for becomes ours.
      if (there === null)
        await call(options, 'POST', `keys/${name}`, { type: TYPE[algorithm], exportable: false });
      else await call(options, 'POST', `keys/${name}/rotate`, {});
      const { version, jwk } = newest(await call(options, 'GET', `keys/${name}`), algorithm);
      const reference = `${name}:${version}`;
      if (taken.includes(reference))
        throw unusable('did not make a new version of the key when it was told to');
      return {
        kid: thumbprint(jwk),
        use,
        algorithm,
        driver: 'transit',
        reference,
        jwk,
        sealed: null,
      };
    },
    open: (key) => openTransit(key, options),
  };
}

function openTransit(
  { kid, algorithm, jwk, reference }: StoredKey,
  options: TransitOptions,
): Signer {
  const [, name = '', version = ''] = /^(.+):(\d+)$/.exec(reference) ?? [];
  const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
  const isSignedBy = (message: Uint8Array, signature: Uint8Array): boolean =>
    algorithm === 'ES256'
      ? verify('sha256', message, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)
      : verify(null, message, publicKey, signature);
  return {
    kid,
    algorithm,
    jwk,
    sign: async (message) => {
      const answer = await call(options, 'POST', `sign/${name}`, {
        ...inputOf(algorithm, message),
        marshaling_algorithm: 'jws',
        key_version: Number(version),
      });
      const signature = signatureOf(answer);
      // A version that was replaced behind our back would make tokens that nobody can verify.
      if (!signature || !isSignedBy(message, signature))
        throw unusable('answered with a signature that is not by our key');
      return new Uint8Array(signature);
    },
  };
}

/** ECDSA signs a digest, so that what we sign does not travel; Ed25519 needs the message itself. */
const inputOf = (algorithm: SigningAlgorithm, message: Uint8Array): JsonObject =>
  algorithm === 'ES256'
    ? {
        input: createHash('sha256').update(message).digest('base64'),
        prehashed: true,
        hash_algorithm: 'sha2-256',
      }
    : { input: Buffer.from(message).toString('base64') };

/** `vault:v<version>:<signature>`; whether it is by our version, the signature itself says. */
function signatureOf(answer: JsonObject | null): Buffer | null {
  const signature = answer?.['signature'];
  const [, text] =
    /^vault:v\d+:([\w-]+)$/.exec(typeof signature === 'string' ? signature : '') ?? [];
  return text === undefined ? null : fromBase64url(text);
}

/** The public part of the newest version of a key. */
function newest(
  answer: JsonObject | null,
  algorithm: SigningAlgorithm,
): { version: number; jwk: PublicJwk } {
  const version = answer?.['latest_version'];
  const entry =
    typeof version === 'number' ? objectOf(objectOf(answer?.['keys'])?.[version]) : null;
  const text = entry?.['public_key'];
  if (answer?.['type'] !== TYPE[algorithm])
    throw unusable(`has a key of that name that is not of the type ${TYPE[algorithm]}`);
  if (typeof version !== 'number' || typeof text !== 'string')
    throw unusable('did not say what the public part of the key is');
  const key =
    algorithm === 'ES256'
      ? createPublicKey(text)
      : createPublicKey({
          key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(text, 'base64').toString('base64url') },
          format: 'jwk',
        });
  return { version, jwk: publicJwk(key) };
}

const objectOf = (value: JsonValue | undefined): JsonObject | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;

const unusable = (what: string): Refusal =>
  new Refusal('unavailable', `The key service that holds our signing key ${what}.`);

/** One call, repeated while repeating may help. The `data` of the answer, or null where there is no such key. */
async function call(
  options: TransitOptions,
  method: 'GET' | 'POST',
  path: string,
  body?: JsonObject,
): Promise<JsonObject | null> {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await callOnce(options, method, path, body);
    const { status, text } = answer;
    if (status === 200) return objectOf(objectOf(parsed(text))?.['data']);
    if (status === 204) return {};
    if (status === 404 && method === 'GET') return null;
    options.onFault(status, text.slice(0, 500));
    if (!isPassing(status) || attempt === ATTEMPTS) throw unusable(saysOf(status));
    await sleep(Math.min(answer.pauseMs ?? PAUSE_MS * 2 ** attempt, PAUSE_MS_MAX));
  }
}

/** Not answered at all, told to slow down, or in trouble: all of these can be over in a moment. */
const isPassing = (status: number): boolean => status === 0 || status === 429 || status >= 500;

function saysOf(status: number): string {
  if (status === 0) return 'does not answer';
  if (status === 403) return 'does not let us: its token ended or lacks the right';
  if (status === 404) return 'knows no such key, or has its engine at another mount';
  if (status === 429) return 'is asked too often';
  return `cannot do it just now (${status})`;
}

interface CallAnswer {
  status: number;
  text: string;
  pauseMs: number | null;
}

async function callOnce(
  { address, mount, namespace, token }: TransitOptions,
  method: 'GET' | 'POST',
  path: string,
  body?: JsonObject,
): Promise<CallAnswer> {
  try {
    const response = await fetch(`${address}/v1/${mount}/${path}`, {
      method,
      headers: {
        'x-vault-token': token() ?? '',
        'x-vault-request': 'true',
        ...(namespace !== null && { 'x-vault-namespace': namespace }),
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
      // A redirect would take the token along to wherever it points.
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
    return {
      status: response.status,
      text: await textOf(response),
      pauseMs: seconds >= 0 ? seconds * 1000 : null,
    };
  } catch (error) {
    return { status: 0, text: error instanceof Error ? error.message : '', pauseMs: null };
  }
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const body: AsyncIterable<Uint8Array> | null = response.body;
  for await (const chunk of body ?? []) {
    length += chunk.length;
    if (length > ANSWER_BYTES_MAX) throw new RangeError('the answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parsed(text: string): JsonValue {
  try {
    return parseJson(text);
  } catch (error) {
    if (error instanceof JsonError) return null;
    throw error;
  }
}
