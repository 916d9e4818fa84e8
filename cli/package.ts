// Where the package lies and which version it is.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = path.dirname(fileURLToPath(import.meta.url));
/** The root of the package, from source as well as from dist. */
export const PACKAGE_ROOT = path.resolve(
  HERE,
  path.basename(path.dirname(HERE)) === 'dist' ? '../..' : '..',
);
export const MIGRATIONS = path.join(PACKAGE_ROOT, 'db/migrations');

export function packageVersion(): string {
  const text = readFileSync(path.join(PACKAGE_ROOT, 'package.json'), 'utf8');
  const parsed: unknown = JSON.parse(text);
  return typeof parsed === 'object' && parsed !== null && 'version' in parsed
    ? String(parsed.version)
    : 'unknown';
}
