// Tasks: started and ended by their agent.
import { readFile, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Task } from '../../sdk/index.ts';
import { UsageError } from '../exit.ts';
import {
  makingCommand,
  positive,
  printMade,
  printResult,
  resultCommand,
  type IdFlags,
  type OutputFlags,
} from './command.ts';
import { agentOptions, asAgent, asEither, type AgentFlags } from './session.ts';
import { facts, when, type Terminal } from './terminal.ts';

const TTL_SECONDS = 900;
/** How long ending waits until everything is seen gone. */
const WAIT_SECONDS = 30;

export function taskCommands(program: Command, terminal: Terminal): void {
  const task = program.command('task').description('start and end tasks as an agent');
  agentOptions(makingCommand(task, 'start', 'start a task'))
    .requiredOption('--purpose <text>', 'what it is for')
    .option('--ttl <seconds>', 'when it ends by itself', positive, TTL_SECONDS)
    .option('--triggered-by <person>', 'the person behind it: psn_…')
    .option('--parent <file>', 'what another agent handed on, from task delegate')
    .action((flags: StartFlags) => start(terminal, flags));
  agentOptions(resultCommand(task, 'delegate <id>', 'hand part of a task on to another agent'))
    .requiredOption('--to <agent>', 'the agent that it is for, and for no other: agt_…')
    .option('--role <role...>', 'the roles that it may ask for; all that the task has if not said')
    .requiredOption('--out <file>', 'where to write the token; never over another file')
    .action((id: string, flags: DelegateFlags) => delegate(terminal, id, flags));
  agentOptions(resultCommand(task, 'show <id>', 'show one task')).action(
    async (id: string, flags: OutputFlags & AgentFlags) =>
      printTask(terminal, flags, await (await asEither(terminal, flags)).tasks.get(id)),
  );
  agentOptions(resultCommand(task, 'complete <id>', 'end a task: what it held is revoked')).action(
    async (id: string, flags: OutputFlags & AgentFlags) => {
      const client = await asEither(terminal, flags);
      const ended = await client.tasks.complete(id, { waitSeconds: WAIT_SECONDS });
      printTask(terminal, flags, ended);
    },
  );
  agentOptions(
    resultCommand(
      task,
      'purpose <id> <purpose>',
      'give a task another purpose: what it may not have for that is revoked',
    ),
  )
    .requiredOption('--reason <text>', 'why, for the record')
    .action(
      async (id: string, purpose: string, flags: OutputFlags & AgentFlags & { reason: string }) => {
        const client = await asEither(terminal, flags);
        printTask(terminal, flags, await client.tasks.changePurpose(id, purpose, flags.reason));
      },
    );
  agentOptions(resultCommand(task, 'fail <id>', 'end a task that did not succeed'))
    .requiredOption('--reason <text>', 'why, for the record')
    .action(async (id: string, flags: OutputFlags & AgentFlags & { reason: string }) => {
      const client = await asEither(terminal, flags);
      const ended = await client.tasks.fail(id, flags.reason, { waitSeconds: WAIT_SECONDS });
      printTask(terminal, flags, ended);
    });
}

interface StartFlags extends IdFlags, AgentFlags {
  purpose: string;
  ttl: number;
  triggeredBy?: string;
  parent?: string;
}

async function start(terminal: Terminal, flags: StartFlags): Promise<void> {
  const client = await asAgent(terminal, flags);
  const { purpose, ttl: ttlSeconds, triggeredBy } = flags;
  const parent = flags.parent === undefined ? undefined : await readHandedOn(flags.parent);
  const task = await client.tasks.start({ purpose, ttlSeconds, triggeredBy, parent });
  printMade(terminal, flags, task, () => factsOf(task));
}

const readHandedOn = async (file: string): Promise<string> =>
  (
    await readFile(file, 'utf8').catch((cause: unknown) => {
      throw new UsageError(`the file ${file} cannot be read.`, { cause });
    })
  ).trim();

interface DelegateFlags extends OutputFlags, AgentFlags {
  to: string;
  role?: string[];
  out: string;
}

/** The token goes into a file that only its owner reads, and never through a screen. */
async function delegate(terminal: Terminal, id: string, flags: DelegateFlags): Promise<void> {
  const client = await asAgent(terminal, flags);
  const { to, role: roles, out } = flags;
  const { subject_token: token, ...made } = await client.tasks.delegate(id, { agent: to, roles });
  await writeFile(out, `${token}\n`, { flag: 'wx', mode: 0o600 }).catch((cause: unknown) => {
    throw new UsageError(`the file ${out} cannot be written, or is there already.`, { cause });
  });
  printResult(terminal, flags, made, () =>
    facts([
      ['task', made.task],
      ['for', made.agent],
      ['roles', made.roles?.join(', ') ?? 'all of the task'],
      ['written to', out],
      ['good until', when(made.expires_at)],
    ]),
  );
}

const printTask = (terminal: Terminal, flags: OutputFlags, task: Task): void =>
  printResult(terminal, flags, task, () => factsOf(task));

const factsOf = (task: Task): string =>
  facts([
    ['task', task.id],
    ['state', task.state],
    ['purpose', task.purpose],
    ['agent', task.agent],
    ['part of', task.parent ?? undefined],
    ['acting for', task.chain.slice(1).join(', ') || undefined],
    ['triggered by', task.triggered_by && `${task.triggered_by} (${task.triggered_by_proof})`],
    ['deadline', when(task.deadline_at)],
    ['holds', task.alive],
  ]);
