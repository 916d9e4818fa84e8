// What the build is made from, as one digest: the build leaves it behind, and the next start compares.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const SOURCES = [
  'test/fakes',
  'domain',
  'keys',
  'commands',
  'workflows',
  'activities',
  'db',
  'api',
  'web',
  'cli',
  'sdk',
];
const CONFIG = [
  'package.json',
  'package-lock.json',
  'tsconfig.base.json',
  'tsconfig.pure.json',
  'tsconfig.json',
  'bin/build.mjs',
  'bin/sources.mjs',
];

function filesUnder(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name));
}

export const digest = (files) => {
  const hash = createHash('sha256');
  for (const file of files) hash.update(file).update('\0').update(readFileSync(file));
  return hash.digest('hex');
};

/** Where the build says what it was made from. */
export const STAMP = 'dist/.countersign-built';

export const sourcesDigest = () =>
  digest([
    ...SOURCES.filter((folder) => existsSync(folder))
      .flatMap(filesUnder)
      .toSorted(),
    ...CONFIG,
  ]);
