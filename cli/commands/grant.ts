// Standing grants: asked for, looked at, taken back. People agree to one on its page, never here.
import type { Command } from 'commander';
import type { Grant } from '../../sdk/index.ts';
import {
  firstItems,
  limitOption,
  positive,
  printResult,
  resultCommand,
  type OutputFlags,
} from './command.ts';
import { agentOptions, asAutomation, asEither, type AgentFlags } from './session.ts';
import { facts, table, when, type Terminal } from './terminal.ts';

export function grantCommands(program: Command, terminal: Terminal): void {
  const grant = program
    .command('grant')
    .description('standing grants: what an agent may use more than once, within a bound');
  agentOptions(resultCommand(grant, 'ask', 'ask for one as an agent; people agree to it'))
    .requiredOption('--role <role>', 'the role that it is for')
    .requiredOption('--uses <n>', 'how often it may be used', positive)
    .requiredOption('--for <seconds>', 'for how long', positive)
    .option('--ttl <seconds>', 'the longest that one credential may last', positive)
    .option('--purpose <text>', 'the purpose that a task has to declare')
    .option('--reason <text>', 'why; people see it')
    .action((flags: AskFlags) => ask(terminal, flags));
  agentOptions(limitOption(resultCommand(grant, 'list', 'list standing grants')))
    .option('--state <state>', 'live, spent, expired, revoked or voided')
    .action((flags: ListFlags) => list(terminal, flags));
  agentOptions(resultCommand(grant, 'show <id>', 'show one grant')).action(
    async (id: string, flags: OutputFlags & AgentFlags) =>
      printGrant(terminal, flags, await (await asEither(terminal, flags)).grants.get(id)),
  );
  resultCommand(grant, 'revoke <id>', 'take a grant back, with every credential that came from it')
    .option('--reason <text>', 'why, for the record')
    .action(async (id: string, flags: OutputFlags & { reason?: string }) => {
      const client = await asAutomation(terminal);
      printGrant(terminal, flags, await client.grants.revoke(id, flags.reason));
    });
}

interface AskFlags extends OutputFlags, AgentFlags {
  role: string;
  uses: number;
  for: number;
  ttl?: number;
  purpose?: string;
  reason?: string;
}

async function ask(terminal: Terminal, flags: AskFlags): Promise<void> {
  const { role, uses, for: forSeconds, ttl: ttlSeconds, purpose, reason } = flags;
  const client = await asEither(terminal, flags);
  const order = { role, uses, forSeconds, ttlSeconds, purpose, reason };
  const held = await client.grants.ask(order);
  printResult(
    terminal,
    flags,
    held,
    () => `${held.request.id} waits for people: ${held.request.url}`,
  );
}

interface ListFlags extends OutputFlags, AgentFlags {
  limit: number;
  state?: Grant['state'];
}

async function list(terminal: Terminal, flags: ListFlags): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asEither(terminal, flags);
  const { state } = flags;
  const items = eachItem((cursor) => client.grants.list({ state, cursor }));
  const grants = await firstItems(terminal, flags.limit, items);
  printResult(terminal, flags, { data: grants }, () =>
    table(
      ['GRANT', 'AGENT', 'ROLE', 'STATE', 'USED', 'UNTIL'],
      grants.map((row) => [
        row.id,
        row.agent,
        row.role,
        row.state,
        `${row.used} of ${row.uses}`,
        when(row.expires_at),
      ]),
    ),
  );
}

function printGrant(terminal: Terminal, flags: OutputFlags, row: Grant): void {
  printResult(terminal, flags, row, () =>
    facts([
      ['grant', row.id],
      ['agent', row.agent],
      ['role', row.role],
      ['state', row.because === null ? row.state : `${row.state} (${row.because})`],
      ['used', `${row.used} of ${row.uses}`],
      ['until', when(row.expires_at)],
      ['purpose', row.purpose ?? 'any'],
      ['approved in', row.request],
    ]),
  );
}
