// A policy folder, parsed and tested without a server.
import path from 'node:path';
import type { PolicyBundle } from '../../commands/policy/bundle.ts';
import type { PolicyProblem } from '../../commands/policy/yaml.ts';
import { UsageError } from '../exit.ts';
import { readPolicyFolder } from '../policy-folder.ts';
import { cell } from './terminal.ts';

/** Where a bundle lies when nothing is said. */
export const FOLDER = 'policy';

/** What checking a folder came to. */
export interface Checked {
  files: Record<string, string>;
  problems: readonly PolicyProblem[];
  /** The problems as a person reads them, and an editor jumps to them. */
  text: string;
  bundle: PolicyBundle | null;
}

/** Reads, parses and tests the bundle in a folder. */
export async function checkFolder(folder: string): Promise<Checked> {
  // Cedar weighs several megabytes: loaded only where it is needed.
  const { parsePolicyBundle } = await import('../../commands/policy/bundle.ts');
  const { formatProblem, PolicyError } = await import('../../commands/policy/yaml.ts');
  const { runPolicyTests } = await import('../../commands/policy/tests.ts');
  const files = await readPolicyFolder(folder);
  const found = (bundle: PolicyBundle | null, problems: readonly PolicyProblem[]): Checked => {
    const lines = problems.map(({ file, line, message }) =>
      cell(formatProblem({ file: path.join(folder, file), line, message })),
    );
    return { files, bundle, problems, text: lines.join('\n') };
  };
  try {
    const bundle = parsePolicyBundle(files);
    return found(bundle, runPolicyTests(bundle));
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return found(null, error.problems);
  }
}

/** The bundle of a folder, whatever its own tests say; its mistakes end the command. */
export async function bundleOf(folder: string): Promise<PolicyBundle> {
  const { bundle, text } = await checkFolder(folder);
  if (!bundle) throw new UsageError(`the policy in ${folder} has mistakes:\n${text}`);
  return bundle;
}
