// Credentials: asked for, collected, listed, given back.
import { readFile, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Client, Credential, Material, PrivateJwk } from '../../sdk/index.ts';
import { EXIT, EXIT_OF_REQUEST, UsageError } from '../exit.ts';
import {
  firstItems,
  limitOption,
  positive,
  printResult,
  resultCommand,
  type OutputFlags,
} from './command.ts';
import { lineOf, variablesOf } from './material.ts';
import { agentOptions, asAgent, asEither, type AgentFlags } from './session.ts';
import { cell, facts, json, quoted, table, when, type Terminal } from './terminal.ts';

const WAIT_SECONDS = 900;

interface MaterialFlags extends AgentFlags {
  url?: boolean;
  env?: boolean;
  sealKey?: string;
}

interface RequestFlags extends MaterialFlags {
  task: string;
  role: string;
  reason?: string;
  ttl?: number;
  start?: string;
  /** True when it was given without a number. */
  wait?: number | true;
}

const materialOptions = (command: Command): Command =>
  agentOptions(command)
    .option('--url', 'print only the connection string, or the token')
    .option('--env', 'print lines for eval: PGHOST … DATABASE_URL, or BEARER_TOKEN')
    .option(
      '--seal-key <file>',
      'the key it is sealed to, made if it is not there; to collect it later',
    );

export function credentialCommands(program: Command, terminal: Terminal): void {
  const credential = program.command('credential').description('credentials under a task');
  materialOptions(credential.command('request'))
    .description('ask for a role, and print what it gives as JSON')
    .requiredOption('--task <id>', 'the task it is for')
    .requiredOption('--role <role>', 'what is asked for')
    .option('--reason <text>', 'why; people see it')
    .option('--ttl <seconds>', 'how long it lasts', positive)
    .option('--start <time>', 'from when on it is wanted (RFC 3339); only where people agree')
    .option('--wait [seconds]', `if it is held, wait for people (${WAIT_SECONDS} s)`, positive)
    .action((flags: RequestFlags) => request(terminal, flags));
  materialOptions(credential.command('collect <request>'))
    .description('take what people approved, once')
    .action((id: string, flags: MaterialFlags) => collect(terminal, id, flags));
  agentOptions(limitOption(resultCommand(credential, 'list', 'what was given under a task')))
    .requiredOption('--task <id>', 'the task')
    .action((flags: ListFlags) => list(terminal, flags));
  agentOptions(
    resultCommand(credential, 'revoke <id>', 'give a credential up, ending its sessions'),
  )
    .option('--reason <text>', 'why, for the record')
    .action(async (id: string, flags: OutputFlags & AgentFlags & { reason?: string }) => {
      const client = await asEither(terminal, flags);
      printCredential(terminal, flags, await client.credentials.revoke(id, flags.reason));
    });
}

async function request(terminal: Terminal, flags: RequestFlags): Promise<void> {
  const { task, role, reason, ttl: ttlSeconds, start: notBefore } = flags;
  const client = await asAgent(terminal, flags);
  const sealKey = flags.sealKey === undefined ? undefined : await sealKeyAt(flags.sealKey);
  const outcome = await client.credentials.request(task, {
    role,
    reason,
    ttlSeconds,
    notBefore,
    sealKey,
  });
  if (outcome.outcome !== 'denied')
    for (const warning of outcome.warnings) terminal.note(`warning: ${cell(warning)}`);
  switch (outcome.outcome) {
    case 'issued':
      return printMaterial(terminal, flags, outcome.material);
    case 'denied': {
      const reasons = outcome.evaluation.reasons.join(', ') || 'no policy permits it';
      terminal.note(`${outcome.detail} (${reasons}) [denied]`);
      return terminal.endWith(EXIT.failed);
    }
    case 'held':
      terminal.note(`Held: people decide at ${outcome.request.url}`);
      if (flags.wait !== undefined)
        return collectLater(terminal, client, outcome.request.id, outcome.sealKey, flags);
      terminal.note(howToCollect(outcome.request.id, flags));
      return terminal.endWith(EXIT.requestPending);
  }
}

const howToCollect = (id: string, { sealKey }: MaterialFlags): string =>
  sealKey === undefined
    ? 'Ask again with --wait to receive it: the same request goes on.'
    : `Collect it with: countersign credential collect ${id} --seal-key ${sealKey}`;

async function collectLater(
  terminal: Terminal,
  client: Client,
  id: string,
  sealKey: PrivateJwk,
  flags: RequestFlags,
): Promise<void> {
  const timeoutSeconds = typeof flags.wait === 'number' ? flags.wait : WAIT_SECONDS;
  const decided = await client.requests.wait(id, { timeoutSeconds });
  const exitCode = EXIT_OF_REQUEST[decided.state];
  if (exitCode !== EXIT.ok) {
    terminal.note(`The request is ${decided.state}: ${decided.url}`);
    return terminal.endWith(exitCode);
  }
  if (decided.starts_at !== null && Date.parse(decided.starts_at) > Date.now()) {
    terminal.note(`Approved, and begins at ${when(decided.starts_at)}.`);
    terminal.note(howToCollect(id, flags));
    return terminal.endWith(EXIT.requestPending);
  }
  const { material } = await client.requests.collect(id, sealKey);
  printMaterial(terminal, flags, material);
}

async function collect(terminal: Terminal, id: string, flags: MaterialFlags): Promise<void> {
  if (flags.sealKey === undefined)
    throw new UsageError('give --seal-key: the file named when the credential was requested.');
  const client = await asAgent(terminal, flags);
  const { material } = await client.requests.collect(id, await sealKeyAt(flags.sealKey));
  printMaterial(terminal, flags, material);
}

/** The key in a file, which is made if it is not there: it has to outlive this process. */
async function sealKeyAt(file: string): Promise<PrivateJwk> {
  const { generateKey, parsePrivateKey } = await import('../../sdk/index.ts');
  const key = `${JSON.stringify(await generateKey())}\n`;
  // Made only if it is not there; whoever made it, the file is what counts.
  await writeFile(file, key, { flag: 'wx', mode: 0o600 }).catch(() => undefined);
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new UsageError(`the key file ${file} can be neither read nor made.`, { cause });
  });
  return parsePrivateKey(text);
}

function printMaterial(terminal: Terminal, flags: MaterialFlags, material: Material): void {
  if (flags.url) terminal.print(lineOf(material));
  else if (flags.env) terminal.print(asExports(material));
  else terminal.print(json(material));
}

/** For eval in a shell. */
const asExports = (material: Material): string =>
  Object.entries(variablesOf(material))
    .map(([name, value]) => `export ${name}=${quoted(value)}`)
    .join('\n');

interface ListFlags extends OutputFlags, AgentFlags {
  task: string;
  limit: number;
}

async function list(terminal: Terminal, flags: ListFlags): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asEither(terminal, flags);
  const items = eachItem((cursor) => client.credentials.list(flags.task, { cursor }));
  const credentials = await firstItems(terminal, flags.limit, items);
  printResult(terminal, flags, { data: credentials }, () =>
    table(
      ['CREDENTIAL', 'ROLE', 'ISSUER', 'STATE', 'EXPIRES', 'REQUEST'],
      credentials.map((each) => [
        each.id,
        each.role,
        each.issuer,
        each.state,
        when(each.expires_at),
        each.request,
      ]),
    ),
  );
}

function printCredential(terminal: Terminal, flags: OutputFlags, credential: Credential): void {
  printResult(terminal, flags, credential, () =>
    facts([
      ['credential', credential.id],
      ['role', credential.role],
      ['state', credential.state],
      ['task', credential.task],
      ['expires', when(credential.expires_at)],
      ['ended', when(credential.ended_at)],
    ]),
  );
}
