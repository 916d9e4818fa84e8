// The policy as the record has it: which versions were active, the way back to one, and what another one would have said.
import type { Command } from 'commander';
import type { PolicyActivation, Simulation } from '../../sdk/index.ts';
import { UsageError } from '../exit.ts';
import {
  firstItems,
  limitOption,
  positive,
  printResult,
  resultCommand,
  type OutputFlags,
} from './command.ts';
import { bundleOf } from './policy-check.ts';
import { asAutomation } from './session.ts';
import { cell, facts, table, when, type Terminal } from './terminal.ts';

export function policyRecordCommands(policy: Command, terminal: Terminal): void {
  resultCommand(policy, 'simulate <dir>', 'what a bundle would have said to the last real actions')
    .option('--last <n>', 'how many of them', positive, 1_000)
    .action(async (folder: string, flags: OutputFlags & { last: number }) => {
      const { files } = await bundleOf(folder);
      const found = await simulate(terminal, files, flags.last);
      printResult(terminal, flags, found, () => printSimulation(found));
    });
  limitOption(resultCommand(policy, 'history', 'which policies were active, newest first')).action(
    (flags: OutputFlags & { limit: number }) => history(terminal, flags),
  );
  resultCommand(
    policy,
    'rollback [version]',
    'propose an earlier policy: the one before, or the version that is named',
  ).action((version: string | undefined, flags: OutputFlags) => rollback(terminal, version, flags));
}

/** Asks the server what a bundle would have said to what it has on record. */
export const simulate = async (
  terminal: Terminal,
  files: Record<string, string>,
  last: number,
): Promise<Simulation> => (await asAutomation(terminal)).policies.simulate(files, last);

const KINDS: Record<Simulation['changes'][number]['kind'], string> = {
  no_longer_held: 'NO LONGER HELD',
  no_longer_denied: 'no longer denied',
  other_routes: 'other routes',
  newly_held: 'newly held',
  newly_denied: 'newly denied',
};

const ENDED: Record<Simulation['ended'], string> = {
  all: 'which is all there are',
  limit: 'the newest ones (--last)',
  time: 'and then its time was up',
};

/** A simulation as a person reads it: what would lose its gate comes first. */
export function printSimulation(found: Simulation): string {
  const rows = found.changes.map(({ kind, before, after, count, examples }) => [
    count,
    KINDS[kind],
    sideInWords(before),
    sideInWords(after),
    examples.map(({ action, resource }) => `${action} ${resource.id}`)[0],
    examples[0]?.evaluation,
  ]);
  const looked = `${found.looked_at} real actions were looked at, ${ENDED[found.ended]}: ${found.as_recorded} as they were recorded, ${found.as_now} as things are now, ${found.not_replayable} not at all.`;
  return [
    looked,
    `${found.lose_a_gate} of them would lose a gate.`,
    ...(rows.length === 0
      ? ['Nothing would have come out otherwise.']
      : ['', table(['COUNT', 'WHAT', 'NOW', 'THEN', 'SUCH AS', 'EVALUATION'], rows)]),
  ].join('\n');
}

const sideInWords = ({
  decision,
  reasons,
  routes,
  waived,
}: Simulation['changes'][number]['before']): string =>
  `${decision}${routes.length > 0 ? ` by ${routes.join(', ')}` : ''}${waived.length > 0 ? `, ${waived.join(', ')} waived` : ''} (${reasons.join(', ')})`;

async function history(terminal: Terminal, flags: OutputFlags & { limit: number }): Promise<void> {
  const data = await firstItems(terminal, flags.limit, activations(terminal));
  printResult(terminal, flags, { data }, () =>
    table(
      ['VERSION', 'ACTIVE SINCE', 'BY', 'REQUEST', ''],
      data.map(({ version, activated_at: at, by, request, active }) => [
        version,
        when(at),
        by.id,
        request,
        active ? 'active' : '',
      ]),
    ),
  );
}

async function* activations(terminal: Terminal): AsyncGenerator<PolicyActivation> {
  const client = await asAutomation(terminal);
  for (let cursor: string | undefined; ;) {
    const page = await client.policies.history({ cursor });
    yield* page.data;
    if (page.next_cursor === null) return;
    cursor = page.next_cursor;
  }
}

async function rollback(
  terminal: Terminal,
  wanted: string | undefined,
  flags: OutputFlags,
): Promise<void> {
  const earlier = await earlierVersion(terminal, wanted);
  const client = await asAutomation(terminal);
  const { files } = await client.policies.get(earlier);
  const proposed = await client.policies.propose(files);
  const { version, request } = proposed;
  printResult(terminal, flags, proposed, () =>
    request
      ? facts([
          ['version', version],
          ['request', request.id],
          ['people decide at', request.url],
        ])
      : `${version} is the active policy.`,
  );
}

/** The version that was active before this one, or the one whose digest begins as was said. */
async function earlierVersion(terminal: Terminal, wanted: string | undefined): Promise<string> {
  const known = new Set<string>();
  let active: string | null = null;
  for await (const { version } of activations(terminal)) {
    active ??= version;
    if (wanted === undefined && version !== active) return version;
    if (wanted !== undefined && bare(version).startsWith(bare(wanted))) known.add(version);
  }
  const [one, another] = [...known];
  if (wanted === undefined) throw new UsageError('no other policy was ever active here.');
  if (one === undefined || bare(wanted) === '')
    throw new UsageError(
      `no policy ${cell(wanted)} was ever active: see countersign policy history.`,
    );
  if (another !== undefined)
    throw new UsageError(`more than one version begins with ${cell(wanted)}: say more of it.`);
  return one;
}

const bare = (version: string): string => version.replace(/^sha256:/, '');
