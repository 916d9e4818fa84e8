// Agents, their keys, and signing one in.
import { writeFile } from 'node:fs/promises';
import { Option, type Command } from 'commander';
import type { Agent, AgentKind, Client } from '../../sdk/index.ts';
import { UsageError } from '../exit.ts';
import {
  firstItems,
  limitOption,
  makingCommand,
  positive,
  printMade,
  printResult,
  resultCommand,
  type IdFlags,
  type OutputFlags,
} from './command.ts';
import { joinCommands } from './join.ts';
import {
  agentOptions,
  asAgent,
  asAutomation,
  asEither,
  readKeyFile,
  type AgentFlags,
} from './session.ts';
import { facts, json, table, when, type Terminal } from './terminal.ts';

const KINDS: AgentKind[] = ['ai_agent', 'service', 'ci', 'demo'];

export function agentCommands(program: Command, terminal: Terminal): void {
  keyCommands(program, terminal);
  const agent = program.command('agent').description('register agents, look at them, stop them');
  makingCommand(agent, 'register', 'register an agent; people then admit it')
    .requiredOption('--name <name>', 'lower-case letters, digits and dashes; given once')
    .option(
      '--owner <person>',
      'the person who answers for it: psn_…; of a sub-agent, its parent’s',
    )
    .option('--parent <agent>', 'the agent that it is a sub-agent of')
    .requiredOption('--team <team>', 'the team it belongs to')
    .requiredOption('--purpose <text>', 'what it is for')
    .addOption(new Option('--kind <kind>', 'what it is').choices(KINDS).default('ai_agent'))
    .option('--key <file>', 'its key, from keygen; only the public part is sent')
    .option('--join', 'make a token with which it brings its own key, and print it')
    .action((flags: RegisterFlags) => register(terminal, flags));
  joinCommands(agent, terminal);
  limitOption(resultCommand(agent, 'list', 'list agents'))
    .option('--state <state>', 'requested, active, suspended, rejected or retired')
    .action((flags: ListFlags) => list(terminal, flags));
  agentOptions(resultCommand(agent, 'show <id>', 'show one agent')).action(
    async (id: string, flags: OutputFlags & AgentFlags) =>
      printAgent(terminal, flags, await (await asEither(terminal, flags)).agents.get(id)),
  );
  stopCommands(agent, terminal);
  resultCommand(agent, 'add-key <id>', 'ask for a key beside the others')
    .requiredOption('--key <file>', 'the new key; only the public part is sent')
    .action((id: string, flags: OutputFlags & { key: string }) => addKey(terminal, id, flags));
  resultCommand(agent, 'retire-key <id> <key-id>', 'let a key go after an overlap')
    .requiredOption('--after <seconds>', 'how long it still signs in', positive)
    .action(async (id: string, key: string, flags: OutputFlags & { after: number }) => {
      const retiring = await (await asAutomation(terminal)).agents.retireKey(id, key, flags.after);
      printResult(terminal, flags, retiring, () => facts(Object.entries(retiring)));
    });
  resultCommand(agent, 'change-owner <id> <person>', 'ask that somebody else answers for an agent')
    .option('--reason <text>', 'why; people see it')
    .action(async (id: string, owner: string, flags: OutputFlags & { reason?: string }) => {
      const client = await asAutomation(terminal);
      const asked = await client.agents.changeOwner(id, owner, flags.reason);
      if ('denial' in asked)
        return printResult(
          terminal,
          flags,
          asked,
          () => `${asked.request.id} waits for people: ${asked.request.url}`,
        );
      return printAgent(terminal, flags, asked);
    });
  resultCommand(agent, 'remove-key <id> <key-id>', 'take a key away; the last one stays').action(
    async (id: string, key: string, flags: OutputFlags) => {
      const removed = await (await asAutomation(terminal)).agents.revokeKey(id, key);
      printResult(terminal, flags, removed, () => facts(Object.entries(removed)));
    },
  );
}

/** Keys, and what an agent does with one by itself. */
function keyCommands(program: Command, terminal: Terminal): void {
  program
    .command('keygen')
    .description('make a key for an agent and print its public part')
    .requiredOption('--out <file>', 'where to write the private key; never over another file')
    .action((flags: { out: string }) => keygen(terminal, flags.out));
  agentOptions(
    resultCommand(program, 'token', 'sign an agent in and print its access token'),
  ).action(async (flags: OutputFlags & AgentFlags) => {
    const token = await (await asAgent(terminal, flags)).accessToken();
    printResult(terminal, flags, { access_token: token, token_type: 'Bearer' }, () => token);
  });
}

const STOPS = {
  suspend: 'stop an agent and revoke what it holds; resume lets it ask again',
  resume: 'let a suspended agent ask again',
  kill: 'stop an agent and end all its tasks',
  retire: 'retire an agent for good',
} as const satisfies Partial<Record<keyof Client['agents'], string>>;

function stopCommands(agent: Command, terminal: Terminal): void {
  for (const verb of ['suspend', 'resume', 'kill', 'retire'] as const)
    resultCommand(agent, `${verb} <id>`, STOPS[verb])
      .option('--reason <text>', 'why, for the record')
      .action(async (id: string, flags: OutputFlags & { reason?: string }) => {
        const client = await asAutomation(terminal);
        printAgent(terminal, flags, await client.agents[verb](id, flags.reason));
      });
}

async function keygen(terminal: Terminal, file: string): Promise<void> {
  const { generateKey, publicKeyOf } = await import('../../sdk/index.ts');
  const key = await generateKey();
  await writeFile(file, `${JSON.stringify(key)}\n`, { flag: 'wx', mode: 0o600 }).catch(
    (cause: unknown) => {
      throw new UsageError(
        `${file} cannot be made: it may be there already, and a key is never written over.`,
        { cause },
      );
    },
  );
  terminal.print(json(publicKeyOf(key), 0));
}

interface RegisterFlags extends IdFlags {
  name: string;
  owner?: string;
  parent?: string;
  team: string;
  purpose: string;
  kind: AgentKind;
  key?: string;
  join?: boolean;
}

async function register(terminal: Terminal, flags: RegisterFlags): Promise<void> {
  const { parsePublicKey } = await import('../../sdk/index.ts');
  const { name, owner, parent, team, purpose, kind, join = false } = flags;
  if (flags.key === undefined && !join)
    throw new UsageError('an agent needs a key: give --key, or --join to have it bring one.');
  const keys = flags.key === undefined ? [] : [parsePublicKey(await readKeyFile(flags.key))];
  const client = await asAutomation(terminal);
  const order = { name, owner, parent, team, purpose, kind, keys, join };
  const agent = await client.agents.register(order);
  const url = agent.request && (await client.requests.get(agent.request)).url;
  printMade(terminal, flags, agent, () =>
    facts([
      ['agent', agent.id],
      ['name', agent.name],
      ['state', agent.state],
      ['admit it at', url ?? undefined],
      ['join token', agent.join_token?.token],
    ]),
  );
}

interface ListFlags extends OutputFlags {
  limit: number;
  state?: Agent['state'];
}

async function list(terminal: Terminal, flags: ListFlags): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asAutomation(terminal);
  const { state } = flags;
  const items = eachItem((cursor) => client.agents.list({ state, cursor }));
  const agents = await firstItems(terminal, flags.limit, items);
  printResult(terminal, flags, { data: agents }, () =>
    table(
      ['AGENT', 'NAME', 'STATE', 'TEAM', 'OWNER', 'HOLDS', 'LAST USED'],
      agents.map((agent) => [
        agent.id,
        agent.name,
        stateOf(agent),
        agent.team,
        agent.owner,
        agent.alive,
        when(agent.last_used_at),
      ]),
    ),
  );
}

const stateOf = ({ state, retiring }: Agent): string =>
  retiring && state !== 'retired' ? `${state}, retiring` : state;

function printAgent(terminal: Terminal, flags: OutputFlags, agent: Agent): void {
  printResult(terminal, flags, agent, () =>
    facts([
      ['agent', agent.id],
      ['name', agent.name],
      ['state', stateOf(agent)],
      ['kind', agent.kind],
      ['owner', agent.owner],
      ['team', agent.team],
      ['purpose', agent.purpose],
      ['spiffe id', agent.spiffe_id],
      ['holds', agent.alive],
      ['last used', when(agent.last_used_at)],
      ['rotate by', when(agent.rotation_due_at)],
      ...agent.keys.map((key) => ['key', `${key.id} ${key.state} ${key.thumbprint}`] as const),
    ]),
  );
}

async function addKey(
  terminal: Terminal,
  id: string,
  flags: OutputFlags & { key: string },
): Promise<void> {
  const { parsePublicKey } = await import('../../sdk/index.ts');
  const key = parsePublicKey(await readKeyFile(flags.key));
  const added = await (await asAutomation(terminal)).agents.addKey(id, key);
  printResult(terminal, flags, added, () =>
    'request' in added
      ? `${added.request.id} waits for people: ${added.request.url}`
      : facts(Object.entries(added)),
  );
}
