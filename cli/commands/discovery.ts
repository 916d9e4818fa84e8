// What exists in the targets and nobody registered, and what becomes of it.
import type { Command } from 'commander';
import type { FoundIdentity, TargetDiscovery, TargetLook } from '../../sdk/index.ts';
import { EXIT } from '../exit.ts';
import {
  firstItems,
  limitOption,
  makingCommand,
  printMade,
  printResult,
  resultCommand,
  type IdFlags,
  type OutputFlags,
} from './command.ts';
import { asAutomation, readKeyFile } from './session.ts';
import { table, when, type Terminal } from './terminal.ts';

interface ListFlags extends OutputFlags {
  limit: number;
  target?: string;
  state?: FoundIdentity['state'];
  different?: boolean;
}

interface AdoptFlags extends IdFlags {
  name?: string;
  owner: string;
  team: string;
  purpose: string;
  key?: string;
  join?: boolean;
}

export function discoveryCommands(program: Command, terminal: Terminal): void {
  resultCommand(program, 'discover [target]', 'ask the targets which identities they have').action(
    (target: string | undefined, flags: OutputFlags) => discover(terminal, target, flags),
  );
  resultCommand(
    program,
    'discovery',
    'when each target was asked, and when it last answered',
  ).action((flags: OutputFlags) => targets(terminal, flags));
  const found = program.command('found').description('identities that discovery found');
  limitOption(resultCommand(found, 'list', 'list them, with their risks and likely owners'))
    .option('--target <name>', 'those of one target')
    .option('--state <state>', 'unmanaged, adopted, ignored or gone')
    .option('--different', 'those that were new, changed or gone at the last look')
    .action((flags: ListFlags) => list(terminal, flags));
  makingCommand(found, 'adopt <id>', 'register the agent that takes over; people then admit it')
    .option('--name <name>', 'of the agent; follows from the login if it is not said')
    .requiredOption('--owner <person>', 'the person who answers for it: psn_…')
    .requiredOption('--team <team>', 'the team it belongs to')
    .requiredOption('--purpose <text>', 'what it is for')
    .option('--key <file>', 'its key, from keygen; only the public part is sent')
    .option('--join', 'make a token with which it brings its own key, and print it')
    .action((id: string, flags: AdoptFlags) => adopt(terminal, id, flags));
  resultCommand(found, 'ignore <id>', 'leave it as it is; more risk than now asks again')
    .requiredOption('--reason <text>', 'why')
    .action(async (id: string, flags: OutputFlags & { reason: string }) => {
      const ignored = await (await asAutomation(terminal)).discovery.ignore(id, flags.reason);
      printResult(terminal, flags, ignored, () => rows([ignored]));
    });
}

/** Exits with 1 if a target kept something to itself: what is not known is no clean list. */
async function discover(
  terminal: Terminal,
  target: string | undefined,
  flags: OutputFlags,
): Promise<void> {
  const looked = await (await asAutomation(terminal)).discovery.look(target);
  printResult(terminal, flags, looked, () =>
    table(
      ['TARGET', 'IDENTITIES', 'NEW', 'CHANGED', 'GONE', 'UNMANAGED', 'SAID'],
      looked.data.map((each) => [
        each.target,
        each.identities,
        each.found,
        each.changed,
        each.gone,
        each.unmanaged,
        says(each),
      ]),
    ),
  );
  const isWanting = ({ code, gaps }: TargetDiscovery): boolean =>
    (code !== null && code !== 'not_supported') || gaps.length > 0;
  if (looked.data.some(isWanting)) terminal.endWith(EXIT.failed);
}

/** A list that is short says so. */
function says({ code, gaps, left_out: leftOut }: Omit<TargetDiscovery, 'unmanaged'>): string {
  if (code !== null) return `nothing: ${spaced(code)}`;
  const missing = [
    ...gaps.map((gap) => `${spaced(gap.kind)}s (${spaced(gap.code)})`),
    ...(leftOut > 0 ? [`${leftOut} more than one look takes in`] : []),
  ];
  return missing.length === 0 ? 'everything' : `all but ${missing.join(', ')}`;
}

const spaced = (word: string): string => word.replaceAll('_', ' ');

async function targets(terminal: Terminal, flags: OutputFlags): Promise<void> {
  const looks = await (await asAutomation(terminal)).discovery.targets();
  printResult(terminal, flags, { data: looks.data }, () =>
    table(
      ['TARGET', 'ANSWERED', 'IDENTITIES', 'NEW', 'CHANGED', 'GONE', 'NEXT', 'SAID'],
      looks.data.map((each) => [
        each.target,
        when(each.answered_at),
        each.identities,
        each.found,
        each.changed,
        each.gone,
        when(each.next_at),
        saidLast(each),
      ]),
    ),
  );
}

function saidLast(each: TargetLook): string {
  if (!each.supported) return 'cannot be asked';
  return each.asked_at === null ? 'not asked yet' : says(each);
}

async function list(terminal: Terminal, flags: ListFlags): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asAutomation(terminal);
  const { target, state, different } = flags;
  const pages = eachItem((cursor) => client.discovery.list({ target, state, different, cursor }));
  const found = await firstItems(terminal, flags.limit, pages);
  printResult(terminal, flags, { data: found }, () => rows(found));
}

const rows = (found: readonly FoundIdentity[]): string =>
  table(
    ['ID', 'TARGET', 'KIND', 'NAME', 'STATE', 'LAST', 'RISKS', 'OWNER', 'USED'],
    found.map((each) => [
      each.id,
      each.target,
      spaced(each.kind),
      each.name,
      each.state,
      difference(each),
      each.risks.join(' ') || '-',
      each.guessed_owner ? `${each.guessed_owner.name ?? each.guessed_owner.person}?` : '-',
      when(each.used_at),
    ]),
  );

/** What was last different about it. */
const difference = ({ difference: { kind, changes } }: FoundIdentity): string =>
  kind === 'changed' ? `changed: ${changes.map(spaced).join(', ')}` : kind;

async function adopt(terminal: Terminal, id: string, flags: AdoptFlags): Promise<void> {
  const { parsePublicKey } = await import('../../sdk/index.ts');
  const { name, owner, team, purpose, key, join } = flags;
  const keys = key === undefined ? [] : [parsePublicKey(await readKeyFile(key))];
  const client = await asAutomation(terminal);
  const made = await client.discovery.adopt(id, { name, owner, team, purpose, keys, join });
  printMade(terminal, flags, made, () =>
    [
      `${made.id} (${made.name}) is ${made.state}.`,
      ...(made.join_token ? [`It joins with ${made.join_token.token}`] : []),
    ].join('\n'),
  );
}
