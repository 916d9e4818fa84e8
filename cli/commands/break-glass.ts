// Emergencies, to look at, and kits for when the service is down. Emergencies are declared, confirmed and reviewed by
// people on their page.
import type { Command } from 'commander';
import type { Emergency } from '../../sdk/index.ts';
import {
  firstItems,
  limitOption,
  printResult,
  resultCommand,
  type OutputFlags,
} from './command.ts';
import { kitCommands } from './kit.ts';
import { asAutomation } from './session.ts';
import { facts, table, when, type Terminal } from './terminal.ts';

export function breakGlassCommands(program: Command, terminal: Terminal): void {
  const glass = program
    .command('break-glass')
    .description('emergency access: who used it, and which reviews are open');
  limitOption(resultCommand(glass, 'list', 'list emergencies'))
    .option('--unreviewed', 'only those whose review is open')
    .action((flags: ListFlags) => list(terminal, flags));
  kitCommands(glass, terminal);
  resultCommand(glass, 'show <id>', 'show one emergency and its review').action(
    async (id: string, flags: OutputFlags) => {
      const row = await (await asAutomation(terminal)).breakGlass.get(id);
      printResult(terminal, flags, row, () => facts(factsOf(row)));
    },
  );
}

type ListFlags = OutputFlags & { limit: number; unreviewed?: boolean };

async function list(terminal: Terminal, flags: ListFlags): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asAutomation(terminal);
  const { unreviewed } = flags;
  const items = eachItem((cursor) => client.breakGlass.list({ unreviewed, cursor }));
  const rows = await firstItems(terminal, flags.limit, items);
  printResult(terminal, flags, { data: rows }, () =>
    table(
      ['EMERGENCY', 'ROLE', 'AGENT', 'STATE', 'OPENED', 'REVIEW BY'],
      rows.map((row) => [
        row.id,
        row.role,
        row.agent,
        row.state,
        when(row.opened_at),
        when(row.review_due_at),
      ]),
    ),
  );
}

const factsOf = (row: Emergency): [string, string | number | null][] => [
  ['emergency', row.id],
  ['role', row.role],
  ['agent', row.agent],
  ['task', row.task],
  ['past', row.gates.join(', ')],
  ['people', row.people.join(', ')],
  ['incident', row.incident],
  ['state', row.state],
  ['opened', when(row.opened_at)],
  ['review by', when(row.review_due_at)],
  ['reviewed by', row.reviewed_by],
  ['it was', row.disposition],
  ['effects seen', row.effects_seen],
];
