// Receivers: who is told when access ends.
import { setTimeout as sleep } from 'node:timers/promises';
import { Option, type Command } from 'commander';
import { SIGNALS, type SignalName } from '../../domain/signal.ts';
import type { Client, Receiver, SignalDelivery } from '../../sdk/index.ts';
import { readSecret } from '../config.ts';
import { EXIT, UsageError } from '../exit.ts';
import {
  firstItems,
  limitOption,
  makingCommand,
  printMade,
  printResult,
  resultCommand,
  several,
  type IdFlags,
  type OutputFlags,
} from './command.ts';
import { asAutomation } from './session.ts';
import { facts, table, when, type Terminal } from './terminal.ts';

interface AddFlags extends IdFlags {
  kind: Receiver['kind'];
  signal?: string[];
  audience?: string;
  wise?: boolean;
  reasons?: boolean;
}

type ListFlags = OutputFlags & { limit: number };

export function receiverCommands(program: Command, terminal: Terminal): void {
  const receiver = program.command('receiver').description('who is told when access ends');
  makingCommand(receiver, 'add <url>', 'tell this address; its token is in the environment')
    .addOption(
      new Option('--kind <kind>', 'security events, or webhooks')
        .choices(['ssf', 'webhook'])
        .default('webhook'),
    )
    .option('--signal <name>', `only this one, or several: ${SIGNALS.join(', ')}`, several)
    .option('--audience <text>', 'the aud of security events')
    .option('--wise', 'send the draft vocabulary for workloads as well')
    .option('--reasons', 'send the reasons that people wrote')
    .action((url: string, flags: AddFlags) => add(terminal, url, flags));
  limitOption(resultCommand(receiver, 'list', 'all receivers')).action((flags: ListFlags) =>
    list(terminal, flags),
  );
  receiver
    .command('remove <id>')
    .description('tell it nothing any more')
    .action(async (id: string) => {
      await (await asAutomation(terminal)).receivers.remove(id);
      terminal.note(`${id} is told nothing any more.`);
    });
  resultCommand(
    receiver,
    'test <id>',
    'send a message that changes nothing, and see it taken',
  ).action((id: string, flags: OutputFlags) => test(terminal, id, flags));
  limitOption(resultCommand(receiver, 'deliveries <id>', 'what it was told, newest first')).action(
    (id: string, flags: ListFlags) => deliveries(terminal, id, flags),
  );
}

async function add(terminal: Terminal, url: string, flags: AddFlags): Promise<void> {
  const { kind, audience, wise, reasons } = flags;
  // Never as an argument: every process on the machine can read those.
  const token = readSecret(terminal.env, 'COUNTERSIGN_RECEIVER_TOKEN') ?? undefined;
  const client = await asAutomation(terminal);
  const signals = flags.signal?.map(asSignal);
  const made = await client.receivers.add({ kind, url, signals, audience, wise, reasons, token });
  printMade(terminal, flags, made, () => describe(made));
}

function asSignal(text: string): SignalName {
  const found = SIGNALS.find((each) => each === text);
  if (!found) throw new UsageError(`there is no signal ${text}: ${SIGNALS.join(', ')}.`);
  return found;
}

const describe = (receiver: Receiver): string =>
  facts([
    ['receiver', receiver.id],
    ['kind', receiver.kind],
    ['url', receiver.url],
    ['state', receiver.state],
    ['audience', receiver.kind === 'ssf' ? receiver.audience : undefined],
    ['signals', receiver.signals.join(', ')],
  ]);

async function list(terminal: Terminal, flags: ListFlags): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asAutomation(terminal);
  const pages = eachItem((cursor) => client.receivers.list({ cursor }));
  const found = await firstItems(terminal, flags.limit, pages);
  printResult(terminal, flags, { data: found }, () =>
    table(
      ['ID', 'KIND', 'STATE', 'URL'],
      found.map((each) => [each.id, each.kind, each.because ?? each.state, each.url]),
    ),
  );
}

async function deliveries(terminal: Terminal, id: string, flags: ListFlags): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asAutomation(terminal);
  const pages = eachItem((cursor) => client.receivers.deliveries(id, { cursor }));
  const found = await firstItems(terminal, flags.limit, pages);
  printResult(terminal, flags, { data: found }, () =>
    table(
      ['ID', 'SIGNAL', 'STATE', 'TRIES', 'LAST', 'NEXT'],
      found.map((each) => [
        each.id,
        each.signal,
        each.state,
        each.attempts,
        each.tries.at(-1)?.code,
        when(each.next_try_at),
      ]),
    ),
  );
}

/** Longer than one attempt may take. */
const TEST_SECONDS = 15;

async function test(terminal: Terminal, id: string, flags: OutputFlags): Promise<void> {
  const client = await asAutomation(terminal);
  const sent = await client.receivers.verify(id);
  const tried = await firstAttempt(client, id, sent);
  const last = tried.tries.at(-1);
  printResult(terminal, flags, tried, () =>
    last ? `${tried.state}: ${last.code} after ${last.ms} ms` : 'No attempt was made yet.',
  );
  if (tried.state !== 'delivered') terminal.endWith(EXIT.failed);
}

async function firstAttempt(
  client: Client,
  id: string,
  sent: SignalDelivery,
): Promise<SignalDelivery> {
  for (let waited = 0; ; waited += 0.25) {
    const { data } = await client.receivers.deliveries(id, { limit: 20 });
    const found = data.find((each) => each.id === sent.id) ?? sent;
    if (found.tries.length > 0 || waited >= TEST_SECONDS) return found;
    await sleep(250);
  }
}
