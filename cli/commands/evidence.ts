// What auditors ask: events, controls and their verdicts, reports, reviews.
import type { Command } from 'commander';
import type {
  EventFilter,
  LifecycleLine,
  RecordedEvent,
  Review,
  ReviewWithLines,
} from '../../sdk/index.ts';
import { EXIT_OF_VERDICT } from '../exit.ts';
import { attentionCommand } from './attention.ts';
import {
  firstItems,
  limitOption,
  makingCommand,
  positive,
  printMade,
  printResult,
  resultCommand,
  time,
  type IdFlags,
  type OutputFlags,
} from './command.ts';
import { asAutomation, asEither } from './session.ts';
import { cell, facts, json, table, when, type Terminal } from './terminal.ts';

export function evidenceCommands(program: Command, terminal: Terminal): void {
  eventsCommand(program, terminal);
  const control = program.command('control').description('the rules that verdicts are about');
  resultCommand(control, 'list', 'list controls').action(async (flags: OutputFlags) => {
    const controls = await (await asAutomation(terminal)).controls.list();
    printResult(terminal, flags, { data: controls.data }, () =>
      table(
        ['CONTROL', 'ROUTE', 'TITLE'],
        controls.data.map(({ id, route, title }) => [id, route, title]),
      ),
    );
  });
  resultCommand(program, 'verdict <control>', 'whether a control is real or decorative')
    .option('--from <time>', 'the beginning of the period', time)
    .option('--to <time>', 'its end', time)
    .action((id: string, flags: OutputFlags & { from?: string; to?: string }) =>
      verdict(terminal, id, flags),
    );
  const report = program.command('report').description('reports');
  resultCommand(report, 'lifecycle', 'agents, owners, what they hold, when it was last used')
    .option('--csv', 'print RFC 4180 CSV')
    .action((flags: OutputFlags & { csv?: boolean }) => lifecycle(terminal, flags));
  resultCommand(report, 'population', 'agents, what discovery found, stored secrets: one list')
    .option('--csv', 'print RFC 4180 CSV')
    .action((flags: OutputFlags & { csv?: boolean }) => population(terminal, flags));
  attentionCommand(report, terminal);
  reviewCommands(program, terminal);
}

function reviewCommands(program: Command, terminal: Terminal): void {
  const review = program.command('review').description('reviews of what agents hold');
  makingCommand(review, 'open', 'open a review over everything there is now')
    .requiredOption('--title <text>', 'what to call it')
    .option('--due <seconds>', 'when it closes by itself', positive)
    .action(async (flags: IdFlags & { title: string; due?: number }) => {
      const client = await asAutomation(terminal);
      const opened = await client.reviews.open({ title: flags.title, dueSeconds: flags.due });
      printMade(terminal, flags, opened, () => reviewFacts(opened));
    });
  resultCommand(review, 'list', 'list reviews').action(async (flags: OutputFlags) => {
    const reviews = await (await asAutomation(terminal)).reviews.list();
    printResult(terminal, flags, { data: reviews.data }, () =>
      table(
        ['REVIEW', 'STATE', 'DUE', 'TITLE'],
        reviews.data.map(({ id, state, due_at, title }) => [id, state, when(due_at), title]),
      ),
    );
  });
  resultCommand(review, 'show <id>', 'show a review line by line').action(
    async (id: string, flags: OutputFlags) => {
      const found = await (await asAutomation(terminal)).reviews.get(id);
      printResult(terminal, flags, found, () => `${reviewFacts(found)}\n\n${linesOf(found)}`);
    },
  );
}

const reviewFacts = ({ id, title, state, due_at }: Review): string =>
  facts([
    ['review', id],
    ['title', title],
    ['state', state],
    ['due', when(due_at)],
  ]);

const linesOf = ({ lines }: ReviewWithLines): string =>
  table(
    ['AGENT', 'CREDENTIAL', 'ADVICE', 'BECAUSE', 'DECISION', 'PROOF'],
    lines.map((line) => [
      line.agent,
      line.credential,
      line.recommendation,
      line.basis,
      line.decision,
      line.proof && `${line.proof.state} ${when(line.proof.seen_gone_at)}`,
    ]),
  );

interface EventFlags extends OutputFlags, EventFilter {
  follow?: boolean;
  limit: number;
}

function eventsCommand(program: Command, terminal: Terminal): void {
  limitOption(resultCommand(program, 'events', 'what happened, oldest first'))
    .option('--task <id>', 'only what happened under this task')
    .option('--request <id>', 'only what happened to this request')
    .option('--agent <id>', 'only what concerns this agent')
    .option('--control <id>', 'only what concerns this control')
    .option('--type <name>', 'only this type, such as vote.cast')
    .option('--follow', 'go on with new ones as they come; with --json, one object on a line')
    .action((flags: EventFlags) => events(terminal, flags));
}

async function events(terminal: Terminal, flags: EventFlags): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const { json: asJson, follow, limit, ...filter } = flags;
  const client = await asEither(terminal, {});
  if (follow) {
    for await (const event of client.events.follow(filter))
      terminal.print(asJson ? json(event, 0) : eventLine(event));
    return;
  }
  const items = eachItem((cursor) => client.events.list({ ...filter, cursor }));
  const found = await firstItems(terminal, limit, items);
  printResult(terminal, flags, { data: found }, () => found.map(eventLine).join('\n'));
}

/** The place in the log, the time, what happened to what, and how it was decided. */
function eventLine({ log_index: index, time, type, subject, data }: RecordedEvent): string {
  const name = type.replace(/^dev\.countersign\.(.*)\.v\d+$/, '$1');
  const { decision, cause } = data;
  const outcome = [decision, cause].filter((each) => typeof each === 'string').join(' ');
  return `${cell(index).padStart(6)}  ${when(time)}  ${cell(name).padEnd(26)}  ${cell(subject)}  ${outcome && cell(outcome)}`.trimEnd();
}

async function verdict(
  terminal: Terminal,
  id: string,
  flags: OutputFlags & { from?: string; to?: string },
): Promise<void> {
  const client = await asAutomation(terminal);
  const found = await client.controls.verdict(id, { from: flags.from, to: flags.to });
  const { verdictText } = await import('./verdict.ts');
  printResult(terminal, flags, found, () => verdictText(found));
  terminal.endWith(EXIT_OF_VERDICT[found.verdict]);
}

async function population(
  terminal: Terminal,
  flags: OutputFlags & { csv?: boolean },
): Promise<void> {
  const client = await asAutomation(terminal);
  if (flags.csv) return terminal.print((await client.reports.populationCsv()).trimEnd());
  const report = await client.reports.population();
  printResult(terminal, flags, report, () =>
    table(
      ['SOURCE', 'NAME', 'WHERE', 'STATE', 'OWNER', 'LAST USED', 'RISKS'],
      report.data.map((line) => [
        line.source,
        line.name,
        line.target,
        line.state,
        line.owner_by === 'guess' ? `${line.owner_name ?? '-'}?` : line.owner_name,
        when(line.last_used_at),
        line.risks,
      ]),
    ),
  );
}

async function lifecycle(
  terminal: Terminal,
  flags: OutputFlags & { csv?: boolean },
): Promise<void> {
  const client = await asAutomation(terminal);
  if (flags.csv) return terminal.print((await client.reports.lifecycleCsv()).trimEnd());
  const report = await client.reports.lifecycle();
  printResult(terminal, flags, report, () =>
    table(
      ['AGENT', 'STATE', 'OWNER', 'HOLDS', 'CREDENTIAL', 'LAST USED', 'ATTENTION'],
      report.data.map((line) => [
        line.agent_name,
        line.agent_state,
        line.owner_name,
        line.role,
        line.credential_state,
        when(line.credential_last_used_at ?? line.agent_last_used_at),
        attentionOf(line),
      ]),
    ),
  );
}

/** What somebody should look at. */
const attentionOf = (line: LifecycleLine): string =>
  [
    line.orphaned ? 'nobody answers for it' : null,
    line.rotation_overdue ? 'key overdue' : null,
    line.credential_state === 'revoke_failed' ? 'cannot be revoked yet' : null,
  ]
    .filter((each) => each !== null)
    .join(', ');
