// The YAML files of a policy bundle, read so that every mistake is told with its file and line.
import {
  isMap,
  isPair,
  isScalar,
  LineCounter,
  parseDocument,
  type Document,
  type Node,
} from 'yaml';
import type { z } from 'zod';

/** One mistake in a bundle. */
export interface PolicyProblem {
  file: string;
  line: number | null;
  message: string;
}

/** A bundle that cannot be used, and everything that is wrong with it. */
export class PolicyError extends Error {
  readonly problems: readonly PolicyProblem[];
  constructor(problems: readonly PolicyProblem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.problems = problems;
  }
}

/** A mistake as a person reads it, and an editor jumps to it. */
export const formatProblem = ({ file, line, message }: PolicyProblem): string =>
  `${file}${line === null ? '' : `:${line}`}: ${message}`;

/** What a file says, in the shape it should have; null when it has another, and then the problems say why. */
export function readYaml<T>(
  file: string,
  files: Record<string, string>,
  schema: z.ZodType<T>,
  problems: PolicyProblem[],
): T | null {
  const text = files[file];
  if (text === undefined) {
    problems.push({ file, line: null, message: 'is missing' });
    return null;
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  for (const error of document.errors)
    problems.push({
      file,
      line: lines.linePos(error.pos[0]).line,
      message: firstLine(error.message),
    });
  if (document.errors.length > 0) return null;
  const parsed = schema.safeParse(document.toJS());
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) {
    const place = issue.path.map(String);
    problems.push({
      file,
      line: lineOfPath(document, place, lines),
      message: `${place.join('.') || 'the file'}: ${saysOf(issue)}`,
    });
  }
  return null;
}

/** What is wrong with a name is told by what it should have been. */
const saysOf = (issue: z.core.$ZodIssue): string =>
  issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;

const firstLine = (text: string): string => text.split('\n')[0] ?? text;

/** The line of the deepest part of the path that the file really has. */
function lineOfPath(
  document: Document.Parsed,
  place: readonly string[],
  lines: LineCounter,
): number | null {
  let node: unknown = document.contents;
  let at: number | null = null;
  for (const step of place) {
    const pair = isMap(node)
      ? node.items.find(
          (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === step,
        )
      : undefined;
    const key = pair?.key;
    if (isScalar(key) && key.range) at = key.range[0];
    node = pair ? pair.value : childAt(node, step);
    const range = asNode(node)?.range;
    if (!pair && range) at = range[0];
  }
  return at === null ? null : lines.linePos(at).line;
}

const childAt = (node: unknown, step: string): unknown =>
  typeof node === 'object' && node !== null && 'items' in node && Array.isArray(node.items)
    ? node.items[Number(step)]
    : null;

const asNode = (node: unknown): Node | null =>
  typeof node === 'object' && node !== null && 'range' in node ? (node as Node) : null;

/** The line on which a text position lies; null for a position that is nowhere. */
export const lineOf = (text: string, at: number): number | null =>
  at < 0 ? null : text.slice(0, at).split('\n').length;

/** Where a text first stands in a bundle. */
export function placeOf(
  files: Record<string, string>,
  text: string,
): Pick<PolicyProblem, 'file' | 'line'> {
  const [file = Object.keys(files)[0] ?? '', content = ''] =
    Object.entries(files).find(([, each]) => each.includes(text)) ?? [];
  return { file, line: lineOf(content, content.indexOf(text)) };
}
