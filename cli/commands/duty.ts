// Who votes for whom, who is on call, and what enforcement points did not answer for.
import { Option, type Command } from 'commander';
import type { Absence, Finding, OnCallNow, OnCallSource } from '../../sdk/index.ts';
import { UsageError } from '../exit.ts';
import {
  printMade,
  printResult,
  resultCommand,
  makingCommand,
  requireSecret,
  time,
  type IdFlags,
  type OutputFlags,
} from './command.ts';
import { asAutomation } from './session.ts';
import { facts, table, when, type Terminal } from './terminal.ts';

interface AwayFlags extends IdFlags {
  standIn: string;
  from?: string;
  to: string;
}

interface ConnectFlags extends OutputFlags {
  kind: OnCallSource['kind'];
  schedule: string;
  apiUrl?: string;
  person?: string[];
}

export function dutyCommands(program: Command, terminal: Terminal): void {
  absenceCommands(program, terminal);
  onCallCommands(program, terminal);
  const finding = program
    .command('finding')
    .description('uses of permits that nobody answered for, or that ran something else');
  resultCommand(finding, 'list', 'list those that are open')
    .addOption(
      new Option('--kind <kind>', 'of one kind').choices(['receipt_missing', 'digest_mismatch']),
    )
    .action((flags: OutputFlags & { kind?: Finding }) => findings(terminal, flags));
}

function absenceCommands(program: Command, terminal: Terminal): void {
  const absence = program
    .command('absence')
    .description('who votes for whom; everybody says it for themselves on their page, too');
  makingCommand(absence, 'add <person>', 'name who votes for a person who is away')
    .requiredOption('--stand-in <person>', 'who votes meanwhile: psn_…')
    .option('--from <time>', 'when it begins; now if it is not said', time)
    .requiredOption('--to <time>', 'when it ends, at most 90 days later', time)
    .action(async (id: string, flags: AwayFlags) => {
      const { standIn, from: startsAt, to: endsAt } = flags;
      const client = await asAutomation(terminal);
      const made = await client.people.away(id, { standIn, startsAt, endsAt });
      printMade(terminal, flags, made, () => facts(factsOf(made)));
    });
  resultCommand(absence, 'list <person>', 'the absences of a person, the latest first').action(
    async (id: string, flags: OutputFlags) => {
      const { data } = await (await asAutomation(terminal)).people.absences(id);
      printResult(terminal, flags, { data }, () =>
        table(
          ['ABSENCE', 'STAND-IN', 'FROM', 'TO', 'TAKEN BACK'],
          data.map((each) => [
            each.id,
            each.stand_in,
            when(each.starts_at),
            when(each.ends_at),
            when(each.withdrawn_at),
          ]),
        ),
      );
    },
  );
  resultCommand(absence, 'remove <person> <absence>', 'take an absence back').action(
    async (id: string, which: string, flags: OutputFlags) => {
      const row = await (await asAutomation(terminal)).people.back(id, which);
      printResult(terminal, flags, row, () => facts(factsOf(row)));
    },
  );
}

const factsOf = (row: Absence): [string, string | null][] => [
  ['absence', row.id],
  ['person', row.person],
  ['stand-in', row.stand_in],
  ['from', when(row.starts_at)],
  ['to', when(row.ends_at)],
  ['taken back', row.withdrawn_at === null ? null : when(row.withdrawn_at)],
];

function onCallCommands(program: Command, terminal: Terminal): void {
  const onCall = program
    .command('on-call')
    .description('schedules of other services, whose people on call routes can ask');
  resultCommand(onCall, 'list', 'who is on call by each, when it was asked, and why not').action(
    async (flags: OutputFlags) => {
      const { data } = await (await asAutomation(terminal)).onCall.now();
      printResult(terminal, flags, { data }, () => onCallTable(data));
    },
  );
  resultCommand(onCall, 'connect <name>', 'connect one; its token comes from the environment')
    .addOption(
      new Option('--kind <kind>', 'which service it is')
        .choices(['pagerduty', 'opsgenie'])
        .makeOptionMandatory(),
    )
    .requiredOption('--schedule <id>', 'the id of the schedule there')
    .option('--api-url <url>', 'instead of the service’s own address')
    .option('--person <id=person...>', 'a user there and the person here, where addresses differ')
    .action((name: string, flags: ConnectFlags) => connect(terminal, name, flags));
  onCall
    .command('remove <name>')
    .description('disconnect one and forget its token; nobody is on call by it any more')
    .action(async (name: string) => {
      await (await asAutomation(terminal)).onCall.disconnect(name);
      terminal.note(`${name} is asked no more.`);
    });
}

const onCallTable = (rows: readonly OnCallNow[]): string =>
  table(
    ['SCHEDULE', 'ON CALL', 'UNKNOWN HERE', 'ASKED', 'ANSWER'],
    rows.map((row) => [
      row.source,
      row.people.join(', '),
      row.unmatched,
      when(row.looked_at),
      row.code?.replaceAll('_', ' ') ?? 'it answered',
    ]),
  );

/** The token is never an argument: every process on the machine can read those. */
async function connect(terminal: Terminal, name: string, flags: ConnectFlags): Promise<void> {
  const { kind, schedule, apiUrl } = flags;
  const token = requireSecret(terminal, 'COUNTERSIGN_ON_CALL_TOKEN');
  const people = Object.fromEntries((flags.person ?? []).map(pairOf));
  const client = await asAutomation(terminal);
  const connected = await client.onCall.connect(name, { kind, token, schedule, apiUrl, people });
  printResult(
    terminal,
    flags,
    connected,
    () => `${name} is connected, and asked every minute: see who it names with on-call list.`,
  );
}

function pairOf(text: string): [string, string] {
  const at = text.lastIndexOf('=');
  if (at < 1) throw new UsageError('--person is a user there and a person here: PABC12=psn_….');
  return [text.slice(0, at), text.slice(at + 1)];
}

async function findings(
  terminal: Terminal,
  flags: OutputFlags & { kind?: Finding },
): Promise<void> {
  const { data } = await (await asAutomation(terminal)).permits.findings(flags.kind);
  printResult(terminal, flags, { data }, () =>
    table(
      ['PERMIT', 'REQUEST', 'FOR', 'FINDING', 'USED', 'RECEIPT DUE'],
      data.flatMap((permit) =>
        permit.redemptions
          .filter(({ finding }) => finding !== null)
          .map((use) => [
            permit.id,
            permit.request,
            permit.audience,
            use.finding?.replaceAll('_', ' '),
            when(use.redeemed_at),
            when(use.receipt_due_at),
          ]),
      ),
    ),
  );
}
