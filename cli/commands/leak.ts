// Leaks: a secret that was found comes in by standard input, for arguments and files of a shell are kept.
import { text as readAll } from 'node:stream/consumers';
import type { Command } from 'commander';
import type { Leak, LeakLine } from '../../sdk/index.ts';
import { UsageError } from '../exit.ts';
import {
  firstItems,
  limitOption,
  printResult,
  resultCommand,
  time,
  type OutputFlags,
} from './command.ts';
import { asAutomation } from './session.ts';
import { facts, table, when, type Terminal } from './terminal.ts';

interface ReportFlags extends OutputFlags {
  source: string;
  where?: string;
  hint?: string;
  seenAt?: string;
  suspend?: boolean;
}

export function leakCommands(program: Command, terminal: Terminal): void {
  const leak = program.command('leak').description('secrets found where they do not belong');
  resultCommand(leak, 'report', 'read what was found from standard input; if it is ours, it ends')
    .option('--source <text>', 'who found it', 'command line')
    .option('--where <place>', 'where it was found')
    .option('--seen-at <time>', 'when it was found', time)
    .option('--hint <text>', 'instead of the secret: a credential’s id, or its login')
    .option('--suspend', 'suspend the agent that had it as well')
    .action((flags: ReportFlags) => report(terminal, flags));
  resultCommand(leak, 'show <id>', 'one report, and whether it is dead').action(
    async (id: string, flags: OutputFlags) => {
      print(terminal, flags, await (await asAutomation(terminal)).leaks.get(id));
    },
  );
  limitOption(resultCommand(leak, 'list', 'all reports, newest first')).action(
    (flags: OutputFlags & { limit: number }) => list(terminal, flags),
  );
}

const WAIT_SECONDS = 30;

async function report(terminal: Terminal, flags: ReportFlags): Promise<void> {
  const { source, where, hint, seenAt } = flags;
  const secret = hint === undefined ? await readSecretText(terminal) : undefined;
  const policy = flags.suspend ? 'suspend' : 'revoke';
  const client = await asAutomation(terminal);
  const found = { secret, hint, source, where, seenAt, policy } as const;
  print(terminal, flags, await client.leaks.report(found, { waitSeconds: WAIT_SECONDS }));
}

async function readSecretText(terminal: Terminal): Promise<string> {
  if (process.stdin.isTTY) terminal.note('Paste what was found, then press Ctrl-D.');
  const secret = await readAll(process.stdin);
  if (secret.trim() === '') throw new UsageError('nothing came on standard input.');
  return secret;
}

const SAYS: Record<LeakLine['state'], string> = {
  not_ours: 'not ours',
  named: 'named, and not proven: nothing was ended',
  dead_before: 'ours, and dead before',
  dying: 'ours, and on its way out',
  dead: 'ours, and dead',
};

function print(terminal: Terminal, flags: OutputFlags, leak: Leak): void {
  const looked = Object.entries(leak.looked_for).map(([kind, number]) => `${number} ${kind}`);
  printResult(terminal, flags, leak, () =>
    [
      facts([
        ['leak', leak.id],
        ['it is', SAYS[leak.state]],
        ['dead after', leak.seconds_to_dead === null ? undefined : `${leak.seconds_to_dead} s`],
        ['looked for', looked.join(', ')],
      ]),
      ...leak.matches.flatMap((match) => [
        '',
        facts([
          ['agent', `${match.agent.name} (${match.agent.id}), ${match.agent.state}`],
          ['owner', match.agent.owner],
          ['credential', match.credential?.id ?? 'an access token of the agent'],
          ['role', match.credential?.role],
          ['since', when(match.credential?.issued_at ?? null)],
          ['last used', when(match.credential?.last_used_at ?? null)],
          ['seen', match.seen.length],
          ['outcome', match.outcome.replaceAll('_', ' ')],
        ]),
      ]),
    ].join('\n'),
  );
}

async function list(terminal: Terminal, flags: OutputFlags & { limit: number }): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asAutomation(terminal);
  const pages = eachItem((cursor) => client.leaks.list({ cursor }));
  const found = await firstItems(terminal, flags.limit, pages);
  printResult(terminal, flags, { data: found }, () =>
    table(
      ['ID', 'REPORTED', 'SOURCE', 'IT IS', 'SECONDS'],
      found.map((each) => [
        each.id,
        when(each.reported_at),
        each.source,
        SAYS[each.state],
        each.seconds_to_dead,
      ]),
    ),
  );
}
