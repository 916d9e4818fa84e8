// The policy: checked here without a server, proposed to one, shown.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Command } from 'commander';
import type { PolicyBundle } from '../../commands/policy/bundle.ts';
import type { PolicyProblem } from '../../commands/policy/yaml.ts';
import { EXIT, UsageError } from '../exit.ts';
import { printResult, resultCommand, type OutputFlags } from './command.ts';
import { checkFolder, FOLDER } from './policy-check.ts';
import { policyToolCommands } from './policy-tools.ts';
import { asAutomation } from './session.ts';
import { cell, facts, table, type Terminal } from './terminal.ts';

export function policyCommands(program: Command, terminal: Terminal): void {
  const policy = program.command('policy').description('what is allowed, and who is asked');
  resultCommand(
    policy,
    'check [dir]',
    `parse, validate and test a bundle, offline (${FOLDER})`,
  ).action((folder: string | undefined, flags: OutputFlags) =>
    check(terminal, folder ?? FOLDER, flags),
  );
  resultCommand(policy, 'push <dir>', 'propose a bundle; people then activate it').action(
    (folder: string, flags: OutputFlags) => push(terminal, folder, flags),
  );
  resultCommand(policy, 'show', 'the active policy')
    .option('--out <dir>', 'write its files there')
    .action((flags: OutputFlags & { out?: string }) => show(terminal, flags));
  policyToolCommands(policy, terminal);
}

async function check(terminal: Terminal, folder: string, flags: OutputFlags): Promise<void> {
  const { bundle, problems, text } = await checkFolder(folder);
  const version = bundle?.version ?? null;
  const { unreachable } = await import('../../commands/policy/unreachable.ts');
  const warnings = bundle ? [...bundle.federation.warnings, ...unreachable(bundle)] : [];
  const { waiverNotes } = await import('../../commands/policy/waivers.ts');
  const notes = bundle ? waiverNotes(bundle) : [];
  printResult(terminal, flags, { version, problems, warnings, notes }, () =>
    problems.length > 0 ? text : `${folder} is good: ${counts(bundle)}, version ${version}.`,
  );
  const { formatProblem } = await import('../../commands/policy/yaml.ts');
  const tell = (kind: string, said: readonly PolicyProblem[]): void => {
    for (const { file, line, message } of said)
      terminal.note(
        cell(
          formatProblem({ file: path.join(folder, file), line, message: `${kind}: ${message}` }),
        ),
      );
  };
  if (!flags.json) {
    tell('warning', warnings);
    tell('note', notes);
  }
  if (problems.length > 0) terminal.endWith(EXIT.failed);
}

function counts(bundle: PolicyBundle | null): string {
  if (!bundle) return '';
  const { rules, routes, roles, tests } = bundle;
  return `${rules.size} policies, ${routes.size} routes, ${roles.size} roles, ${tests.length} tests pass`;
}

async function push(terminal: Terminal, folder: string, flags: OutputFlags): Promise<void> {
  const { files, problems, text } = await checkFolder(folder);
  if (problems.length > 0) {
    terminal.note(text);
    return terminal.endWith(EXIT.failed);
  }
  const proposed = await (await asAutomation(terminal)).policies.propose(files);
  const { version, request } = proposed;
  printResult(terminal, flags, proposed, () =>
    request
      ? facts([
          ['version', version],
          ['request', request.id],
          ['people decide at', request.url],
        ])
      : `${version} is the active policy.`,
  );
}

async function show(terminal: Terminal, flags: OutputFlags & { out?: string }): Promise<void> {
  const active = await (await asAutomation(terminal)).policies.active();
  if (flags.out !== undefined) await writeFiles(flags.out, active.files);
  const rows = Object.entries(active.files)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, text]) => [name, text.trimEnd().split('\n').length]);
  printResult(terminal, flags, active, () =>
    [facts([['version', active.version]]), '', table(['FILE', 'LINES'], rows)].join('\n'),
  );
}

/** Only plain names, and never over a file that is there. */
async function writeFiles(folder: string, files: Record<string, string>): Promise<void> {
  const { isPolicyFile } = await import('../../commands/policy/bundle.ts');
  await mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    if (!isPolicyFile(name)) throw new UsageError(`the server sent a file called ${cell(name)}.`);
    const file = path.join(folder, name);
    await writeFile(file, text, { flag: 'wx' }).catch((cause: unknown) => {
      throw new UsageError(`${file} cannot be written: it may be there already.`, { cause });
    });
  }
}
