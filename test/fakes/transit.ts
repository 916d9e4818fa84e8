// A key service that speaks Vault's transit protocol as far as signing goes, and refuses what the real one refuses:
// a wrong token, path, namespace or body, versions that are not there, digests of another length.
import { createECDH, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeTransit {
  address: string;
  token: string;
  /** Calls so far, as method and path. */
  calls: string[];
  /** How many versions a key has. */
  versions(name: string): number;
  /** What each of the next calls is answered with instead, in this order. */
  failNext(...faults: Fault[]): void;
  /** Versions below this can no longer sign. */
  raiseMinimum(name: string, version: number): void;
  close(): Promise<void>;
}

export type Fault =
  | { status: number; text?: string; headers?: Record<string, string> }
  | 'hang'
  | 'hang up';

interface Key {
  type: string;
  minimum: number;
  versions: { privateKey: KeyObject; publicText: string; at: string }[];
}

interface Answer {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
}

const wrong = (status: number, ...errors: string[]): Answer => ({ status, body: { errors } });

export async function startTransit(
  options: { mount?: string; namespace?: string } = {},
): Promise<FakeTransit> {
  const token = 'hvs.CAESIJ-fake-token';
  const mount = options.mount ?? 'transit';
  const keys = new Map<string, Key>();
  const calls: string[] = [];
  const faults: Fault[] = [];
  const answer = async (request: IncomingMessage): Promise<Answer> => {
    const { method = '', url = '', headers } = request;
    const body = asObject(JSON.parse((await textOf(request)) || '{}'));
    if (headers['x-vault-token'] !== token) return wrong(403, 'permission denied');
    if (headers['x-vault-request'] !== 'true') return wrong(400, 'missing X-Vault-Request');
    if (headers['x-vault-namespace'] !== options.namespace) return wrong(403, 'permission denied');
    const prefix = `/v1/${mount}/`;
    if (!url.startsWith(prefix)) return wrong(404, 'no handler for route');
    const [action = '', name = '', more = ''] = url.slice(prefix.length).split('/');
    return act(keys, method, [action, name, more], body);
  };
  const server = createServer((request, response) => {
    calls.push(`${request.method ?? ''} ${request.url ?? ''}`);
    const fault = faults.shift();
    if (fault === 'hang') return;
    if (fault === 'hang up') {
      request.socket.destroy();
      return;
    }
    const given = fault
      ? Promise.resolve({
          status: fault.status,
          body: { errors: [fault.text ?? 'internal error'] },
          headers: fault.headers ?? {},
        })
      : answer(request);
    void given.then(({ status, body, headers }) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(body === undefined ? undefined : JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `http://127.0.0.1:${asAddress(server.address()).port}`,
    token,
    calls,
    versions: (name) => keys.get(name)?.versions.length ?? 0,
    failNext: (...next) => void faults.push(...next),
    raiseMinimum: (name, version) => {
      const key = keys.get(name);
      if (key) key.minimum = version;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function act(
  keys: Map<string, Key>,
  method: string,
  [action, name, more]: [string, string, string],
  body: Record<string, unknown>,
): Answer {
  if (!/^[\w.-]+$/.test(name)) return wrong(404, 'unsupported path');
  const key = keys.get(name);
  if (action === 'keys' && method === 'GET' && more === '')
    return key ? { status: 200, body: { data: described(name, key) } } : wrong(404);
  if (method !== 'POST') return wrong(405, 'unsupported operation');
  if (action === 'keys' && more === '') return create(keys, name, body);
  if (!key) return wrong(400, 'signing key not found');
  if (action === 'keys' && more === 'rotate') {
    key.versions.push(newVersion(key.type));
    return { status: 204 };
  }
  return action === 'sign' ? signed(key, body) : wrong(404, 'unsupported path');
}

/** Creating a key that is there changes nothing, whatever the body says. */
function create(keys: Map<string, Key>, name: string, body: Record<string, unknown>): Answer {
  const { type } = body;
  if (type !== 'ecdsa-p256' && type !== 'ed25519') return wrong(400, 'unknown key type');
  if (body['exportable'] === true) return wrong(400, 'this service makes no exportable keys');
  if (!keys.has(name)) keys.set(name, { type, minimum: 0, versions: [newVersion(type)] });
  return { status: 204 };
}

function newVersion(type: string): Key['versions'][number] {
  const pair =
    type === 'ed25519'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicText =
    type === 'ed25519'
      ? pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64')
      : pair.publicKey.export({ format: 'pem', type: 'spki' }).toString();
  return { privateKey: pair.privateKey, publicText, at: new Date().toISOString() };
}

const described = (name: string, { type, minimum, versions }: Key) => ({
  name,
  type,
  exportable: false,
  latest_version: versions.length,
  min_encryption_version: minimum,
  supports_signing: true,
  keys: Object.fromEntries(
    versions.map(({ publicText, at }, index) => [
      String(index + 1),
      {
        creation_time: at,
        name: type === 'ed25519' ? 'ed25519' : 'P-256',
        public_key: publicText,
      },
    ]),
  ),
});

function signed(key: Key, body: Record<string, unknown>): Answer {
  const { input, prehashed, hash_algorithm: hash, marshaling_algorithm: marshaling } = body;
  const version = body['key_version'] ?? key.versions.length;
  if (typeof input !== 'string' || Buffer.from(input, 'base64').toString('base64') !== input)
    return wrong(400, 'unable to decode input as base64');
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 0)
    return wrong(400, 'cannot sign: invalid key version');
  if (version > key.versions.length) return wrong(400, 'invalid key version');
  if (version < key.minimum)
    return wrong(
      400,
      'requested version for signing is less than the minimum encryption key version',
    );
  const { privateKey } = key.versions[version - 1] ?? {};
  if (!privateKey) return wrong(400, 'invalid key version');
  const bytes = Buffer.from(input, 'base64');
  if (key.type === 'ed25519') {
    if (prehashed !== undefined) return wrong(400, 'only Pure Ed25519 signatures supported');
    return asSignature(version, sign(null, bytes, privateKey), marshaling);
  }
  if (hash !== 'sha2-256') return wrong(400, 'unsupported hash algorithm');
  if (prehashed !== true) return asSignature(version, raw(bytes, privateKey), marshaling);
  if (bytes.length !== 32) return wrong(400, 'cannot sign a digest of another length');
  return asSignature(version, signDigest(bytes, privateKey), marshaling);
}

const raw = (message: Buffer, key: KeyObject): Buffer =>
  sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' });

/** The order of P-256. */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** ECDSA over a digest (FIPS 186-5 §6.4.1): Node itself signs messages only, and hashes them first. */
function signDigest(digest: Buffer, key: KeyObject): Buffer {
  const once = createECDH('prime256v1');
  const x = number(once.generateKeys().subarray(1, 33));
  const secret = number(Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url'));
  const r = x % ORDER;
  const s = (inverse(number(once.getPrivateKey())) * (number(digest) + r * secret)) % ORDER;
  return Buffer.from(`${hexOf(r)}${hexOf(s)}`, 'hex');
}

const number = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex')}`);
const hexOf = (value: bigint): string => value.toString(16).padStart(64, '0');

/** By Fermat: the order is a prime. */
function inverse(value: bigint): bigint {
  let result = 1n;
  let base = value % ORDER;
  for (let power = ORDER - 2n; power > 0n; power >>= 1n) {
    if (power % 2n === 1n) result = (result * base) % ORDER;
    base = (base * base) % ORDER;
  }
  return result;
}

const asSignature = (version: number, signature: Buffer, marshaling: unknown): Answer =>
  marshaling === 'jws'
    ? {
        status: 200,
        body: { data: { signature: `vault:v${version}:${signature.toString('base64url')}` } },
      }
    : wrong(400, 'this fake signs for JWS only');

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks).toString('utf8');
}

const asObject = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? { ...value } : {};

/** It listens on a port, so its address is one with a port. */
const asAddress = (address: unknown): AddressInfo => address as AddressInfo;
