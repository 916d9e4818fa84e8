#!/usr/bin/env node
// The command as npm installs it. In a clone there is nothing to run before the first build.
import { existsSync } from 'node:fs';

const program = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(program)) {
  await import(program.href);
} else {
  console.error('countersign: this clone is not built yet: run npm start, or npm run build.');
  process.exitCode = 1;
}
