// Configuration, read once from the environment, checked, frozen and passed down. Nothing else reads it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TrustedProxies } from '../api/client-certificate.ts';
import { fromBase64 } from '../domain/bytes.ts';
import { KEEP_SECONDS, type KeySchedule } from '../domain/signing-key.ts';
import type { TransitOptions } from '../keys/transit.ts';
import { readTlsListener, readTrustedProxies, type TlsListener } from './config-tls.ts';
import { StartError } from './embedded/process.ts';

export interface Config {
  /** `PORT`, default 8080. */
  port: number;
  /** `HOST`, default 127.0.0.1: reachable from this machine only. */
  host: string;
  /** `COUNTERSIGN_STATE`, default `.countersign`: keys, embedded databases, logs. */
  state: string;
  /** `DATABASE_URL`: a PostgreSQL of your own; without it `start` brings one up. */
  databaseUrl: string | null;
  /** `DATABASE_ADMIN_URL`: the owner of the schema, for `migrate`; default `DATABASE_URL`. */
  databaseAdminUrl: string | null;
  /** `TEMPORAL_ADDRESS`: a Temporal of your own; without it `start` brings one up. */
  temporalAddress: string | null;
  /** `TEMPORAL_NAMESPACE`, default `countersign`. */
  temporalNamespace: string;
  /** `TEMPORAL_API_KEY`: for Temporal Cloud; implies TLS. */
  temporalApiKey: string | null;
  /** `TEMPORAL_TLS`: `true` for TLS without an API key. */
  temporalTls: boolean;
  /** `COUNTERSIGN_ADMIN_TOKEN`: a bearer token for automation with the admin role. */
  adminToken: string | null;
  /** `COUNTERSIGN_PUBLIC_URL`: where callers reach the service, default `http://localhost:PORT`. */
  publicUrl: string;
  /** Whether that was said or guessed. */
  hasPublicUrl: boolean;
  /** `COUNTERSIGN_TRUST_DOMAIN`: fixed at the first migration. */
  trustDomain: string | null;
  /** `COUNTERSIGN_TLS_PORT` with `COUNTERSIGN_TLS_CERT` and `_KEY`: a listener of its own that takes client certificates. */
  tls: TlsListener | null;
  /** `COUNTERSIGN_SPIFFE_PORT`: a listener that shows an X.509-SVID of our own, for federation by `https_spiffe`. */
  spiffePort: number | null;
  /** `COUNTERSIGN_CLIENT_CERT_HEADER`, from `COUNTERSIGN_CLIENT_CERT_PROXIES`: where TLS ends in front of the service. */
  certificateProxies: TrustedProxies | null;
  /** `COUNTERSIGN_EGRESS_ALLOW`: hosts or host:port pairs, comma-separated, that callbacks may reach though private. */
  egressAllow: string[];
  /** `COUNTERSIGN_DPOP_NONCE`: `true` makes proofs of possession carry a nonce that we gave. */
  dpopNonces: boolean;
  /** `COUNTERSIGN_POLICY`: the bundle a new installation starts with, default the one that comes along. */
  policyFolder: string | null;
  /** `COUNTERSIGN_CRASH_AT`: a file that names a point at which to die. Tests only: needs `COUNTERSIGN_TEST`. */
  crashFile: string | null;
  /** `COUNTERSIGN_LOG`, default `on`: structured logs on standard output. */
  logs: boolean;
  /** How the keys that sign are turned. */
  signingKeys: KeySchedule;
  /** `COUNTERSIGN_SEAL_KEY`: 32 bytes from outside, to seal signing keys under. */
  sealKey: Uint8Array | null;
  /** `COUNTERSIGN_TRANSIT_ADDRESS` and what belongs to it: a key service that signs for us. */
  transit: Omit<TransitOptions, 'token' | 'onFault'> | null;
  /** A secret by the name of its variable, for targets of a policy. */
  secret: (name: string) => string | null;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export function readConfig(env: Environment): Readonly<Config> {
  const port = readPort(env['PORT']);
  const publicUrl = readUrl('COUNTERSIGN_PUBLIC_URL', env['COUNTERSIGN_PUBLIC_URL']);
  const secret = (name: string): string | null => readSecret(env, name);
  return Object.freeze({
    port,
    host: present(env['HOST']) ?? '127.0.0.1',
    state: path.resolve(present(env['COUNTERSIGN_STATE']) ?? '.countersign'),
    databaseUrl: secret('DATABASE_URL'),
    databaseAdminUrl: secret('DATABASE_ADMIN_URL'),
    temporalAddress: present(env['TEMPORAL_ADDRESS']),
    temporalNamespace: present(env['TEMPORAL_NAMESPACE']) ?? 'countersign',
    temporalApiKey: secret('TEMPORAL_API_KEY'),
    temporalTls: readBoolean('TEMPORAL_TLS', env['TEMPORAL_TLS']),
    adminToken: readAdminToken(secret('COUNTERSIGN_ADMIN_TOKEN')),
    publicUrl: publicUrl ?? `http://localhost:${port}`,
    hasPublicUrl: publicUrl !== null,
    trustDomain: present(env['COUNTERSIGN_TRUST_DOMAIN']),
    tls: readTlsListener(
      readPortOrNone(env, 'COUNTERSIGN_TLS_PORT'),
      secret('COUNTERSIGN_TLS_CERT'),
      secret('COUNTERSIGN_TLS_KEY'),
    ),
    spiffePort: readPortOrNone(env, 'COUNTERSIGN_SPIFFE_PORT'),
    certificateProxies: readTrustedProxies(
      present(env['COUNTERSIGN_CLIENT_CERT_HEADER']),
      present(env['COUNTERSIGN_CLIENT_CERT_PROXIES']),
    ),
    egressAllow: (present(env['COUNTERSIGN_EGRESS_ALLOW']) ?? '')
      .split(',')
      .map((entry) => entry.trim())
      .filter((entry) => entry !== ''),
    dpopNonces: readBoolean('COUNTERSIGN_DPOP_NONCE', env['COUNTERSIGN_DPOP_NONCE']),
    policyFolder: present(env['COUNTERSIGN_POLICY']),
    crashFile: readCrashFile(env),
    signingKeys: readKeySchedule(env),
    sealKey: readSealKey(secret('COUNTERSIGN_SEAL_KEY')),
    transit: readTransit(env),
    logs: (present(env['COUNTERSIGN_LOG']) ?? 'on') !== 'off',
    secret,
  });
}

const present = (value: string | undefined): string | null =>
  value === undefined || value.trim() === '' ? null : value.trim();

function readPort(value: string | undefined, name = 'PORT'): number {
  const text = present(value) ?? '8080';
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535)
    throw new StartError(`${name} is "${text}": it must be a number from 1 to 65535.`);
  return port;
}

const readPortOrNone = (env: Environment, name: string): number | null =>
  present(env[name]) === null ? null : readPort(env[name], name);

function readBoolean(name: string, value: string | undefined): boolean {
  const text = present(value) ?? 'false';
  if (text !== 'true' && text !== 'false')
    throw new StartError(`${name} is "${text}": it must be true or false.`);
  return text === 'true';
}

function readUrl(name: string, value: string | undefined): string | null {
  const text = present(value);
  if (text === null) return null;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new StartError(
      `${name} is "${text}": it must be a URL such as https://approvals.example.com.`,
    );
  }
  if (!/^https?:$/.test(url.protocol) || url.pathname !== '/' || url.search !== '')
    throw new StartError(`${name} is "${text}": it must be http or https, without a path.`);
  return url.origin;
}

/** `NAME`, or the content of the file that `NAME_FILE` names. */
export function readSecret(env: Environment, name: string): string | null {
  const file = present(env[`${name}_FILE`]);
  if (file === null) return present(env[name]);
  try {
    return present(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new StartError(`${name}_FILE names ${file}, which cannot be read.`, { cause });
  }
}

/** A token that could be guessed would make every approval in the house guessable. */
const TOKEN_LENGTH_MIN = 32;
const TOKEN_DISTINCT_MIN = 12;

function readAdminToken(token: string | null): string | null {
  if (token === null) return null;
  if (token.length < TOKEN_LENGTH_MIN || new Set(token).size < TOKEN_DISTINCT_MIN)
    throw new StartError(
      `COUNTERSIGN_ADMIN_TOKEN is too weak: it needs at least ${TOKEN_LENGTH_MIN} characters, ${TOKEN_DISTINCT_MIN} of them different; make one with: openssl rand -hex 32`,
    );
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new StartError('COUNTERSIGN_ADMIN_TOKEN may have visible ASCII characters only.');
  return token;
}

const DAY_SECONDS = 86_400;

/** `COUNTERSIGN_KEY_ROTATION_DAYS`, default 90, and `COUNTERSIGN_KEY_AHEAD_SECONDS`, default a day. */
function readKeySchedule(env: Environment): KeySchedule {
  const days = readWhole(env, 'COUNTERSIGN_KEY_ROTATION_DAYS', { least: 1, most: 3650, usual: 90 });
  const aheadSeconds = readWhole(env, 'COUNTERSIGN_KEY_AHEAD_SECONDS', {
    ...{ least: 60, most: 30 * DAY_SECONDS },
    usual: Math.min(DAY_SECONDS, (days * DAY_SECONDS) / 2),
  });
  const ageSeconds = days * DAY_SECONDS;
  if (aheadSeconds >= ageSeconds)
    throw new StartError(
      'COUNTERSIGN_KEY_AHEAD_SECONDS must be shorter than COUNTERSIGN_KEY_ROTATION_DAYS.',
    );
  return { ageSeconds, aheadSeconds, keepSeconds: KEEP_SECONDS };
}

function readWhole(
  env: Environment,
  name: string,
  { least, most, usual }: { least: number; most: number; usual: number },
): number {
  const text = present(env[name]);
  if (text === null) return usual;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most)
    throw new StartError(
      `${name} is "${text}": it must be a whole number from ${least} to ${most}.`,
    );
  return value;
}

const SEAL_KEY_BYTES = 32;

function readSealKey(text: string | null): Uint8Array | null {
  if (text === null) return null;
  const key = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : fromBase64(text);
  if (key?.length !== SEAL_KEY_BYTES || new Set(key).size < SEAL_KEY_BYTES / 4)
    throw new StartError(
      `COUNTERSIGN_SEAL_KEY must be ${SEAL_KEY_BYTES} random bytes as base64 or hex; make one with: openssl rand -base64 ${SEAL_KEY_BYTES}`,
    );
  return key;
}

const PATH = /^[\w.-]+(?:\/[\w.-]+)*$/;

function readTransit(env: Environment): Config['transit'] {
  const address = readUrl('COUNTERSIGN_TRANSIT_ADDRESS', env['COUNTERSIGN_TRANSIT_ADDRESS']);
  if (address === null) return null;
  const { protocol, hostname } = new URL(address);
  if (protocol !== 'https:' && !isLoopback(hostname))
    throw new StartError('COUNTERSIGN_TRANSIT_ADDRESS must be https: its token goes there.');
  if (readSecret(env, 'COUNTERSIGN_TRANSIT_TOKEN') === null)
    throw new StartError('COUNTERSIGN_TRANSIT_ADDRESS needs COUNTERSIGN_TRANSIT_TOKEN as well.');
  const path = (name: string, usual: string): string => {
    const text = present(env[name]) ?? usual;
    if (!PATH.test(text)) throw new StartError(`${name} is "${text}": it must be a plain path.`);
    return text;
  };
  return {
    address,
    mount: path('COUNTERSIGN_TRANSIT_MOUNT', 'transit'),
    namespace: present(env['COUNTERSIGN_TRANSIT_NAMESPACE']),
    keyPrefix: path('COUNTERSIGN_TRANSIT_KEY', 'countersign'),
  };
}

/** Whether a name is this machine's own. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || host.startsWith('127.');

function readCrashFile(env: Environment): string | null {
  const file = present(env['COUNTERSIGN_CRASH_AT']);
  if (file !== null && env['COUNTERSIGN_TEST'] !== 'true')
    throw new StartError('COUNTERSIGN_CRASH_AT is for tests only: it needs COUNTERSIGN_TEST=true.');
  return file;
}

/** Dies at a named point, once, if the crash file asks for it. */
export function crashPoints(config: Config): (name: string) => void {
  const { crashFile } = config;
  if (crashFile === null) return () => undefined;
  return (name) => {
    if (!existsSync(crashFile) || readFileSync(crashFile, 'utf8').trim() !== name) return;
    // Emptied first: the next process must get past this point.
    writeFileSync(crashFile, '');
    process.kill(process.pid, 'SIGKILL');
  };
}
