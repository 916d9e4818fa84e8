// The observer reads a log that all databases of a server share, and must see its own database in it and no other.
import postgres from 'postgres';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  observePostgres,
  type Position,
  type TargetObserver,
} from '../../activities/observer/postgres.ts';
import type { LogLine } from '../../domain/postgres-log.ts';
import { freshSample, type SampleTarget } from '../support/sample.ts';

let ours: SampleTarget;
let theirs: SampleTarget;
beforeAll(async () => {
  ours = await freshSample();
  theirs = await freshSample();
});
afterAll(() => Promise.all([ours.close(), theirs.close()]));

async function run(url: string, statement: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    await sql.unsafe(statement);
  } finally {
    await sql.end({ timeout: 2 });
  }
}

/** Everything that an observer sees, until it has seen this text or time is over. */
async function readUntil(
  observer: TargetObserver,
  from: Position,
  text: string,
): Promise<LogLine[]> {
  const offsets = await observer.zoneOffsets();
  const seen: LogLine[] = [];
  let position = from;
  const deadline = Date.now() + 10_000;
  while (Date.now() < deadline && !seen.some((line) => textOf(line).includes(text))) {
    const { lines, next } = await observer.readLog(position, offsets);
    seen.push(...lines);
    position = next;
  }
  return seen;
}

const textOf = (line: LogLine): string => (line.kind === 'statement' ? line.text : '');

it('what is done in one database is seen by its own observer, and not by that of another on the same server', async () => {
  const own = observePostgres(ours.observer);
  const foreign = observePostgres(theirs.observer);
  try {
    const { next: ownFrom } = await own.readLog(null, new Map());
    const { next: foreignFrom } = await foreign.readLog(null, new Map());
    await run(ours.legacy, `update payouts set state = 'ours' where id = 1`);
    await run(theirs.legacy, `update payouts set state = 'theirs' where id = 1`);
    const [seenHere, seenThere] = await Promise.all([
      readUntil(own, ownFrom, `'ours'`),
      readUntil(foreign, foreignFrom, `'theirs'`),
    ]);
    expect(seenHere.map(textOf).filter((text) => text.includes('payouts'))).toEqual([
      `update payouts set state = 'ours' where id = 1`,
    ]);
    expect(seenThere.map(textOf).filter((text) => text.includes('payouts'))).toEqual([
      `update payouts set state = 'theirs' where id = 1`,
    ]);
  } finally {
    await Promise.all([own.close(), foreign.close()]);
  }
});
