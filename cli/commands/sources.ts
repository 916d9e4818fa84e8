// Who is believed: scanners that report leaks, and sources of signed events that set tasks off.
import { readFile } from 'node:fs/promises';
import { Option, type Command } from 'commander';
import type { LeakScanner, TriggerSource } from '../../sdk/index.ts';
import { UsageError } from '../exit.ts';
import {
  firstItems,
  limitOption,
  makingCommand,
  printMade,
  printResult,
  resultCommand,
  type IdFlags,
  type OutputFlags,
} from './command.ts';
import { asAutomation, readKeyFile } from './session.ts';
import { facts, table, when, type Terminal } from './terminal.ts';

interface ScannerFlags extends OutputFlags {
  kind: LeakScanner['kind'];
  keys?: string;
  suspend?: boolean;
}

type ListFlags = OutputFlags & { limit: number };

export function sourceCommands(program: Command, terminal: Terminal): void {
  const scanner = program.command('scanner').description('scanners that report leaked secrets');
  // Without --quiet: the secret of a webhook is told once, and an id alone would lose it.
  resultCommand(scanner, 'add <name>', 'let a scanner report; prints where, and its secret, once')
    .addOption(
      new Option('--kind <kind>', 'how it signs its reports')
        .choices(['webhook', 'github'])
        .default('webhook'),
    )
    .option('--keys <file>', 'the JSON of api.github.com/meta/public_keys/secret_scanning')
    .option('--suspend', 'its reports suspend the agent that had the secret as well')
    .action((name: string, flags: ScannerFlags) => addScanner(terminal, name, flags));
  limitOption(resultCommand(scanner, 'list', 'all scanners')).action((flags: ListFlags) =>
    listScanners(terminal, flags),
  );
  scanner
    .command('remove <id>')
    .description('hear it no more')
    .action(async (id: string) => {
      await (await asAutomation(terminal)).scanners.remove(id);
      terminal.note(`${id} is heard no more.`);
    });
  const source = program
    .command('trigger-source')
    .description('sources whose signed events show what set a task off');
  makingCommand(source, 'add <name>', 'believe what this key signs')
    .requiredOption('--key <file>', 'its key, from keygen; only the public part is sent')
    .action((name: string, flags: IdFlags & { key: string }) => addSource(terminal, name, flags));
  limitOption(resultCommand(source, 'list', 'all sources')).action((flags: ListFlags) =>
    listSources(terminal, flags),
  );
  source
    .command('remove <id>')
    .description('believe it no more')
    .action(async (id: string) => {
      await (await asAutomation(terminal)).triggerSources.remove(id);
      terminal.note(`${id} is believed no more.`);
    });
}

async function addScanner(terminal: Terminal, name: string, flags: ScannerFlags): Promise<void> {
  const { kind, keys } = flags;
  if ((kind === 'github') !== (keys !== undefined))
    throw new UsageError('--keys goes with --kind github, and only with it.');
  const publicKeys = keys === undefined ? undefined : await readGithubKeys(keys);
  const client = await asAutomation(terminal);
  const policy = flags.suspend ? 'suspend' : 'revoke';
  const made = await client.scanners.add({ name, kind, policy, publicKeys });
  printResult(terminal, flags, made, () =>
    facts([
      ['scanner', made.id],
      ['reports to', made.url],
      ['it may', made.policy],
      ['keys', made.key_identifiers.join(', ') || undefined],
      ['secret', made.secret ?? undefined],
    ]),
  );
  if (made.secret !== null)
    terminal.note('The secret is told this once: give it to the scanner now.');
}

const GITHUB_KEYS = 'it is not what api.github.com/meta/public_keys/secret_scanning answers';

/** The keys that GitHub signs with now, as it publishes them. */
async function readGithubKeys(file: string): Promise<{ key_identifier: string; key: string }[]> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new UsageError(`the file ${file} cannot be read.`, { cause });
  });
  const keys = membersOf(parsed(text))['public_keys'];
  if (!Array.isArray(keys)) throw new UsageError(`${GITHUB_KEYS}.`);
  return keys
    .map(membersOf)
    .filter((each) => each['is_current'] !== false)
    .map(({ key_identifier: id, key }) => {
      if (typeof id !== 'string' || typeof key !== 'string')
        throw new UsageError(`${GITHUB_KEYS}.`);
      return { key_identifier: id, key };
    });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`${GITHUB_KEYS}.`);
  }
}

const membersOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};

async function listScanners(terminal: Terminal, flags: ListFlags): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asAutomation(terminal);
  const pages = eachItem((cursor) => client.scanners.list({ cursor }));
  const found = await firstItems(terminal, flags.limit, pages);
  printResult(terminal, flags, { data: found }, () =>
    table(
      ['ID', 'NAME', 'KIND', 'MAY', 'ADDED'],
      found.map((each) => [each.id, each.name, each.kind, each.policy, when(each.created_at)]),
    ),
  );
}

async function addSource(
  terminal: Terminal,
  name: string,
  flags: IdFlags & { key: string },
): Promise<void> {
  const { parsePublicKey } = await import('../../sdk/index.ts');
  const key = parsePublicKey(await readKeyFile(flags.key));
  const made = await (await asAutomation(terminal)).triggerSources.add(name, key);
  printMade(terminal, flags, made, () => describe(made));
}

const describe = (source: TriggerSource): string =>
  facts([
    ['source', source.id],
    ['name', source.name],
    ['thumbprint', source.thumbprint],
  ]);

async function listSources(terminal: Terminal, flags: ListFlags): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asAutomation(terminal);
  const pages = eachItem((cursor) => client.triggerSources.list({ cursor }));
  const found = await firstItems(terminal, flags.limit, pages);
  printResult(terminal, flags, { data: found }, () =>
    table(
      ['ID', 'NAME', 'THUMBPRINT', 'ADDED'],
      found.map((each) => [each.id, each.name, each.thumbprint, when(each.created_at)]),
    ),
  );
}
