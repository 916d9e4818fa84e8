// Compiles the TypeScript and bundles the workflows, which is also the check that they are deterministic.
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { sourcesDigest, STAMP } from './sources.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);

// tsc leaves the output of files that were deleted, so the output goes first.
rmSync('dist', { recursive: true, force: true });
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-b', 'tsconfig.json'], {
  stdio: 'inherit',
});

const { bundleWorkflowCode } = await import('@temporalio/worker');
const quiet = () => undefined;
const { code } = await bundleWorkflowCode({
  workflowsPath: path.join(root, 'dist/workflows/index.js'),
  failureConverterPath: path.join(root, 'dist/workflows/failure-converter.js'),
  logger: {
    log: quiet,
    trace: quiet,
    debug: quiet,
    info: quiet,
    warn: console.warn,
    error: console.error,
  },
});
writeFileSync('dist/workflow-bundle.js', code);
writeFileSync(STAMP, sourcesDigest());
