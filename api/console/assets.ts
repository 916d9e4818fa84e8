// The few static files of the console, read once and named by their content.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Assets } from '../../web/shell.ts';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ABOVE = path.resolve(HERE, '../..');
/** From source as well as from dist. */
const FOLDER = path.join(
  path.basename(ABOVE) === 'dist' ? path.dirname(ABOVE) : ABOVE,
  'web/assets',
);

interface Asset {
  bytes: Buffer;
  type: string;
  digest: string;
}

const TYPES = {
  'style.css': 'text/css; charset=utf-8',
  'console.js': 'text/javascript; charset=utf-8',
  'passkey.js': 'text/javascript; charset=utf-8',
  'favicon.svg': 'image/svg+xml',
};

function readAsset([name, type]: [string, string]): [string, Asset] {
  const bytes = readFileSync(path.join(FOLDER, name));
  const digest = createHash('sha256').update(bytes).digest('base64url').slice(0, 12);
  return [name, { bytes, type, digest }];
}

const FILES = new Map<string, Asset>(Object.entries(TYPES).map(readAsset));

const addressOf = (name: keyof typeof TYPES): string =>
  `/assets/${name}?v=${FILES.get(name)?.digest ?? ''}`;

/** The addresses that pages use; they change with the content. */
export const ASSETS: Assets = {
  style: addressOf('style.css'),
  script: addressOf('console.js'),
  passkey: addressOf('passkey.js'),
  icon: addressOf('favicon.svg'),
};

/** One file. Asked for by the digest it has now it may be kept for ever, otherwise for minutes. */
export function serveAsset(name: string, version: string | undefined): Response | null {
  const file = FILES.get(name);
  if (!file) return null;
  const isExact = version === file.digest;
  return new Response(new Uint8Array(file.bytes), {
    headers: {
      'content-type': file.type,
      'cache-control': isExact ? 'public, max-age=31536000, immutable' : 'public, max-age=300',
    },
  });
}
