// The ways besides Slack on which approvers are told: webhooks and e-mail.
import { Option, type Command } from 'commander';
import type { ApproverWebhook, ChannelStanding, EmailSettings } from '../../sdk/index.ts';
import { UsageError } from '../exit.ts';
import {
  positive,
  printResult,
  requireSecret,
  resultCommand,
  type OutputFlags,
} from './command.ts';
import { asAutomation } from './session.ts';
import { facts, table, when, type Terminal } from './terminal.ts';

interface EmailFlags extends OutputFlags {
  host: string;
  port?: number;
  tls?: EmailSettings['tls'];
  user?: string;
  from: string;
}

export function channelCommands(program: Command, terminal: Terminal): void {
  const channel = program
    .command('channel')
    .description('webhooks and e-mail by which approvers are told, where a route says so');
  resultCommand(channel, 'list', 'how each stands: what it took, and since when not').action(
    async (flags: OutputFlags) => {
      const { data } = await (await asAutomation(terminal)).channels.list();
      printResult(terminal, flags, { data }, () => standingTable(data));
    },
  );
  resultCommand(channel, 'webhook <name> <url>', 'set a webhook up; its secret is printed once')
    .option('--rotate', 'give it a new secret; the last one signs along for a day')
    .action(async (name: string, url: string, flags: OutputFlags & { rotate?: boolean }) => {
      const client = await asAutomation(terminal);
      const made = await client.channels.webhook(name, url, flags.rotate);
      printResult(terminal, flags, made, () => facts(factsOf(made)));
    });
  emailCommand(channel, terminal);
  channel
    .command('remove [webhook]')
    .description('forget a webhook, or e-mail, with its secrets and what it was still to be told')
    .option('--email', 'forget the mail server instead')
    .action(async (name: string | undefined, { email }: { email?: boolean }) => {
      if ((name === undefined) !== (email === true))
        throw new UsageError('name a webhook, or say --email.');
      const { channels } = await asAutomation(terminal);
      await (name === undefined ? channels.removeEmail() : channels.removeWebhook(name));
      terminal.note(`${name ?? 'E-mail'} is told nothing more.`);
    });
}

function emailCommand(channel: Command, terminal: Terminal): void {
  resultCommand(channel, 'email', 'send mail by a server; its password comes from the environment')
    .requiredOption('--host <host>', 'the mail server')
    .option('--port <port>', '587 if it is not said', positive)
    .addOption(
      new Option('--tls <how>', 'STARTTLS if it is not said; none only on this machine').choices([
        'starttls',
        'implicit',
        'none',
      ]),
    )
    .option('--user <user>', 'sign in there; the password is COUNTERSIGN_SMTP_PASSWORD')
    .requiredOption('--from <address>', 'whom the mails come from')
    .action(async (flags: EmailFlags) => {
      const { json: _json, ...settings } = flags;
      const password =
        settings.user === undefined
          ? undefined
          : requireSecret(terminal, 'COUNTERSIGN_SMTP_PASSWORD');
      const client = await asAutomation(terminal);
      const connected = await client.channels.email({ ...settings, password });
      printResult(
        terminal,
        flags,
        connected,
        () =>
          'Mail is sent to approvers of routes that say so: see how it fares with channel list.',
      );
    });
}

const factsOf = (made: ApproverWebhook): [string, string | null][] => [
  ['webhook', made.name],
  ['url', made.url],
  ['state', made.state],
  ['secret', made.secret ?? 'as it was'],
];

const standingTable = (rows: readonly ChannelStanding[]): string =>
  table(
    ['CHANNEL', 'KIND', 'STATE', 'FAILING SINCE', 'LAST ATTEMPT', 'WAITING'],
    rows.map((row) => [
      row.name,
      row.kind,
      row.because === null ? row.state : `${row.state} (${row.because})`,
      when(row.failing_since),
      row.last_code?.replaceAll('_', ' '),
      row.waiting,
    ]),
  );
