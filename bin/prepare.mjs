// Runs before `npm start`, `npm test` and `npm run demo`: installs what is missing and builds what changed.
// Plain JavaScript without dependencies, for at this point there may be none.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { digest, sourcesDigest, STAMP } from './sources.mjs';

const NODE_MIN = [20, 19];
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])) {
  console.error(
    `countersign: Node ${process.versions.node} is too old; ${NODE_MIN.join('.')} or newer is needed.`,
  );
  process.exit(1);
}

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);

function stampIs(file, value) {
  return existsSync(file) && readFileSync(file, 'utf8') === value;
}

function run(what, command, args) {
  console.log(`countersign: ${what}`);
  try {
    execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  } catch {
    console.error(`countersign: ${what} failed; what it said is above.`);
    process.exit(1);
  }
}

const installed = digest(['package-lock.json']);
if (!stampIs('node_modules/.countersign-installed', installed)) {
  run('installing dependencies', 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  writeFileSync('node_modules/.countersign-installed', installed);
}

if (!stampIs(STAMP, sourcesDigest())) run('building', process.execPath, ['bin/build.mjs']);
