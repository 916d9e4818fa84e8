// What a change of policy would mean, before anybody is asked to agree to it: its cases, its differences, and what it
// would have said to what really happened; and the way back.
import type { Command } from 'commander';
import type { PolicyBundle } from '../../commands/policy/bundle.ts';
import type { PolicyDiff } from '../../commands/policy/diff.ts';
import type { TestRun } from '../../commands/policy/tests.ts';
import { EXIT } from '../exit.ts';
import { positive, printResult, resultCommand, type OutputFlags } from './command.ts';
import { bundleOf, FOLDER } from './policy-check.ts';
import { policyRecordCommands, printSimulation, simulate } from './policy-record.ts';
import { asAutomation } from './session.ts';
import { cell, table, type Terminal } from './terminal.ts';

export function policyToolCommands(policy: Command, terminal: Terminal): void {
  resultCommand(policy, 'test [dir]', `run the cases of tests.yaml, offline (${FOLDER})`).action(
    (folder: string | undefined, flags: OutputFlags) => test(terminal, folder ?? FOLDER, flags),
  );
  resultCommand(policy, 'diff <dir>', 'what a bundle would change, by what it means')
    .option('--against <dir>', 'another bundle, offline, instead of the active policy')
    .option(
      '--last <n>',
      'how many real actions to look at, where a server is asked',
      positive,
      1_000,
    )
    .option('--exit-code', 'exit with 1 if anything changes')
    .action((folder: string, flags: DiffFlags) => diff(terminal, folder, flags));
  policyRecordCommands(policy, terminal);
}

async function test(terminal: Terminal, folder: string, flags: OutputFlags): Promise<void> {
  const bundle = await bundleOf(folder);
  const { runPolicyCases } = await import('../../commands/policy/tests.ts');
  const run = runPolicyCases(bundle);
  const failed = run.cases.filter(({ passed }) => !passed).length;
  printResult(terminal, flags, { version: bundle.version, ...run }, () => casesInWords(run));
  if (!flags.json)
    for (const rule of run.unexercised)
      terminal.note(`note: no case reaches the rule ${cell(rule)}`);
  if (failed > 0) terminal.endWith(EXIT.failed);
}

function casesInWords({ cases }: TestRun): string {
  const rows = cases.map(({ passed, name, decision, routes, problem, line }) => [
    passed ? 'pass' : 'FAIL',
    name,
    routes.length === 0 ? decision : `${decision} by ${routes.join(', ')}`,
    problem === null ? '' : `tests.yaml:${line ?? '?'}: ${problem}`,
  ]);
  const failed = cases.filter(({ passed }) => !passed).length;
  const shown = table(
    ['', 'CASE', 'OUTCOME', 'BUT'],
    failed > 0 ? rows : rows.map((row) => row.slice(0, 3)),
  );
  return `${failed > 0 ? shown : shown.replace(/ *BUT$/m, '')}\n\n${cases.length - failed} of ${cases.length} cases pass.`;
}

interface DiffFlags extends OutputFlags {
  against?: string;
  last: number;
  exitCode?: boolean;
}

async function diff(terminal: Terminal, folder: string, flags: DiffFlags): Promise<void> {
  const next = await bundleOf(folder);
  const { diffPolicies } = await import('../../commands/policy/diff.ts');
  const found = diffPolicies(await otherOf(terminal, flags), next);
  const replayed =
    flags.against === undefined && found.from !== found.to
      ? await simulate(terminal, next.files, flags.last)
      : null;
  printResult(terminal, flags, { ...found, real_actions: replayed }, () =>
    [diffInWords(found), ...(replayed ? ['', printSimulation(replayed)] : [])].join('\n'),
  );
  if (flags.exitCode && (found.changes.length > 0 || found.silenced.routes.length > 0))
    terminal.endWith(EXIT.failed);
}

async function otherOf(terminal: Terminal, { against }: DiffFlags): Promise<PolicyBundle> {
  if (against !== undefined) return bundleOf(against);
  const { files } = await (await asAutomation(terminal)).policies.active();
  const { parsePolicyBundle } = await import('../../commands/policy/bundle.ts');
  return parsePolicyBundle(files);
}

const SIGNS = { wider: '+', narrower: '-', changed: '~' } as const;

function diffInWords({ changes, silenced, asked, cut }: PolicyDiff): string {
  const rows = changes.map(({ direction, about, subject, who, says }) => [
    `${SIGNS[direction]} ${direction}`,
    about,
    subject,
    who === undefined ? says : `${who.join('; ')}: ${says}`,
  ]);
  return [
    changes.length === 0 ? 'Nothing changes.' : table(['', 'WHAT', 'WHERE', 'HOW'], rows),
    ...silenced.routes.map(
      (route) => `The gate ${cell(route)} would fall silent: its approvers have to agree as well.`,
    ),
    ...cut.map((each) => `Not everybody could be asked about: ${cell(each)}.`),
    `Both policies were asked ${asked} questions.`,
  ].join('\n');
}
