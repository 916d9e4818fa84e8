// How long `countersign start` takes to be ready, on a new state and on one that is there, and what it weighs when
// idle. A measurement to look at, not a test: other work on the machine shows in it.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startSystem } from '../test/support/system.ts';

/** What a start allocates and frees again is not what it weighs. */
const SETTLE_SECONDS = Number(process.argv[2] ?? 20);

interface Weight {
  name: string;
  /** Its share of what it shares with others (PSS). */
  proportionalMb: number;
  /** What `ps` shows (RSS): shared pages count in every process that has them. */
  residentMb: number;
}

const began = performance.now();
const system = await startSystem();
const firstMs = performance.now() - began;
try {
  await system.stop();
  const again = performance.now();
  await system.start();
  const secondMs = performance.now() - again;
  await sleep(SETTLE_SECONDS * 1000);
  const supervisor = Number(await readFile(path.join(system.state, 'start.pid'), 'utf8'));
  const weights = await Promise.all((await treeOf(supervisor)).map(weigh));
  print(firstMs, secondMs, weights);
} finally {
  await system.remove();
}
process.exit();

/** A process and everything below it. */
async function treeOf(root: number): Promise<number[]> {
  const parents = new Map<number, number>();
  for (const entry of await readdir('/proc')) {
    const stat = /^\d+$/.test(entry)
      ? await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '')
      : '';
    // The name in parentheses may itself contain spaces and parentheses.
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 1).split(' ')[2]);
    if (stat !== '') parents.set(Number(entry), parent);
  }
  const tree = [root];
  for (const pid of tree)
    tree.push(...[...parents].flatMap(([child, parent]) => (parent === pid ? [child] : [])));
  return tree;
}

async function weigh(pid: number): Promise<Weight> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
  const kilobytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1] ?? 0);
  return {
    name: await nameOf(pid),
    proportionalMb: kilobytes('Pss') / 1024,
    residentMb: kilobytes('Rss') / 1024,
  };
}

/** Which part of the service a process belongs to. */
async function nameOf(pid: number): Promise<string> {
  const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
  for (const part of ['serve', 'worker', 'start']) if (words.includes(part)) return part;
  const program = path.basename(words[0] ?? '').replace(/:.*/, '');
  return words.includes('start-dev') ? 'temporal' : program;
}

function print(firstMs: number, secondMs: number, weights: readonly Weight[]): void {
  const seconds = (ms: number): string => (ms / 1000).toFixed(1);
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  say('| start  | seconds to ready |');
  say('| ------ | ---------------- |');
  say(`| first  | ${seconds(firstMs).padStart(16)} |`);
  say(`| second | ${seconds(secondMs).padStart(16)} |`);
  say('');
  say(`Idle, ${SETTLE_SECONDS} s after the second start:`);
  say('');
  say('| process    | count | PSS MB | RSS MB |');
  say('| ---------- | ----- | ------ | ------ |');
  const names = [...new Set(weights.map(({ name }) => name))];
  for (const name of names)
    row(
      name,
      weights.filter((each) => each.name === name),
    );
  row('all', weights);

  function row(name: string, of: readonly Weight[]): void {
    const sum = (pick: (each: Weight) => number): string =>
      of
        .reduce((total, each) => total + pick(each), 0)
        .toFixed(0)
        .padStart(6);
    const count = String(of.length).padStart(5);
    const pss = sum((each) => each.proportionalMb);
    const rss = sum((each) => each.residentMb);
    say(`| ${name.padEnd(10)} | ${count} | ${pss} | ${rss} |`);
  }
}
