// Connections and versions.
import type { Command } from 'commander';
import type { Client } from '../../sdk/index.ts';
import { readSecret } from '../config.ts';
import { findServer } from '../endpoint.ts';
import { packageVersion } from '../package.ts';
import { printResult, requireSecret, resultCommand, type OutputFlags } from './command.ts';
import { asAutomation } from './session.ts';
import { facts, type Terminal } from './terminal.ts';

interface SlackFlags extends OutputFlags {
  channel: string;
  apiUrl?: string;
  matchEmail?: boolean;
}

export function setupCommands(program: Command, terminal: Terminal): void {
  const slack = program.command('slack').description('where approvers are');
  resultCommand(slack, 'connect', 'connect a channel; the secrets come from the environment')
    .requiredOption('--channel <id>', 'the channel cards go to')
    .option('--api-url <url>', 'instead of Slack’s own address')
    .option(
      '--match-email',
      'take a Slack user for the person with the same address; the weaker way',
    )
    .action((flags: SlackFlags) => connectSlack(terminal, flags));
  resultCommand(program, 'version', 'this version, and the server’s').action((flags: OutputFlags) =>
    version(terminal, flags),
  );
}

/** Never as arguments: every process on the machine can read those. */
async function connectSlack(terminal: Terminal, flags: SlackFlags): Promise<void> {
  const { channel, apiUrl, matchEmail } = flags;
  const signingSecret = requireSecret(terminal, 'COUNTERSIGN_SLACK_SIGNING_SECRET');
  const botToken = requireSecret(terminal, 'COUNTERSIGN_SLACK_BOT_TOKEN');
  const appToken = readSecret(terminal.env, 'COUNTERSIGN_SLACK_APP_TOKEN') ?? undefined;
  const client = await asAutomation(terminal);
  const connected = await client.slack.connect({
    ...{ channel, apiUrl, signingSecret, botToken, appToken, matchEmail },
  });
  printResult(terminal, flags, connected, () => 'Slack is connected.');
}

async function version(terminal: Terminal, flags: OutputFlags): Promise<void> {
  const { openClient } = await import('../../sdk/index.ts');
  const { url, token } = await findServer(terminal.env);
  const client = openClient({ url, credential: { token: token ?? '' }, retrySeconds: 0 });
  const server = await serverVersion(client);
  const found = { version: packageVersion(), server };
  printResult(terminal, flags, found, () =>
    facts([
      ['countersign', found.version],
      ['server', server === null ? `none at ${url}` : `${server.version} at ${url}`],
      ['issuer', server?.issuer],
      ['trust domain', server?.trust_domain],
      ['log', server?.log_origin],
      ['webhook key', server?.webhook_key],
    ]),
  );
}

const serverVersion = (client: Client): Promise<Awaited<ReturnType<Client['version']>> | null> =>
  client.version().catch(() => null);
