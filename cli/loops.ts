// Loops beside the workflows: each does one small thing again and again, when told to and at least every so often.
import { setTimeout as sleep } from 'node:timers/promises';
import { faultFields, type Log } from '../commands/log-line.ts';
import type { Database } from '../db/client.ts';

export interface Loop {
  stop(): Promise<void>;
}

export interface LoopOptions {
  name: string;
  log: Log;
  /** Longest pause between two rounds. */
  everyMs: number;
  /** Shortest pause between two rounds, however often it is told. */
  gapMs?: number;
  /** A channel on which the database tells it to look. */
  listen?: { db: Database; channel: string };
  /** One round; true if there is more to do at once. */
  round: () => Promise<boolean>;
}

const FAILURE_PAUSE_MS = 1_000;

/** Starts a loop. A round that fails is logged and tried again; the loop itself does not end. */
export async function startLoop(options: LoopOptions): Promise<Loop> {
  let stopped = false;
  let told = false;
  let wake = (): void => undefined;
  const tell = (): void => {
    told = true;
    wake();
  };
  const subscription = options.listen
    ? await options.listen.db.sql.listen(options.listen.channel, tell, tell)
    : null;
  const pause = async (ms: number): Promise<void> => {
    if (told || stopped) return;
    const timer = new AbortController();
    const rung = new Promise<void>((resolve) => (wake = resolve));
    await Promise.race([
      rung,
      sleep(ms, undefined, { signal: timer.signal }).catch(() => undefined),
    ]);
    timer.abort();
  };
  const run = async (): Promise<void> => {
    while (!stopped) {
      told = false;
      try {
        const more = await options.round();
        if (more) continue;
      } catch (error) {
        options.log(`${options.name}_failed`, faultFields(error));
        await sleep(FAILURE_PAUSE_MS);
      }
      if (options.gapMs !== undefined) await sleep(options.gapMs);
      await pause(options.everyMs);
    }
  };
  const running = run();
  return {
    stop: async () => {
      stopped = true;
      tell();
      await running;
      await subscription?.unlisten().catch(() => undefined);
    },
  };
}
