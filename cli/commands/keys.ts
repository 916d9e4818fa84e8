// The keys that sign for us.
import { Option, type Command } from 'commander';
import type { KeyUse, SigningKey } from '../../sdk/index.ts';
import { UsageError } from '../exit.ts';
import { printResult, resultCommand, type OutputFlags } from './command.ts';
import { asAutomation } from './session.ts';
import { table, when, type Terminal } from './terminal.ts';

const USES: KeyUse[] = ['tokens', 'x509'];

interface RotateFlags extends OutputFlags {
  use: KeyUse;
  now?: boolean;
  revoke?: boolean;
  reason?: string;
}

export function keysCommands(program: Command, terminal: Terminal): void {
  const keys = program.command('keys').description('the keys that sign tokens, and turning them');
  resultCommand(keys, 'list', 'which signs, which is next, which are kept').action(
    async (flags: OutputFlags) => {
      const page = await (await asAutomation(terminal)).signingKeys.list();
      printResult(terminal, flags, { data: page.data }, () => keyTable(page.data));
    },
  );
  resultCommand(keys, 'rotate', 'publish a new key, which signs once verifiers know it')
    .addOption(new Option('--use <use>', 'what the key signs').choices(USES).default('tokens'))
    .option('--now', 'sign with it at once: verifiers that keep keys refuse it until they fetch')
    .option('--revoke', 'with --now, for a key that leaked: what the old ones signed dies')
    .option('--reason <text>', 'why, for the record; needed with --revoke')
    .action((flags: RotateFlags) => rotate(terminal, flags));
}

async function rotate(terminal: Terminal, flags: RotateFlags): Promise<void> {
  const { use, now, revoke, reason } = flags;
  if (revoke && !now) throw new UsageError('--revoke drops the key that signs: say --now as well.');
  if (revoke && reason === undefined) throw new UsageError('--revoke needs a --reason.');
  const client = await asAutomation(terminal);
  const rotated = await client.signingKeys.rotate({ use, now, revoke, reason });
  printResult(terminal, flags, rotated, () => `${keyTable(rotated.data)}\n\n${rotated.says}`);
}

const keyTable = (keys: readonly SigningKey[]): string =>
  table(
    ['KEY', 'USE', 'STATE', 'WHERE', 'SIGNS FROM', 'KEPT UNTIL'],
    keys.map((key) => [
      key.kid,
      key.use,
      key.revoked ? 'revoked' : key.state,
      key.driver,
      when(key.activates_at),
      when(key.retires_at),
    ]),
  );
