// Policies that tests make out of the sample one, file by file.
import path from 'node:path';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import { readPolicyFolder } from '../../cli/policy-folder.ts';
import { parsePolicyBundle } from '../../commands/policy/bundle.ts';
import { PolicyError } from '../../commands/policy/yaml.ts';

export type Files = Record<string, string>;
/** A change of some files. */
export type Change = (files: Files) => Files;

/** The sample policy, without its own tests. */
export const samplePolicy = async (): Promise<Files> => ({
  ...(await readPolicyFolder(path.join(PACKAGE_ROOT, 'policy'))),
  'tests.yaml': '[]',
});

/** Replaces what has to be there. */
export const replacing =
  (file: string, from: string | RegExp, to: string): Change =>
  (files) => {
    const changed = (files[file] ?? '').replace(from, to);
    if (changed === files[file]) throw new Error(`${file} has no ${String(from)}`);
    return { ...files, [file]: changed };
  };

/** Adds to the end of a file. */
export const adding =
  (file: string, text: string): Change =>
  (files) => ({ ...files, [file]: `${files[file] ?? ''}\n${text}\n` });

/** One change after the other. */
export const all =
  (...changes: Change[]): Change =>
  (files) =>
    changes.reduce((changed, change) => change(changed), files);

/** What is wrong with a policy, as whoever wrote it is told; empty where nothing is. */
export function problemsOf(files: Files): string {
  try {
    parsePolicyBundle(files);
    return '';
  } catch (error) {
    if (error instanceof PolicyError) return error.message;
    throw error;
  }
}
