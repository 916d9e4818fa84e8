// A policy bundle as it lies in a folder.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { StartError } from './embedded/process.ts';

/** What could be meant as a part of the policy: a file with a misspelt name is a mistake, not to be left out. */
const COUNTS = /\.(?:cedar|cedarschema|yaml|yml)$/;

/** The files of a policy folder, by name. */
export async function readPolicyFolder(folder: string): Promise<Record<string, string>> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new StartError(`the policy folder ${folder} cannot be read.`, { cause });
  });
  const files: Record<string, string> = {};
  for (const name of names.toSorted())
    if (COUNTS.test(name)) files[name] = await readFile(path.join(folder, name), 'utf8');
  return files;
}
