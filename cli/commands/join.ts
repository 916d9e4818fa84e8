// Join tokens: made by automation for an agent, used by the workload that is to be it.
import { open, readFile, rm } from 'node:fs/promises';
import { text as readStream } from 'node:stream/consumers';
import type { Command } from 'commander';
import { findServer } from '../endpoint.ts';
import { UsageError } from '../exit.ts';
import { positive, printResult, resultCommand, type OutputFlags } from './command.ts';
import { asAutomation } from './session.ts';
import { facts, json, when, type Terminal } from './terminal.ts';

export function joinCommands(agent: Command, terminal: Terminal): void {
  resultCommand(agent, 'join-token <id>', 'make a token with which a workload brings its own key')
    .option('--ttl <seconds>', 'how long it may wait to be used, at most a day', positive, 3_600)
    .option('-q, --quiet', 'print only the token')
    .action((id: string, flags: TokenFlags) => makeToken(terminal, id, flags));
  resultCommand(agent, 'join', 'make a key here and bring it with a join token')
    .requiredOption('--token <file>', 'the file that holds the token; - reads standard input')
    .requiredOption('--out <file>', 'where to write the private key; never over another file')
    .action((flags: JoinFlags) => join(terminal, flags));
}

interface TokenFlags extends OutputFlags {
  ttl: number;
  quiet?: boolean;
}

async function makeToken(terminal: Terminal, id: string, flags: TokenFlags): Promise<void> {
  const made = await (await asAutomation(terminal)).agents.makeJoinToken(id, flags.ttl);
  if (flags.quiet) return terminal.print(made.join_token.token);
  printResult(terminal, flags, made, () =>
    facts([
      ['join token', made.join_token.token],
      ['works once, until', when(made.join_token.expires_at)],
      ['people decide at', 'request' in made ? made.request.url : undefined],
    ]),
  );
}

interface JoinFlags extends OutputFlags {
  token: string;
  out: string;
}

/** The key is on disk before the token is used: a token that was used for a lost key would be lost with it. */
async function join(terminal: Terminal, flags: JoinFlags): Promise<void> {
  const { generateKey, joinAgent } = await import('../../sdk/index.ts');
  const token = await readToken(flags.token);
  const { url } = await findServer(terminal.env);
  const key = await generateKey();
  await writeNew(flags.out, `${json(key, 0)}\n`);
  try {
    const joined = await joinAgent({ url, token, key });
    printResult(terminal, flags, joined, () =>
      facts([
        ['agent', joined.agent.id],
        ['name', joined.agent.name],
        ['spiffe id', joined.agent.spiffe_id],
        ['key', `${joined.key.id} ${joined.key.thumbprint}`],
      ]),
    );
  } catch (error) {
    // What was refused bound nothing; after a lost answer the key may be bound, and stays.
    if (isRefusal(error)) await rm(flags.out);
    throw error;
  }
}

const isRefusal = (error: unknown): boolean =>
  error instanceof Error &&
  'status' in error &&
  typeof error.status === 'number' &&
  error.status >= 400 &&
  error.status < 500;

async function readToken(source: string): Promise<string> {
  const reading = source === '-' ? readStream(process.stdin) : readFile(source, 'utf8');
  const text = await reading.catch((cause: unknown) => {
    throw new UsageError(`the join token cannot be read from ${source}.`, { cause });
  });
  if (text.trim() === '') throw new UsageError(`there is no join token in ${source}.`);
  return text.trim();
}

async function writeNew(file: string, text: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600).catch((cause: unknown) => {
    throw new UsageError(
      `${file} cannot be made: it may be there already, and a key is never written over.`,
      { cause },
    );
  });
  await handle.writeFile(text);
  await handle.sync();
  await handle.close();
}
