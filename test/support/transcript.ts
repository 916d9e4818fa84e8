// Documents as tests: console blocks are typed into a real shell and their output compared; what differs from run to
// run (ids, times, keys, ports) is compared by its shape.
import { spawn } from 'node:child_process';
import type { Variables } from './command-line.ts';

export interface Step {
  line: number;
  /** What is typed; for a comment, what it says that people do. */
  title: string;
  byPeople: boolean;
  expected: string[];
}

/** What a reader of a document does and sees, in order: its console blocks and comments. */
export function stepsOf(markdown: string): Step[] {
  return [...markdown.matchAll(/```console\n([\s\S]*?)```|<!-- *([\s\S]*?) *-->/g)].flatMap(
    ({ index, 1: typed, 2: comment }) => {
      const line = markdown.slice(0, index).split('\n').length;
      return typed === undefined
        ? [{ line, title: comment ?? '', byPeople: true, expected: [] }]
        : typedSteps(typed, line + 1);
    },
  );
}

function typedSteps(block: string, firstLine: number): Step[] {
  const steps: Step[] = [];
  for (const [at, text] of block.trimEnd().split('\n').entries())
    if (text.startsWith('$ '))
      steps.push({ line: firstLine + at, title: text.slice(2), byPeople: false, expected: [] });
    else steps.at(-1)?.expected.push(text);
  return steps;
}

/** The programs of a document. */
export const programsOf = (markdown: string): string[] =>
  [...markdown.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, program]) => program ?? '');

const SHAPES: [RegExp, string][] = [
  [/\b([a-z]{3})_[0-9a-hjkmnp-tv-z]{26}\b/g, '$1_ID'],
  [/\bcs_[0-9a-z]{26}\b/g, 'cs_ID'],
  [/sha256:[0-9a-f]{64}/g, 'sha256:DIGEST'],
  [/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?Z/g, 'TIME'],
  [/whpk_[A-Za-z0-9+/=]+/g, 'whpk_KEY'],
  [/\blog\/[0-9a-f]{8}\b/g, 'log/NAME'],
  [/\bsample_[0-9a-f]{12}\b/g, 'sample'],
  [/(?<=sign-in\/|cs_ID:|PGPASSWORD=')[A-Za-z0-9_-]{43}/g, 'SECRET'],
  [/(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])/g, 'KEY'],
  [/(localhost|127\.0\.0\.1):\d+/g, '$1:PORT'],
  [/PGPORT='\d+'/g, "PGPORT='PORT'"],
  [/^ *\d+ {2}(?=TIME)/gm, 'INDEX '],
  [/ {2,}/g, ' '],
];

/** The same text with everything that changes from run to run replaced by what it is. */
export const shapeOf = (text: string): string =>
  SHAPES.reduce((shaped, [pattern, name]) => shaped.replaceAll(pattern, name), text).trim();

/**
 * The shape of what was expected; or that of the output, if it fits. A line `…` stands for any lines, `…` in a line
 * for any text.
 */
export function expectedShape(expected: readonly string[], output: string): string {
  const shape = shapeOf(expected.join('\n'));
  const pattern = shape
    .split('\n')
    .map((line) => (line === '…' ? '(?:.*\\n)*' : `${escaped(line).replaceAll('…', '.*')}\\n`))
    .join('');
  const printed = shapeOf(output);
  return new RegExp(`^${pattern}$`).test(`${printed}\n`) ? printed : shape;
}

const escaped = (line: string): string => line.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

export interface Shell {
  /** What a command printed, on both outputs. */
  type(command: string): Promise<string>;
  close(): void;
}

/** One bash that keeps its variables, as the reader's does. */
export function openShell(cwd: string, env: Variables): Shell {
  const bash = spawn('bash', ['--noprofile', '--norc'], { cwd, env });
  let printed = '';
  let heard: () => void = () => undefined;
  const hear = (chunk: Buffer): void => {
    printed += chunk.toString();
    heard();
  };
  bash.stdout.on('data', hear);
  bash.stderr.on('data', hear);
  return {
    type: async (command) => {
      const mark = `--- end of ${Math.random()} ---`;
      printed = '';
      // The exit code is put back, so that `echo $?` on the next line shows it.
      bash.stdin.write(`{ ${command}\n} 2>&1; code=$?; echo '${mark}'; (exit $code)\n`);
      while (!printed.includes(`${mark}\n`))
        await new Promise<void>((resolve) => (heard = resolve));
      return printed.slice(0, printed.indexOf(mark));
    },
    close: () => void bash.kill(),
  };
}
