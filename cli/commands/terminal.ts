// What a command may do to the terminal it runs in. Text that came from elsewhere cannot move the cursor, hide, or
// pass for another line: hidden characters are written out.
import { replaceHidden, visible } from '../../domain/card.ts';
import type { Environment } from '../config.ts';

export interface Terminal {
  env: Environment;
  /** A result, on standard output. */
  print(text: string): void;
  /** Anything else worth saying, on standard error. */
  note(text: string): void;
  /** Ends with this exit code instead of 0. */
  endWith(exitCode: number): void;
}

export type Cell = string | number | boolean | null | undefined;

/** One line of text, whatever was in it. */
export function cell(value: Cell): string {
  if (value === null || value === undefined || value === '') return '-';
  return visible(String(value)).replaceAll('\n', '⟨U+000A⟩');
}

/** A time to the second; the full one is in --json. */
export const when = (time: string | null): string =>
  time === null ? '-' : `${time.slice(0, 19).replace('T', ' ')}Z`;

export function table(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const lines = [[...header], ...rows.map((row) => row.map(cell))];
  const widths = header.map((_, at) => Math.max(...lines.map((line) => widthOf(line[at]))));
  return lines
    .map((line) =>
      line
        .map((text, at) => padded(text, widths[at]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Labels on the left, what they stand for on the right; what is undefined is left out. */
export function facts(pairs: readonly (readonly [string, Cell])[]): string {
  const told = pairs.filter(([, value]) => value !== undefined);
  const width = Math.max(...told.map(([label]) => label.length));
  return told.map(([label, value]) => `${padded(label, width)}  ${cell(value)}`).join('\n');
}

const widthOf = (text: string | undefined): number => Array.from(text ?? '').length;

const padded = (text: string, width = 0): string =>
  text + ' '.repeat(Math.max(0, width - widthOf(text)));

/** JSON in which hidden characters are escaped: the same value for a program, harmless to a terminal. */
export function json(value: unknown, indent = 2): string {
  return replaceHidden(JSON.stringify(value, null, indent), (hidden) =>
    Array.from({ length: hidden.length }, (_, at) => hidden.charCodeAt(at))
      .map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

/** Shell words: nothing in the text is read by the shell. */
export const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
