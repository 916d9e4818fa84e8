// Whom a command speaks as: automation with the admin token, or an agent with its key. The SDK is loaded here, when
// a command runs, so that the others start faster.
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { AgentCredential, Client } from '../../sdk/index.ts';
import { readSecret } from '../config.ts';
import { findServer } from '../endpoint.ts';
import { UsageError } from '../exit.ts';
import type { Terminal } from './terminal.ts';

export interface AgentFlags {
  agent?: string;
  key?: string;
}

export const agentOptions = (command: Command): Command =>
  command
    .option('--agent <id>', 'the agent to act as (COUNTERSIGN_AGENT)')
    .option('--key <file>', 'its private key (COUNTERSIGN_AGENT_KEY)');

export async function asAutomation(terminal: Terminal): Promise<Client> {
  const { url, token } = await findServer(terminal.env);
  if (token === null)
    throw new UsageError(
      `there is no token for ${url}: start a server here with npm start, or set COUNTERSIGN_TOKEN to the admin token of that one.`,
    );
  return open(url, { token });
}

export async function asAgent(terminal: Terminal, flags: AgentFlags): Promise<Client> {
  const credential = await agentCredential(terminal, flags);
  if (!credential)
    throw new UsageError(
      'this acts as an agent: give --agent and --key, or set COUNTERSIGN_AGENT and COUNTERSIGN_AGENT_KEY.',
    );
  return open((await findServer(terminal.env)).url, credential);
}

/** The agent where one is named, else automation. */
export async function asEither(terminal: Terminal, flags: AgentFlags): Promise<Client> {
  const credential = await agentCredential(terminal, flags);
  if (!credential) return asAutomation(terminal);
  return open((await findServer(terminal.env)).url, credential);
}

/** A person waits at the terminal: shorter than the SDK's own patience. */
const RETRY_SECONDS = 5;

async function open(url: string, credential: AgentCredential | { token: string }): Promise<Client> {
  const { openClient } = await import('../../sdk/index.ts');
  return openClient({ url, credential, retrySeconds: RETRY_SECONDS });
}

async function agentCredential(
  { env }: Terminal,
  flags: AgentFlags,
): Promise<AgentCredential | null> {
  const agent = flags.agent ?? env['COUNTERSIGN_AGENT'];
  const key =
    flags.key === undefined ? await keyFromEnvironment(env) : await readKeyFile(flags.key);
  if (agent && key) return { agent, key };
  if (flags.agent !== undefined || flags.key !== undefined)
    throw new UsageError('--agent and --key belong together: give both.');
  return null;
}

/** The variable holds the key itself or names its file; a key is JSON, which no file name begins like. */
async function keyFromEnvironment(env: Terminal['env']): Promise<string | null> {
  const said = readSecret(env, 'COUNTERSIGN_AGENT_KEY');
  if (said === null || said.startsWith('{')) return said;
  return readKeyFile(said);
}

export async function readKeyFile(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw new UsageError(`the key file ${file} cannot be read.`, { cause });
  });
}
