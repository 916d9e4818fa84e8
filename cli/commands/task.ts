// Tasks: started and ended by their agent.
import type { Command } from 'commander';
import type { Task } from '../../sdk/index.ts';
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
    .action((flags: StartFlags) => start(terminal, flags));
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
}

async function start(terminal: Terminal, flags: StartFlags): Promise<void> {
  const client = await asAgent(terminal, flags);
  const { purpose, ttl: ttlSeconds, triggeredBy } = flags;
  const task = await client.tasks.start({ purpose, ttlSeconds, triggeredBy });
  printMade(terminal, flags, task, () => factsOf(task));
}

const printTask = (terminal: Terminal, flags: OutputFlags, task: Task): void =>
  printResult(terminal, flags, task, () => factsOf(task));

const factsOf = (task: Task): string =>
  facts([
    ['task', task.id],
    ['state', task.state],
    ['purpose', task.purpose],
    ['agent', task.agent],
    ['triggered by', task.triggered_by && `${task.triggered_by} (${task.triggered_by_proof})`],
    ['deadline', when(task.deadline_at)],
    ['holds', task.alive],
  ]);
