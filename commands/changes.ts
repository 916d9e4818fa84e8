// Waiting for something to change without asking again and again: one LISTEN for the whole process.
import type { Database } from '../db/client.ts';
import { CHANNELS } from './unit.ts';

export interface Changes {
  /** Resolves when this id changes, or after the time is over. */
  next(id: string, ms: number): Promise<void>;
  /** Whether nobody should wait for anything any more. */
  isOver(): boolean;
  /** Ends all waiting: who waits gets the last reading now, and asks another replica. */
  finish(): void;
  close(): Promise<void>;
}

export async function openChanges(db: Database): Promise<Changes> {
  const waiting = new Map<string, Set<() => void>>();
  let over = false;
  const notify = (id: string): void => {
    for (const wake of waiting.get(id) ?? []) wake();
  };
  const wakeAll = (): void => {
    for (const id of waiting.keys()) notify(id);
  };
  // After a reconnect nobody knows what was missed, so everybody looks again.
  const subscription = await db.sql.listen(CHANNELS.change, notify, wakeAll);
  return {
    next: (id, ms) =>
      new Promise((resolve) => {
        const wakers = waiting.get(id) ?? new Set();
        waiting.set(id, wakers);
        const done = (): void => {
          clearTimeout(timer);
          wakers.delete(done);
          if (wakers.size === 0) waiting.delete(id);
          resolve();
        };
        const timer = setTimeout(done, ms);
        wakers.add(done);
      }),
    isOver: () => over,
    finish: () => {
      over = true;
      wakeAll();
    },
    close: () => subscription.unlisten(),
  };
}

/** How often a waiter looks even if nothing was announced. */
const LOOK_MS = 2_000;

/** Reads until the value is what is waited for or the time is over, and returns the last reading. */
export async function waitUntil<T>(
  changes: Changes,
  id: string,
  seconds: number,
  read: () => Promise<T>,
  isDone: (value: T) => boolean,
): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    // Listen before reading: a change between the two is then not missed.
    const left = deadline - Date.now();
    const changed = changes.next(id, Math.max(0, Math.min(left, LOOK_MS)));
    const value = await read();
    if (isDone(value) || left <= 0 || changes.isOver()) return value;
    await changed;
  }
}
