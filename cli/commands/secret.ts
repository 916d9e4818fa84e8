// Stored secrets: put in from standard input, listed, and traced to whoever had them. None is ever printed.
import { text } from 'node:stream/consumers';
import type { Command } from 'commander';
import { UsageError } from '../exit.ts';
import {
  firstItems,
  limitOption,
  printResult,
  resultCommand,
  type OutputFlags,
} from './command.ts';
import { asAutomation } from './session.ts';
import { facts, table, when, type Terminal } from './terminal.ts';

export function secretCommands(program: Command, terminal: Terminal): void {
  const secret = program
    .command('secret')
    .description('secrets that are lent, for what can issue no credentials of its own');
  resultCommand(
    secret,
    'put <name>',
    'put a secret in from standard input, or a new version in its place',
  ).action((name: string, flags: OutputFlags) => put(terminal, name, flags));
  limitOption(resultCommand(secret, 'list', 'list stored secrets, without their values')).action(
    (flags: OutputFlags & { limit: number }) => list(terminal, flags),
  );
  limitOption(resultCommand(secret, 'custody <name>', 'who was given which version when')).action(
    (name: string, flags: OutputFlags & { limit: number }) => custody(terminal, name, flags),
  );
  secret
    .command('remove <name>')
    .description('forget a secret; who had it stays on record')
    .action(async (name: string) => {
      await (await asAutomation(terminal)).secrets.remove(name);
      terminal.print(`${name} is forgotten.`);
    });
}

/** An argument would be in the shell's history and in the list of processes; standard input is in neither. */
async function put(terminal: Terminal, name: string, flags: OutputFlags): Promise<void> {
  const value = process.stdin.isTTY ? '' : (await text(process.stdin)).replace(/\r?\n$/, '');
  if (value === '')
    throw new UsageError(`Nothing came on standard input: countersign secret put ${name} < file`);
  const client = await asAutomation(terminal);
  const stored = await client.secrets.put(name, value);
  printResult(terminal, flags, stored, () =>
    facts([
      ['secret', stored.name],
      ['version', stored.version],
      ['put', when(stored.put_at)],
    ]),
  );
}

async function list(terminal: Terminal, flags: OutputFlags & { limit: number }): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asAutomation(terminal);
  const items = eachItem((cursor) => client.secrets.list({ cursor }));
  const secrets = await firstItems(terminal, flags.limit, items);
  printResult(terminal, flags, { data: secrets }, () =>
    table(
      ['SECRET', 'VERSION', 'PUT', 'TAINTED SINCE'],
      secrets.map((each) => [each.name, each.version, when(each.put_at), when(each.tainted_at)]),
    ),
  );
}

async function custody(
  terminal: Terminal,
  name: string,
  flags: OutputFlags & { limit: number },
): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asAutomation(terminal);
  const items = eachItem((cursor) => client.secrets.custody(name, { cursor }));
  const loans = await firstItems(terminal, flags.limit, items);
  printResult(terminal, flags, { data: loans }, () =>
    table(
      ['VERSION', 'AGENT', 'TASK', 'CREDENTIAL', 'GIVEN', 'ENDED'],
      loans.map((loan) => [
        loan.version,
        loan.agent,
        loan.task,
        loan.credential,
        when(loan.given_at),
        when(loan.ended_at),
      ]),
    ),
  );
}
