// A second witness of writes: a target counts the rows that it wrote, whoever wrote them. Rows that no statement
// in its log explains were written past the log, and with it past every gate.
import { toMs } from './instant.ts';

/** Rows ever written to one table and all its parts, at one time by the target's clock. */
export interface RowCount {
  /** The table's own number, so that a new table of the same name begins anew. */
  table: string;
  name: string;
  /** Every name under which these rows are written: its parts, and what it is a part of. */
  names: readonly string[];
  rows: number;
}

interface Surplus {
  name: string;
  rows: number;
}

/** What a seen statement can explain: rows of the tables it names, or of any. */
export type Explains = readonly string[] | 'any';

export interface WriteWitness {
  saw(session: string, explains: Explains): void;
  left(session: string, at: string): void;
  /**
   * Compares counts taken at a time up to which the log has been read. Nothing is surplus that any seen statement
   * could explain, however many rows: by a session that is still open, or that left so lately that its counts may
   * still be on their way.
   */
  compare(counts: readonly RowCount[], takenAt: string): Surplus[];
  /** Forgets all: somebody else read a part of the log that we did not. */
  reset(): void;
}

/** Sessions hand in what they wrote when they leave, and at the latest this much later. */
const LATE_MS = 15_000;
/** More sessions than this at once explain everything: then nothing is compared. */
const SESSIONS_MAX = 10_000;

interface Writer {
  tables: Set<string>;
  any: boolean;
  leftAtMs: number | null;
}

/** `settleMs` is how long after the first counts those of sessions that began before us may come in. */
export function openWitness(settleMs: number): WriteWitness {
  const writers = new Map<string, Writer>();
  const known = new Map<string, number>();
  let firstAtMs: number | null = null;
  const explained = ({ names }: RowCount): boolean =>
    writers.size >= SESSIONS_MAX ||
    [...writers.values()].some(({ any, tables }) => any || names.some((name) => tables.has(name)));
  return {
    saw: (session, explains) => {
      if (explains !== 'any' && explains.length === 0) return;
      if (writers.size >= SESSIONS_MAX && !writers.has(session)) return;
      const writer = writers.get(session) ?? { tables: new Set(), any: false, leftAtMs: null };
      writers.set(session, writer);
      if (explains === 'any') writer.any = true;
      else for (const table of explains) writer.tables.add(table);
    },
    left: (session, at) => {
      const writer = writers.get(session);
      if (writer) writer.leftAtMs = toMs(at);
    },
    compare: (counts, takenAt) => {
      const takenAtMs = toMs(takenAt);
      firstAtMs ??= takenAtMs;
      const isSettled = takenAtMs - firstAtMs >= settleMs;
      const surplus = counts.flatMap((count): Surplus[] => {
        const before = known.get(count.table);
        known.set(count.table, count.rows);
        // Counts begin anew after a crash; then there is nothing to compare with.
        if (before === undefined || count.rows <= before || !isSettled) return [];
        return explained(count) ? [] : [{ name: count.name, rows: count.rows - before }];
      });
      for (const [session, { leftAtMs }] of writers)
        if (leftAtMs !== null && leftAtMs + LATE_MS < takenAtMs) writers.delete(session);
      return surplus;
    },
    reset: () => {
      writers.clear();
      known.clear();
      firstAtMs = null;
    },
  };
}
