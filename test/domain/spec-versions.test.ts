// The list of pinned specifications names what is there, and comments name what is on the list.
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');
let listed: string;
beforeAll(async () => {
  listed = await readFile(path.join(ROOT, 'SPEC_VERSIONS.md'), 'utf8');
});

async function sources(folder: string): Promise<string[]> {
  const found = await readdir(path.join(ROOT, folder), { recursive: true });
  return found.filter((file) => file.endsWith('.ts')).map((file) => path.join(folder, file));
}

describe('SPEC_VERSIONS.md', () => {
  it('names only files and folders that are there', () => {
    const rows = listed.split('\n').filter((line) => line.startsWith('|'));
    const named = rows.flatMap((row) =>
      [...row.matchAll(/`([a-z][\w./-]+)`/g)].map(([, at = '']) => at),
    );
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter((at) => !existsSync(path.join(ROOT, at)))).toEqual([]);
  });

  it('has every specification that a comment names', async () => {
    const ids = new Set([...listed.matchAll(/^\| ([\w.-]+) +\|/gm)].map(([, id]) => id));
    const files = await Promise.all(['api', 'activities', 'commands', 'domain'].map(sources));
    const texts = await Promise.all(
      files.flat().map((file) => readFile(path.join(ROOT, file), 'utf8')),
    );
    const named = texts.flatMap((text) =>
      [...text.matchAll(/@spec ([\w.-]+)#/g)].map(([, id]) => id),
    );
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((id) => !ids.has(id))).toEqual([]);
  });
});
