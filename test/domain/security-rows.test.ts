// Every class of bug that approvals elsewhere had is held off by a test that says so in its name.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';

const TESTS = path.join(import.meta.dirname, '..');
const DOCUMENT = path.join(TESTS, '../docs/security.md');

const numbered = (prefix: string, most: number): string[] =>
  Array.from({ length: most }, (_, at) => `${prefix}${at + 1}`);

const ROWS = [...numbered('SEC-A', 10), ...numbered('SEC-B', 5), ...numbered('D', 21)];

/** The names with which tests begin, by file: of cases and of the groups that they stand in. */
const FILES = readdirSync(TESTS, { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.test\.tsx?$/.test(name))
  .map((name) => ({
    name,
    names: [
      ...readFileSync(path.join(TESTS, name), 'utf8').matchAll(
        /\b(?:it|test|describe)(?:\.each\([\s\S]*?\))?\(\s*(['"`])((?:SEC-[AB]|D)\d+)\b/g,
      ),
    ].map((match) => match[2] ?? ''),
  }));

const filesOf = (row: string): string[] =>
  FILES.filter(({ names }) => names.includes(row))
    .map(({ name }) => name)
    .toSorted();

it.each(ROWS)('%s has a test of its own', (row) => {
  expect(filesOf(row)).not.toEqual([]);
});

it('each row stands in the table of docs/security.md, with a file in which its test is', () => {
  const text = readFileSync(DOCUMENT, 'utf8');
  for (const row of ROWS) {
    const line = text.split('\n').find((each) => each.startsWith(`| ${row} `)) ?? '';
    const named = [...line.matchAll(/`test\/([^`]+)`/g)].map((match) => match[1] ?? '');
    const inNone = named.filter((name) => !filesOf(row).includes(name));
    expect([row, named.length > 0, inNone]).toEqual([row, true, []]);
  }
});
