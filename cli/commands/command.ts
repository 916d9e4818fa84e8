// What the commands of the client have in common: --json, and ways to read numbers and lists.
import { InvalidArgumentError, type Command } from 'commander';
import { readSecret } from '../config.ts';
import { UsageError } from '../exit.ts';
import { json, type Terminal } from './terminal.ts';

export interface OutputFlags {
  json?: boolean;
}

export interface IdFlags extends OutputFlags {
  quiet?: boolean;
}

/** A command that prints a result: readable, or with --json exactly as the API sent it. */
export const resultCommand = (parent: Command, usage: string, description: string): Command =>
  parent.command(usage).description(description).option('--json', 'print JSON');

/** A command that makes something; scripts take its id with --quiet. */
export const makingCommand = (parent: Command, usage: string, description: string): Command =>
  resultCommand(parent, usage, description).option('-q, --quiet', 'print only the id');

export function printResult(
  terminal: Terminal,
  flags: OutputFlags,
  value: unknown,
  readable: () => string,
): void {
  terminal.print(flags.json ? json(value) : readable());
}

export function printMade(
  terminal: Terminal,
  flags: IdFlags,
  value: { id: string },
  readable: () => string,
): void {
  if (flags.quiet) terminal.print(value.id);
  else printResult(terminal, flags, value, readable);
}

/** Reads a whole number of at least one. */
export function positive(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1)
    throw new InvalidArgumentError('It must be a number from 1.');
  return value;
}

/** Reads an RFC 3339 time, or a day. */
export function time(text: string): string {
  const ms = Date.parse(text);
  if (Number.isNaN(ms))
    throw new InvalidArgumentError('It must be a time such as 2026-11-01 or 2026-11-01T09:00:00Z.');
  return new Date(ms).toISOString();
}

/** Collects an option that may be given several times, or as a list with commas. */
export const several = (text: string, before: string[] = []): string[] => [
  ...before,
  ...text.split(',').filter((each) => each !== ''),
];

const ITEMS = 200;

export const limitOption = (command: Command): Command =>
  command.option('--limit <n>', 'print at most this many', positive, ITEMS);

/** The first items of a list, over as many pages as that takes. */
export async function firstItems<T>(
  terminal: Terminal,
  limit: number,
  items: AsyncIterable<T>,
): Promise<T[]> {
  const taken: T[] = [];
  for await (const item of items) {
    if (taken.length === limit) {
      terminal.note(`These are the first ${limit}: say --limit to see more.`);
      break;
    }
    taken.push(item);
  }
  return taken;
}

/** A secret from the environment, or from the file it names. */
export function requireSecret({ env }: Terminal, name: string): string {
  const secret = readSecret(env, name);
  if (secret === null) throw new UsageError(`set ${name}, or ${name}_FILE to a file with it.`);
  return secret;
}
