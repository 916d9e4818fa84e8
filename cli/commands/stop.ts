// Stopping much at once: orders to revoke, and the kill switch.
import type { Command } from 'commander';
import type { Revocation, RevocationScope } from '../../sdk/index.ts';
import { UsageError } from '../exit.ts';
import {
  firstItems,
  limitOption,
  positive,
  printResult,
  resultCommand,
  type OutputFlags,
} from './command.ts';
import { asAutomation } from './session.ts';
import { facts, table, when, type Terminal } from './terminal.ts';

const SCOPES = [
  'credential',
  'task',
  'agent',
  'chain',
  'team',
  'role',
  'issuer',
  'target',
] as const;
const KILLS = ['agent', 'chain', 'team'] as const;

/** How long to watch an order being carried out, if it is not said. */
const WAIT_SECONDS = 15;

type Scoped = Partial<Record<(typeof SCOPES)[number], string>>;
type StopFlags = OutputFlags & Scoped & { reason: string; wait: number };

export function stopCommands(program: Command, terminal: Terminal): void {
  const revoke = resultCommand(program, 'revoke', 'revoke everything that has one thing in common');
  for (const scope of SCOPES) revoke.option(`--${scope} <${scope}>`, `everything of this ${scope}`);
  waitOption(revoke)
    .requiredOption('--reason <text>', 'why, for the record')
    .option('--dry-run', 'say what would end, and change nothing')
    .action((flags: StopFlags & { dryRun?: boolean }) => order(terminal, flags));
  const kill = resultCommand(
    program,
    'kill',
    'stop agents, end their tasks and revoke all they hold',
  );
  for (const scope of KILLS) kill.option(`--${scope} <${scope}>`, `this ${scope}`);
  waitOption(kill)
    .option('--everything', 'every agent; nothing starts again until people lift it')
    .requiredOption('--reason <text>', 'why, for the record')
    .action((flags: StopFlags & { everything?: boolean }) => throwSwitch(terminal, flags));
  resultCommand(program, 'lift', 'ask to have the stop of everything lifted; people agree to that')
    .requiredOption('--reason <text>', 'why, for the record')
    .action((flags: OutputFlags & { reason: string }) => lift(terminal, flags));
  resultCommand(program, 'revocation <id>', 'how far an order to revoke has come').action(
    async (id: string, flags: OutputFlags) =>
      printRevocation(terminal, flags, await (await asAutomation(terminal)).revocations.get(id)),
  );
  limitOption(
    resultCommand(program, 'failing', 'credentials that cannot be revoked just now'),
  ).action((flags: OutputFlags & { limit: number }) => failing(terminal, flags));
}

const waitOption = (command: Command): Command =>
  command.option('--wait <seconds>', 'how long to watch it', positive, WAIT_SECONDS);

/** The one thing that was named. */
function named<S extends RevocationScope>(
  flags: Scoped,
  scopes: readonly (S & keyof Scoped)[],
): { scope: S; id: string } {
  const given = scopes.flatMap((scope) => {
    const id = flags[scope];
    return id === undefined ? [] : [{ scope, id }];
  });
  const [first] = given;
  if (!first || given.length > 1)
    throw new UsageError(`say exactly one of --${scopes.join(', --')}.`);
  return first;
}

async function order(terminal: Terminal, flags: StopFlags & { dryRun?: boolean }): Promise<void> {
  const { scope: by, id } = named(flags, SCOPES);
  const client = await asAutomation(terminal);
  const what = { by, id, reason: flags.reason };
  if (flags.dryRun) {
    const found = await client.revocations.preview(what);
    return printResult(terminal, flags, found, () =>
      [`${found.credentials} would end.`, ...found.first].join('\n'),
    );
  }
  const ordered = await client.revocations.order(what, { waitSeconds: flags.wait });
  printRevocation(terminal, flags, ordered);
}

async function throwSwitch(
  terminal: Terminal,
  flags: StopFlags & { everything?: boolean },
): Promise<void> {
  const { reason, wait: waitSeconds } = flags;
  const client = await asAutomation(terminal);
  const killed = await client.revocations.kill(
    flags.everything
      ? { scope: 'everything' as const, reason }
      : { ...named(flags, KILLS), reason },
    { waitSeconds },
  );
  printResult(terminal, flags, killed, () =>
    facts([
      ['agents stopped', killed.agents],
      ['tasks ended', killed.tasks],
      ...revocationFacts(killed.revocation),
      ['stop', killed.stop],
    ]),
  );
}

async function lift(terminal: Terminal, flags: OutputFlags & { reason: string }): Promise<void> {
  const asked = await (await asAutomation(terminal)).revocations.lift(flags.reason);
  printResult(terminal, flags, asked, () =>
    'request' in asked
      ? `${asked.request.id} waits for people: ${asked.request.url}`
      : `${asked.id} is lifted.`,
  );
}

const revocationFacts = (row: Revocation): [string, string | number | null][] => [
  ['revocation', row.id],
  ['credentials', row.credentials],
  ['still alive', row.alive],
  ['failing', row.failing],
  ['not seen gone', row.not_seen_gone],
  ['done', when(row.done_at)],
];

function printRevocation(terminal: Terminal, flags: OutputFlags, row: Revocation): void {
  printResult(terminal, flags, row, () => facts(revocationFacts(row)));
}

async function failing(terminal: Terminal, flags: OutputFlags & { limit: number }): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asAutomation(terminal);
  const items = eachItem((cursor) => client.revocations.failing({ cursor }));
  const rows = await firstItems(terminal, flags.limit, items);
  printResult(terminal, flags, { data: rows }, () =>
    table(
      ['CREDENTIAL', 'ROLE', 'ATTEMPTS', 'WHY', 'NEXT TRY'],
      rows.map((row) => [row.id, row.role, row.attempts, row.last_error, when(row.next_try_at)]),
    ),
  );
}
