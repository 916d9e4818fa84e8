// Glass that is broken while the service is down: nothing here asks a server. Keys are made, and halves opened and
// joined, on the machine of whoever holds them.
import { readFile, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { joinShares, readShare, type KitFacts, type KitShare } from '../../domain/glass-kit.ts';
import type { BreakGlassKit, PrivateJwk } from '../../sdk/index.ts';
import { UsageError } from '../exit.ts';
import {
  firstItems,
  limitOption,
  printResult,
  resultCommand,
  several,
  type OutputFlags,
} from './command.ts';
import { variablesOf } from './material.ts';
import { asAutomation, readKeyFile } from './session.ts';
import { facts, json, quoted, table, when, type Terminal } from './terminal.ts';

/** Commands of kits, below `break-glass`. */
export function kitCommands(glass: Command, terminal: Terminal): void {
  limitOption(resultCommand(glass, 'kits', 'logins that lie ready for when this is down'))
    .option('--live', 'only those that are not over')
    .action((flags: KitsFlags) => kits(terminal, flags));
  resultCommand(
    glass,
    'check <kit>',
    'look whether a login that lies ready is as it was made',
  ).action(async (id: string, flags: OutputFlags) => {
    const kit = await (await asAutomation(terminal)).breakGlass.checkKit(id);
    printResult(terminal, flags, kit, () => `${kit.id} was found ${kit.checked ?? 'unseen'}`);
  });
  glass
    .command('key <file>')
    .description('make the key that your half is sealed to; prints the part to bring')
    .action(async (file: string) => {
      const { generateKey, publicKeyOf } = await import('../../sdk/index.ts');
      const key = await generateKey();
      // Never over a key that a half may be sealed to.
      await writeFile(file, `${json(key)}\n`, { mode: 0o600, flag: 'wx' }).catch(
        (cause: unknown) => {
          throw new UsageError(`${file} cannot be written, or is there already.`, { cause });
        },
      );
      terminal.print(json(publicKeyOf(key), 0));
    });
  glass
    .command('unseal <half>')
    .description('open your half with your key, to hand it over')
    .requiredOption('--key <file>', 'the key that it is sealed to')
    .action(async (file: string, flags: { key: string }) => {
      terminal.print(json(await halfIn(file, [await keyIn(flags.key)])));
    });
  glass
    .command('open <half> <other>')
    .description('join both halves while the service is down; asks nobody')
    .option('--key <file>', 'a key that a half is sealed to; may be given twice', several, [])
    .option('--url', 'print only the connection string')
    .option('--env', 'print lines for eval: PGHOST … DATABASE_URL')
    .action((one: string, other: string, flags: OpenFlags) => open(terminal, [one, other], flags));
}

type KitsFlags = OutputFlags & { limit: number; live?: boolean };

async function kits(terminal: Terminal, flags: KitsFlags): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asAutomation(terminal);
  const { live } = flags;
  const items = eachItem<BreakGlassKit>((cursor) => client.breakGlass.kits({ live, cursor }));
  const rows = await firstItems(terminal, flags.limit, items);
  printResult(terminal, flags, { data: rows }, () =>
    table(
      ['KIT', 'ROLE', 'TARGET', 'STATE', 'MADE', 'ENDS', 'FOUND'],
      rows.map((row) => [
        row.id,
        row.role,
        row.target,
        row.state,
        when(row.made_at),
        when(row.expires_at),
        row.checked,
      ]),
    ),
  );
}

interface OpenFlags {
  key: string[];
  url?: boolean;
  env?: boolean;
}

async function open(
  terminal: Terminal,
  [one, other]: readonly [string, string],
  flags: OpenFlags,
): Promise<void> {
  const keys = await Promise.all(flags.key.map(keyIn));
  const halves = [await halfIn(one, keys), await halfIn(other, keys)] as const;
  const joined = joinShares(...halves, new Date().toISOString());
  if (joined.outcome === 'refused') throw new UsageError(joined.says);
  const url = urlOf(joined.facts, joined.password);
  if (flags.url) {
    terminal.print(url);
    return;
  }
  const { host, port, database, username, expires_at: until, target, role, kit } = joined.facts;
  const login = { host, port, database, username, password: joined.password, url };
  if (flags.env) {
    const variables = Object.entries(variablesOf({ kind: 'postgres', ...login }));
    terminal.print(variables.map(([name, value]) => `export ${name}=${quoted(value)}`).join('\n'));
    return;
  }
  terminal.print(
    facts([
      ['kit', kit],
      ['role', `${role} at ${target}`],
      ['host', `${host}:${port}`],
      ['database', database],
      ['login', username],
      ['password', joined.password],
      ['until', when(until)],
      ['psql', `psql ${quoted(url)}`],
    ]),
  );
  terminal.note(AFTERWARDS);
}

const AFTERWARDS =
  'What you do is in the target’s own log and will be seen. Write down why. Once the service is back it takes this login away and opens a review, which somebody other than you two has to close; have another kit prepared.';

const urlOf = ({ username, host, port, database }: KitFacts, password: string): string =>
  `postgres://${username}:${password}@${host}:${port}/${encodeURIComponent(database)}`;

async function keyIn(file: string): Promise<PrivateJwk> {
  const { parsePrivateKey } = await import('../../sdk/index.ts');
  return parsePrivateKey(await readKeyFile(file));
}

/** A half as its holder has it: opened already, or sealed to one of these keys. */
async function halfIn(file: string, keys: readonly PrivateJwk[]): Promise<KitShare> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new UsageError(`${file} cannot be read.`, { cause });
  });
  const found = parsed(text.trim());
  const share = readShare(found);
  if (share) return share;
  const sealed = sealedIn(found);
  if (sealed === null) throw new UsageError(`${file} is no half of a kit.`);
  const { unseal } = await import('../../sdk/seal.ts');
  for (const key of keys) {
    const opened = await unseal(sealed, key).catch(() => null);
    const half = readShare(opened);
    if (half) return half;
  }
  throw new UsageError(
    `${file} is sealed to another key: say --key with the one that was brought.`,
  );
}

/** JSON where it is some; a sealed text stands for itself. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The sealed text itself, or the answer that had it. */
function sealedIn(found: unknown): string | null {
  if (typeof found === 'string') return found.split('.').length === 5 ? found : null;
  if (typeof found !== 'object' || found === null || !('sealed' in found)) return null;
  return typeof found.sealed === 'string' ? found.sealed : null;
}
